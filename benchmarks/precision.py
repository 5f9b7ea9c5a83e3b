"""What bf16 and int8 cost in success: one checkpoint at several arithmetics on the same episodes, compared in pairs.

Type ``python benchmarks/precision.py CHECKPOINT --episodes 200 --out runs/precision``. It is an ordinary benchmark run
with one policy per arithmetic, so it resumes, and `demomill compare` and `demomill view` read its folder. Printed are
the success rates and, for each arithmetic against fp32, the paired difference with its exact 95 % interval and the
exact McNemar p. A difference whose interval holds 0 is not shown; how large it may still be, the interval says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
REFERENCE = "fp32"


def main() -> None:
    """Run the benchmark, or continue it, and print what each arithmetic costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="folder of a VLA checkpoint, or with options: runs/vla?execute=2")
    parser.add_argument("--out", type=Path, default=Path("runs/precision"), help="folder of the run")
    parser.add_argument("--episodes", type=int, default=200, help="episodes per arithmetic and host")
    parser.add_argument("--hosts", nargs="+", default=["robosuite", "maniskill"], help="hosts, as in demomill bench")
    parser.add_argument("--task", default="lift_cube", help="task whose instructions are given")
    parser.add_argument("--dtypes", nargs="+", default=["int8", "bf16"], help="arithmetics to compare with fp32")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    options = parser.parse_args()
    from bench.compare import CompareConfig, compare
    from bench.config import BenchConfig
    from bench.run import bench
    from policies.loading import policy_factory

    mark = "&" if "?" in options.checkpoint else "?"
    policies = {
        dtype: policy_factory(f"{options.checkpoint}{mark}dtype={dtype}") for dtype in [REFERENCE, *options.dtypes]
    }
    config = BenchConfig(
        out=options.out,
        task=options.task,
        hosts=tuple(options.hosts),
        episodes=options.episodes,
        workers=options.workers,
        filmstrips=0,
    )
    bench(config, policies=policies)
    for dtype in options.dtypes:
        found = compare(CompareConfig(runs=(options.out,), policy_a=dtype, policy_b=REFERENCE))
        for row in found.comparisons[0]["rows"]:
            print(told(dtype, row))


def told(dtype: str, row: dict[str, Any]) -> str:
    """Return one line: the two rates, and the first minus the second with interval and p."""
    rates = [f"{100 * row[name]['estimate']:.1f} %" for name in ("rate_first", "rate_second")]
    gap = row["difference"]
    return (
        f"{row['host']:32} {row['outcome']:8} {dtype} {rates[0]}, {REFERENCE} {rates[1]}: "
        f"{100 * gap['estimate']:+.1f} points [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}], "
        f"{row['only_first']} won by {dtype} only, {row['only_second']} by {REFERENCE} only, "
        f"n = {row['n']}, p = {row['p']:.2g}"
    )


if __name__ == "__main__":
    main()
