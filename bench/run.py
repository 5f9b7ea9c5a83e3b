"""The benchmark: hosts x policies x held-out episodes -> a run folder that is readable after a crash and resumable."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.config import BenchConfig, BenchResult, HostTask, PolicyFactory, bench_seeds, host_tasks
from bench.episode_log import EpisodeLog
from bench.fleet import run_jobs
from bench.lineage import how_loaded, lineage
from bench.provenance import git_revision, machine, package_versions, renderers
from bench.record import Record, key
from bench.summary import summarize
from bench.worker import WorkerJob
from sim.conventions import CANONICAL, adapt_actions, to_json
from sim.episodes import PolicySpec
from sim.errors import UserError
from sim.files import digest_json, read_json, write_json
from tasks.catalogue import load_task
from tasks.task import Task

START, EPISODES, TIMINGS, RESULTS = "start.json", "episodes.jsonl", "timings.jsonl", "results.json"
"""Files of a run folder."""

FREE = ("out", "workers")
"""Settings that change no number: a run may be continued under others."""


def bench(
    config: BenchConfig, *, policies: Mapping[str, PolicyFactory], progress: bool = True, command: str | None = None
) -> BenchResult:
    """Run what is missing of the benchmark in `config.out` and return its results.

    start.json is written first, one line per episode to episodes.jsonl as it ends, results.json last. Episodes that
    broke off are listed as errors and count neither for nor against a policy. `command` is kept for the record.
    """
    task = load_task(config.task)
    hosts, seeds = host_tasks(config, task), bench_seeds(config)
    if not policies:
        raise UserError("A benchmark needs at least one policy; none was given.")
    if config.workers < 1:
        raise UserError(f"A benchmark needs at least one worker process; got workers = {config.workers}.")
    loaded = {name: how_loaded(factory) for name, factory in policies.items()}
    _begin(config, task, hosts, seeds, specs=_specs(policies), loaded=loaded, command=command)
    log, timings = EpisodeLog(config.out / EPISODES), EpisodeLog(config.out / TIMINGS)
    try:
        jobs = _jobs(config, hosts, policies, seeds, done={key(line) for line in log.lines})
        todo = sum(len(job.episodes) for job in jobs)
        with _bar(todo, shown=progress and todo > 0) as advance:
            for record, timing in run_jobs(jobs, workers=config.workers):
                log.append(record)
                if timing:
                    timings.append({name: record[name] for name in ("host", "policy", "seed")} | timing)
                advance(record)
    finally:
        log.close()
        timings.close()
    return _finish(config, log, timings, hosts, tuple(policies), seeds)


def _specs(policies: Mapping[str, PolicyFactory]) -> dict[str, PolicySpec]:
    """Return what every policy says of itself; one that cannot be adapted to the hosts is refused here and now."""
    specs = {name: factory().spec for name, factory in policies.items()}
    for spec in specs.values():
        adapt_actions(spec.convention, CANONICAL, action_only=not {"image", "wrist_image"} & spec.inputs)
    return specs


def _begin(
    config: BenchConfig,
    task: Task,
    hosts: Sequence[HostTask],
    seeds: Sequence[int],
    *,
    specs: Mapping[str, PolicySpec],
    loaded: Mapping[str, Any],
    command: str | None,
) -> None:
    """Write start.json, or make sure that the run which stands in the folder is this one."""
    settings = {name: value for name, value in asdict(config).items() if name not in FREE}
    identity: dict[str, Any] = {
        "settings": settings,
        "task": {"id": task.id, "digest": task.digest()},
        "hosts": [str(host) for host in hosts],
        "policies": {name: _spec_json(spec) for name, spec in specs.items()},
        "packages": package_versions(),
    }
    path, digest = config.out / START, digest_json(identity)
    if path.exists():
        _same_run(read_json(path), identity, digest, config.out)
        return
    if config.out.exists() and any(config.out.iterdir()):
        raise UserError(f"The folder {config.out} is not empty and holds no benchmark run. Name a new folder.")
    start = identity | {
        "digest": digest,
        "differences": {f"{twin.host}:{twin.host_task}": twin.difference for twin in task.twins},
        "seeds": list(seeds),
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
    hosts: Sequence[HostTask],
    policies: Mapping[str, PolicyFactory],
    seeds: Sequence[int],
    *,
    done: set[tuple[str, str, int]],
) -> list[WorkerJob]:
    """Return the worker processes' work: the missing episodes of each host, split where workers outnumber hosts."""
    shards = max(1, config.workers // len(hosts))
    jobs = []
    for shard in range(shards):
        for host in hosts:
            missing = [
                (policy, seed, number < config.filmstrips)
                for policy in policies
                for number, seed in enumerate(seeds)
                if number % shards == shard and (str(host), policy, seed) not in done
            ]
            if missing:
                jobs.append(WorkerJob(config, host, dict(policies), missing))
    return jobs


def _finish(
    config: BenchConfig,
    log: EpisodeLog,
    timings: EpisodeLog,
    hosts: Sequence[HostTask],
    policies: Sequence[str],
    seeds: Sequence[int],
) -> BenchResult:
    """Put the log in order (host, policy, seed) and write results.json."""
    names, place = [str(host) for host in hosts], {seed: i for i, seed in enumerate(seeds)}

    def order(line: Record) -> tuple[int, int, int]:
        return names.index(line["host"]), policies.index(line["policy"]), place[line["seed"]]

    log.rewrite(sorted(log.lines, key=order))
    timings.rewrite(sorted(timings.lines, key=order))
    results = summarize(log.lines, timings.lines, hosts=names, policies=policies)
    write_json(config.out / RESULTS, results)
    empty = [cell for cell in results["cells"] if not cell["n"]]
    if empty:
        raise UserError(
            f"No episode of {empty[0]['policy']} in {empty[0]['host']} could be judged: all {len(empty[0]['errors'])} "
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
            verdict = "error" if record["error"] else "lifted" if record["lifted"] else "not lifted"
            progress.update(bar, advance=1, last=f"{record['host']} {record['policy']}: {verdict}")

        yield advance
