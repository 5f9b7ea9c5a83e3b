"""Of the networks that a training of an expert brought, the one that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from policies.evaluate_expert import ExpertScore

MEASURED = "physical"
"""Preset under which every expert is measured; experts see no pixels."""


def better(names: Iterable[str], score: Callable[[str, str], ExpertScore], *, trained_in: str) -> str:
    """Return the name of the network that does best, where `score` measures one under a preset.

    They are compared in worlds like those of the training and, where those are disturbed, in calm ones as well: what a
    network learns there must not cost what it could do before. The smoother one wins a tie.
    """
    presets = dict.fromkeys((MEASURED, trained_in))

    def merit(name: str) -> tuple[float, float]:
        scores = [score(name, preset) for preset in presets]
        return sum(s.success.value for s in scores), -sum(s.action_change for s in scores)

    return max(names, key=merit)
