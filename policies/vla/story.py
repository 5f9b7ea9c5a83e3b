"""What a learning curve says, in words: diverging, over-fitting, still learning, or done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.errors import UserError

Entry = Mapping[str, Any]
"""A line of curve.jsonl: "step" with the means of loss terms, or with "validation"."""

WINDOW = 5
"""Entries whose mean counts as the loss of now."""

BLOWN = 10.0
"""Factor over the lowest loss at which a training has diverged, and the smallest loss from which that is asked."""

RISE = 1.05
"""Factor over the lowest validation loss that is more than chance."""

STILL = 0.97
"""Factor below the validation before that says that more steps would help."""


def losses(curve: Sequence[Entry]) -> list[tuple[int, float]]:
    """Return (step, training loss) of the curve."""
    return [(int(entry["step"]), float(entry["loss"])) for entry in curve if "loss" in entry]


def validations(curve: Sequence[Entry], shares: Mapping[str, float]) -> list[tuple[int, float]]:
    """Return (step, validation loss): the mean over the sources that validate, weighted by their shares."""
    found = []
    for entry in curve:
        by_source = entry.get("validation") or {}
        total = sum(shares[name] for name in by_source)
        if total:
            mean = sum(shares[name] * float(values["loss"]) for name, values in by_source.items()) / total
            found.append((int(entry["step"]), mean))
    return found


def check_divergence(curve: Sequence[Entry], *, learning_rate: float) -> None:
    """Refuse to go on with a training whose loss went up tenfold and stayed there."""
    found = losses(curve)
    if len(found) < 2 * WINDOW:
        return
    now = [loss for _, loss in found[-WINDOW:]]
    step, lowest = min(found[:-WINDOW], key=lambda pair: pair[1])
    if min(now) > BLOWN * max(abs(lowest), 1e-3):
        raise UserError(
            f"The training diverged: the loss was {lowest:.3g} at step {step} and is above {min(now):.3g} since step "
            f"{found[-WINDOW][0]}. Lower learning_rate (it is {learning_rate:g}) and choose another `out`."
        )


def stale(curve: Sequence[Entry], shares: Mapping[str, float], *, patience: int) -> bool:
    """Return whether the last `patience` validations all stayed above the lowest one before."""
    found = [loss for _, loss in validations(curve, shares)]
    return len(found) > patience and min(found[-patience:]) >= min(found[:-patience])


def tell(curve: Sequence[Entry], shares: Mapping[str, float]) -> tuple[str, ...]:
    """Return what the curve says, one sentence each; nothing where it says nothing."""
    trained, validated = losses(curve), validations(curve, shares)
    if not validated:
        return ("No source has a validation split: whether the network over-fits is not known.",)
    if len(validated) < 2:
        return ()
    best = min(range(len(validated)), key=lambda k: validated[k][1])
    (step, lowest), (last_step, last) = validated[best], validated[-1]
    if last > RISE * lowest:
        told = f"Over-fitting: the validation loss was lowest at step {step} ({lowest:.3g})"
        told += f" and is {last:.3g} at step {last_step}"
        since = [loss for at, loss in trained if at >= step]
        if since and since[-1] < since[0]:
            told += f", while the training loss fell from {since[0]:.3g} to {since[-1]:.3g}"
        return (
            f"{told}. More demonstrations, stronger variation or fewer steps would help; patience = 2 stops early.",
        )
    if last < STILL * validated[-2][1]:
        return (
            f"Still learning: the validation loss fell from {validated[-2][1]:.3g} to {last:.3g} at the last look.",
        )
    return ()
