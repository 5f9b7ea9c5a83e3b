"""What a study runs: the stages of an overnight job, each in a folder of its own that is named by its digest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import stages
from bench.isolation import isolated
from bench.learning_stages import vla
from bench.night import Night
from bench.study import REFERENCE, Stage
from sim.episodes import Policy
from tasks.catalogue import load_task

VLA = "vla"
"""Name of the trained policy in the benchmark of a cell."""


def run_stage(stage: Stage, folder: Path, results: Mapping[str, Any], expert: str) -> dict[str, Any]:
    """Run one stage in a process of its own and return its result with the seconds it took.

    `results` hold those of the stages that it needs, by kind; `expert` is the folder of the expert.
    """
    began = time.monotonic()
    result: dict[str, Any] = isolated(work, stage, folder, dict(results), expert, name=stage.name)
    return result | {"seconds": round(time.monotonic() - began, 1)}


def work(stage: Stage, folder: Path, results: Mapping[str, Any], expert: str) -> dict[str, Any]:
    """Run one stage in this process; an interrupted one continues where it stopped."""
    from sim.gl import choose_backend

    choose_backend()
    night = Night(
        config=stage.config,
        task=load_task(stage.config.task),
        out=folder,
        results={**results, "expert": {"folder": expert, "reused": True}},
    )
    done: Mapping[str, Callable[[Night], Mapping[str, Any]]] = {
        "synthetic": stages.synthetic,
        "stand_in": stages.stand_in,
        "vla": vla,
        "benchmark": benchmark,
        REFERENCE: reference,
    }
    return dict(done[stage.kind](night))


def benchmark(night: Night) -> dict[str, Any]:
    """Judge the cell's policy."""
    from policies.loading import policy_factory

    made = policy_factory(night.result("vla")["folder"], execute=night.config.vla.execute)
    return _judge(night, {VLA: made})


def reference(night: Night) -> dict[str, Any]:
    """Judge the upper and the lower bound on the same episodes."""
    from policies.loading import policy_factory

    expert, seed = night.result("expert")["folder"], night.config.bench.seed
    return _judge(night, {"expert": policy_factory(expert), "random": policy_factory("random", seed=seed)})


def _judge(night: Night, policies: Mapping[str, Callable[[], Policy]]) -> dict[str, Any]:
    from bench.run import bench

    config = stages.bench_config(night)
    made = bench(config, policies=policies, command=f"demomill ablate (in {night.config.out})")
    return {"folder": str(made.out)}
