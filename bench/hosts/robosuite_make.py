"""Building environments of robosuite: with other objects in them, and without compiling one model twice."""

from __future__ import annotations

import copy
import logging
import os
from typing import Any

import mujoco

from bench.hosts.others import MASS, OTHERS, Other
from bench.hosts.robosuite_design import Design

MODEL_SEED = 0
"""What an environment draws when its model is built, such as a cube's size; this seed fixes it for all episodes."""

_COMPILED: dict[tuple[str, int], mujoco.MjModel] = {}
"""Models of this process by environment and number of other objects: the second world of a kind compiles nothing."""


def make(design: Design, count: int) -> Any:
    """Return the environment with `count` other objects, which are its attribute `others`."""
    robosuite = import_robosuite()
    return _class(robosuite.environments.base.REGISTERED_ENVS[design.name], design, count)(
        robots="Panda",
        controller_configs=robosuite.load_composite_controller_config(robot="Panda"),
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        use_object_obs=False,
        control_freq=20,
        ignore_done=True,
        hard_reset=False,
        renderer="mujoco",
        seed=MODEL_SEED,
        **design.options,
    )


def _class(plain: Any, design: Design, count: int) -> Any:
    """Return a subclass of robosuite's environment that adds the other objects and shares the compiled model."""

    def load_model(self: Any) -> None:
        plain._load_model(self)
        self.others = [_object(other) for other in OTHERS[:count]]
        self.model.merge_objects(self.others)

    def initialize_sim(self: Any, xml_string: str | None = None) -> None:
        key = (design.name, count)
        if key not in _COMPILED:
            plain._initialize_sim(self, xml_string)
            _COMPILED[key] = copy.copy(self.sim.model._model)
            return
        from robosuite.utils.binding_utils import MjSim

        self.sim = MjSim(copy.copy(_COMPILED[key]))
        self.sim.forward()
        self.initialize_time(self.control_freq)

    methods = {"_load_model": load_model, "_initialize_sim": initialize_sim}
    return type(plain)(f"{design.name}With{count}Others", (plain,), methods)


def _object(other: Other) -> Any:
    """Return robosuite's model of another object."""
    from robosuite.models import objects

    from sim.scene import rgb

    x, _, z = other.half_size
    volume = {"box": 8 * x * x * z, "cylinder": 6.2832 * x * x * z, "sphere": 4.18879 * x**3}[other.shape]
    kind, size = {
        "box": (objects.BoxObject, list(other.half_size)),
        "cylinder": (objects.CylinderObject, [x, z]),
        "sphere": (objects.BallObject, [x]),
    }[other.shape]
    return kind(name=other.name, size=size, rgba=[*rgb(other.color), 1.0], density=MASS / volume)


def import_robosuite() -> Any:
    """Return the package, imported without its warnings and without the OpenGL backend that it would choose for all."""
    logging.getLogger("robosuite_logs").addFilter(lambda record: record.levelno >= logging.ERROR)
    chosen = os.environ.get("MUJOCO_GL")
    import robosuite

    if chosen is None:
        os.environ.pop("MUJOCO_GL", None)
    return robosuite
