"""The dataset card: README.md and card.html, written when a dataset is finished; equal data give equal bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.coverage import Coverage, reported, verdict
from datagen.coverage_chart import knob_chart
from datagen.features import STEPS, Leaf, read_features
from datagen.inspection.result import number_text
from datagen.inspection.roles import CANONICAL_NAMES
from datagen.layout import FAILURES
from datagen.loaders import TEMPLATES, snippets
from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.files import write_bytes
from sim.pages import page_environment
from sim.rates import wilson

README, PAGE = "README.md", "card.html"
NUMBERS = ("mean", "std", "min", "q01", "q99", "max")

Sentences = Mapping[str, Mapping[str, int]]
"""Split -> sentence -> episodes."""


def write_card(
    folder: Path,
    *,
    about: Mapping[str, Any],
    statistics: Mapping[str, Any],
    sentences: Sentences,
) -> None:
    """Write README.md and card.html of the dataset in `folder`.

    `about` and `statistics` are the contents of demomill.json and dataset_statistics.json. A report.json that lies
    there already is told too. Nothing else goes in: no time, no machine.
    """
    facts = card_facts(
        about=about, statistics=statistics, sentences=sentences, knobs=reported(folder), leaves=read_features(folder)
    )
    write_bytes(folder / README, as_markdown(facts).encode())
    write_bytes(folder / PAGE, as_page(facts).encode())


def card_facts(
    *,
    about: Mapping[str, Any],
    statistics: Mapping[str, Any],
    sentences: Sentences,
    knobs: Mapping[str, Sequence[Coverage]],
    leaves: Sequence[Leaf],
) -> dict[str, Any]:
    """Return what both forms of the card say; `knobs` holds kept against drawn by split, `leaves` the features."""
    splits = _splits(about["shards"])
    return {
        "about": about,
        "splits": splits,
        "episodes": sum(split["episodes"] for name, split in splits.items() if name != FAILURES),
        "failures": FAILURES if FAILURES in splits else "",
        "features": [_feature(leaf) for leaf in leaves if leaf.stepwise],
        "sentences": _sentences(sentences),
        "filters": {split: _filtered(told) for split, told in about["filters"].items()},
        "limits": {name: _told(v) for name, v in about["job"].get("filters", {}).items() if v is not None},
        "knobs": knobs,
        "statistics": [_statistics(key, statistics) for key in ("action", "state") if key in statistics],
        "snippets": snippets(about),
        "job": {key: _told(v) for key, v in sorted(about["job"].items()) if v is not None and not isinstance(v, dict)},
        "limit": {"position": POSITION_LIMIT, "rotation": ROTATION_LIMIT},
        "more_splits": [split for split in splits if split not in ("train", "val", "test")],
    }


def _splits(shards: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Return episodes, steps, shards and bytes of every split."""
    found: dict[str, dict[str, int]] = {}
    for shard in shards.values():
        split = found.setdefault(shard["split"], {"episodes": 0, "steps": 0, "shards": 0, "size": 0})
        split["shards"] += 1
        for name in ("episodes", "steps", "size"):
            split[name] += shard[name]
    return found


def _feature(leaf: Leaf) -> tuple[str, str]:
    """Return the key of a feature of the steps, and its shape, type and encoding in words."""
    shape = " x ".join("?" if size is None else str(size) for size in leaf.shape)
    kind = "text" if leaf.kind == "text" else f"{shape} {leaf.dtype}".strip()
    return leaf.key.removeprefix(f"{STEPS}/"), kind if leaf.encoding == "none" else f"{kind}, {leaf.encoding}"


def _told(value: Any) -> str:
    """Return a value of the job as text, a list without its brackets."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _sentences(sentences: Sentences) -> list[tuple[str, dict[str, int]]]:
    """Return every sentence with its episodes by split, the most frequent first."""
    total = Counter[str]()
    for counts in sentences.values():
        total.update(counts)
    ordered = sorted(total, key=lambda sentence: (-total[sentence], sentence))
    return [(text, {split: counts.get(text, 0) for split, counts in sentences.items()}) for text in ordered]


def _filtered(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of one split and the share that was kept, with its interval."""
    rate = str(wilson(told["kept"], told["candidates"])) if told["candidates"] else "no candidates"
    return {**told, "rate": rate, "rejected": sorted(told["rejected"].items(), key=lambda pair: (-pair[1], pair[0]))}


def _statistics(key: str, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of the statistics of actions or states."""
    names = CANONICAL_NAMES["action" if key == "action" else f"observation/{key}"]
    found = statistics[key]
    rows = [(names[i], [number_text(found[name][i]) for name in NUMBERS]) for i in range(len(found["mean"]))]
    return {"title": key, "count": found["count"], "rows": rows}


def as_markdown(facts: Mapping[str, Any]) -> str:
    """Return the card as README.md."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters.update(cell=_cell)
    environment.globals.update(numbers=NUMBERS, verdict=verdict)
    return environment.get_template("card.md").render(facts)


def as_page(facts: Mapping[str, Any]) -> str:
    """Return the card as HTML; everything in it is escaped."""
    environment = page_environment(TEMPLATES)
    environment.globals.update(numbers=NUMBERS, verdict=verdict, knob_chart=knob_chart)
    return environment.get_template("card.html").render(facts)


def _cell(value: Any) -> str:
    """Return a value as the text of a cell of a Markdown table."""
    text = " ".join(str(value).split())
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(raw, safe)
    return text
