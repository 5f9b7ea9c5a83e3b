"""From what the survey saw to what is told of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datagen.bins import bin_edges, count_into
from datagen.coverage import reported
from datagen.features import STEPS, Leaf, unread_features
from datagen.inspection.draws import DRAW
from datagen.inspection.result import InspectResult
from datagen.inspection.roles import MOST_DIMENSIONS, Roles
from datagen.inspection.samples import BINS, KEPT_ROWS
from datagen.inspection.survey import Survey
from datagen.layout import REPORT_FILE
from datagen.rlds_reader import Dataset

FEW = 40
"""Different values up to which a text or number of the episodes is shown with its counts."""

Counts = tuple[tuple[str, int], ...]


def summarize(dataset: Dataset, survey: Survey, *, sampled: bool, page: Path) -> InspectResult:
    """Return what was found."""
    remarks = survey.settle()
    statistics = survey.statistics()
    declared = {split: sum(lengths) for split, lengths in sorted(dataset.splits.items())}
    roles = survey.roles
    return InspectResult(
        name=dataset.name,
        version=dataset.version,
        path=dataset.path,
        page=page,
        sample=_sample(survey, sum(declared.values()), sampled=sampled),
        declared=declared,
        episodes=dict(sorted(survey.episodes.items())),
        steps=dict(sorted(survey.steps.items())),
        lengths=_lengths(survey.lengths),
        tasks=_ordered(survey.tasks),
        sentences=_ordered(survey.sentences),
        cameras=_cameras(dataset.leaves, roles),
        actions={column.key: statistics[column.key] for column in roles.actions},
        states={column.key: statistics[column.key] for column in roles.states},
        exact=survey.exact,
        metadata={key: _ordered(counts) for key, counts in sorted(survey.metadata.items()) if len(counts) <= FEW},
        coverage=survey.draws.coverages(),
        filtered=reported(dataset.path),
        suspicious=dict(survey.findings.counts.most_common()),
        findings=survey.findings.listed(),
        assumed=roles.assumed,
        remarks=(*remarks, *_remarks(survey)),
        not_found=(*roles.missing, *_not_found(dataset, survey)),
    )


def _sample(survey: Survey, total: int, *, sampled: bool) -> str:
    read = survey.episodes.total()
    if sampled:
        return f"A sample: {read:,} of {total:,} episodes, drawn at random from all splits."
    left = total - read
    return f"{read:,} of {total:,} episodes; {left:,} could not be read." if left else f"All {total:,} episodes."


def _lengths(lengths: Counter[int]) -> dict[str, Any]:
    """Return the distribution of steps per episode."""
    values = np.array(sorted(lengths.elements()), dtype=np.float64)
    span = int(values[-1] - values[0])
    edges = bin_edges(values, bins=min(BINS, span) if span else 1)
    return {
        "min": int(values[0]),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": int(values[-1]),
        "histogram": {"edges": edges.tolist(), "counts": count_into(edges, values).tolist()},
    }


def _ordered(counts: Counter[str]) -> Counts:
    """Return counts from the most frequent to the rarest, equal ones by name."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _cameras(leaves: Sequence[Leaf], roles: Roles) -> dict[str, str]:
    """Return the declared size and format of every camera."""
    found = {}
    for leaf in leaves:
        key = leaf.key.removeprefix(f"{STEPS}/")
        if leaf.stepwise and key in roles.cameras:
            size = " x ".join("?" if n is None else str(n) for n in leaf.shape) or "any size"
            found[key] = f"{size}, {leaf.encoding if leaf.kind == 'image' else 'not encoded'}"
    return found


def _remarks(survey: Survey) -> list[str]:
    said = []
    if not survey.exact:
        said.append(f"Quantiles and histograms are of {KEPT_ROWS:,} steps drawn from {survey.steps.total():,}.")
    if len(survey.sentences) == 1 and survey.roles.language is not None:
        said.append("All episodes have the same sentence.")
    return said


def _not_found(dataset: Dataset, survey: Survey) -> list[str]:
    """Return sentences about what the dataset holds and this does not look at, and about draws."""
    said = [f"{key} is a {kind}, which is not read." for key, kind in unread_features(dataset.path).items()]
    looked = {*survey.roles.flags, *survey.roles.cameras, *(column.key for column in survey.roles.columns)}
    for leaf in dataset.leaves:
        key = leaf.key.removeprefix(f"{STEPS}/")
        if not leaf.stepwise or key in looked or leaf.kind == "text" or not leaf.shape:
            continue
        what = "a map" if leaf.kind == "image" else f"more than {MOST_DIMENSIONS} numbers per step"
        said.append(f"{key} is {what} and not summarized.")
    if DRAW not in survey.draws.coverages():
        said.append(f"No draw of randomization knobs found; looked for a JSON text {DRAW} in the episodes' metadata.")
    elif not (dataset.path / REPORT_FILE).exists():
        said.append(f"What was drawn before filtering is not known; looked for {REPORT_FILE}.")
    return said
