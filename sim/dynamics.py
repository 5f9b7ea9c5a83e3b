"""How a world's robot and contacts respond, written into its compiled MuJoCo model from the nominal one."""

from __future__ import annotations

from typing import cast

import mujoco
import numpy as np

from sim.engine import Values
from sim.panda import ARM


class DynamicsWriter:
    """Writes servo stiffness, joint damping, contact softness and table friction."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Remember the nominal numbers of `model`."""
        self._stiffness = model.actuator_gainprm[:ARM, 0].copy()
        self._solref = model.geom_solref.copy()
        self._table = model.geom("table").id

    def write(self, model: mujoco.MjModel, values: Values) -> None:
        """Set the numbers of one world, each from its nominal value."""
        stiffness = self._stiffness * _number(values, "robot.stiffness")
        model.actuator_gainprm[:ARM, 0] = stiffness
        model.actuator_biasprm[:ARM, 1] = -stiffness
        model.dof_damping[:ARM] = values["robot.joint_damping"]
        factors = (_number(values, "contact.softness"), _number(values, "contact.damping"))
        model.geom_solref[:] = self._solref * np.array(factors)
        model.geom_friction[self._table, 0] = values["table.friction"]


def _number(values: Values, path: str) -> float:
    return float(cast(float, values[path]))
