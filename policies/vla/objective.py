"""What training minimizes, and what validation measures in units that mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datagen.arrays import Batch
from policies.vla.heads import as_head
from policies.vla.kinds import HeadKind
from policies.vla.model import VlaModel
from policies.vla.normalization import KEYFRAME_UNIT, Statistics
from policies.vla.shape import ARM, Inputs, Prediction, Seen, Targets
from policies.vla.vision import spatial_softmax


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    # What the head says of the arm; see `weights_of`.
    arm: float = 1.0
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
        wrist_points=torch.from_numpy(batch.wrist_points),
    )


def weights_of(head: HeadKind) -> Weights:
    """Return how much each term counts under a head: cross-entropy of many bins is ten times as large as the rest."""
    return Weights(arm=0.1) if head == "bins" else Weights()


@dataclass(frozen=True)
class Counts:
    """What sums of losses are divided by: those of a whole step, of which a process or a pass sees a part."""

    # Actions that count, samples, and annotated points that are known, in the frame and in the wrist camera's.
    actions: float
    samples: float
    points: float
    wrist_points: float

    def tensor(self) -> Tensor:
        """Return them as (4,), to be summed."""
        return torch.tensor([self.actions, self.samples, self.points, self.wrist_points], dtype=torch.float64)


def counts_of(wanted: Targets) -> Counts:
    """Return what a batch counts."""
    known = [float(torch.isfinite(points).all(dim=-1).sum()) for points in (wanted.points, wanted.wrist_points)]
    return Counts(float(wanted.mask.sum()), float(len(wanted.mask)), *known)


def loss_terms(model: VlaModel, seen: Seen, inputs: Inputs, counts: Counts) -> dict[str, Tensor]:
    """Return the head's losses of arm and gripper, smooth L1 of the keyframe and cross-entropy of the points.

    Each is this batch's part of the mean over what `counts` says: with the counts of the batch itself, the mean.
    """
    losses = as_head(model.head).losses(seen.context, inputs)
    wanted = inputs.wanted
    keyframe = functional.smooth_l1_loss(seen.keyframe, wanted.keyframe)
    ground = ground_loss(seen.ground, wanted.points, total=counts.points)
    if model.config.wrist_size:
        ground = ground + ground_loss(seen.wrist_ground, wanted.wrist_points, total=counts.wrist_points)
    return {
        "arm": losses.arm / counts.actions,
        "gripper": losses.gripper / counts.actions,
        "keyframe": keyframe * (len(wanted.keyframe) / counts.samples),
        "ground": ground,
    }


def ground_loss(logits: Tensor, points: Tensor, *, total: float | None = None) -> Tensor:
    """Return the mean cross-entropy of maps (B, P, h, w) with the known ones of points (B, P, 2); without any, 0.

    A point is spread over the four cells around it so that the expected place of the four is the point itself. With
    `total` known points in the whole step, it is this batch's part of their mean.
    """
    known = torch.isfinite(points).all(dim=-1)
    if not known.any():
        return logits.sum() * 0.0
    height, width = logits.shape[-2:]
    columns, rows = _hats(points[known][:, 0], width), _hats(points[known][:, 1], height)
    spread = (rows[:, :, None] * columns[:, None, :]).flatten(1)
    part = 1.0 if total is None else len(spread) / total
    return functional.cross_entropy(logits[known].flatten(1), spread) * part


def _hats(place: Tensor, cells: int) -> Tensor:
    """Return the weights (k, cells) of the two cells around each place (k,) in [0, 1]: cell centres are at the ends.

    The ends are 0 and 1, as in `spatial_softmax`, so the expected cell is the place.
    """
    centers = torch.arange(cells, dtype=place.dtype, device=place.device)
    weights = (1 - (place.clamp(0, 1)[:, None] * (cells - 1) - centers).abs()).clamp_min(0)
    return weights / weights.sum(dim=1, keepdim=True)


def total_loss(terms: dict[str, Tensor], weights: Weights) -> Tensor:
    """Return the weighted sum that is minimized."""
    said = weights.arm * terms["arm"] + weights.gripper * terms["gripper"]
    return said + weights.keyframe * terms["keyframe"] + weights.ground * terms["ground"]


def measures(predicted: Prediction, batch: Batch, statistics: Statistics) -> dict[str, float]:
    """Return sums over a batch, and their counts.

    TCP error (m) and gripper hits of the counted actions, keyframe error (m), error of the annotated points (shares of
    the frame).
    """
    predicted = Prediction(*(part.float().cpu() for part in predicted))
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
