"""What a fine-tuned model does on validation steps, source by source, in metres and shares."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch

from policies.pretrained.families import ARM, Family, restored
from policies.pretrained.feed import PretrainedFeed


@torch.no_grad()
def validate(family: Family, feed: PretrainedFeed, *, batch: int, limit: int) -> dict[str, dict[str, float]]:
    """Return the metrics of each source that has a validation split, over at most `limit` of its steps.

    The errors are those of actions as the policy would say them, not of the likeliest next token.
    """
    family.anatomy.model.eval()
    sums: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for source, samples in feed.data.validation_batches(batch, limit=limit):
        seen, wanted, mask = feed.plain(samples)
        said = restored(family.act(seen), feed.statistics)
        off = np.linalg.norm(said[..., :3] - samples.actions[..., :3], axis=-1)
        hit = said[..., ARM] == (samples.actions[..., ARM] >= 0.5)
        total = sums[source]
        total["loss"] += family.loss(seen, wanted, mask, seed=int(total["samples"])).item() * len(mask)
        total["position_error"] += float((off * mask).sum())
        total["gripper_accuracy"] += float((hit & mask).sum())
        total["actions"] += float(mask.sum())
        total["samples"] += len(mask)
    return {feed.data.sources[source].name: _means(total) for source, total in sums.items()}


def _means(total: dict[str, float]) -> dict[str, float]:
    return {
        "loss": total["loss"] / total["samples"],
        "position_error": total["position_error"] / total["actions"],
        "gripper_accuracy": total["gripper_accuracy"] / total["actions"],
        "samples": total["samples"],
    }
