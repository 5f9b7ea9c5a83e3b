"""What the stages of an overnight job would refuse, refused before the first begins and not at dawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bench.config import bench_seeds, host_tasks
from bench.hosts.registry import check_host
from bench.learning_stages import dagger_config, vla_config
from bench.night import Night
from bench.stages import bench_config, expert_config, stand_in_config, synthetic_config
from policies.guard import FLOOR
from sim.episodes import WRIST
from sim.errors import UserError
from sim.files import require_folder
from sim.ranges import Numbers, require
from sim.streams import episode_seed
from tasks.catalogue import load_task

if TYPE_CHECKING:
    from bench.overnight import OvernightConfig


def check_ahead(config: OvernightConfig, *, where: str = "", own: str = "overnight.json") -> None:
    """Refuse what a stage of `config` could only refuse later; nothing is trained, drawn or written.

    The stages' own settings are made, from the folders that they will find, and every name in them is looked up.
    `where` is put before what is told, `own` is the file that marks a job's folder. A package that is not installed is
    a `ModuleNotFoundError`.
    """
    require_folder(config.out, own=own)
    made = {"expert": "expert", "vla": "vla"}
    folders = {name: {"folder": str(config.out / folder)} for name, folder in made.items()}
    datasets = {name: {"path": str(config.out / "data" / name)} for name in ("synthetic", "stand_in")}
    night = Night(config=config, task=load_task(config.task), out=config.out, results=folders | datasets)
    for name, check in CHECKS.items():
        try:
            check(night)
        except UserError as error:
            raise UserError(f"{where}[{name}] {error}") from error


def _installed(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _expert(night: Night) -> None:
    from policies.expert import load_expert
    from policies.expert_settings import check_training

    if night.config.reuse_expert:
        load_expert(night.task.id)
    else:
        _installed("torch", "rl_games")
        check_training(expert_config(night))


def _synthetic(night: Night) -> None:
    require(night.config.synthetic, {"floor": FLOOR})
    job = synthetic_config(night)
    job.place(night.task)
    job.check(night.task)


def _stand_in(night: Night) -> None:
    if night.config.vla.stand_in_weight > 0:
        made = stand_in_config(night)
        check_host(made.origin["host"], made.origin["host_task"], night.task)
        require(night.config.stand_in, {"episodes": Numbers(1, 10_000)})
        episode_seed("train", night.config.stand_in.seed, 0)


def _vla(night: Night) -> None:
    from policies.vla.settings import CHUNK

    _installed("torch")
    stage = night.config.vla
    require(stage, {"synthetic_weight": Numbers(0), "stand_in_weight": Numbers(0), "execute": Numbers(1, CHUNK)})
    for name in ("synthetic", "stand_in"):
        asked, there = getattr(stage, f"{name}_episodes"), getattr(night.config, name).episodes
        if asked is not None and getattr(stage, f"{name}_weight") > 0:
            require(stage, {f"{name}_episodes": Numbers(1, there)})
    config = vla_config(night)
    wrist = config.resolved().wrist_size
    if wrist and WRIST not in night.config.synthetic.cameras:
        raise UserError(
            f"wrist_size = {wrist} reads the wrist camera, which the demonstrations would not hold. Write "
            f'cameras = ["image", "{WRIST}"] under [synthetic], or leave wrist_size out.'
        )
    config.budget()


def _dagger(night: Night) -> None:
    require(night.config.dagger, {"rounds": Numbers(0, 100)})
    if night.config.dagger.rounds:
        episode_seed("train", dagger_config(night).seed, 0)


def _bench(night: Night) -> None:
    config = bench_config(night)
    host_tasks(config, night.task)
    bench_seeds(config)


CHECKS: Mapping[str, Callable[[Night], Any]] = {
    "expert": _expert,
    "synthetic": _synthetic,
    "stand_in": _stand_in,
    "vla": _vla,
    "dagger": _dagger,
    "bench": _bench,
}
"""Table of a job file -> the check of what it says."""
