"""Which episodes are good demonstrations: named measurements, limits on some of them, and a report by reason.

Every measurement is stored with every kept episode, whether or not a limit stands on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.episodes import Episode
from sim.errors import UserError

Measurement = float | int | bool | None
Measurements = Mapping[str, Measurement]

OBJECT_PREFIX = "object/"
"""Beginning of the names under which environments trace the poses of objects."""

ERROR = "simulation error"
"""The reason of an episode whose simulation cannot be trusted; no limit turns it off."""


@dataclass(frozen=True)
class FilterConfig:
    """Limits on the measurements of an episode. None only measures."""

    # Keep only episodes whose success holds at the end.
    success: bool = True
    # Latest moment at which the success that held to the end may begin, s.
    max_time_to_success: float | None = None
    # Largest mean squared difference of successive arm actions, in squares of the action limits.
    max_action_difference: float | None = None
    # Largest contact force on hand and fingers at any step, N.
    max_contact_force: float | None = None
    # Fewest steps of an episode.
    min_steps: int = 2
    # The box that objects must stay in, base frame, m: lower x, y, z, then upper x, y, z. Empty: anywhere.
    workspace: tuple[float, ...] = (0.1, -0.65, -0.3, 1.0, 0.65, 1.3)

    def __post_init__(self) -> None:
        if len(self.workspace) not in (0, 6):
            raise UserError(
                f"filters: workspace = {list(self.workspace)} has {len(self.workspace)} numbers. Write six: lower x, "
                "y, z, then upper x, y, z, in metres; or none, to let objects go anywhere."
            )


def measure(episode: Episode, *, workspace: tuple[float, ...] = ()) -> dict[str, Measurement]:
    """Return every measurement of an episode by name; None where it has no value or the simulator does not tell."""
    if episode.error is not None:
        return {"steps": episode.length, "success": False, "success_once": False}
    contact = episode.traces.get("contact")
    return {
        "steps": episode.length,
        "success": episode.succeeded,
        "success_once": episode.succeeded_once,
        "time_to_success": time_to_success(episode.success, episode.spec.convention.rate),
        "action_difference": action_difference(episode.executed),
        "contact_force": None if contact is None else float(np.max(contact)),
        "workspace_excess": workspace_excess(_objects(episode), workspace),
    }


def time_to_success(success: NDArray[np.bool_], rate: float) -> float | None:
    """Return when the success that held to the end of the episode began, s; None where it did not hold."""
    if not len(success) or not success[-1]:
        return None
    failures = np.flatnonzero(~success)
    first = int(failures[-1]) + 1 if len(failures) else 0
    return (first + 1) / rate


def action_difference(actions: NDArray[np.float32]) -> float:
    """Return the mean squared difference of successive arm actions (T, 7) in units of the limits: 0 is smooth."""
    if len(actions) < 2:
        return 0.0
    limits = np.array([POSITION_LIMIT] * 3 + [ROTATION_LIMIT] * 3)
    return float(np.mean((np.diff(actions[:, :6].astype(np.float64), axis=0) / limits) ** 2))


def workspace_excess(objects: Sequence[NDArray[np.float64]], box: tuple[float, ...]) -> float | None:
    """Return how far, m, any object's position (T + 1, 3) went outside `box`; 0 for objects that stayed inside.

    None where there is no box, or where the simulator traces no objects.
    """
    if not objects or not box:
        return None
    low, high = np.array(box[:3]), np.array(box[3:])
    outside = [np.maximum(np.maximum(low - p, p - high), 0.0).max() for p in objects]
    return float(max(outside))


def _objects(episode: Episode) -> list[NDArray[np.float64]]:
    return [trace[:, :3] for name, trace in sorted(episode.traces.items()) if name.startswith(OBJECT_PREFIX)]


def reasons(episode: Episode, measurements: Measurements, config: FilterConfig) -> tuple[str, ...]:
    """Return why the episode is no demonstration, weightiest first; empty for a good one."""
    if episode.error is not None:
        return (ERROR,)
    excess = measurements["workspace_excess"]
    checks = {
        "no success at the end": config.success and not measurements["success"],
        "object left the workspace": excess is not None and excess > 0.0,
        "contact force too high": _above(measurements, "contact_force", config.max_contact_force),
        "success too late": _above(measurements, "time_to_success", config.max_time_to_success),
        "motion too rough": _above(measurements, "action_difference", config.max_action_difference),
        "too few steps": episode.length < config.min_steps,
    }
    return tuple(reason for reason, failed in checks.items() if failed)


def _above(measurements: Measurements, name: str, limit: float | None) -> bool:
    """Return whether a measurement exceeds its limit; a limit on what is not measured is refused."""
    if limit is None:
        return False
    value = measurements[name]
    if value is None and name == "contact_force":
        raise UserError(
            "filters: max_contact_force is set, but this simulator does not tell contact forces. Remove it."
        )
    return value is not None and value > limit


@dataclass
class FilterReport:
    """How many candidates were kept, and why the others were not."""

    candidates: int = 0
    kept: int = 0
    # Weightiest reason of each rejected candidate -> how many.
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, why: tuple[str, ...]) -> None:
        """Count one candidate by its reasons; none means that it is kept."""
        self.candidates += 1
        self.kept += not why
        self.rejected.update(why[:1])

    def merge(self, other: FilterReport) -> None:
        """Add the counts of another report."""
        self.candidates += other.candidates
        self.kept += other.kept
        self.rejected.update(other.rejected)

    @property
    def acceptance(self) -> float:
        """Share of the candidates that was kept; 0 before the first."""
        return self.kept / self.candidates if self.candidates else 0.0

    def to_json(self) -> dict[str, int | dict[str, int]]:
        """Return the report as it is stored."""
        return {"candidates": self.candidates, "kept": self.kept, "rejected": dict(sorted(self.rejected.items()))}

    @classmethod
    def from_json(cls, stored: Mapping[str, int | dict[str, int]]) -> FilterReport:
        """Return a stored report."""
        rejected, candidates, kept = stored["rejected"], stored["candidates"], stored["kept"]
        assert isinstance(rejected, dict)
        assert isinstance(candidates, int)
        assert isinstance(kept, int)
        return cls(candidates, kept, Counter(rejected))

    def text(self) -> str:
        """Return the report in one line: "kept 90 of 100; no success at the end 8, motion too rough 2"."""
        why = ", ".join(f"{reason} {count}" for reason, count in self.rejected.most_common())
        return f"kept {self.kept} of {self.candidates}" + (f"; {why}" if why else "")
