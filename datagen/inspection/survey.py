"""One pass over the episodes of a dataset, in memory that does not grow with it: everything that is told of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.inspection.checks import faults, numbers, sentences
from datagen.inspection.draws import Draws
from datagen.inspection.findings import Finding, Findings
from datagen.inspection.roles import Column, Roles
from datagen.inspection.samples import Moments, Reservoir, binned, quantiles
from datagen.inspection.suspects import Suspects
from datagen.rlds_reader import StoredEpisode
from sim.streams import generator

MOST_TEXTS = 5_000
"""Most different sentences, or texts of one kind, that are counted apart; the others are counted together."""

OTHERS = "(others)"


class Survey:
    """What was seen so far."""

    def __init__(self, roles: Roles, *, seed: int) -> None:
        """Begin with nothing seen."""
        self.roles, self._seed = roles, seed
        width = sum(column.size for column in roles.columns)
        self._moments, self._sample = Moments(width), Reservoir(width)
        self.episodes: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.sentences: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()
        self.metadata: dict[str, Counter[str]] = {}
        self.draws = Draws()
        self.findings = Findings()
        self._suspects = Suspects(roles)

    def add(self, split: str, number: int, episode: StoredEpisode) -> None:
        """Count one episode in."""
        place, count = (split, number), episode.length
        self.episodes[split] += 1
        self.steps[split] += count
        self.lengths[count] += 1
        columns = {column.key: numbers(episode, column) for column in self.roles.columns}
        if columns and count:
            rows = np.concatenate(list(columns.values()), axis=1)
            self._moments.add(rows)
            self._sample.add(generator(self._seed, "inspect", "rows", split, number).random(count), rows)
        for kind, reason in faults(episode, self.roles):
            self.findings.add(Finding(kind, split, number, reason))
        self._suspects.add(place, episode, columns)
        self._add_texts(episode)

    def unreadable(self, split: str, number: int, reason: str) -> None:
        """Count one record that could not be read."""
        self.findings.add(Finding("unreadable", split, number, reason))

    def _add_texts(self, episode: StoredEpisode) -> None:
        said = sentences(episode, self.roles)
        if said:
            _count(self.sentences, said[0].strip() or "(blank)")
        if self.roles.task is not None:
            _count(self.tasks, str(episode.metadata.get(self.roles.task, "(none)")))
        for key, value in episode.metadata.items():
            drawn = _json_object(value)
            if drawn is not None:
                self.draws.add(key, drawn)
            elif isinstance(value, str | bool | int) and not isinstance(value, bytes):
                _count(self.metadata.setdefault(key, Counter()), str(value))

    def settle(self) -> list[str]:
        """Judge what shows only against the whole; return remarks about what is common in this dataset."""
        for finding in self._suspects.findings(self.samples()):
            self.findings.add(finding)
        return self._suspects.remarks()

    def samples(self) -> dict[str, NDArray[np.float64]]:
        """Return sampled rows (k, d) of each numeric column."""
        rows = self._sample.rows()
        return {column.key: rows[:, start : start + column.size] for column, start in self._starts()}

    @property
    def exact(self) -> bool:
        """Whether quantiles and histograms are of all steps seen."""
        return self._sample.exact

    def statistics(self) -> dict[str, list[dict[str, Any]]]:
        """Return, for each column, the statistics of each of its numbers with a histogram."""
        samples = self.samples()
        return {
            column.key: [self._of(start + i, name, samples[column.key][:, i]) for i, name in enumerate(column.names)]
            for column, start in self._starts()
        }

    def _of(self, index: int, name: str, sample: NDArray[np.float64]) -> dict[str, Any]:
        seen = bool(self._moments.count[index])
        exact = {
            "mean": self._moments.mean,
            "std": self._moments.std,
            "min": self._moments.low,
            "max": self._moments.high,
        }
        q01, q99 = quantiles(sample, 0.01, 0.99)
        return {
            "name": name,
            "count": int(self._moments.count[index]),
            **{key: float(values[index]) if seen else None for key, values in exact.items()},
            "q01": q01,
            "q99": q99,
            "histogram": binned(sample),
        }

    def _starts(self) -> Iterator[tuple[Column, int]]:
        """Yield each column and where its numbers begin in a row."""
        start = 0
        for column in self.roles.columns:
            yield column, start
            start += column.size


def _count(counter: Counter[str], text: str) -> None:
    """Count a text, together with all others once there are too many."""
    counter[text if text in counter or len(counter) < MOST_TEXTS else OTHERS] += 1


def _json_object(value: Any) -> Mapping[str, Any] | None:
    """Return what a text holds if it is a JSON object, else None."""
    if not isinstance(value, str) or not value.startswith("{"):
        return None
    try:
        found = json.loads(value)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
