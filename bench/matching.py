"""Two benchmark runs side by side: what must agree before they may be compared, and which episodes form pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.config import BenchConfig
from bench.episode_log import read_log
from bench.record import Record
from sim.adapters import adaptable
from sim.conventions import differences, from_json
from sim.errors import UserError, unknown
from sim.files import read_record

COUNTED = frozenset({"hosts", "episodes", "filmstrips", "task", "suite", "tasks", "axes"})
"""Settings that may differ: they say how many episodes there are, and what is missing is counted as unpaired."""

SIMULATORS = ("mujoco", "robosuite", "mani_skill", "sapien")
"""Packages whose version decides how a world moves."""

CELL = ("host", "task", "axis", "level")
"""What names a cell of a run; a run without axes has hosts alone."""


@dataclass(frozen=True)
class Run:
    """A finished benchmark run as it lies on disk."""

    folder: Path
    start: Mapping[str, Any]
    log: Sequence[Record]

    @property
    def policies(self) -> list[str]:
        """Names of the policies that ran."""
        return list(self.start["policies"])


@dataclass(frozen=True)
class Pair:
    """The same episode under the first and under the second policy."""

    cell: tuple[str, ...]
    seed: int
    first: Record
    second: Record


@dataclass(frozen=True)
class Match:
    """Which episodes of two policies can be compared, and which cannot."""

    # Run folders and policies.
    first_run: str
    second_run: str
    first: str
    second: str
    # In the order of the episodes; within one episode, in the order of the cells.
    pairs: Sequence[Pair]
    # Reason -> "host seed" of each episode that has no partner.
    unpaired: Mapping[str, Sequence[str]]
    # What differs between the runs and does not forbid to compare them.
    remarks: Sequence[str]


def start_record(folder: Path) -> dict[str, Any]:
    """Return the start record of the finished run in `folder`; an unfinished run, and what is none, is refused."""
    if not (folder / "start.json").is_file():
        absent = "does not exist" if not folder.exists() else "is no benchmark run: it has no start.json"
        raise UserError(f"{folder} {absent}. Name the folder of a run, which `demomill bench POLICY --out RUN` writes.")
    if not (folder / "results.json").exists():
        raise UserError(f"The run in {folder} is not finished: it has no results.json. Run the same command again.")
    return read_record(folder / "start.json", "settings", "policies")


def open_run(folder: Path) -> Run:
    """Return the finished run in `folder`; an unfinished one is refused."""
    start = start_record(folder)
    return Run(folder, start, read_log(folder / "episodes.jsonl"))


def match_runs(
    first: Run, second: Run, *, policy_a: str | None = None, policy_b: str | None = None, allow: Sequence[str] = ()
) -> list[Match]:
    """Return one match per pair of policies: the named ones, the only ones, or those with equal names.

    Runs that judged differently are refused, saying what differs; `allow` names differences to accept.
    """
    found = dict(_differences(first, second))
    remarks = [*_remarks(first, second)]
    chosen = _chosen(first, second, policy_a, policy_b)
    for a, b in chosen:
        found |= _convention_differences(first, second, a, b)
    refused = {name: text for name, text in found.items() if name not in allow}
    if refused:
        rows = "\n".join(f"  {name}: {text}" for name, text in refused.items())
        raise UserError(
            f"{first.folder} and {second.folder} cannot be compared; they differ in\n{rows}\n"
            "Run both with the same settings; or accept what differs, for example: --allow " + " ".join(refused)
        )
    remarks += [f"accepted difference in {name}: {text}" for name, text in found.items()]
    return [_match(first, second, a, b, remarks) for a, b in chosen]


def _differences(first: Run, second: Run) -> Iterator[tuple[str, str]]:
    """Yield name and text of everything that makes two runs judge differently."""
    defaults = {field.name: field.default for field in fields(BenchConfig)}
    for name in ("task", "suite"):
        if first.start.get(name) != second.start.get(name):
            yield name, f"{first.start.get(name)} against {second.start.get(name)}"
    ours, theirs = first.start["settings"], second.start["settings"]
    for name in sorted((ours.keys() | theirs.keys()) - COUNTED):
        a, b = (settings.get(name, defaults.get(name)) for settings in (ours, theirs))
        if a != b:
            yield name, f"{a} against {b}"
    a, b = ({name: run.start["packages"].get(name) for name in SIMULATORS} for run in (first, second))
    changed = [f"{name} {a[name]} against {b[name]}" for name in SIMULATORS if a[name] != b[name]]
    if changed:
        yield "packages", ", ".join(changed)


def _convention_differences(first: Run, second: Run, a: str, b: str) -> dict[str, str]:
    ours, theirs = (
        from_json(run.start["policies"][name]["convention"], source=str(run.folder / "start.json"))
        for run, name in ((first, a), (second, b))
    )
    found = [d for d in differences(ours, theirs) if not adaptable(d.field, ours, theirs)]
    told = ", ".join(f"{d.field} {d.policy!r} against {d.environment!r}" for d in found)
    return {"convention": f"{a}, {b}: {told}"} if found else {}


def _remarks(first: Run, second: Run) -> Iterator[str]:
    """Yield what differs without forbidding a comparison."""
    revisions = [(run.start.get("git") or {}).get("revision") for run in (first, second)]
    if revisions[0] != revisions[1]:
        yield f"code: revision {revisions[0]} against {revisions[1]}"
    others = sorted((first.start["packages"].keys() | second.start["packages"].keys()) - set(SIMULATORS))
    for name in others:
        a, b = first.start["packages"].get(name), second.start["packages"].get(name)
        if a != b:
            yield f"package {name}: {a} against {b}"
    for name in ("renderers", "machine"):
        if first.start.get(name) != second.start.get(name):
            yield f"{name}: {first.start.get(name)} against {second.start.get(name)}"


def _chosen(first: Run, second: Run, policy_a: str | None, policy_b: str | None) -> list[tuple[str, str]]:
    """Return the pairs of policies to compare."""
    for name, run in ((policy_a, first), (policy_b, second)):
        if name is not None and name not in run.policies:
            raise unknown(f"policy of {run.folder}", name, run.policies)
    if policy_a is not None or policy_b is not None:
        a = policy_a or _only(first, "policy-a")
        return [(a, policy_b or _only(second, "policy-b"))]
    if first.folder.resolve() == second.folder.resolve():
        raise UserError(
            f"{first.folder} was given alone: name two of its policies with --policy-a and --policy-b. "
            f"It has: {', '.join(first.policies)}."
        )
    if len(first.policies) == len(second.policies) == 1:
        return [(first.policies[0], second.policies[0])]
    shared = [(name, name) for name in first.policies if name in second.policies]
    if not shared:
        raise UserError(
            f"The runs share no policy's name: {', '.join(first.policies)} against {', '.join(second.policies)}. "
            "Name one of each with --policy-a and --policy-b."
        )
    return shared


def _only(run: Run, option: str) -> str:
    if len(run.policies) > 1:
        raise UserError(f"{run.folder} has several policies: {', '.join(run.policies)}. Name one with --{option}.")
    return run.policies[0]


def _match(first: Run, second: Run, a: str, b: str, remarks: Sequence[str]) -> Match:
    """Return the pairs of two policies, and what has no partner."""
    ours, theirs = _by_place(first, a), _by_place(second, b)
    unpaired: dict[str, list[str]] = {}
    pairs: list[Pair] = []
    for place in {**ours, **theirs}:
        why = _why_unpaired(ours.get(place), theirs.get(place))
        if why is None:
            pairs.append(Pair(place[:-1], place[-1], ours[place], theirs[place]))
        else:
            unpaired.setdefault(why, []).append(" ".join(str(part) for part in place if part != ""))
    if not pairs:
        told = "; ".join(f"{why}: {len(places)}" for why, places in unpaired.items())
        raise UserError(
            f"{first.folder} ({a}) and {second.folder} ({b}) have no episode in common that both judged ({told}). "
            "Run both with the same hosts and the same seed."
        )
    cells = {cell: i for i, cell in enumerate(dict.fromkeys(pair.cell for pair in pairs))}
    pairs.sort(key=lambda pair: (pair.seed, cells[pair.cell]))
    return Match(str(first.folder), str(second.folder), a, b, pairs, unpaired, remarks)


def _by_place(run: Run, policy: str) -> dict[tuple[Any, ...], Record]:
    return {
        (*(str(record.get(name, "")) for name in CELL), int(record["seed"])): record
        for record in run.log
        if record["policy"] == policy
    }


def _why_unpaired(first: Record | None, second: Record | None) -> str | None:
    if first is None or second is None:
        return "only in the second run" if first is None else "only in the first run"
    broken = [name for name, record in (("first", first), ("second", second)) if record["error"] is not None]
    return f"broke off in the {' and the '.join(broken)}" if broken else None
