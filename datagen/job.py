"""What a dataset is generated from: the job, what of it decides the bytes, and the checks before anything starts."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from datagen.filters import FilterConfig
from datagen.finish import Description
from datagen.layout import Place, dataset_name
from datagen.quotas import QuotaConfig, quota_axes
from datagen.schema import ANNOTATIONS
from sim.episodes import EnvSpec, PolicySpec
from sim.errors import UserError, unknown
from sim.instances import instance_names
from sim.ranges import EPISODES, PIXELS, PROCESSES, SHARE, STEPS, Numbers, require
from sim.streams import episode_seed
from tasks.task import Task

CAMERAS = ("image", "wrist_image")
SYNTHETIC = "synthetic"

RANGES = {
    "episodes": EPISODES,
    "val_episodes": Numbers(0, EPISODES.high),
    "failures": Numbers(0, EPISODES.high),
    "image_size": PIXELS,
    "perturb_share": SHARE,
    "perturb_std": Numbers(0, 10),
    "hold": STEPS,
    "shard_episodes": EPISODES,
    "unit_episodes": Numbers(1, 2**16),
    "workers": Numbers(0, PROCESSES.high),
    "threads": PROCESSES,
}
"""What the numbers of a job may be; those of its filters and quotas stand beside them."""

SINCE_FIRST = ("annotations", "failures", "quotas")
"""Settings that are named in a job's identity only where they are set, so that older datasets stay their job's."""


@dataclass(frozen=True)
class TaskShare:
    """One of several tasks of a job."""

    task: str
    # Policy that demonstrates; empty takes the expert of the task.
    policy: str = ""
    # Episodes to keep; none takes the job's.
    episodes: int | None = None
    val_episodes: int | None = None


@dataclass(frozen=True)
class GenerateConfig:
    """A dataset of filtered demonstrations, or one dataset per task."""

    # Task, e.g. "lift_cube" or "lift_cube-v1".
    task: str = ""
    # Several tasks instead, one dataset each: {task = "lift_cube", episodes = 500}, and so on.
    tasks: tuple[TaskShare, ...] = ()
    # Policy that demonstrates, e.g. "expert:lift_cube"; empty takes the expert of the task.
    policy: str = ""
    # Folder of datasets; the dataset lies in <out>/<name>/<version>.
    out: Path = Path("data")
    # Name of the dataset; empty takes the task's.
    name: str = ""
    # Version of the dataset, three numbers.
    version: str = "1.0.0"
    # Episodes to keep for training.
    episodes: int = 200
    # Episodes to keep for validation, of seeds that training never sees.
    val_episodes: int = 0
    # Everything random derives from it.
    seed: int = 0
    # Physics engine.
    engine: str = "mujoco"
    # Device of an engine that has a choice, "cuda:0" or "cpu".
    device: str | None = None
    # Randomization preset of the task.
    preset: str = "train"
    # Draw what only the camera sees once per "episode", or anew for each "step".
    appearance: Literal["episode", "step"] = "episode"
    # Width and height of the frames, pixels.
    image_size: int = 256
    # Cameras whose frames are stored: "image", "wrist_image".
    cameras: tuple[str, ...] = ("image",)
    # What is stored beside the frames: "object_poses", "points", "depth", "segmentation", "boxes".
    annotations: tuple[str, ...] = ()
    # Share of episodes that are executed with noise while the clean action is stored (DART).
    perturb_share: float = 0.0
    # Standard deviation of that noise, as a share of the action limits.
    perturb_std: float = 0.0
    # Steps for which success holds at the end of a demonstration: longer teaches to keep holding. None: the task's.
    hold: int | None = None
    # Episodes that failed at the task to keep in the split "failures": at most so many of those that came by.
    failures: int = 0
    # Limits on the measurements of an episode.
    filters: FilterConfig = field(default_factory=FilterConfig)
    # What every split holds equally many episodes of, each as {by = "template" or a knob, bins = cells of a number}.
    quotas: tuple[QuotaConfig, ...] = ()
    # Episodes per shard.
    shard_episodes: int = 32
    # Candidates that are simulated together.
    unit_episodes: int = 128
    # Make damaged files again, of a finished dataset or of a growing one.
    repair: bool = False
    # Where frames are drawn and shards written: "local" processes, or a "ray" cluster whose nodes share the folder.
    executor: Literal["local", "ray"] = "local"
    # Processes that render; 0 renders in this one. None: one per core.
    workers: int | None = None
    # Threads of the physics. None: one per core.
    threads: int | None = None

    def __post_init__(self) -> None:
        if bool(self.task) == bool(self.tasks) or (self.tasks and (self.name or self.policy)):
            raise UserError(
                'A job names one task = "lift_cube", or several as [[tasks]] with a task each; several have no name '
                "and no policy in common."
            )
        if not self.policy and self.task:
            object.__setattr__(self, "policy", f"expert:{self.task}")
        require(self, RANGES)
        for camera in self.cameras:
            if camera not in CAMERAS:
                raise unknown("camera", camera, CAMERAS)
        for annotation in self.annotations:
            if annotation not in ANNOTATIONS:
                raise unknown("annotation", annotation, ANNOTATIONS)
        if not self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise UserError(f"cameras = {list(self.cameras)} is not allowed. Name each camera once: {list(CAMERAS)}.")

    @property
    def render_workers(self) -> int:
        """Number of processes that render."""
        return (os.cpu_count() or 1) if self.workers is None else self.workers

    def wanted(self) -> dict[str, int]:
        """Return split -> episodes, without empty splits."""
        return {"train": self.episodes, **({"val": self.val_episodes} if self.val_episodes else {})}

    def check(self, task: Task) -> None:
        """Refuse what only a later part would refuse: a seed that a split lacks, and what does not go with `task`."""
        task.selection(self.preset)
        episode_seed("train", self.seed, 0)
        if self.val_episodes:
            episode_seed("validation", self.seed, 0)
        if self.hold is not None and self.hold >= task.horizon:
            raise UserError(
                f"hold = {self.hold} is not allowed: an episode of {task.id} has {task.horizon} steps in all. Allowed: "
                f"1 to {task.horizon - 1}, for example {task.hold}, or leave it unset."
            )
        quota_axes(self.quotas, task, self.preset, self.appearance)

    def place(self, task: Task) -> Place:
        """Return where the dataset lies."""
        return Place(self.out, self.name or dataset_name(task.id), self.version)


def describe(config: GenerateConfig, task: Task, *, env: EnvSpec, policy: PolicySpec) -> Description:
    """Return what demomill.json says of the job's dataset."""
    return Description(
        source=SYNTHETIC,
        task=task.id,
        task_digest=task.digest(),
        engine=env.engine,
        host=env.host,
        host_task=env.host_task,
        image_size=config.image_size,
        cameras=config.cameras,
        demomill_version=demomill_version(),
        job=identity(config, task, env=env, policy=policy),
        annotations=config.annotations,
        instances=instance_names(task.scene),
    )


def identity(config: GenerateConfig, task: Task, *, env: EnvSpec, policy: PolicySpec) -> dict[str, Any]:
    """Return everything that decides the dataset's bytes, as JSON: not where it lies, nor how many workers there are.

    The policy counts by its name and digest, wherever it was loaded from.
    """
    data = asdict(config)
    for name in ("policy", "tasks", "out", "workers", "threads", "device", "repair", "executor"):
        del data[name]
    for name in SINCE_FIRST:
        if getattr(config, name) == config.__dataclass_fields__[name].default:
            del data[name]
    data["filters"] = {name: value for name, value in data["filters"].items() if value is not None}
    data["filters"]["workspace"] = list(config.filters.workspace)
    if config.quotas:
        data["quotas"] = [asdict(quota) for quota in config.quotas]
    return {
        **data,
        "name": config.name or dataset_name(task.id),
        "cameras": list(config.cameras),
        "task": task.id,
        "task_digest": task.digest(),
        "engine": env.engine,
        "host": env.host,
        "expert": policy.name,
        "expert_digest": policy.digest or "",
        "demomill_version": demomill_version(),
    }


def job_config(job: Mapping[str, Any]) -> GenerateConfig:
    """Return the job whose identity is stored in a dataset; where it lies and how many workers there are is open."""
    known = {name: job[name] for name in GenerateConfig.__dataclass_fields__ if name in job and name != "policy"}
    for name in ("cameras", "annotations"):
        known[name] = tuple(known.get(name, ()))
    # An identity holds the engine's version too: "mujoco 3.9.0".
    known["engine"] = str(known["engine"]).split()[0]
    filters = {**known.get("filters", {})}
    filters["workspace"] = tuple(filters.get("workspace", ()))
    quotas = tuple(QuotaConfig(**quota) for quota in known.get("quotas", ()))
    return GenerateConfig(**{**known, "filters": FilterConfig(**filters), "quotas": quotas})


def demomill_version() -> str:
    """Return the installed version of demomill, or "source" where it runs without being installed."""
    try:
        return importlib.metadata.version("demomill")
    except importlib.metadata.PackageNotFoundError:
        return "source"
