"""Which episodes are good demonstrations: named measurements, limits on some of them, and a report by reason.

Every measurement is stored with every kept episode, whether or not a limit stands on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from datagen.measurements import Measurement, Measurements
from sim.episodes import Episode
from sim.errors import UserError
from sim.ranges import WHOLE, require

ERROR = "simulation error"
"""The reason of an episode whose simulation cannot be trusted; no limit turns it off."""

FAILED = "no success at the end"
"""The reason of an episode that did not do its task."""

DUPLICATE = "start nearly as before"
"""The reason of an episode that begins almost like an earlier one of its split."""

START_RANGE = 0.02
"""Distance beyond which two starts count as different without being measured, m."""


LARGEST = ("max_time_to_success", "max_action_difference", "max_contact_force", "max_object_speed", "max_drop_height")
"""Limits on what is never negative."""


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
    # Largest speed of an object between two control steps, m/s: faster, it was thrown.
    max_object_speed: float | None = None
    # Largest height that an object may fall without the hand, m.
    max_drop_height: float | None = None
    # Least height of hand and fingers above the table top at any step, m: below 0 they pressed into it.
    min_table_clearance: float | None = None
    # Least distance between parts of the arm that may meet, m: below 0 they met.
    min_self_clearance: float | None = None
    # Least distance of the start from that of every earlier episode of the split, m; at most 0.02.
    min_start_distance: float | None = None
    # Fewest steps of an episode.
    min_steps: int = 2
    # The box that objects must stay in, base frame, m: lower x, y, z, then upper x, y, z. Empty: anywhere.
    workspace: tuple[float, ...] = (0.1, -0.65, -0.3, 1.0, 0.65, 1.3)

    def __post_init__(self) -> None:
        require(self, dict.fromkeys(LARGEST, WHOLE) | {"min_steps": WHOLE}, part="filters")
        if len(self.workspace) not in (0, 6):
            raise UserError(
                f"filters: workspace = {list(self.workspace)} has {len(self.workspace)} numbers. Write six: lower x, "
                "y, z, then upper x, y, z, in metres; or none, to let objects go anywhere."
            )
        if any(low >= high for low, high in zip(self.workspace[:3], self.workspace[3:], strict=True)):
            raise UserError(
                f"filters: workspace = {list(self.workspace)} holds nothing: each of the lower x, y, z, which come "
                "first, must be below its upper one, in metres."
            )
        if self.min_start_distance is not None and not 0.0 < self.min_start_distance <= START_RANGE:
            raise UserError(
                f"filters: min_start_distance = {self.min_start_distance} is not allowed. Allowed: above 0 and at most "
                f"{START_RANGE} m, as far as starts are compared; or none, to keep every start."
            )


def reasons(episode: Episode, measurements: Measurements, config: FilterConfig) -> tuple[str, ...]:
    """Return why the episode is no demonstration, weightiest first; empty for a good one."""
    if episode.error is not None:
        return (ERROR,)
    excess = measurements["workspace_excess"]
    checks = {
        FAILED: config.success and not measurements["success"],
        "object left the workspace": excess is not None and excess > 0.0,
        "object thrown": _above(measurements, "object_speed", config.max_object_speed),
        "object dropped": _above(measurements, "drop_height", config.max_drop_height),
        "hand pressed into the table": _below(measurements, "table_clearance", config.min_table_clearance),
        "arm met itself": _below(measurements, "self_clearance", config.min_self_clearance),
        "contact force too high": _above(measurements, "contact_force", config.max_contact_force),
        "success too late": _above(measurements, "time_to_success", config.max_time_to_success),
        "motion too rough": _above(measurements, "action_difference", config.max_action_difference),
        "too few steps": episode.length < config.min_steps,
    }
    return tuple(reason for reason, failed in checks.items() if failed)


def _above(measurements: Measurements, name: str, limit: float | None) -> bool:
    """Return whether a measurement exceeds its limit."""
    value = _limited(measurements, name, f"max_{name}", limit)
    return limit is not None and value is not None and value > limit


def _below(measurements: Measurements, name: str, limit: float | None) -> bool:
    """Return whether a measurement falls short of its limit."""
    value = _limited(measurements, name, f"min_{name}", limit)
    return limit is not None and value is not None and value < limit


def _limited(measurements: Measurements, name: str, key: str, limit: float | None) -> Measurement:
    """Return a measurement; a limit on what the simulator does not tell is refused."""
    value = measurements[name]
    if value is None and limit is not None and name in SIMULATOR_TELLS:
        raise UserError(f"filters: {key} is set, but this simulator does not tell {SIMULATOR_TELLS[name]}. Remove it.")
    return value


SIMULATOR_TELLS = {
    "contact_force": "contact forces",
    "table_clearance": "the height of the table",
    "self_clearance": "the arm's joints",
    "object_speed": "where objects are",
    "drop_height": "where objects are",
}
"""Measurements that need a trace that not every simulator gives."""


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

    def reject(self, reason: str) -> None:
        """Count a candidate that was kept as rejected after all."""
        self.kept -= 1
        self.rejected[reason] += 1

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
