"""What actors are made of: the robot, boxes that stay, solid objects and fixtures, each loaded once."""

from __future__ import annotations

import math
import os
from typing import Any

from sim.isaacgym_worker.layout import CARRIAGE, DOFS

BOX, CYLINDER, SPHERE = 0, 1, 2
"""Shapes of objects, as numbers on the wire."""

HINGED_DOFS = (*CARRIAGE, "joint")
"""Joints of a fixture with a joint of its own."""


class Assets:
    """Assets of one simulation, by what they are."""

    def __init__(self, gymapi: Any, gym: Any, sim: Any, folder: str) -> None:
        self._gymapi, self._gym, self._sim, self._folder = gymapi, gym, sim, folder
        self._made: dict[tuple[Any, ...], Any] = {}

    def _options(self, **values: Any) -> Any:
        """Return asset options without Isaac Gym's own damping and skin, which MuJoCo has not."""
        options = self._gymapi.AssetOptions()
        defaults = {"linear_damping": 0.0, "angular_damping": 0.0, "thickness": 0.0}
        for name, value in dict(defaults, **values).items():
            setattr(options, name, value)
        return options

    def robot(self, name: str) -> Any:
        """Load the robot; gravity does not act on it, as in the MuJoCo model."""
        return self._load(
            name,
            len(DOFS),
            fix_base_link=True,
            disable_gravity=True,
            collapse_fixed_joints=False,
            flip_visual_attachments=False,
            use_mesh_materials=True,
            default_dof_drive_mode=int(self._gymapi.DOF_MODE_POS),
        )

    def stand(self, name: str) -> Any:
        """Load a fixture that is one body."""
        return self._load(name, 0, fix_base_link=True, replace_cylinder_with_capsule=False)

    def hinged(self, name: str) -> Any:
        """Load a fixture with a joint, on its carriage."""
        return self._load(
            name,
            len(HINGED_DOFS),
            fix_base_link=True,
            disable_gravity=True,
            collapse_fixed_joints=False,
            replace_cylinder_with_capsule=False,
            default_dof_drive_mode=int(self._gymapi.DOF_MODE_POS),
        )

    def _load(self, name: str, dofs: int, **options: Any) -> Any:
        if (name,) not in self._made:
            asset = self._gym.load_asset(self._sim, self._folder, name, self._options(**options))
            if asset is None or self._gym.get_asset_dof_count(asset) != dofs:
                raise RuntimeError(f"{name} was not loaded with its {dofs} joints")
            self._made[(name,)] = asset
        return self._made[(name,)]

    def fixed_box(self, half: Any) -> Any:
        """Return a box that stays where it is put; half extents in m."""
        key = ("fixed", *half)
        if key not in self._made:
            sides = [2.0 * float(each) for each in half]
            self._made[key] = self._gym.create_box(self._sim, *sides, self._options(fix_base_link=True))
        return self._made[key]

    def body(self, shape: int, half: tuple[float, ...], mass: float) -> Any:
        """Return a solid free object of this mass, kg; half extents in m."""
        key = ("free", shape, *half, mass)
        if key not in self._made:
            self._made[key] = self._solid(shape, half, mass)
        return self._made[key]

    def _solid(self, shape: int, half: tuple[float, ...], mass: float) -> Any:
        """Make a solid object; its density brings the mass."""
        x, y, z = half
        if shape == BOX:
            options = self._options(density=mass / (8.0 * x * y * z))
            return self._gym.create_box(self._sim, 2.0 * x, 2.0 * y, 2.0 * z, options)
        if shape == SPHERE:
            options = self._options(density=mass / (4.0 / 3.0 * math.pi * x**3))
            return self._gym.create_sphere(self._sim, x, options)
        if shape != CYLINDER:
            raise ValueError(f"no shape has the number {shape}")
        name = f"cylinder_{len(self._made)}.urdf"
        with open(os.path.join(self._folder, name), "w") as stream:
            stream.write(cylinder_urdf(x, 2.0 * z, mass))
        return self._load(name, 0, replace_cylinder_with_capsule=False)


def cylinder_urdf(radius: float, length: float, mass: float) -> str:
    """Return a solid cylinder along z as URDF, with its inertia written out."""
    side = mass * (3.0 * radius**2 + length**2) / 12.0
    end = mass * radius**2 / 2.0
    geometry = f'<geometry><cylinder radius="{radius:.9g}" length="{length:.9g}"/></geometry>'
    return (
        f'<robot name="cylinder"><link name="cylinder"><inertial><mass value="{mass:.9g}"/>'
        f'<inertia ixx="{side:.9g}" ixy="0" ixz="0" iyy="{side:.9g}" iyz="0" izz="{end:.9g}"/></inertial>'
        f"<visual>{geometry}</visual><collision>{geometry}</collision></link></robot>\n"
    )
