"""All of it in order: expert, demonstrations, stand-in for real data, VLA, benchmark, page; resumable."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.ahead import check_ahead
from bench.isolation import isolated
from bench.night import Night, NightResult
from bench.stages import STAGES
from policies.vla.kinds import HeadKind
from sim.errors import UserError
from sim.files import digest_json, read_json, read_record, write_json
from tasks.catalogue import load_task

STATE = "overnight.json"


@dataclass(frozen=True)
class ExpertStage:
    """The PPO expert. Fields as in `demomill train-expert --help`."""

    seed: int = 0
    worlds: int = 512
    max_steps: int = 1_600_000
    goal: float = 0.85
    patience: int = 4
    episodes: int = 1000
    start: str = "script"
    pace: str = "gentle"
    preset: str = "physical"


@dataclass(frozen=True)
class SyntheticStage:
    """The filtered demonstrations. Fields as in `demomill generate --help`."""

    episodes: int = 800
    val_episodes: int = 50
    seed: int = 0
    # Randomization, e.g. "train", "physical", or a part of one: "train[-light, -camera]".
    preset: str = "train"
    appearance: str = "step"
    perturb_share: float = 0.6
    perturb_std: float = 0.5
    # Least height above the table that the expert may ask the TCP to go to, m; unset: it may press on the table.
    floor: float | None = None
    hold: int | None = None
    # "wrist_image" beside "image" where the VLA reads the wrist camera (vla.wrist_size).
    cameras: tuple[str, ...] = ("image",)
    annotations: tuple[str, ...] = ()
    shard_episodes: int = 20
    workers: int | None = None


@dataclass(frozen=True)
class StandInStage:
    """What takes the place of real data: the expert, rolled out and rendered in another simulator.

    With `vla.stand_in_weight = 0` nothing is drawn from it, and it is left out.
    """

    host: str = "robosuite"
    episodes: int = 20
    seed: int = 0


@dataclass(frozen=True)
class VlaStage:
    """The VLA on the mixture. Fields as in `demomill train-vla --help`; weights are shares of the samples."""

    synthetic_weight: float = 90.0
    stand_in_weight: float = 10.0
    # Train on the first so many episodes of each only; unset takes all.
    synthetic_episodes: int | None = None
    stand_in_episodes: int | None = None
    preset: str = "cpu_minutes"
    steps: int | None = 2600
    minutes: float | None = None
    # What makes the actions, and the width of the wrist camera's frames; unset keeps the preset's.
    head: HeadKind | None = None
    wrist_size: int | None = None
    # Most memory for frames, GB; that of rounds of DAgger too.
    memory_gb: float = 6.0
    seed: int = 0
    # Actions of a chunk that are executed before the policy looks again.
    execute: int = 4


@dataclass(frozen=True)
class DaggerStage:
    """Rounds of acting, labelling by the expert and training on. Fields as in `demomill dagger --help`."""

    # 0 leaves it out.
    rounds: int = 0
    episodes: int = 256
    seed: int = 512
    # Share of the training samples that all rounds together make up.
    share: float = 0.4
    # Budget of the training of each round.
    steps: int | None = 1000
    minutes: float | None = None


@dataclass(frozen=True)
class BenchStage:
    """The benchmark. Fields as in `demomill bench --help`."""

    hosts: tuple[str, ...] = ("robosuite", "maniskill")
    episodes: int = 30
    seed: int = 0
    # Steps of an episode; the task's own by default.
    horizon: int | None = None
    workers: int = 2
    filmstrips: int = 3


@dataclass(frozen=True)
class OvernightConfig:
    """The whole job."""

    # Task, e.g. "lift_cube".
    task: str
    # Folder of everything: expert, data, checkpoint, benchmark, page.
    out: Path = Path("runs/overnight")
    # Take the shipped expert instead of training one.
    reuse_expert: bool = False
    expert: ExpertStage = field(default_factory=ExpertStage)
    synthetic: SyntheticStage = field(default_factory=SyntheticStage)
    stand_in: StandInStage = field(default_factory=StandInStage)
    vla: VlaStage = field(default_factory=VlaStage)
    dagger: DaggerStage = field(default_factory=DaggerStage)
    bench: BenchStage = field(default_factory=BenchStage)


def planned(config: OvernightConfig) -> tuple[str, ...]:
    """Return the names of the stages that a job runs, in order."""
    left_out = {"stand_in": config.vla.stand_in_weight <= 0, "dagger": config.dagger.rounds < 1}
    return tuple(name for name in STAGES if not left_out.get(name, False))


def overnight(config: OvernightConfig) -> NightResult:
    """Run every stage that is not finished and return what came out; the page is the last.

    What a stage would refuse is refused before the first begins, and nothing is written. A stage that was interrupted
    continues by itself; one that is finished is not run again. A job whose settings
    differ from those that `out` was begun with is refused: no number in the folder may come from another job.
    """
    from sim.gl import choose_backend

    choose_backend()
    check_ahead(config)
    night = Night(config=config, task=load_task(config.task), out=config.out, results=_begun(config))
    names = planned(config)
    for number, name in enumerate(names, start=1):
        if name in night.results:
            _say(f"[{number}/{len(names)}] {name}: finished before ({night.results[name]['seconds']:.0f} s)")
            continue
        _say(f"[{number}/{len(names)}] {name}")
        _run(night, name)
    return NightResult.of(night)


def _begun(config: OvernightConfig) -> dict[str, Any]:
    """Return the results of the stages that are finished in `config.out`; another job's folder is refused."""
    path = config.out / STATE
    settings = _settings(config)
    if not path.is_file():
        write_json(path, {"digest": digest_json(settings), "settings": settings, "stages": {}})
        return {}
    stored = read_record(path, "digest", "settings", "stages")
    if stored["digest"] != digest_json(settings):
        changed = [key for key in settings if settings[key] != stored["settings"].get(key)]
        raise UserError(
            f"{config.out} was begun with other settings: {', '.join(changed)} differ. Name another folder with --out, "
            "restore the settings, or remove the folder."
        )
    return {name: stored["stages"][name] for name in STAGES if name in stored["stages"]}


def _settings(config: OvernightConfig) -> dict[str, Any]:
    """Return what decides the results, as JSON: not where they lie, nor how many workers make them."""
    settings: dict[str, Any] = asdict(config)
    del settings["out"]
    del settings["synthetic"]["workers"]
    del settings["bench"]["workers"]
    settings["bench"]["hosts"] = list(config.bench.hosts)
    for name in ("cameras", "annotations"):
        settings["synthetic"][name] = list(getattr(config.synthetic, name))
    settings["task_digest"] = load_task(config.task).digest()
    return settings


def run_stage(night: Night, name: str) -> dict[str, Any]:
    """Run one stage in this process and return its result."""
    return dict(STAGES[name](night))


def _run(night: Night, name: str) -> None:
    """Run one stage in a process of its own and remember its result.

    Simulators, renderers and learning libraries do not all live well together in one process.
    """
    began = time.monotonic()
    result: dict[str, Any] = isolated(run_stage, night, name, name=name)
    result["seconds"] = round(time.monotonic() - began, 1)
    night.results[name] = result
    state = read_json(night.out / STATE)
    write_json(night.out / STATE, {**state, "stages": night.results})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
