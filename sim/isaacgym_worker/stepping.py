"""The worlds in motion, through the tensor API: reset some, step all, put what happened into the shared memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.isaacgym_worker.building import Built, parked_place
from sim.isaacgym_worker.layout import attach
from sim.isaacgym_worker.properties import Properties


class Worlds:
    """Tensors over all worlds.

    The GPU pipeline allows each setter once between two calls of `simulate`, and applies what was set only then. So
    resets write into the tensors and into the shared memory at once, and are handed over together before the next step.
    """

    def __init__(self, gymapi: Any, gymtorch: Any, torch: Any, built: Built, memory: int) -> None:
        self._gymtorch, self._torch, self._built = gymtorch, torch, built
        self._gym, self._sim, self._device = built.gym, built.sim, built.device
        built.prepare()
        found = built.indices()
        self._actors = {name: found[name] for name in ("robots", "tables", "bodies", "stands", "hinged")}
        self._rows = {name: self._on_device(found[name]) for name in ("dofs", "hands", "carriages", "hinges", "stands")}
        self._joints = gymtorch.wrap_tensor(self._gym.acquire_dof_state_tensor(self._sim))
        self._roots = gymtorch.wrap_tensor(self._gym.acquire_actor_root_state_tensor(self._sim))
        self._contact = gymtorch.wrap_tensor(self._gym.acquire_net_contact_force_tensor(self._sim))
        joints = (self._joints.shape[0],)
        self._targets = torch.zeros(joints, dtype=torch.float32, device=self._device)
        self._efforts = torch.zeros(joints, dtype=torch.float32, device=self._device)
        self._shared = attach(memory, built.count, len(built.objects), len(built.hinged))
        self._pending: set[int] = set()
        self._alive: tuple[Any, ...] = ()
        self._properties = Properties(gymapi, built, found["dofs"])
        inertia = np.array([[float(each["inertia"]) for each in built.hinged]] * built.count, dtype=np.float32)
        self._inertia = self._on_device(inertia)
        self._damping, self._dry = torch.zeros_like(self._inertia), torch.zeros_like(self._inertia)
        self._there = built.active >= 0
        self._slot_actors = np.zeros(built.active.shape, dtype=np.int64)
        bodies = self._actors["bodies"]
        self._waits = np.ones(bodies.shape, dtype=bool)
        places = np.zeros((*bodies.shape, 13), dtype=np.float32)
        places[:, :, :3] = np.array([parked_place(k) for k in range(bodies.shape[1])]).reshape(-1, 3)
        places[:, :, 6] = 1.0
        self._places = self._on_device(places.reshape(-1, 13))
        self._refresh()
        self._note_slots(np.arange(built.count))

    def reset(
        self, ids: Any, joints: Any, slots: Any, roots: Any, table: Any, gains: Any, friction: Any, **fixtures: Any
    ) -> None:
        """Put world `ids[k]` at rest at joints[k] (9,), its table's top at table[k], m.

        slots[k] (objects,) are the columns whose bodies stand at roots[k] (objects, 13), -1 for none. gains[k] (2, 9)
        are the servos' stiffness and damping, friction[k] (3 + objects,) is that of pads, table, fixtures and objects.
        fixtures: stands[k] (stands, 13) are root states, carriages[k] (hinged, 4) places, resistance[k] (hinged, 2)
        damping and dry friction of the fixtures' joints.
        """
        rows = self._on_device(ids.astype(np.int64))
        self._place_joints(rows, self._rows["dofs"], joints)
        self._place_joints(rows, self._rows["carriages"], fixtures["carriages"])
        self._place_joints(rows, self._rows["hinges"], np.zeros(fixtures["carriages"].shape[:2], dtype=np.float32))
        self._damping[rows], self._dry[rows] = (self._on_device(fixtures["resistance"][:, :, k]) for k in range(2))
        self._built.active[ids] = slots
        self._note_slots(np.array(ids, dtype=np.int64))
        there = slots >= 0
        self._roots[self._on_device(self._slot_actors[ids][there])] = self._on_device(roots[there])
        self._roots[self._rows["stands"][rows]] = self._on_device(fixtures["stands"])
        self._place_tables(ids, table)
        start = (("q", joints), ("qd", 0.0), ("targets", joints), ("roots", roots), ("contact", 0.0), ("hinges", 0.0))
        for name, value in start:
            self._shared[name][ids] = value
        for k, world in enumerate(ids):
            self._properties.write(int(world), slots[k], gains[k], friction[k])
        self._pending.update(int(world) for world in ids)

    def _place_joints(self, worlds: Any, numbers: Any, positions: Any) -> None:
        """Put joints at rest at `positions`, and their targets there too."""
        chosen, wanted = numbers[worlds], self._on_device(positions)
        self._joints[chosen, 0] = wanted
        self._joints[chosen, 1] = 0.0
        self._targets[chosen] = wanted

    def _place_tables(self, ids: Any, height: Any) -> None:
        """Put the top of these worlds' tables at `height`, m."""
        states = np.zeros((len(ids), 13), dtype=np.float32)
        states[:, :2] = self._built.plan["table"]["center"][:2]
        states[:, 2] = height - self._built.plan["table"]["half"][2]
        states[:, 6] = 1.0
        self._roots[self._on_device(self._actors["tables"][ids])] = self._on_device(states)

    def _note_slots(self, ids: Any) -> None:
        """Look up the actors in the slots of these worlds, and all who wait."""
        columns = self._built.active[ids]
        self._there[ids] = columns >= 0
        if self._waits.shape[1]:
            found = np.take_along_axis(self._actors["bodies"][ids], np.where(columns < 0, 0, columns), axis=1)
            self._slot_actors[ids] = found
        self._slot_rows = self._on_device(self._slot_actors)
        self._waits[ids] = True
        worlds, slots = np.nonzero(columns >= 0)
        self._waits[ids[worlds], columns[worlds, slots]] = False
        flat = np.flatnonzero(self._waits)
        self._waiting = self._actors["bodies"].reshape(-1)[flat]
        self._waiting_rows, self._waiting_places = self._on_device(self._waiting), self._on_device(flat)

    def step(self) -> None:
        """Advance all worlds by one control step towards the targets in the shared memory."""
        self._hand_over()
        self._targets[self._rows["dofs"]] = self._on_device(self._shared["targets"])
        self._gym.set_dof_position_target_tensor(self._sim, self._gymtorch.unwrap_tensor(self._targets))
        for _ in range(self._built.substeps):
            self._simulate()
        self._refresh()
        self._publish()

    def where(self) -> dict[str, Any]:
        """Return where the physics has what the shared memory does not tell, as of the last step.

        tables (n, 13) and stands (n, stands, 13): root states. carriages (n, hinged, 4): places. waiting (n,): how near
        the nearest waiting body of a world is to the robot's base, m; infinite where none waits.
        """
        tables = self._roots[self._on_device(self._actors["tables"])].cpu().numpy()
        stands = self._roots[self._rows["stands"]].cpu().numpy()
        carriages = self._joints[self._rows["carriages"], 0].cpu().numpy()
        places = np.linalg.norm(self._roots[self._on_device(self._actors["bodies"])].cpu().numpy()[:, :, :3], axis=2)
        nearest = np.where(self._waits, places, np.inf).min(axis=1) if places.shape[1] else np.zeros(len(places))
        return {"tables": tables, "stands": stands, "carriages": carriages, "waiting": nearest.astype(np.float32)}

    def settle(self) -> None:
        """Make what was reset visible to the cameras: one physics step that is taken back before the next one."""
        if not self._pending:
            return
        joints, roots = self._joints.clone(), self._roots.clone()
        self._hand_over()
        self._simulate()
        self._refresh()
        self._joints[:], self._roots[:] = joints, roots
        self._pending.update(range(self._built.count))

    def close(self) -> None:
        """Destroy the simulation."""
        self._gym.destroy_sim(self._sim)

    def _hand_over(self) -> None:
        """Hand the states of worlds that were reset and of waiting bodies to the physics, each setter once.

        Nothing holds the waiting bodies: each control step puts them back where they wait.
        """
        worlds = np.array(sorted(self._pending), dtype=np.int64)
        self._pending.clear()
        self._roots[self._waiting_rows] = self._places[self._waiting_places]
        actors, there = self._actors, self._there[worlds]
        moved = (self._slot_actors[worlds][there], actors["tables"][worlds], actors["stands"][worlds].reshape(-1))
        roots = self._on_device(np.concatenate([self._waiting, *moved]).astype(np.int32))
        jointed = (actors["robots"][worlds], actors["hinged"][worlds].reshape(-1))
        joints = self._on_device(np.concatenate(jointed).astype(np.int32))
        # The physics reads the indices after these calls return: they must stay alive until the next call.
        self._alive = (roots, joints)
        unwrap = self._gymtorch.unwrap_tensor
        if len(joints):
            self._gym.set_dof_state_tensor_indexed(self._sim, unwrap(self._joints), unwrap(joints), len(joints))
        if len(roots):
            self._gym.set_actor_root_state_tensor_indexed(self._sim, unwrap(self._roots), unwrap(roots), len(roots))

    def _simulate(self) -> None:
        """Take one physics step, against the friction of the fixtures' joints."""
        if self._built.hinged:
            rows, dt = self._rows["hinges"], float(self._built.plan["timestep"])
            speed = self._joints[rows, 1]
            self._efforts[rows] = resistance(self._torch, speed, self._damping, self._dry, self._inertia, dt)
            self._gym.set_dof_actuation_force_tensor(self._sim, self._gymtorch.unwrap_tensor(self._efforts))
        self._gym.simulate(self._sim)
        self._gym.fetch_results(self._sim, True)
        if self._built.hinged:
            self._gym.refresh_dof_state_tensor(self._sim)

    def _refresh(self) -> None:
        self._gym.refresh_dof_state_tensor(self._sim)
        self._gym.refresh_actor_root_state_tensor(self._sim)
        self._gym.refresh_net_contact_force_tensor(self._sim)

    def _publish(self) -> None:
        """Copy the state into the shared memory; of a slot without an object what the reset said stays."""
        shared, rows = self._shared, self._rows
        joints = self._joints[rows["dofs"]].cpu().numpy()
        shared["q"][:], shared["qd"][:] = joints[:, :, 0], joints[:, :, 1]
        found = self._roots[self._slot_rows].cpu().numpy()
        np.copyto(shared["roots"], found, where=self._there[:, :, None])
        forces = self._contact[rows["hands"]]
        shared["contact"][:] = self._torch.sqrt((forces * forces).sum(-1)).sum(-1).cpu().numpy()
        shared["hinges"][:] = self._joints[rows["hinges"], 0].cpu().numpy()

    def _on_device(self, array: Any) -> Any:
        """Return a numpy array as a tensor on the simulation's device."""
        return self._torch.from_numpy(np.array(array)).to(self._device)


def resistance(torch: Any, speed: Any, damping: Any, dry: Any, inertia: Any, dt: float) -> Any:
    """Return the efforts, N m or N, with which joints that move at `speed` resist in the next `dt` seconds.

    Isaac Gym's joint friction is a share of the joint's force, no torque, so both resistances are efforts: damping
    times the speed that it leaves, and dry friction, which brings the joint to a stop at most. Shapes are all alike.
    """
    viscous = damping * speed / (1.0 + damping * dt / inertia)
    stopping = (speed - viscous * dt / inertia) * inertia / dt
    return -viscous - torch.maximum(torch.minimum(stopping, dry), -dry)
