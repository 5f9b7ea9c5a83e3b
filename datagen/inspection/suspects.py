"""What shows only against the other episodes: outliers, frozen sensors, bad quaternions, still grippers, duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from datagen.inspection.checks import pictures
from datagen.inspection.findings import LISTED, Finding
from datagen.inspection.frozen import FrozenSensors
from datagen.inspection.outliers import Extremes, Place
from datagen.inspection.roles import Roles
from datagen.rlds_reader import StoredEpisode

STILL = 0.2
"""Share of episodes up to which a gripper that never moves is an exception, and so suspicious."""

UNIT, BENT = 1e-4, 1e-2
"""How far the norm of four numbers may be from 1 for them to be taken for a quaternion, and to be called a bad one."""

ALWAYS = 0.9
"""Share of the steps that have the norm 1 where four numbers are taken for a quaternion."""

Columns = Mapping[str, NDArray[np.float64]]


class Quaternions:
    """The norms of whatever may be a quaternion."""

    def __init__(self, places: Mapping[tuple[str, int], bool]) -> None:
        """Begin; `places` are those of `Roles.quaternions`."""
        self._certain = places
        self._steps = dict.fromkeys(places, 0)
        self._unit = dict.fromkeys(places, 0)
        self._varied = dict.fromkeys(places, 0)
        self._bent: dict[tuple[str, int], list[tuple[Place, int, float]]] = {place: [] for place in places}

    def add(self, place: Place, columns: Columns) -> None:
        """Remember the norms of one episode."""
        for where in self._certain:
            values = columns[where[0]][:, where[1] : where[1] + 4]
            norms = np.linalg.norm(values, axis=1)
            away = np.abs(norms - 1.0)
            self._steps[where] += len(norms)
            self._unit[where] += int((away < UNIT).sum())
            # A constant (1, 0, 0, 0), or an open gripper beside small angles, has the norm 1 by accident.
            self._varied[where] += int((np.ptp(values, axis=0) > 0.02).sum() >= 2)
            bent = np.flatnonzero(away > BENT)
            if len(bent) and len(self._bent[where]) < LISTED:
                self._bent[where].append((place, int(bent[0]), float(norms[bent[0]])))

    def findings(self) -> Iterator[Finding]:
        """Yield the episodes with a bad quaternion, where four numbers are known or seen to be one."""
        for where, bent in self._bent.items():
            seen = self._varied[where] > 0 and self._unit[where] >= ALWAYS * max(self._steps[where], 1)
            if self._certain[where] or seen:
                key, start = where
                for (split, episode), step, norm in bent:
                    reason = f"{key}[{start}:{start + 4}] has the norm {norm:.4g} at step {step}"
                    yield Finding("bad quaternion", split, episode, reason)


class Suspects:
    """What is remembered of each episode until all were seen."""

    def __init__(self, roles: Roles) -> None:
        """Begin with no episode seen."""
        self._roles, self._episodes = roles, 0
        self._extremes, self._frozen = Extremes(roles.actions), FrozenSensors(roles)
        self._quaternions = Quaternions(roles.quaternions)
        self._still: list[Place] = []
        self._still_count = 0
        self._seen: dict[bytes, Place] = {}
        self._twins: list[tuple[Place, Place]] = []

    def add(self, place: Place, episode: StoredEpisode, columns: Columns) -> None:
        """Remember what of an episode may turn out to be suspicious; `columns` holds its numeric columns (T, d)."""
        self._episodes += 1
        if not episode.length:
            return
        self._extremes.add(place, {column.key: columns[column.key] for column in self._roles.actions})
        self._frozen.add(place, episode, columns)
        self._quaternions.add(place, columns)
        if self._roles.gripper is not None:
            key, index = self._roles.gripper
            if np.ptp(columns[key][:, index]) < 1e-6:
                self._still_count += 1
                self._still += [place] if len(self._still) < LISTED else []
        if not columns and not self._roles.cameras:
            return
        first = self._seen.setdefault(_digest(episode, columns, self._roles), place)
        if first != place:
            self._twins.append((place, first))

    def findings(self, samples: Columns) -> Iterator[Finding]:
        """Yield what turned out to be suspicious; `samples` holds rows (k, d) of each numeric column."""
        yield from self._extremes.findings(samples)
        yield from self._frozen.findings(samples)
        yield from self._quaternions.findings()
        if self._still_count <= STILL * self._episodes:
            for split, episode in self._still:
                yield Finding("constant gripper", split, episode, "the gripper's action never changes")
        for (split, episode), (other, number) in self._twins:
            leak = f"; a leak from {other} into {split}" if split != other else ""
            reason = f"actions and states equal those of {other} {number}{leak}"
            yield Finding("duplicate", split, episode, reason)

    def remarks(self) -> list[str]:
        """Return sentences about what would be suspicious if it were not so common here."""
        said = [
            f"{sensor} repeats itself {repeats} times in a row in a usual episode, while the actions move: it is "
            "slower than the actions."
            for sensor, repeats in self._frozen.usual().items()
        ]
        if self._still_count > STILL * self._episodes:
            said.append(f"The gripper never moves in {self._still_count} of {self._episodes} episodes.")
        return said


def _digest(episode: StoredEpisode, columns: Columns, roles: Roles) -> bytes:
    """Return a digest of the actions and states; of the pictures too where those do not vary."""
    digest = hashlib.blake2b(digest_size=12)
    varied = False
    for key in sorted(columns):
        digest.update(columns[key].tobytes())
        varied = varied or bool((np.ptp(columns[key], axis=0) > 0).any())
    for camera in () if varied else roles.cameras:
        for picture in pictures(episode, camera):
            digest.update(picture if isinstance(picture, bytes) else picture.tobytes())
    return digest.digest()
