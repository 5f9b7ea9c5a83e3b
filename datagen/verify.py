"""Whether a dataset is what it says: files, contents, seeds, statistics, and a sample made again from its seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.contents import Contents, read_contents
from datagen.manifest import damaged_files, read_manifest
from datagen.reproduce import Reproduced, reproduce
from datagen.rlds_reader import Dataset, open_dataset
from sim.episodes import Env, Policy
from sim.errors import UserError
from sim.streams import split_of

SEEDS_OF = {"train": "train", "val": "validation", "failures": "train"}
"""Split -> the range that its seeds lie in."""


@dataclass(frozen=True)
class VerifyConfig:
    """A dataset to verify."""

    # Folder of the dataset, its version, or their parent where there is only one below.
    dataset: Path
    # Episodes to make again from their seeds and to compare byte for byte; 0 makes none.
    regenerate: int = 3
    # Which of them: another seed draws others.
    seed: int = 0
    # Who demonstrates where episodes are made again; empty takes the expert of the dataset's task.
    policy: str = ""

    def __post_init__(self) -> None:
        if self.regenerate < 0:
            raise UserError(f"regenerate = {self.regenerate} is not allowed. Allowed: 0 or more.")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    # Whether it is in order; None where the dataset does not tell, or where it cannot be compared here.
    ok: bool | None
    # What was found, in words.
    found: str


@dataclass(frozen=True)
class VerifyResult:
    """What was found. A dataset is in order when no check failed."""

    path: Path
    ok: bool
    checks: tuple[Check, ...]

    def __rich__(self) -> str:
        """Return one line per check, then the verdict."""
        marks = {True: "ok      ", False: "WRONG   ", None: "not told"}
        lines = [f"{marks[check.ok]}  {check.name}: {check.found}" for check in self.checks]
        return "\n".join([*lines, f"{self.path} is {'in order' if self.ok else 'NOT in order'}."])


def verify(
    config: VerifyConfig,
    *,
    load_policy: Callable[[str], Policy] | None = None,
    worlds: Callable[[int], Env] | None = None,
) -> VerifyResult:
    """Check a dataset, ours or another RLDS dataset, and name what is wrong with it.

    `load_policy` loads who demonstrates; without it no episode is made again. `worlds(n)` replaces the task's worlds.
    """
    dataset = open_dataset(config.dataset)
    damaged = damaged_files(dataset.path, dataset.description)
    checks = [_files(dataset, damaged)]
    contents = read_contents(dataset, skip=set(damaged))
    checks += [_counts(dataset, contents), _schema(contents), _seeds(dataset, contents), _statistics(dataset, contents)]
    if config.regenerate and load_policy is not None:
        checks.append(_reproduced(dataset, contents, config, load_policy, worlds))
    return VerifyResult(dataset.path, all(check.ok is not False for check in checks), tuple(checks))


def _files(dataset: Dataset, damaged: dict[str, str]) -> Check:
    manifest = read_manifest(dataset.path, dataset.description)
    if manifest is None:
        return Check("files", None, "no checksums of the files; those inside the shards are compared below")
    if damaged:
        told = "; ".join(f"{name}: {how}" for name, how in damaged.items())
        return Check("files", False, f"{told}. Shards are made again by: demomill generate JOB.toml --repair")
    size = sum(told["size"] for told in manifest.values())
    return Check("files", True, f"{len(manifest)} files, {size / 1e6:,.1f} MB, every SHA-256 as the manifest says")


def _counts(dataset: Dataset, contents: Contents) -> Check:
    if contents.unreadable:
        return Check("counts", False, " ".join(contents.unreadable))
    splits = ", ".join(f"{split} {len(found)}" for split, found in contents.seeds.items())
    left = f"; {contents.skipped} damaged shards were not read" if contents.skipped else ""
    promised = {split: sum(lengths) for split, lengths in dataset.splits.items()}
    right = contents.skipped or {split: len(found) for split, found in contents.seeds.items()} == promised
    return Check("counts", bool(right), f"{splits} episodes, {contents.steps} steps, as promised{left}")


def _schema(contents: Contents) -> Check:
    if contents.faults:
        shown = "; ".join(contents.faults[:5])
        return Check("schema", False, f"{len(contents.faults)} faults: {shown}")
    return Check("schema", True, "every episode has the declared features, finite numbers, and one first and last step")


def _seeds(dataset: Dataset, contents: Contents) -> Check:
    """Check that no episode is stored twice, and that each split draws from its own range."""
    named = {split: [s for s in seeds if s is not None] for split, seeds in contents.seeds.items()}
    if not any(named.values()):
        return Check("seeds", None, "episodes carry no seeds")
    total = sum(map(len, named.values()))
    twice = total - len(set().union(*named.values()))
    if twice:
        return Check("seeds", False, f"{twice} of {total} episodes have a seed that another episode has too")
    ranges = {split: {split_of(seed) for seed in seeds} for split, seeds in named.items() if split in SEEDS_OF}
    wrong = {split: found for split, found in ranges.items() if found - {SEEDS_OF[split]}}
    if wrong and dataset.description is not None:
        return Check("seeds", False, f"splits hold seeds of other ranges: {wrong}")
    return Check("seeds", True, f"{total} seeds, all different; splits are disjoint")


def _statistics(dataset: Dataset, contents: Contents) -> Check:
    if dataset.statistics is None or contents.statistics is None:
        return Check("statistics", None, "no dataset_statistics.json, or no action and state to compare it with")
    if contents.skipped or contents.unreadable:
        return Check("statistics", None, "not compared: some shards are damaged")
    stored, found = dataset.statistics.get("fingerprint"), contents.statistics["fingerprint"]
    told = (dataset.description or {}).get("statistics_fingerprint", stored)
    if stored == found == told and dataset.statistics == contents.statistics:
        return Check("statistics", True, f"fingerprint {found}, recomputed from the train split")
    return Check("statistics", False, f"fingerprint {stored} in the file, {told} in demomill.json, recomputed {found}")


def _reproduced(
    dataset: Dataset,
    contents: Contents,
    config: VerifyConfig,
    load_policy: Callable[[str], Policy],
    worlds: Callable[[int], Env] | None,
) -> Check:
    about: Any = dataset.description or {}
    if "job" not in about or "preset" not in about["job"]:
        return Check("made again", None, "the dataset does not say what job it comes from")
    try:
        policy = load_policy(config.policy or f"expert:{about['task']}")
    except UserError as error:
        return Check("made again", None, f"not compared: {error}")
    found: Reproduced = reproduce(dataset, contents, config.regenerate, seed=config.seed, policy=policy, worlds=worlds)
    return Check("made again", found.ok, found.words)
