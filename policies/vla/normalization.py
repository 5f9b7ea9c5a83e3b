"""Normalization of state and action, and its inverse, from one set of figures with a fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.arrays import Arrays
from datagen.loader import LoadedMixture
from datagen.mixture import Normalization
from sim.errors import UserError
from sim.files import digest_json

KEYFRAME_UNIT = 0.1
"""Metres for a keyframe target of 1."""

MOTION_UNIT = 0.05
"""Change of the opening over `FINGER_STEPS` steps, as a fraction, for a finger motion of 1."""

_STATE_FLOOR = (0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02, 0.05)
_ARM_FLOOR = (0.001, 0.001, 0.001, 0.005, 0.005, 0.005)
"""Smallest standard deviations used (m, quaternion, opening; m, rad): what hardly varies must not be blown up."""

_CLIP = 5.0
"""Normalized states beyond so many standard deviations are cut: the network never saw any."""


METHODS: tuple[Normalization, ...] = ("mean_std", "quantiles")


@dataclass(frozen=True)
class Statistics:
    """Centre and scale of the canonical state (8) and of the arm's part of the action (6).

    With "mean_std" they are mean and standard deviation; with "quantiles" the middle between the 1st and the 99th
    percentile and half their distance, so that those two become -1 and 1.
    """

    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    arm_mean: tuple[float, ...]
    arm_std: tuple[float, ...]
    method: Normalization = "mean_std"

    @property
    def fingerprint(self) -> str:
        """Digest of the figures: a checkpoint whose figures were altered is refused."""
        figures = asdict(self)
        if self.method == "mean_std":  # As it was before there was a choice.
            del figures["method"]
        return digest_json(figures)

    def normalize_state(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return states (..., 8) with centre 0 and scale 1, cut at 5."""
        scaled = (state - _row(self.state_mean)) / _row(self.state_std)
        return np.clip(scaled, -_CLIP, _CLIP)

    def network_state(
        self, state: NDArray[np.float32], finger_motion: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Return what a network reads of states (k, 8) and, where it reads that too, of their finger motions (k,).

        A motion is a change of the opening, in units of `MOTION_UNIT` whatever the data: resting fingers are 0.
        """
        normalized = self.normalize_state(state)
        if finger_motion is None:
            return normalized
        motion = np.clip(finger_motion / np.float32(MOTION_UNIT), -_CLIP, _CLIP)
        return np.concatenate([normalized, motion[:, None]], axis=1)

    def normalize_arm(self, arm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return arm actions (..., 6) with centre 0 and scale 1."""
        scaled: NDArray[np.float32] = (arm - _row(self.arm_mean)) / _row(self.arm_std)
        return scaled

    def restore_arm(self, normalized: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return arm actions (..., 6) in m and rad: the inverse of `normalize_arm`."""
        arm: NDArray[np.float64] = normalized.astype(np.float64) * np.array(self.arm_std) + np.array(self.arm_mean)
        return arm


def _row(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def mixture_statistics(data: LoadedMixture) -> Statistics:
    """Return the statistics of the training samples as the mixture draws them."""
    shares = data.mixture.shares
    measure = _pooled if data.normalization == "mean_std" else _quantiles
    state_mean, state_std = measure([arrays.state for arrays in data.train], shares)
    arm_mean, arm_std = measure([_arm(arrays) for arrays in data.train], shares)
    return Statistics(
        state_mean=tuple(state_mean.tolist()),
        state_std=tuple(np.maximum(state_std, _STATE_FLOOR).tolist()),
        arm_mean=tuple(arm_mean.tolist()),
        arm_std=tuple(np.maximum(arm_std, _ARM_FLOOR).tolist()),
        method=data.normalization,
    )


def _arm(arrays: Arrays) -> NDArray[np.float32]:
    return arrays.action[:, :6]


def _pooled(
    parts: list[NDArray[np.float32]], shares: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation (d,) of the mixture of `parts` (n, d), each weighted by its share."""
    means = np.array([part.mean(axis=0, dtype=np.float64) for part in parts])
    squares = np.array([(part.astype(np.float64) ** 2).mean(axis=0) for part in parts])
    weight = np.array(shares)[:, None]
    mean = (weight * means).sum(axis=0)
    return mean, np.sqrt(np.maximum((weight * squares).sum(axis=0) - mean**2, 0.0))


def _quantiles(
    parts: list[NDArray[np.float32]], shares: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of the 1st and 99th percentile (d,) of the mixture of `parts` (n, d), and half their distance.

    Every row weighs its source's share divided by the rows of its source.
    """
    weight = np.concatenate([np.full(len(part), share / len(part)) for part, share in zip(parts, shares, strict=True)])
    values = np.concatenate(parts).astype(np.float64)
    order = np.argsort(values, axis=0, kind="stable")
    reached = np.cumsum(weight[order], axis=0)
    ends = []
    for quantile in (0.01, 0.99):
        place = np.minimum((reached < quantile - 1e-9).sum(axis=0), len(values) - 1)
        ends.append(np.take_along_axis(values, np.take_along_axis(order, place[None], axis=0), axis=0)[0])
    return (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2


def statistics_from_json(stored: Mapping[str, Any], *, fingerprint: str, source: str) -> Statistics:
    """Return the statistics stored in `source`; figures that do not match their fingerprint are refused."""
    try:
        names = [name for name in Statistics.__dataclass_fields__ if name != "method"]
        values = {name: tuple(float(x) for x in stored[name]) for name in names}
        method: Normalization = METHODS[METHODS.index(stored.get("method", "mean_std"))]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: the normalization statistics are not complete ({error!r}).") from error
    statistics = Statistics(**values, method=method)
    if statistics.fingerprint != fingerprint:
        raise UserError(
            f"{source}: the normalization statistics were altered: their fingerprint is {statistics.fingerprint}, and "
            f"the checkpoint was trained with {fingerprint}. A policy that un-normalizes with other figures acts "
            "wrongly without any error, so it is not loaded. Restore the original file, or train again."
        )
    return statistics
