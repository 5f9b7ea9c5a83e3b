"""The benchmark: hosts x policies x held-out episodes -> a run folder that is readable after a crash and resumable."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.config import DEFAULT_HOSTS, BenchConfig, BenchResult, PolicyFactory
from bench.episode_log import EpisodeLog, drop_errors
from bench.fleet import run_jobs
from bench.lineage import how_loaded, lineage
from bench.meaning import Meanings, require_agreement
from bench.picture_look import STARTS
from bench.provenance import git_revision, machine, package_versions, renderers
from bench.record import Record, key
from bench.suite import stop_lifted
from bench.suite_plan import Plan, make_plan
from bench.suite_start import plan_record, task_record, twin_differences
from bench.suite_summary import summarize_plan
from bench.worker import Todo, WorkerJob
from sim.conventions import to_json
from sim.episodes import PolicySpec
from sim.errors import UserError
from sim.files import digest_json, read_json, require_folder, write_json

START, EPISODES, TIMINGS, RESULTS = "start.json", "episodes.jsonl", "timings.jsonl", "results.json"
CONVENTIONS = "conventions.json"
"""Files of a run folder."""

LARGE = 60
"""Episodes of one place for which a second worker process is worth opening its host once more."""

FREE = ("out", "workers", "worlds", "retry_errors")
"""Settings that change no number: a run may be continued under others."""

OF_A_SUITE = ("suite", "tasks", "axes")
"""Settings that a run without a suite does not have."""

NAMES = ("host", "policy", "seed", "task", "axis", "level")
"""What names a line of the logs."""


def bench(
    config: BenchConfig, *, policies: Mapping[str, PolicyFactory], progress: bool = True, command: str | None = None
) -> BenchResult:
    """Run what is missing of the benchmark in `config.out` and return its results.

    start.json is written first, one line per episode to episodes.jsonl as it ends, results.json last. Episodes that
    broke off are listed as errors and count neither for nor against a policy. `command` is kept for the record.
    """
    if not policies:
        raise UserError(
            "A benchmark needs at least one policy; none was given. Name one or more, for example: demomill bench "
            "expert:lift_cube random --out runs/first"
        )
    require_folder(config.out)
    if config.suite is None and config.hosts is None:
        config = replace(config, hosts=DEFAULT_HOSTS)
    loaded = {name: how_loaded(factory) for name, factory in policies.items()}
    specs = {name: factory().spec for name, factory in policies.items()}
    plan = make_plan(config, specs)
    require_agreement(config, plan, specs)
    _begin(config, plan, specs=specs, loaded=loaded, command=command)
    if config.retry_errors:
        drop_errors(config.out / EPISODES)
    log, timings = EpisodeLog(config.out / EPISODES), EpisodeLog(config.out / TIMINGS)
    try:
        jobs = _jobs(config, plan, policies, specs, done={key(line) for line in log.lines})
        todo = sum(len(job.episodes) for job in jobs)
        with _bar(todo, shown=progress and todo > 0) as advance:
            meanings = Meanings(config.out / CONVENTIONS, specs)
            for record, timing in run_jobs(jobs, workers=config.workers, opened=meanings.opened):
                log.append(record)
                if timing:
                    timings.append({name: record[name] for name in NAMES if name in record} | timing)
                advance(record)
    finally:
        log.close()
        timings.close()
    return _finish(config, log, timings, plan, specs)


def _begin(
    config: BenchConfig,
    plan: Plan,
    *,
    specs: Mapping[str, PolicySpec],
    loaded: Mapping[str, Any],
    command: str | None,
) -> None:
    """Write start.json, or make sure that the run which stands in the folder is this one."""
    left_out = FREE if config.suite is not None else (*FREE, *OF_A_SUITE)
    identity: dict[str, Any] = {
        "settings": {name: value for name, value in asdict(config).items() if name not in left_out},
        "task": task_record(plan),
        "hosts": list(dict.fromkeys(str(host) for host, _ in plan.places)),
        "policies": {name: _spec_json(spec) for name, spec in specs.items()},
        "packages": package_versions(),
    } | plan_record(plan)
    path, digest = config.out / START, digest_json(identity)
    if path.exists():
        _same_run(read_json(path), identity, digest, config.out)
        return
    if config.out.exists() and any(config.out.iterdir()):
        raise UserError(f"The folder {config.out} is not empty and holds no benchmark run. Name a new folder.")
    start = identity | {
        "digest": digest,
        "differences": twin_differences(plan),
        "seeds": list(plan.seeds),
        "git": git_revision(),
        "machine": machine(),
        "renderers": renderers(),
        "provenance": {name: made for name, spec in specs.items() if (made := lineage(spec.record))},
        "loaded": {name: how for name, how in loaded.items() if how is not None},
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
    }
    write_json(path, start)


def _spec_json(spec: PolicySpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "digest": spec.digest,
        "inputs": sorted(spec.inputs),
        "chunk": spec.chunk,
        "execute": spec.execute,
        "convention": to_json(spec.convention),
    }


def _same_run(stored: Any, identity: dict[str, Any], digest: str, out: Path) -> None:
    """Refuse to continue a run whose settings, task, policies or packages were others."""
    if isinstance(stored, dict) and stored.get("digest") == digest:
        return
    stored = stored if isinstance(stored, dict) else {}
    changed = [name for name, value in identity.items() if digest_json(stored.get(name)) != digest_json(value)]
    raise UserError(
        f"The folder {out} holds another benchmark run: {', '.join(changed) or 'its record'} differ from what was "
        "asked now. Numbers of two runs are never mixed. Name a new folder, or repeat the settings in its start.json."
    )


def _jobs(
    config: BenchConfig,
    plan: Plan,
    policies: Mapping[str, PolicyFactory],
    specs: Mapping[str, PolicySpec],
    *,
    done: set[tuple[Any, ...]],
) -> list[WorkerJob]:
    """Return the worker processes' work: the missing episodes of each place, in as many shards as are worth while."""
    config = replace(config, stop_lifted=stop_lifted(config))
    shards = _shards(plan, workers=config.workers, policies=len(policies))
    inputs = frozenset().union(*(s.inputs for s in specs.values()))
    jobs = []
    for shard in range(shards):
        for host, task in plan.places:
            missing = [
                Todo(policy, seed, number < cell.filmed, cell.arm, cell.labels)
                for policy in policies
                for cell in plan.cells
                if (cell.host, cell.task) == (host, task) and policy in cell.policies
                for number, seed in enumerate(plan.seeds)
                if number % shards == shard
            ]
            missing = [todo for todo in missing if _key(str(host), todo) not in done]
            if missing:
                jobs.append(
                    WorkerJob(
                        config,
                        host,
                        dict(policies),
                        missing,
                        task,
                        worlds=min(config.worlds, len(missing)),
                        seeds=plan.seeds[:STARTS],
                        inputs=inputs,
                    )
                )
    return jobs


def _shards(plan: Plan, *, workers: int, policies: int) -> int:
    """Return in how many parts to do each place.

    More than one where workers outnumber places, and where a place has so many episodes that one worker would go on
    with it alone at the end.
    """
    most = len(plan.seeds) * policies * max(Counter((cell.host, cell.task) for cell in plan.cells).values())
    return max(1, workers // len(plan.places), min(workers, most // LARGE))


def _key(host: str, todo: Todo) -> tuple[Any, ...]:
    return key({"host": host, "policy": todo.policy, "seed": todo.seed, **todo.labels})


def _finish(
    config: BenchConfig, log: EpisodeLog, timings: EpisodeLog, plan: Plan, specs: Mapping[str, PolicySpec]
) -> BenchResult:
    """Put the log in order (cell, policy, seed) and write results.json."""
    place = plan.order(tuple(specs))
    log.rewrite(sorted(log.lines, key=lambda line: place[key(line)]))
    timings.rewrite(sorted(timings.lines, key=lambda line: place[key(line)]))
    results = summarize_plan(log.lines, timings.lines, plan, specs)
    write_json(config.out / RESULTS, results)
    empty = [cell for cell in (*results["cells"], *results.get("suite", {}).get("arms", ())) if not cell["n"]]
    if empty:
        where = " ".join(str(empty[0][name]) for name in ("host", "axis", "level") if name in empty[0])
        raise UserError(
            f"No episode of {empty[0]['policy']} in {where} could be judged: all {len(empty[0]['errors'])} "
            f"broke off, the first with: {empty[0]['errors'][0]['reason']}. There is no success rate of no episodes."
        )
    return BenchResult(config.out, results)


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Any]:
    """Yield a function to call with each finished record; it moves a progress bar with rate and time left."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("benchmark"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[last]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task("benchmark", total=total, last="starting simulators")

        def advance(record: Record) -> None:
            verdict = "error" if record["error"] else "success" if record["lifted"] else "no success"
            progress.update(bar, advance=1, last=f"{record['host']} {record['policy']}: {verdict}")

        yield advance
