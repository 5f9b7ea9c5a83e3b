"""A trained VLA as a policy: frames, sentences and states of any number of worlds to chunks of canonical actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from datagen.downscale import downscale
from policies.vla.checkpoint import VlaCheckpoint, load_checkpoint
from policies.vla.fingers import FingerMotion
from policies.vla.pixels import to_pixels
from policies.vla.precision import arithmetic, prepared
from policies.vla.shape import ARM
from sim.conventions import ARM_LIMITS
from sim.episodes import WRIST, Ids, Observation, PolicySpec
from sim.errors import UserError
from sim.streams import generator

BATCH = 4
"""Worlds per pass of the network: always so many, so that an action does not depend on how many worlds there are."""

EXECUTE = 2
"""Actions of a chunk that are executed before the policy is asked again, unless it is told otherwise."""

FRAMES = ("pixels", "near")
"""What of the network's inputs are frames."""

_LIMITS = np.array(ARM_LIMITS)


class VlaPolicy:
    """A VLA checkpoint that acts."""

    def __init__(
        self,
        checkpoint: VlaCheckpoint,
        *,
        name: str,
        execute: int = EXECUTE,
        instruction: str | None = None,
        dtype: str = "fp32",
    ) -> None:
        """Execute `execute` actions of each chunk; an `instruction`, also a blank one, replaces every world's own.

        `dtype` is the arithmetic: "fp32", "bf16" or "int8" (policies/vla/precision.py).
        """
        chunk, self._wrist_size = checkpoint.model.config.chunk, checkpoint.model.config.wrist_size
        if not 1 <= execute <= chunk:
            raise UserError(f"execute = {execute} is not allowed. Allowed: 1 to {chunk}, the actions of a chunk.")
        self.spec = PolicySpec(
            name=name,
            convention=checkpoint.convention,
            inputs=frozenset({"image", "state", "instruction", *([WRIST] if self._wrist_size else [])}),
            chunk=chunk,
            execute=execute,
            digest=checkpoint.digest,
            record=checkpoint.record,
        )
        self.checkpoint, self.instruction, self.dtype = checkpoint, instruction, dtype
        self._fingers = FingerMotion() if checkpoint.model.config.finger_motion else None
        self._model = prepared(checkpoint.model, dtype)
        # 8-bit activations share one scale per pass: worlds that shared a pass would change each other's actions.
        self._batch = 1 if dtype == "int8" else BATCH

    def reset(self, ids: Ids) -> None:
        """Forget how the fingers of these worlds moved; there is nothing else that it remembers."""
        if self._fingers is not None:
            self._fingers.forget(ids)

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return chunks (k, chunk, 7) of canonical actions within their limits; the gripper is 0 or 1."""
        told, count, size = self._told(observation), len(observation.ids), self._batch
        passes = [self._pass({name: row[k : k + size] for name, row in told.items()}) for k in range(0, count, size)]
        arm, logits = (np.concatenate(parts) for parts in zip(*passes, strict=True))
        actions = np.clip(self.checkpoint.statistics.restore_arm(arm), -_LIMITS, _LIMITS)
        return np.concatenate([actions, (logits > 0).astype(np.float64)[..., None]], axis=-1)

    def _told(self, observation: Observation) -> dict[str, NDArray[Any]]:
        """Return what the network is given of each world, (k, ...) under the names of `VlaModel.forward`."""
        sentences = observation.instructions
        if self.instruction is not None:
            sentences = (self.instruction,) * len(sentences)
        state = np.asarray(observation.state, dtype=np.float32)
        motion = self._fingers.measure(observation.ids, observation.steps, state) if self._fingers else None
        told: dict[str, NDArray[Any]] = {
            "pixels": downscale(observation.render("image"), self.checkpoint.model.config.image_size),
            "words": self.checkpoint.read(sentences),
            "state": self.checkpoint.statistics.network_state(state, motion),
            "noise": self._noise(state, sentences),
        }
        if self._wrist_size:
            told["near"] = downscale(observation.render(WRIST), self._wrist_size)
        return told

    @torch.inference_mode()
    def _pass(self, told: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return normalized arm actions (k, chunk, 6) and gripper logits (k, chunk) of as many worlds as a pass holds.

        Missing rows repeat the first.
        """
        count = len(told["pixels"])
        rows = np.arange(self._batch) % count
        given = {
            name: to_pixels(values[rows]) if name in FRAMES else torch.from_numpy(values[rows])
            for name, values in told.items()
        }
        with arithmetic(self.dtype):
            said = self._model(**given)
        return said.arm.float().numpy()[:count], said.gripper.float().numpy()[:count]

    def _noise(self, state: NDArray[np.float32], sentences: Sequence[str]) -> NDArray[np.float32]:
        """Return what the head "flow" starts from (k, chunk, 7): drawn from what a world shows, and from that alone.

        So an action depends neither on other worlds nor on calls before, and a server gives the same.
        """
        size = (self.spec.chunk, ARM + 1)
        if self.checkpoint.model.config.head != "flow":
            return np.zeros((len(state), *size), np.float32)
        keys = [np.asarray(row, np.float32).tobytes().hex() for row in state]
        streams = [generator(0, "vla", "act", key, said) for key, said in zip(keys, sentences, strict=True)]
        return np.stack([stream.standard_normal(size, dtype=np.float32) for stream in streams])


def load_vla(
    folder: Path,
    *,
    execute: int | None = None,
    instruction: str | None = None,
    name: str | None = None,
    dtype: str | None = None,
) -> VlaPolicy:
    """Return the policy of the VLA checkpoint in `folder`."""
    return VlaPolicy(
        load_checkpoint(folder),
        name=name or f"vla:{folder.name}",
        execute=EXECUTE if execute is None else execute,
        instruction=instruction,
        dtype=dtype or "fp32",
    )
