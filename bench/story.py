"""Where a benchmarked policy came from: expert, data, mixture, training, as sections of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.night import Night
from sim.files import read_json


def story(night: Night) -> list[dict[str, Any]]:
    """Return the page's sections about one overnight job."""
    stand_in = [_stand_in(night)] if "stand_in" in night.results else []
    dagger = [_dagger(night)] if "dagger" in night.results else []
    return [_expert(night), _synthetic(night), *stand_in, _mixture(night), _vla(night), *dagger]


def _expert(night: Night) -> dict[str, Any]:
    """Tell how the expert was trained and what it reaches in our own engine."""
    folder = Path(night.result("expert")["folder"])
    record = read_json(folder / "checkpoint.json")
    score, curve = record["score"], record["curve"]
    rate = score["success"]
    steps = [point["steps"] / 1e6 for point in curve]
    origin = "The expert that comes with demomill." if night.result("expert")["reused"] else "Trained in this job."
    return {
        "title": "PPO expert",
        "text": f"{origin} It sees privileged state, no pixels; it is the upper bound of the benchmark.",
        "facts": {
            "success in our engine, held at the end": _percent(rate),
            "environment steps": f"{record['steps']:,}",
            "training time": f"{record['seconds'] / 60:.1f} min on {record['machine']}",
            "median steps to the first success": score["steps_to_success"],
            "SHA-256": record["sha256"],
        },
        "curves": [
            {
                "title": "success while exploring",
                "x_label": "million environment steps",
                "y_label": "share of episodes",
                "series": [{"name": "success", "x": steps, "y": [point["success"] for point in curve]}],
            }
        ],
        "command": record["command"],
    }


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}], n = {rate['n']}"


def _synthetic(night: Night) -> dict[str, Any]:
    """Tell what was generated and what the filters rejected."""
    result = night.result("synthetic")
    rows = []
    for split, report in result["filters"].items():
        reasons = ", ".join(f"{why} {count}" for why, count in report.get("rejected", {}).items()) or "none"
        rows.append([split, report["candidates"], report["kept"], reasons])
    return {
        "title": "Synthetic demonstrations",
        "text": "Rolled out by the expert under full domain randomization, filtered, then rendered.",
        "facts": {"dataset (RLDS)": result["path"], "steps": f"{result['steps']:,}"},
        "table": {"columns": ["split", "candidates", "kept", "rejected because of"], "rows": rows},
    }


def _stand_in(night: Night) -> dict[str, Any]:
    """Tell what takes the place of real data."""
    result = night.result("stand_in")
    episodes = sum(result["episodes"].values())
    return {
        "title": f"Not real data: {result['source']}",
        "text": "No robot recorded this: a few demonstrations from another simulator stand where a "
        "user's own recordings will stand. A host that also gave stand-in data is no longer unseen: read its row so.",
        "facts": {"dataset (RLDS)": result["path"], "episodes": episodes, "steps": f"{result['steps']:,}"},
    }


def _mixture(night: Night) -> dict[str, Any]:
    """Tell what training drew of each source."""
    mixture = night.result("vla")["mixture"]
    rows = [
        [s["name"], s["label"], f"{s['share']:.1%}", s["episodes"], s["steps"], s["drawn"], f"{s['passes']:.1f}"]
        for s in mixture["sources"]
    ]
    columns = ["source", "what it is", "share", "episodes", "steps", "samples drawn", "passes"]
    return {"title": "Mixture", "table": {"columns": columns, "rows": rows}}


def _vla(night: Night) -> dict[str, Any]:
    """Tell how the VLA was trained."""
    result = night.result("vla")
    lines = (Path(result["folder"]) / "curve.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines]
    names = [name for name in points[0] if name != "step" and "loss" in name] if points else []
    series = [
        {"name": n, "x": [p["step"] for p in points if n in p], "y": [p[n] for p in points if n in p]} for n in names
    ]
    return {
        "title": "VLA",
        "text": "Image, sentence and state in, a chunk of actions out; trained from scratch on the mixture alone.",
        "facts": {
            "parameters": f"{result['parameters']:,}",
            "steps": f"{result['steps']:,}",
            "samples per second": f"{result['samples_per_second']:.0f}",
            "SHA-256": result["digest"],
        },
        "curves": [{"title": "training loss", "x_label": "step", "y_label": "loss", "series": series}]
        if series
        else [],
    }


def _dagger(night: Night) -> dict[str, Any]:
    """Tell how the VLA fared in each round of DAgger."""
    result = night.result("dagger")
    rows = [[number, f"{r['succeeded']} of {r['episodes']}"] for number, r in enumerate(result["rounds"], start=1)]
    return {
        "title": "DAgger",
        "text": "The VLA acted in our own engine, the expert said what should have been done, and training went on "
        "with both. A round's success is that of the network which it began with.",
        "facts": {"SHA-256": result["digest"]},
        "table": {"columns": ["round", "the VLA succeeded in"], "rows": rows},
    }
