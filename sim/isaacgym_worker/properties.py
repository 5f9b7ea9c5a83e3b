"""Gains of servos and frictions of shapes of each world, written where they changed."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.isaacgym_worker.building import Built

PADS = ("left_pad", "right_pad")


class Properties:
    """What was last written of every world. Setting a property costs a call per actor, so only changes are written."""

    def __init__(self, gymapi: Any, built: Built, dofs: Any) -> None:
        self._gymapi, self._gym, self._built = gymapi, built.gym, built
        # Where the joints of the wire stand in the robot's own properties, world by world.
        self._places = dofs - dofs.min(axis=1, keepdims=True)
        self._gains = np.full((built.count, 2, dofs.shape[1]), np.nan, dtype=np.float32)
        self._frictions: dict[tuple[int, int], float] = {}

    def write(self, number: int, slots: Any, gains: Any, friction: Any) -> None:
        """Set stiffness and damping (2, 9), and the frictions of pads, table, fixtures and the slots' objects."""
        world = self._built.worlds[number]
        self._write_gains(number, gains)
        pads, table, fixtures = (float(value) for value in friction[:3])
        self._set(number, world.robot, pads, PADS)
        self._set(number, world.table, table, ())
        for actor in (*world.stands, *world.hinged):
            self._set(number, actor, fixtures, ())
        for column, value in zip(slots, friction[3:]):
            if column >= 0:
                self._set(number, world.bodies[int(column)], float(value), ())

    def _write_gains(self, number: int, gains: Any) -> None:
        if np.array_equal(self._gains[number], gains):
            return
        self._gains[number] = gains
        world, gym = self._built.worlds[number], self._gym
        properties = gym.get_actor_dof_properties(world.env, world.robot)
        places = self._places[number]
        properties["stiffness"][places], properties["damping"][places] = gains
        gym.set_actor_dof_properties(world.env, world.robot, properties)

    def _set(self, number: int, actor: int, value: float, bodies: tuple[str, ...]) -> None:
        """Set the friction of an actor's shapes: of all, or of those of the named bodies."""
        if self._frictions.get((number, actor)) == value:
            return
        self._frictions[number, actor] = value
        gym, env = self._gym, self._built.worlds[number].env
        shapes = gym.get_actor_rigid_shape_properties(env, actor)
        if not shapes:
            return  # What is only seen has none.
        chosen = list(range(len(shapes)))
        if bodies:
            ranges = gym.get_actor_rigid_body_shape_indices(env, actor)
            domain = self._gymapi.DOMAIN_ACTOR
            places = [ranges[gym.find_actor_rigid_body_index(env, actor, name, domain)] for name in bodies]
            chosen = [place.start + i for place in places for i in range(place.count)]
        for index in chosen:
            shapes[index].friction = value
        gym.set_actor_rigid_shape_properties(env, actor, shapes)
