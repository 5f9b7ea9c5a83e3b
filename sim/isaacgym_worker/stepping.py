"""The worlds in motion, through the tensor API: reset some, step all, put what happened into the shared memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.isaacgym_worker.building import PADS, Built
from sim.isaacgym_worker.layout import attach


class Worlds:
    """Tensors over all worlds.

    The GPU pipeline allows each setter once between two calls of `simulate`, and applies what was set only then. So
    resets write into the tensors and into the shared memory at once, and are handed over together before the next step.
    """

    def __init__(self, gymapi: Any, gymtorch: Any, torch: Any, built: Built, memory: int) -> None:
        self._gymapi, self._gymtorch, self._torch, self._built = gymapi, gymtorch, torch, built
        self._gym, self._sim, self._device = built.gym, built.sim, built.device
        built.prepare()
        found = built.indices()
        self._robots, self._items, self._dof_numbers = found["robot"], found["items"], found["dofs"]
        self._dofs, self._bodies = self._on_device(found["dofs"]), self._on_device(found["bodies"])
        self._item_rows = self._on_device(self._items)
        self._joints = gymtorch.wrap_tensor(self._gym.acquire_dof_state_tensor(self._sim))
        self._roots = gymtorch.wrap_tensor(self._gym.acquire_actor_root_state_tensor(self._sim))
        self._contact = gymtorch.wrap_tensor(self._gym.acquire_net_contact_force_tensor(self._sim))
        self._targets = torch.zeros((self._joints.shape[0],), dtype=torch.float32, device=self._device)
        self._shared = attach(memory, built.count, len(built.objects))
        self._pending: set[int] = set()
        self._indices: tuple[Any, Any] = (None, None)
        self._gains = np.full((built.count, 2, len(found["dofs"][0])), np.nan, dtype=np.float32)
        self._frictions = np.full((built.count, 2 + len(built.objects)), np.nan, dtype=np.float32)
        self._refresh()

    def reset(self, ids: Any, joints: Any, roots: Any, gains: Any, friction: Any) -> None:
        """Put world `ids[k]` at rest at joints[k] (9,) with its objects at roots[k] (objects, 13).

        gains[k] (2, 9) are the servos' stiffness and damping, friction[k] (2 + objects,) is that of pads, table and
        objects.
        """
        rows = self._on_device(ids.astype(np.int64))
        start = self._on_device(joints)
        self._joints[self._dofs[rows], 0] = start
        self._joints[self._dofs[rows], 1] = 0.0
        self._targets[self._dofs[rows]] = start
        if len(self._built.objects):
            self._roots[self._item_rows[rows]] = self._on_device(roots)
        for name, value in (("q", joints), ("qd", 0.0), ("targets", joints), ("roots", roots), ("contact", 0.0)):
            self._shared[name][ids] = value
        for k, world in enumerate(ids):
            self._set_properties(int(world), gains[k], friction[k])
        self._pending.update(int(world) for world in ids)

    def step(self) -> None:
        """Advance all worlds by one control step towards the targets in the shared memory."""
        self._apply_pending()
        self._targets[self._dofs] = self._on_device(self._shared["targets"])
        self._gym.set_dof_position_target_tensor(self._sim, self._gymtorch.unwrap_tensor(self._targets))
        for _ in range(self._built.substeps):
            self._simulate()
        self._refresh()
        self._publish()

    def settle(self) -> None:
        """Make what was reset visible to the cameras: one physics step that is taken back before the next one."""
        if not self._pending:
            return
        joints, roots = self._joints.clone(), self._roots.clone()
        self._apply_pending()
        self._simulate()
        self._refresh()
        self._joints[:], self._roots[:] = joints, roots
        self._pending.update(range(self._built.count))

    def close(self) -> None:
        """Destroy the simulation."""
        self._gym.destroy_sim(self._sim)

    def _apply_pending(self) -> None:
        """Hand the states of the worlds that were reset to the physics, each setter once."""
        if not self._pending:
            return
        worlds = np.array(sorted(self._pending), dtype=np.int64)
        self._pending.clear()
        robots = self._on_device(self._robots[worlds].astype(np.int32))
        items = self._on_device(self._items[worlds].reshape(-1).astype(np.int32))
        # The physics reads the indices after these calls return: they must stay alive until the next reset.
        self._indices = (robots, items)
        unwrap = self._gymtorch.unwrap_tensor
        self._gym.set_dof_state_tensor_indexed(self._sim, unwrap(self._joints), unwrap(robots), len(robots))
        if len(items):
            self._gym.set_actor_root_state_tensor_indexed(self._sim, unwrap(self._roots), unwrap(items), len(items))

    def _simulate(self) -> None:
        self._gym.simulate(self._sim)
        self._gym.fetch_results(self._sim, True)

    def _refresh(self) -> None:
        self._gym.refresh_dof_state_tensor(self._sim)
        self._gym.refresh_actor_root_state_tensor(self._sim)
        self._gym.refresh_net_contact_force_tensor(self._sim)

    def _publish(self) -> None:
        """Copy the state into the shared memory."""
        joints, shared = self._joints[self._dofs].cpu().numpy(), self._shared
        shared["q"][:], shared["qd"][:] = joints[:, :, 0], joints[:, :, 1]
        shared["roots"][:] = self._roots[self._item_rows].cpu().numpy()
        forces = self._contact[self._bodies]
        shared["contact"][:] = self._torch.sqrt((forces * forces).sum(-1)).sum(-1).cpu().numpy()

    def _set_properties(self, world: int, gains: Any, friction: Any) -> None:
        """Set the servos' gains and the frictions of one world where they changed."""
        built, gym, env = self._built, self._gym, self._built.envs[world]
        if not np.array_equal(self._gains[world], gains):
            self._gains[world] = gains
            properties = gym.get_actor_dof_properties(env, built.robots[world])
            places = self._dof_numbers[world] - self._dof_numbers[world].min()
            properties["stiffness"][places], properties["damping"][places] = gains
            gym.set_actor_dof_properties(env, built.robots[world], properties)
        if not np.array_equal(self._frictions[world], friction):
            self._frictions[world] = friction
            actors = [built.robots[world], built.tables[world], *built.items[world]]
            for k, (actor, value) in enumerate(zip(actors, friction)):
                self._set_friction(env, actor, float(value), PADS if k == 0 else ())

    def _set_friction(self, env: Any, actor: int, value: float, bodies: tuple[str, ...]) -> None:
        """Set the friction of an actor's shapes: of all, or of those of the named bodies."""
        gym, shapes = self._gym, self._gym.get_actor_rigid_shape_properties(env, actor)
        chosen = list(range(len(shapes)))
        if bodies:
            ranges = gym.get_actor_rigid_body_shape_indices(env, actor)
            domain = self._gymapi.DOMAIN_ACTOR
            places = [ranges[gym.find_actor_rigid_body_index(env, actor, name, domain)] for name in bodies]
            chosen = [place.start + i for place in places for i in range(place.count)]
        for index in chosen:
            shapes[index].friction = value
        gym.set_actor_rigid_shape_properties(env, actor, shapes)

    def _on_device(self, array: Any) -> Any:
        """Return a numpy array as a tensor on the simulation's device."""
        return self._torch.from_numpy(np.array(array)).to(self._device)
