"""What training minimizes, and what validation measures in units that mean something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from datagen.loader import Batch
from policies.vla.model import ARM, Prediction
from policies.vla.normalization import KEYFRAME_UNIT, Statistics


@dataclass(frozen=True)
class Targets:
    """What a batch asks for, as tensors."""

    # (B, H, 6) normalized arm actions, (B, H) 1 = open, (B, H) 1 = counts, (B, 3) in KEYFRAME_UNIT.
    arm: Tensor
    gripper: Tensor
    mask: Tensor
    keyframe: Tensor


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    # Binary cross-entropy of the gripper.
    gripper: float = 0.2
    # Smooth L1 of the way to the next keyframe, an auxiliary task; 0 leaves it out.
    keyframe: float = 0.5


def targets(batch: Batch, statistics: Statistics) -> Targets:
    """Return the targets of a batch."""
    return Targets(
        arm=torch.from_numpy(statistics.normalize_arm(batch.actions[..., :ARM])),
        gripper=torch.from_numpy((batch.actions[..., ARM] >= 0.5).astype(np.float32)),
        mask=torch.from_numpy(batch.mask.astype(np.float32)),
        keyframe=torch.from_numpy(batch.keyframe / np.float32(KEYFRAME_UNIT)),
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
    }


def total_loss(terms: dict[str, Tensor], weights: Weights) -> Tensor:
    """Return the weighted sum that is minimized."""
    return terms["arm"] + weights.gripper * terms["gripper"] + weights.keyframe * terms["keyframe"]


def measures(predicted: Prediction, batch: Batch, statistics: Statistics) -> dict[str, float]:
    """Return sums over a batch: TCP error (m) and gripper hits of the counted actions, keyframe error (m), counts."""
    arm = statistics.restore_arm(predicted.arm.numpy())
    off = np.linalg.norm(arm[..., :3] - batch.actions[..., :3], axis=-1)
    hit = (predicted.gripper.numpy() > 0) == (batch.actions[..., ARM] >= 0.5)
    way = predicted.keyframe.numpy() * KEYFRAME_UNIT - batch.keyframe
    return {
        "position_error": float((off * batch.mask).sum()),
        "gripper_accuracy": float((hit & batch.mask).sum()),
        "keyframe_error": float(np.linalg.norm(way, axis=-1).sum()),
        "actions": float(batch.mask.sum()),
        "samples": float(len(batch.mask)),
    }
