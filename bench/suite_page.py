"""What the page shows of a suite: drops per axis, means, motion beside the expert's, grounding, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.axes import GROUPS, MIDDLE
from bench.compare_table import points
from bench.suite_chart import Dot, dot_chart, scale
from bench.table import percent
from bench.variation import NOMINAL_AXIS

MAIN, OWN_RULE = "lifted", "success"
"""The outcome that drops are shown of first, and the host's own."""

SMALL_N = 20
"""Episodes per cell below which a section says that its intervals are wide."""


def suite_view(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the template shows of a run's suite; None for a run without one."""
    suite = results.get("suite")
    if suite is None:
        return None
    single = [name for name, axis in suite["axes"].items() if axis["group"] != "grounding"]
    return {
        "name": suite["name"],
        "digest": suite["digest"],
        "episodes": suite["episodes"],
        "wide": suite["episodes"] < SMALL_N,
        "axes": {name: suite["axes"][name]["about"] for name in suite["axes"]},
        "overall": [_overall(suite, entry) for entry in suite["overall"] if entry["outcome"] == MAIN],
        "groups": _group_table(suite),
        "places": [_place(suite, *names) for names in _places(suite)] if single else [],
        "grounding": suite["grounding"],
        "unavailable": _unavailable(suite),
    }


def _places(suite: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return host, task and policy of every nominal arm."""
    return [(a["host"], a["task"], a["policy"]) for a in suite["arms"] if a["axis"] == NOMINAL_AXIS]


def _named(rows: Sequence[Mapping[str, Any]], host: str, task: str, policy: str) -> list[dict[str, Any]]:
    return [dict(r) for r in rows if (r["host"], r["task"], r["policy"]) == (host, task, policy)]


def _overall(suite: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    own = next(e for e in suite["overall"] if (e["policy"], e["outcome"]) == (entry["policy"], OWN_RULE))
    return {**entry, "own": own["nominal"]}


def _group_table(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean drops at the middle level: one row per place and policy, one column per group of axes."""
    rows = [row for row in suite["means"] if row["outcome"] == MAIN]
    groups = [group for group in GROUPS if any(group in row["groups"] for row in rows)]
    return {"groups": [GROUPS[group] for group in groups], "rows": [_group_row(row, groups) for row in rows]}


def _group_row(row: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    return {
        "host": row["host"],
        "policy": row["policy"],
        "axes": row["axes"],
        "unnoticed": row["unnoticed"],
        "drop": points(row["drop"]),
        "groups": [points(row["groups"].get(group)) for group in groups],
    }


def _place(suite: Mapping[str, Any], host: str, task: str, policy: str) -> dict[str, Any]:
    """Return the section of one policy in one place."""
    drops = _named(suite["drops"], host, task, policy)
    shown = [row for row in drops if row["outcome"] == MAIN]
    own = {(row["axis"], row["level"]): row["drop"] for row in drops if row["outcome"] == OWN_RULE}
    arms = {(arm["axis"], arm["level"]): arm for arm in _named(suite["arms"], host, task, policy)}
    for row in shown:
        row["group"] = suite["axes"][row["axis"]]["group"]
        row["own"] = own.get((row["axis"], row["level"]))
        row["failures"] = _failures(arms.get((row["axis"], row["level"]), {}))
    broken = [(arm, errors) for arm in arms.values() if (errors := arm["errors"])]
    return {
        "host": host,
        "task": task,
        "policy": policy,
        "nominal": percent(arms[NOMINAL_AXIS, 0][MAIN]),
        "chart": dot_chart(_dots(suite, shown), scale(_dots(suite, suite["drops"])), title=f"{policy} in {host}"),
        "rows": shown,
        "unnoticed": _listed(u["axis"] for u in _named(suite["unnoticed"], host, task, policy)),
        "errors": [f"{a['axis']} {a['level']}, seed {e['seed']}: {e['reason']}" for a, each in broken for e in each],
        "motion": _motion(suite, host, task, policy, arms),
    }


def _dots(suite: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Dot]:
    """Return the dots of the main outcome; an axis with one level is drawn as its middle one."""
    single = {name for name, axis in suite["axes"].items() if axis["levels"] == 1}
    return [
        Dot(row["axis"], MIDDLE if row["axis"] in single else row["level"], row["drop"], row["p_holm"])
        for row in rows
        if row["outcome"] == MAIN
    ]


def _listed(names: Any) -> str:
    return ", ".join(dict.fromkeys(name.replace("_", " ") for name in names))


def _failures(arm: Mapping[str, Any]) -> str:
    """Return the modes of failure of an arm, the commonest first."""
    return ", ".join(f"{found['mode']} {len(found['seeds'])}" for found in arm.get("failures", ())[:3])


def _motion(
    suite: Mapping[str, Any], host: str, task: str, policy: str, arms: Mapping[tuple[str, int], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return, for each arm, the policy's motion and below it the expert's, nominal where it notices nothing."""
    rows: list[dict[str, Any]] = []
    for (axis, level), arm in arms.items():
        if suite["axes"].get(axis, {}).get("group") == "grounding":
            continue
        rows.append({"arm": _arm_name(axis, level), "policy": policy, "found": arm})
        for expert in suite["experts"]:
            theirs = {(a["axis"], a["level"]): a for a in _named(suite["arms"], host, task, expert)}
            found = theirs.get((axis, level), theirs.get((NOMINAL_AXIS, 0)))
            if found is not None and expert != policy:
                rows.append({"arm": "", "policy": expert, "found": found})
    return rows


def _arm_name(axis: str, level: int) -> str:
    return axis if axis == NOMINAL_AXIS else f"{axis.replace('_', ' ')} {level}"


def _unavailable(suite: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return, for each host and reason, which axes are not available there."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for each in suite["unavailable"]:
        found.setdefault((each["host"], each["task"], each["why"]), []).append(each["axis"])
    return [
        {"host": host, "task": task, "why": why, "axes": _listed(axes)} for (host, task, why), axes in found.items()
    ]
