"""`demomill bench`: a new run, or with `--reproduce` a finished one run again and compared line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import BenchConfig, BenchResult, PolicyFactory
from bench.episode_log import encode, read_log
from bench.matching import Run, open_run
from bench.record import Record, key
from bench.run import bench
from sim.episodes import Policy
from sim.errors import UserError
from sim.files import read_json
from sim.jobs import from_mapping

if TYPE_CHECKING:
    from rich.console import Group

AGAIN = "-again"
"""What is added to a run's folder for its repetition, unless `out` names another."""

SURROUNDINGS = ("git", "packages", "renderers", "machine", "task")
"""Parts of the start record that may explain a difference."""


@dataclass(frozen=True)
class BenchVerbConfig(BenchConfig):
    """A benchmark run, or the repetition of one."""

    # Folder of the run. An interrupted run in it is continued.
    out: Path = Path("runs/bench")
    # Folder of a finished run: run it again from its start record, into a folder beside it or into `out`, and compare
    # the episodes line by line. Settings and policies are those of the record.
    reproduce: Path | None = None


@dataclass(frozen=True)
class Reproduction:
    """How a repeated run compares with the first."""

    first: Path
    again: Path
    # Episodes whose lines are the same to the last byte, and those in all.
    identical: int
    episodes: int
    # {"host", "policy", "seed", "fields"} of every line that differs; "fields" name what does.
    differing: tuple[dict[str, Any], ...]
    # What of the surroundings differs: code revision, packages, renderer, machine.
    surroundings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every line is the same."""
        return self.identical == self.episodes and not self.differing

    def __rich__(self) -> Group:
        """Return the comparison for a terminal."""
        from rich.console import Group
        from rich.text import Text

        lines = [f"{self.identical} of {self.episodes} episodes are identical ({self.first} and {self.again})"]
        lines += [f"  {d['host']} {d['policy']} {d['seed']}: {', '.join(d['fields'])}" for d in self.differing[:10]]
        if len(self.differing) > 10:
            lines.append(f"  and {len(self.differing) - 10} more; --json lists them all")
        changed = [f"  {text}" for text in self.surroundings]
        lines += ["what differs around them:", *changed] if changed else ["nothing differs around them"]
        return Group(*map(Text, lines))


def bench_verb(config: BenchVerbConfig, *, policies: Mapping[str, PolicyFactory]) -> BenchResult | Reproduction:
    """Run the benchmark that `config` describes, or repeat the run that it names."""
    if config.reproduce is None:
        values = {field.name: getattr(config, field.name) for field in fields(BenchConfig)}
        return bench(BenchConfig(**values), policies=policies)
    if policies:
        raise UserError(
            f"--reproduce {config.reproduce} takes its policies from the run's record; got {', '.join(policies)} too."
        )
    default = BenchVerbConfig().out
    out = config.out if config.out != default else config.reproduce.with_name(config.reproduce.name + AGAIN)
    return reproduce(config.reproduce, out, workers=config.workers)


def reproduce(folder: Path, out: Path, *, workers: int = 2, progress: bool = True) -> Reproduction:
    """Run the finished run in `folder` again in `out` and compare their episodes line by line.

    A policy whose digest is not the recorded one, and one whose record does not say how it was loaded, are refused.
    """
    if out.resolve() == folder.resolve():
        raise UserError(f"The repetition of {folder} needs a folder of its own. Name one with --out.")
    run = open_run(folder)
    settings = {name: value for name, value in run.start["settings"].items() if value is not None}
    where = f"{folder / 'start.json'}: settings"
    config = from_mapping({**settings, "out": str(out), "workers": workers}, BenchConfig, where=where)
    policies = dict(_policies(run))
    bench(config, policies=policies, progress=progress, command=f"demomill bench --reproduce {folder}")
    return compare_logs(folder, out)


def _policies(run: Run) -> Iterator[tuple[str, Callable[[], Policy]]]:
    """Yield name and factory of the run's policies, each checked against its recorded digest."""
    from policies.loading import policy_factory

    for name, spec in run.start["policies"].items():
        how = run.start.get("loaded", {}).get(name) or {"policy": name, "options": {}}
        factory = policy_factory(how["policy"], **how["options"])
        digest = factory().spec.digest
        if digest != spec["digest"]:
            raise UserError(
                f"The policy {name} is not the one of the run: {how['policy']} now has the digest {digest}, the run in "
                f"{run.folder} had {spec['digest']}. Restore the checkpoint."
            )
        yield name, factory


def compare_logs(folder: Path, again: Path) -> Reproduction:
    """Return how the episodes of two runs compare, line by line, and what differs around them."""
    first, second = ({key(record): record for record in read_log(each / "episodes.jsonl")} for each in (folder, again))
    places = list(dict.fromkeys([*first, *second]))
    differing = tuple(
        {"host": place[0], "policy": place[1], "seed": place[2], "fields": changed}
        for place in places
        if (changed := _changed(first.get(place), second.get(place)))
    )
    starts = [read_json(each / "start.json") for each in (folder, again)]
    return Reproduction(
        first=folder,
        again=again,
        identical=len(places) - len(differing),
        episodes=len(places),
        differing=differing,
        surroundings=tuple(_surroundings(starts)),
    )


def _changed(first: Record | None, second: Record | None) -> list[str]:
    """Return the fields in which two lines differ; nested ones as "metrics.sparc"."""
    if first is None or second is None:
        return ["missing in the first run" if first is None else "missing in the repetition"]
    if encode(first) == encode(second):
        return []
    return sorted(_paths(first, second))


def _paths(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name in first.keys() | second.keys():
        a, b = first.get(name), second.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _paths(a, b, f"{prefix}{name}.")
        elif a != b or (name in first) != (name in second):
            yield f"{prefix}{name}"


def _surroundings(starts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ours, theirs = starts
    for part in SURROUNDINGS:
        a, b = ours.get(part) or {}, theirs.get(part) or {}
        for path in sorted(_paths(a, b)):
            yield f"{part} {path}: {_at(a, path)} against {_at(b, path)}"


def _at(values: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
