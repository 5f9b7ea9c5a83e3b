"""What training minimizes, and what validation measures in units that mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datagen.loader import Batch
from policies.vla.model import ARM, Prediction, spatial_softmax
from policies.vla.normalization import KEYFRAME_UNIT, Statistics


@dataclass(frozen=True)
class Targets:
    """What a batch asks for, as tensors."""

    # (B, H, 6) normalized arm actions, (B, H) 1 = open, (B, H) 1 = counts, (B, 3) in KEYFRAME_UNIT, and (B, 2, 2)
    # shares of the frame, NaN where not known.
    arm: Tensor
    gripper: Tensor
    mask: Tensor
    keyframe: Tensor
    points: Tensor


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    # Binary cross-entropy of the gripper.
    gripper: float = 0.2
    # Smooth L1 of the way to the next keyframe, an auxiliary task; 0 leaves it out.
    keyframe: float = 0.5
    # Cross-entropy of the points in the frame, another auxiliary task, where the data says where they are.
    ground: float = 0.1


def targets(batch: Batch, statistics: Statistics) -> Targets:
    """Return the targets of a batch."""
    return Targets(
        arm=torch.from_numpy(statistics.normalize_arm(batch.actions[..., :ARM])),
        gripper=torch.from_numpy((batch.actions[..., ARM] >= 0.5).astype(np.float32)),
        mask=torch.from_numpy(batch.mask.astype(np.float32)),
        keyframe=torch.from_numpy(batch.keyframe / np.float32(KEYFRAME_UNIT)),
        points=torch.from_numpy(batch.points),
    )


def loss_terms(predicted: Prediction, wanted: Targets) -> dict[str, Tensor]:
    """Return smooth L1 of the arm, cross-entropy of the gripper and smooth L1 of the keyframe, each a mean."""
    count = wanted.mask.sum()
    arm = functional.smooth_l1_loss(predicted.arm, wanted.arm, reduction="none").mean(dim=-1)
    gripper = functional.binary_cross_entropy_with_logits(predicted.gripper, wanted.gripper, reduction="none")
    return {
        "arm": (arm * wanted.mask).sum() / count,
        "gripper": (gripper * wanted.mask).sum() / count,
        "keyframe": functional.smooth_l1_loss(predicted.keyframe, wanted.keyframe),
        "ground": ground_loss(predicted.ground, wanted.points),
    }


def ground_loss(logits: Tensor, points: Tensor) -> Tensor:
    """Return the mean cross-entropy of maps (B, P, h, w) with the known ones of points (B, P, 2); without any, 0.

    A point is spread over the four cells around it so that the expected place of the four is the point itself.
    """
    known = torch.isfinite(points).all(dim=-1)
    if not known.any():
        return logits.sum() * 0.0
    height, width = logits.shape[-2:]
    columns, rows = _hats(points[known][:, 0], width), _hats(points[known][:, 1], height)
    spread = (rows[:, :, None] * columns[:, None, :]).flatten(1)
    return functional.cross_entropy(logits[known].flatten(1), spread)


def _hats(place: Tensor, cells: int) -> Tensor:
    """Return the weights (k, cells) of the two cells around each place (k,) in [0, 1]: cell centres are at the ends.

    The ends are 0 and 1, as in `spatial_softmax`, so the expected cell is the place.
    """
    centers = torch.arange(cells, dtype=place.dtype)
    weights = (1 - (place.clamp(0, 1)[:, None] * (cells - 1) - centers).abs()).clamp_min(0)
    return weights / weights.sum(dim=1, keepdim=True)


def total_loss(terms: dict[str, Tensor], weights: Weights) -> Tensor:
    """Return the weighted sum that is minimized."""
    said = terms["arm"] + weights.gripper * terms["gripper"]
    return said + weights.keyframe * terms["keyframe"] + weights.ground * terms["ground"]


def measures(predicted: Prediction, batch: Batch, statistics: Statistics) -> dict[str, float]:
    """Return sums over a batch, and their counts.

    TCP error (m) and gripper hits of the counted actions, keyframe error (m), error of the annotated points (shares of
    the frame).
    """
    arm = statistics.restore_arm(predicted.arm.numpy())
    off = np.linalg.norm(arm[..., :3] - batch.actions[..., :3], axis=-1)
    hit = (predicted.gripper.numpy() > 0) == (batch.actions[..., ARM] >= 0.5)
    way = predicted.keyframe.numpy() * KEYFRAME_UNIT - batch.keyframe
    places = (1 + spatial_softmax(predicted.ground).numpy().reshape(len(off), 2, -1).swapaxes(1, 2)) / 2
    missed = np.linalg.norm(places - batch.points, axis=-1)
    return {
        "position_error": float((off * batch.mask).sum()),
        "gripper_accuracy": float((hit & batch.mask).sum()),
        "keyframe_error": float(np.linalg.norm(way, axis=-1).sum()),
        "point_error": float(np.nansum(missed)),
        "actions": float(batch.mask.sum()),
        "points": float(np.isfinite(missed).sum()),
        "samples": float(len(batch.mask)),
    }
