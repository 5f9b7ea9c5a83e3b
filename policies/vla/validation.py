"""What a model does on validation steps, source by source, in metres and shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch

from policies.vla.feed import Feed
from policies.vla.heads import as_head
from policies.vla.model import VlaModel
from policies.vla.objective import counts_of, loss_terms, measures, total_loss, weights_of
from policies.vla.shape import Prediction

Metrics = Mapping[str, Mapping[str, float]]
"""Source name -> {"loss", "position_error" m per step, "gripper_accuracy", "keyframe_error" m, "samples"};
where points are annotated, also "point_error" as a share of the frame's width."""


@torch.no_grad()
def validate(model: VlaModel, feed: Feed, *, limit: int) -> dict[str, dict[str, float]]:
    """Return the metrics of each source that has a validation split, over at most `limit` of its steps."""
    model.eval()
    device = str(next(model.parameters()).device)
    sums: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for source, batch in feed.data.validation_batches(feed.preset.batch, limit=limit):
        inputs = feed.plain(batch)
        shown = inputs.to(device)
        seen = model.perceive(shown.pixels, shown.words, shown.state, shown.near)
        terms = loss_terms(model, seen, shown, counts_of(inputs.wanted))
        loss = total_loss(terms, weights_of(model.config.head)).item()
        arm, gripper = as_head(model.head).decode(seen.context, shown.noise)
        found = measures(Prediction(arm, gripper, seen.keyframe, seen.ground), batch, feed.statistics)
        sums[source]["loss"] += loss * found["samples"]
        for name, value in found.items():
            sums[source][name] += value
    model.train()
    return {feed.data.sources[source].name: _means(total) for source, total in sums.items()}


def _means(total: Mapping[str, float]) -> dict[str, float]:
    points = {"point_error": total["point_error"] / total["points"]} if total["points"] else {}
    return {
        "loss": total["loss"] / total["samples"],
        "position_error": total["position_error"] / total["actions"],
        "gripper_accuracy": total["gripper_accuracy"] / total["actions"],
        "keyframe_error": total["keyframe_error"] / total["samples"],
        **points,
        "samples": total["samples"],
    }
