"""`demomill compare`: two policies on the same episodes, with the statistics to say which is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.intervals import Interval, cluster_bootstrap, cluster_rate, mcnemar, wilson
from bench.matching import Match, Pair, match_runs, open_run
from bench.paired import difference, sign_flip
from bench.sequential import SequentialComparison
from sim.errors import UserError, unknown
from sim.files import require_file
from sim.ranges import Numbers, require
from sim.rates import holm

if TYPE_CHECKING:
    from rich.console import Group

OUTCOMES = ("success", "success_once", "lifted", "lifted_once")
OVERALL = "all"


@dataclass(frozen=True)
class CompareConfig:
    """A paired comparison of two runs, or of two policies of one run."""

    # Folders of two finished runs; one folder compares two of its policies.
    runs: tuple[Path, ...]
    # Policy of the first and of the second run; by default the only one, or those with equal names.
    policy_a: str | None = None
    policy_b: str | None = None
    # What counts as success: "success" (the host's own rule), "lifted" (our task's), "success_once", "lifted_once".
    outcomes: tuple[str, ...] = ("success", "lifted")
    # Probability of a wrong verdict that is accepted; intervals hold with one minus it.
    alpha: float = 0.05
    # Also judge pair by pair, with a verdict that may be read at any time.
    sequential: bool = False
    # With --sequential: end as well when the difference is surely smaller than this.
    margin: float | None = None
    # Differences between the runs that are accepted, as the refusal names them.
    allow: tuple[str, ...] = ()
    # Write a page with the comparison and both runs.
    html: Path | None = None

    def __post_init__(self) -> None:
        between = Numbers(0, 1, above=True, below=True)
        require(self, {"alpha": between, "margin": between})
        if not self.outcomes:
            raise UserError(f"outcomes is empty. Name at least one of: {', '.join(OUTCOMES)}.")


@dataclass(frozen=True)
class CompareResult:
    """What the comparison found: one entry per pair of policies."""

    comparisons: tuple[dict[str, Any], ...]
    # The page, if one was asked for.
    page: Path | None = None

    def __rich__(self) -> Group:
        """Return the tables for a terminal."""
        from bench.compare_table import compare_tables

        return compare_tables(self)


def compare(config: CompareConfig) -> CompareResult:
    """Compare two runs in pairs of equal host and seed; runs that judged differently are refused."""
    if not 1 <= len(config.runs) <= 2:
        raise UserError(f"Two runs are compared; got {len(config.runs)}. Type: demomill compare RUN_A RUN_B")
    require_file(config.html, "html")
    for outcome in config.outcomes:
        if outcome not in OUTCOMES:
            raise unknown("outcome", outcome, OUTCOMES)
    first, second = (open_run(folder) for folder in (config.runs[0], config.runs[-1]))
    matches = match_runs(first, second, policy_a=config.policy_a, policy_b=config.policy_b, allow=config.allow)
    found = tuple(comparison(match, config) for match in matches)
    if config.html is None:
        return CompareResult(found)
    from bench.view import write_page

    title = "demomill: two runs compared"
    folders = list(dict.fromkeys(config.runs))
    return CompareResult(found, write_page(config.html, folders, comparisons=found, title=title))


def comparison(match: Match, config: CompareConfig) -> dict[str, Any]:
    """Return everything that the pairs of one match say, as JSON."""
    rows = [row for outcome in config.outcomes for row in _rows(match.pairs, outcome, 1 - config.alpha)]
    tested = [row for row in rows if row["host"] != OVERALL]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return {
        "first": {"run": match.first_run, "policy": match.first},
        "second": {"run": match.second_run, "policy": match.second},
        "pairs": len(match.pairs),
        "alpha": config.alpha,
        "unpaired": {why: list(places) for why, places in match.unpaired.items()},
        "remarks": list(match.remarks),
        "rows": rows,
        "seeds": _who_won(match.pairs, config.outcomes),
        "metrics": _metrics(match.pairs),
        "sequential": _sequential(match.pairs, config) if config.sequential else [],
    }


def _rows(pairs: Sequence[Pair], outcome: str, confidence: float) -> list[dict[str, Any]]:
    """Return one row per cell, and one over all where there are several."""
    cells = list(dict.fromkeys(pair.cell for pair in pairs))
    rows = [_row(_cell_name(cell), [p for p in pairs if p.cell == cell], outcome, confidence) for cell in cells]
    return [*rows, _overall(pairs, outcome, confidence)] if len(cells) > 1 else rows


def _cell_name(cell: tuple[str, ...]) -> str:
    return " ".join(part for part in cell if part)


def _won(pairs: Sequence[Pair], outcome: str) -> tuple[list[bool], list[bool]]:
    return [bool(pair.first[outcome]) for pair in pairs], [bool(pair.second[outcome]) for pair in pairs]


def _row(host: str, pairs: Sequence[Pair], outcome: str, confidence: float) -> dict[str, Any]:
    first, second = _won(pairs, outcome)
    test = mcnemar(first, second)
    return {
        "host": host,
        "outcome": outcome,
        "rate_first": asdict(wilson(sum(first), len(first), confidence=confidence)),
        "rate_second": asdict(wilson(sum(second), len(second), confidence=confidence)),
        "difference": asdict(difference(test.only_first, test.only_second, test.n, confidence=confidence)),
        "only_first": test.only_first,
        "only_second": test.only_second,
        "n": test.n,
        "p": test.p,
    }


def _overall(pairs: Sequence[Pair], outcome: str, confidence: float) -> dict[str, Any]:
    """Return the row over all cells: episodes of one seed are one cluster, wherever they ran."""
    first, second = _won(pairs, outcome)
    seeds = [pair.seed for pair in pairs]
    gains = [int(a) - int(b) for a, b in zip(first, second, strict=True)]
    sums = dict.fromkeys(seeds, 0)
    for seed, gain in zip(seeds, gains, strict=True):
        sums[seed] += gain
    row = _row(OVERALL, pairs, outcome, confidence)
    spread = cluster_bootstrap(gains, seeds, name=f"difference {outcome}", confidence=confidence)
    exact = row["difference"]
    joint = Interval(spread.estimate, min(spread.low, exact["low"]), max(spread.high, exact["high"]), len(gains))
    rates = {
        f"rate_{name}": asdict(cluster_rate(won, seeds, name=f"{name} {outcome}", confidence=confidence))
        for name, won in (("first", first), ("second", second))
    }
    return row | rates | {"difference": asdict(joint), "p": sign_flip(list(sums.values())), "p_holm": None}


def _who_won(pairs: Sequence[Pair], outcomes: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for each cell and outcome, the winner of every seed: "both", "first", "second" or "neither"."""
    names = {(True, True): "both", (True, False): "first", (False, True): "second", (False, False): "neither"}
    return [
        {
            "host": _cell_name(cell),
            "outcome": outcome,
            "winners": [
                {"seed": pair.seed, "winner": names[bool(pair.first[outcome]), bool(pair.second[outcome])]}
                for pair in pairs
                if pair.cell == cell
            ],
        }
        for outcome in outcomes
        for cell in dict.fromkeys(pair.cell for pair in pairs)
    ]


def _metrics(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return the paired mean differences of every metric, over all pairs and over those that both lifted."""
    parts = (("all", list(pairs)), ("both lifted", [p for p in pairs if p.first["lifted"] and p.second["lifted"]]))
    names = list(dict.fromkeys(name for pair in pairs for name in pair.first["metrics"]))
    rows = []
    for name in names:
        for part, chosen in parts:
            both = [(p.seed, p.first["metrics"].get(name), p.second["metrics"].get(name)) for p in chosen]
            kept = [(seed, a, b) for seed, a, b in both if a is not None and b is not None]
            if kept:
                gaps, seeds = [a - b for _, a, b in kept], [seed for seed, _, _ in kept]
                found = cluster_bootstrap(gaps, seeds, name=f"metric {name} {part}")
                mean = sum(a for _, a, _ in kept) / len(kept)
                rows.append({"metric": name, "episodes": part, "mean_first": mean, "difference": asdict(found)})
    return rows


def _sequential(pairs: Sequence[Pair], config: CompareConfig) -> list[dict[str, Any]]:
    """Return what could be said pair by pair, in the order of the episodes, per cell and over all."""
    looks = []
    for outcome in config.outcomes:
        cells = list(dict.fromkeys(pair.cell for pair in pairs))
        parts = [(_cell_name(cell), [p for p in pairs if p.cell == cell]) for cell in cells]
        for host, chosen in [*parts, *([(OVERALL, list(pairs))] if len(cells) > 1 else [])]:
            running = SequentialComparison(alpha=config.alpha, margin=config.margin)
            for pair in chosen:
                running.update(success_a=bool(pair.first[outcome]), success_b=bool(pair.second[outcome]))
            looks.append({"host": host, "outcome": outcome, **asdict(running.look())})
    return looks
