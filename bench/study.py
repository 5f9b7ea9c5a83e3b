"""A study: a grid of settings, each cell trained and benchmarked, with every shared stage done once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from bench.overnight import BenchStage, OvernightConfig, StandInStage, SyntheticStage, VlaStage
from sim.errors import UserError, unknown
from sim.files import digest_json
from tasks.catalogue import load_task

Value = int | float | str | bool

SHARE = "mixture.synthetic"
"""A setting of its own: the share of the samples that are synthetic, 0 to 1; the rest is stand-in data."""

STAGES = ("synthetic", "stand_in", "vla", "benchmark")
"""The stages of a cell, in order."""

REFERENCE = "reference"
"""The stage that all cells share: the expert and a random policy on the same episodes."""


@dataclass(frozen=True)
class KnobConfig:
    """One setting that is varied."""

    # Where it stands in the study file: "vla.steps", "synthetic.preset", or "mixture.synthetic" for the share of
    # synthetic samples, 0 to 1.
    setting: str
    # Its values; differences are told against the first.
    values: tuple[Value, ...]
    # Name in reports; empty takes the setting.
    name: str = ""

    @property
    def title(self) -> str:
        """Name in reports."""
        return self.name or self.setting


@dataclass(frozen=True)
class StudyConfig:
    """A grid of settings: every combination of the knobs' values is trained once per seed and benchmarked."""

    # Task, e.g. "lift_cube".
    task: str
    # Folder of everything; an interrupted or widened study in it is continued.
    out: Path = Path("runs/ablation")
    # Expert that demonstrates: a task or a checkpoint's folder; empty takes the shipped expert of the task.
    expert: str = ""
    # What is varied.
    knobs: tuple[KnobConfig, ...] = ()
    # Training seeds: each combination is trained once with each.
    seeds: tuple[int, ...] = (0,)
    # What counts as success: "lifted" (our task's own rule, the same in every host) or "success" (the host's).
    outcome: str = "lifted"
    # Say what would be done, and how long it may take, and do nothing.
    dry_run: bool = False
    synthetic: SyntheticStage = field(default_factory=SyntheticStage)
    stand_in: StandInStage = field(default_factory=StandInStage)
    vla: VlaStage = field(default_factory=VlaStage)
    bench: BenchStage = field(default_factory=BenchStage)


@dataclass(frozen=True)
class Stage:
    """One piece of work, named by a digest of everything that decides its result."""

    kind: str
    key: str
    # Stages whose results it needs, by kind.
    needs: Mapping[str, str]
    # The cell's settings that it runs under.
    config: OvernightConfig = field(repr=False)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.kind}-{self.key}"


@dataclass(frozen=True)
class Cell:
    """One combination of values, trained with one seed."""

    # Knob's title -> value.
    values: Mapping[str, Value]
    seed: int
    # Kind -> stage.
    stages: Mapping[str, Stage]

    @property
    def title(self) -> str:
        """Values and seed, for tables."""
        return ", ".join([*(f"{name} = {value}" for name, value in self.values.items()), f"seed {self.seed}"])


def cells(config: StudyConfig, *, expert: str) -> list[Cell]:
    """Return every cell, all values of the first seed first; `expert` is the digest of the expert's weights."""
    _check(config)
    combinations = itertools.product(*(knob.values for knob in config.knobs))
    grid = itertools.product(config.seeds, list(combinations))
    return [_cell(config, seed, dict(zip(config.knobs, values, strict=True)), expert) for seed, values in grid]


def _check(config: StudyConfig) -> None:
    if not config.knobs:
        raise UserError('A study needs at least one [[knobs]] table: setting = "vla.steps", values = [500, 2000].')
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise UserError(f"seeds = {list(config.seeds)} is not allowed. Name at least one training seed, each once.")
    if config.outcome not in ("lifted", "success"):
        raise unknown("outcome", config.outcome, ("lifted", "success"))
    titles = [knob.title for knob in config.knobs]
    if len(set(titles)) < len(titles):
        raise UserError(f"Two knobs have the same name: {', '.join(titles)}. Name each once.")
    for knob in config.knobs:
        if not knob.values or len(set(knob.values)) < len(knob.values):
            raise UserError(f"{knob.setting}: values = {list(knob.values)}. Give at least one value, each once.")
        _known(knob)


def _known(knob: KnobConfig) -> None:
    """Refuse a setting that the stages do not have, and one that is set in another way."""
    names = [SHARE, *(f"{part}.{name}" for part in ("synthetic", "stand_in", "vla", "bench") for name in _fields(part))]
    if knob.setting == "vla.seed":
        raise UserError("vla.seed is no knob: name the training seeds with seeds = [0, 1, 2].")
    if knob.setting not in names:
        raise unknown("setting", knob.setting, names)
    if knob.setting == SHARE and not all(isinstance(v, int | float) and 0 <= v <= 1 for v in knob.values):
        raise UserError(f"{SHARE} = {list(knob.values)} is not allowed. Allowed: shares from 0 to 1.")


def _fields(part: str) -> list[str]:
    kind = type(getattr(OvernightConfig(task=""), part))
    assert is_dataclass(kind)
    return [each.name for each in fields(kind)]


def _cell(config: StudyConfig, seed: int, values: Mapping[KnobConfig, Value], expert: str) -> Cell:
    """Return a cell with its stages; equal settings give equal stages, in whichever cell."""
    night = OvernightConfig(
        task=config.task,
        out=config.out,
        reuse_expert=True,
        synthetic=config.synthetic,
        stand_in=config.stand_in,
        vla=replace(config.vla, seed=seed),
        bench=config.bench,
    )
    for knob, value in values.items():
        night = _changed(night, knob.setting, value)
    if night.vla.synthetic_weight <= 0 and night.vla.stand_in_weight <= 0:
        raise UserError("A cell of the study draws from no dataset: both weights are 0.")
    named = {knob.title: value for knob, value in values.items()}
    return Cell(named, seed, dict(_stages(replace(night, vla=_plainest(night)), expert)))


def _plainest(night: OvernightConfig) -> VlaStage:
    """Return the training written in the one way that equal trainings share.

    What is said of a dataset that is not drawn from falls away, a weight without another is 1, all episodes are None.
    """
    vla, changes = night.vla, dict[str, Any]()
    made = {"synthetic": night.synthetic.episodes, "stand_in": night.stand_in.episodes}
    alone = min(vla.synthetic_weight, vla.stand_in_weight) <= 0
    for name, episodes in made.items():
        drawn = getattr(vla, f"{name}_weight") > 0
        if alone:
            changes[f"{name}_weight"] = 1.0 if drawn else 0.0
        if not drawn or getattr(vla, f"{name}_episodes") == episodes:
            changes[f"{name}_episodes"] = None
    return replace(vla, **changes)


def _changed(night: OvernightConfig, setting: str, value: Value) -> OvernightConfig:
    from sim.jobs import from_mapping

    if setting == SHARE:
        share = float(value)
        return replace(night, vla=replace(night.vla, synthetic_weight=share, stand_in_weight=round(1 - share, 12)))
    part, _, name = setting.partition(".")
    stage: Any = getattr(night, part)
    checked = from_mapping({name: value}, type(stage), where=f"the study's knob {part}")
    return replace(night, **{part: replace(stage, **{name: getattr(checked, name)})})


def _stages(night: OvernightConfig, expert: str) -> Iterator[tuple[str, Stage]]:
    """Yield kind and stage: what decides each is its own settings and the stages that it needs."""
    common = {"task": load_task(night.task).digest(), "expert": expert}
    synthetic, vla, judged = asdict(night.synthetic), asdict(night.vla), asdict(night.bench)
    del synthetic["workers"], judged["workers"], vla["execute"]
    judged["hosts"] = list(night.bench.hosts)
    stand_in = asdict(night.stand_in) | {"hold": night.synthetic.hold, "cameras": night.synthetic.cameras}
    made: dict[str, Stage] = {}
    data = (("synthetic", night.vla.synthetic_weight, synthetic), ("stand_in", night.vla.stand_in_weight, stand_in))
    for kind, weight, settings in data:
        if weight > 0:
            made[kind] = Stage(kind, digest_json(common | {kind: settings}), {}, night)
    needs = {kind: stage.key for kind, stage in made.items()}
    made["vla"] = Stage("vla", digest_json(common | {"vla": vla, "needs": needs}), needs, night)
    judged_by = {"bench": judged, "execute": night.vla.execute, "vla": made["vla"].key}
    made["benchmark"] = Stage("benchmark", digest_json(common | judged_by), {"vla": made["vla"].key}, night)
    made[REFERENCE] = Stage(REFERENCE, digest_json(common | {"bench": judged}), {}, night)
    yield from made.items()


def all_stages(found: list[Cell]) -> list[Stage]:
    """Return every stage once, in an order in which each comes after those that it needs."""
    stages = {stage.name: stage for cell in found for stage in cell.stages.values()}
    return list(stages.values())
