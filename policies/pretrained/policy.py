"""A fine-tuned model as a policy: frames, sentences and states of any number of worlds to chunks of actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datagen.downscale import downscale
from policies.pretrained.checkpoint import PretrainedCheckpoint, load_checkpoint
from policies.pretrained.families import ACTION, FamilyOptions, Seen, restored
from policies.vla.precision import arithmetic, prepared
from sim.conventions import ARM_LIMITS
from sim.episodes import Ids, Observation, PolicySpec
from sim.errors import UserError
from sim.jobs import from_mapping

_LIMITS = np.array(ARM_LIMITS)


class PretrainedPolicy:
    """A fine-tuned model that acts."""

    def __init__(
        self,
        checkpoint: PretrainedCheckpoint,
        *,
        name: str,
        execute: int | None = None,
        instruction: str | None = None,
        dtype: str = "fp32",
    ) -> None:
        """Execute `execute` actions of each chunk (unset: half of them); an `instruction` replaces the worlds' own."""
        chunk = checkpoint.family.chunk
        steps = max(1, chunk // 2) if execute is None else execute
        if not 1 <= steps <= chunk:
            raise UserError(f"execute = {execute} is not allowed. Allowed: 1 to {chunk}, the actions of a chunk.")
        self.spec = PolicySpec(
            name=name,
            convention=checkpoint.convention,
            inputs=checkpoint.family.inputs,
            chunk=chunk,
            execute=steps,
            digest=checkpoint.digest,
            record=checkpoint.record,
        )
        self.checkpoint, self.instruction, self.dtype = checkpoint, instruction, dtype
        self._size = from_mapping(checkpoint.record["options"], FamilyOptions, where=name).image_size
        if dtype == "int8":
            _eight_bits(checkpoint)

    def reset(self, ids: Ids) -> None:
        """It remembers nothing."""

    @torch.no_grad()
    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return chunks (k, chunk, 7) of canonical actions within their limits; the gripper is 0 or 1."""
        sentences = observation.instructions
        if self.instruction is not None:
            sentences = (self.instruction,) * len(sentences)
        statistics = self.checkpoint.statistics
        state = statistics.normalize_state(np.asarray(observation.state, dtype=np.float32))
        seen = Seen(downscale(observation.render("image"), self._size), sentences, state)
        with arithmetic(self.dtype):
            actions = restored(self.checkpoint.family.act(seen), statistics)
        limited = np.clip(actions[..., : ACTION - 1], -_LIMITS, _LIMITS)
        return np.concatenate([limited, actions[..., ACTION - 1 :]], axis=-1)


def _eight_bits(checkpoint: PretrainedCheckpoint) -> None:
    """Fold the adapters into the model and give its linear layers 8-bit weights, in place; this needs the CPU."""
    parts: Any = checkpoint.family.anatomy
    if next(parts.model.parameters()).device.type != "cpu":
        raise UserError("dtype=int8 is for the CPU. On a GPU leave dtype unset, or fine-tune with dtype = 'bf16'.")
    model = parts.model if checkpoint.adapted is None else checkpoint.adapted.merge_and_unload()
    for name, child in list(model.float().named_children()):
        setattr(model, name, prepared(child, "int8"))


def load_pretrained(
    folder: Path,
    *,
    execute: int | None = None,
    instruction: str | None = None,
    name: str | None = None,
    dtype: str | None = None,
    base: str | None = None,
    remote_code: bool = False,
) -> PretrainedPolicy:
    """Return the policy of the checkpoint in `folder` that `demomill finetune` wrote."""
    return PretrainedPolicy(
        load_checkpoint(folder, base=base, remote_code=remote_code),
        name=name or f"pretrained:{folder.name}",
        execute=execute,
        instruction=instruction,
        dtype=dtype or "fp32",
    )
