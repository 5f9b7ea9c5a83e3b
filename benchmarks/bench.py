"""Episodes per minute of the benchmark's worker processes, against the plain serial loop over the same hosts.

Type ``python benchmarks/bench.py [POLICY]``; without a policy an untrained network of the quickstart's size is taken,
which costs the same. The serial loop is what is usually written: one process, one host after the other, one episode at
a time, a frame rendered at every step, a chunk of 8 actions executed to its end. The benchmark runs the same episodes
with `--workers` processes of `--worlds` worlds. Both are timed from when their simulators are open and have drawn
frames, and the outcomes of all episodes must be identical.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Before this folder, whose bench.py is not the package.

import numpy as np  # noqa: E402

HOSTS = ("robosuite", "maniskill")


@dataclass(frozen=True)
class Timed:
    """What one way of running brought."""

    # (host, seed) -> success by the host's rule and by our task's, and the number of steps.
    outcomes: dict[tuple[str, int], tuple[bool, bool, int]]
    episodes: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Episodes per minute."""
        return 60 * self.episodes / self.seconds

    @property
    def cost(self) -> float:
        """Processor seconds per episode."""
        return self.cpu / self.episodes


def load(policy: str) -> Any:
    """Return the policy, all 8 actions of its chunks executed; without a text, an untrained network."""
    from policies.loading import load_policy

    if policy:
        return load_policy(policy, execute=8)
    from policies.vla.checkpoint import VlaCheckpoint
    from policies.vla.learner import model_config
    from policies.vla.model import new_model
    from policies.vla.normalization import Statistics
    from policies.vla.policy import VlaPolicy
    from policies.vla.settings import CHUNK, PRESETS
    from sim.conventions import CANONICAL

    model = new_model(model_config(PRESETS["cpu_minutes"], chunk=CHUNK), seed=0).eval()
    statistics = Statistics((0.0,) * 8, (1.0,) * 8, (0.0,) * 6, (0.02,) * 6)
    checkpoint = VlaCheckpoint(model=model, convention=CANONICAL, statistics=statistics, digest="0" * 64, record={})
    return VlaPolicy(checkpoint, name="untrained", execute=CHUNK)


def seconds_of_cpu() -> float:
    """Return the processor time of this process and of its ended children, s."""
    return sum(
        r.ru_utime + r.ru_stime for r in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def cpu_of(pid: int | None) -> float:
    """Return the processor time that a running process has used, s (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serial(policy: str, episodes: int, pipe: Any) -> None:
    """Run the plain loop over all hosts and send a `Timed`."""
    from bench.config import BenchConfig, bench_seeds, host_tasks
    from bench.hosts.registry import make_host
    from tasks.catalogue import load_task

    task = load_task("lift_cube")
    config = BenchConfig(out=Path(), hosts=HOSTS, episodes=episodes)
    acting, seeds, one = load(policy), bench_seeds(config), np.zeros(1, np.intp)
    outcomes: dict[tuple[str, int], tuple[bool, bool, int]] = {}
    seconds = cpu = 0.0
    for host in host_tasks(config, task):
        env = make_host(host.host, host.host_task, task=task)
        plain_episode(env, acting, seeds[0], one, steps=2)
        began, busy = time.perf_counter(), seconds_of_cpu()
        for seed in seeds:
            outcomes[str(host), seed] = plain_episode(env, acting, seed, one, steps=env.spec.horizon)
        seconds, cpu = seconds + time.perf_counter() - began, cpu + seconds_of_cpu() - busy
        env.close()
    pipe.send(Timed(outcomes, len(outcomes), seconds, cpu))


def plain_episode(env: Any, policy: Any, seed: int, one: Any, *, steps: int) -> tuple[bool, bool, int]:
    """Run one episode with a frame at every step; return success and lifted at the end, and the number of steps."""
    env.reset(one, [seed])
    policy.reset(one)
    chunk: list[Any] = []
    count = 0
    while count < steps:
        count += 1
        shown = env.observe(one)
        shown.render("image")
        chunk = chunk or list(np.asarray(policy.act(shown))[0])
        step = env.step(chunk.pop(0)[None])
        if step.terminated[0] or step.truncated[0]:
            break
    return bool(step.success[0]), bool(step.terms["lifted"][0] > 0), count


def workers(policy: str, episodes: int, pipe: Any, *, processes: int, worlds: int) -> None:
    """Run the same episodes as the benchmark does and send a `Timed`; the first of each worker warm it up."""
    from bench.config import BenchConfig, bench_seeds, host_tasks
    from bench.fleet import run_jobs
    from bench.worker import Todo, WorkerJob
    from tasks.catalogue import load_task

    task = load_task("lift_cube")
    config = BenchConfig(out=Path(), hosts=HOSTS, episodes=episodes)
    seeds, hosts = bench_seeds(config), host_tasks(config, task)
    factories = {"warm-up": functools.partial(load, policy), "timed": functools.partial(load, policy)}
    shards, jobs = max(1, processes // len(hosts)), []
    for host in hosts:
        for shard in range(shards):
            timed = [Todo("timed", seed) for k, seed in enumerate(seeds) if k % shards == shard]
            jobs.append(WorkerJob(config, host, factories, [Todo("warm-up", seeds[0]), *timed], worlds=worlds))
    outcomes, starts, ends, opening = {}, {}, {}, 0.0
    for record, _ in run_jobs(jobs, workers=processes):
        now, host = time.perf_counter(), record["host"]
        if record["policy"] == "warm-up":
            starts[host] = max(now, starts.get(host, now))
            opening += (
                sum(cpu_of(child.pid) for child in multiprocessing.active_children() if host in child.name) / shards
            )
            continue
        ends[host] = now
        outcomes[host, record["seed"]] = (record["success"], record["lifted"], record["length"])
    spent = {host: ends[host] - starts[host] for host in starts}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - opening
    pipe.send((Timed(outcomes, len(outcomes), max(ends.values()) - min(starts.values()), cpu), spent))


def run(target: Callable[..., None], *arguments: Any, **options: Any) -> Any:
    """Return what `target` sends from a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=functools.partial(target, *arguments, theirs, **options))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def main() -> None:
    """Let both ways take turns `--rounds` times and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", nargs="?", default="", help="a POLICY with chunks of 8")
    parser.add_argument("--episodes", type=int, default=8, help="per host")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    ratios, thrifts = [], []
    for _ in range(options.rounds):
        plain = run(serial, options.policy, options.episodes)
        ours, spent = run(workers, options.policy, options.episodes, processes=options.workers, worlds=options.worlds)
        assert ours.outcomes == plain.outcomes, "the two ways do not judge alike"
        ratios.append(ours.rate / plain.rate)
        thrifts.append(plain.cost / ours.cost)
        print(f"serial {plain.rate:7.1f} episodes/min, {plain.cost:5.2f} s of processor time per episode")
        told = ", ".join(f"{host} {seconds:.1f} s" for host, seconds in spent.items())
        print(f"bench  {ours.rate:7.1f} episodes/min ({told}), {ours.cost:5.2f} s")
        print(f"ratio  {ratios[-1]:7.2f}, of processor time {thrifts[-1]:.2f}; load {os.getloadavg()[0]:.1f}")
        print(f"{len(ours.outcomes)} episodes identical")
    print(f"median ratio {np.median(ratios):.2f}, of processor time {np.median(thrifts):.2f}, {len(ratios)} rounds")


if __name__ == "__main__":
    main()
