"""The two ways in which a pretrained model says actions: as tokens (OpenVLA), or by flow matching (pi0)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from policies.pretrained.anatomy import FLOW, Anatomy, anatomy
from policies.pretrained.base import Base
from policies.vla.normalization import Statistics
from sim.errors import UserError
from sim.streams import generator

ARM, ACTION = 6, 7
"""Numbers of an action that move the arm, and all of them."""


@dataclass(frozen=True)
class FamilyOptions:
    """What decides how a pretrained model is asked; it stands in the checkpoint."""

    # Actions per answer; None takes what the model was built for.
    chunk: int | None
    # Whether the state is told as tokens too.
    read_state: bool
    # Empty takes the family's own.
    prompt: str
    # Frames that the model's image processor is given, pixels.
    image_size: int


@dataclass(frozen=True)
class Seen:
    """What B worlds show a model."""

    # (B, px, px, 3) u8 RGB, one sentence per world, (B, 8) state with its 1st and 99th percentile at -1 and 1.
    images: NDArray[np.uint8]
    sentences: tuple[str, ...]
    state: NDArray[np.float32]

    def rows(self, start: int, stop: int) -> Seen:
        """Return the worlds from `start` to before `stop`."""
        return Seen(self.images[start:stop], self.sentences[start:stop], self.state[start:stop])


class Family(Protocol):
    """A pretrained model that can be taught actions, and asked for them."""

    anatomy: Anatomy
    # Actions per answer.
    chunk: int
    # Parts of the observation that it reads.
    inputs: frozenset[str]

    def loss(self, seen: Seen, actions: NDArray[np.float32], mask: NDArray[np.bool_], *, seed: int) -> Tensor:
        """Return the mean loss of actions (B, chunk, 7) in [-1, 1] where mask (B, chunk) counts them.

        Whatever is drawn depends on `seed` alone.
        """

    def act(self, seen: Seen) -> NDArray[np.float32]:
        """Return actions (B, chunk, 7), about in [-1, 1], for B worlds; each depends on its own world alone."""


def family(base: Base, options: FamilyOptions) -> Family:
    """Return the family of a pretrained model."""
    from policies.pretrained.flow_family import FlowFamily
    from policies.pretrained.token_family import TokenFamily

    parts = anatomy(base.model)
    return FlowFamily(base, parts, options) if base.identity.model_type == FLOW else TokenFamily(base, parts, options)


def prompted(prompt: str, sentence: str, *, mark: str) -> str:
    """Return the prompt of one world; `mark` is the model's image token. OpenVLA's sentences are in small letters."""
    plain = sentence.strip().lower().rstrip(".")
    return prompt.replace("{image}", mark).replace("{instruction}", plain).replace("{sentence}", sentence.strip())


def normalized(actions: NDArray[np.float32], statistics: Statistics) -> NDArray[np.float32]:
    """Return canonical actions (..., 7) as models say them: the arm normalized, the gripper -1 closed or 1 open."""
    gripper = 2 * (actions[..., ARM:] >= 0.5).astype(np.float32) - 1
    return np.concatenate([statistics.normalize_arm(actions[..., :ARM]), gripper], axis=-1)


def restored(said: NDArray[np.float32], statistics: Statistics) -> NDArray[np.float64]:
    """Return canonical actions (..., 7) of what a model said: the inverse of `normalized`; the gripper is 0 or 1."""
    arm = statistics.restore_arm(said[..., :ARM])
    return np.concatenate([arm, (said[..., ARM:] > 0).astype(np.float64)], axis=-1)


def processed(base: Base, seen: Seen, prompt: str) -> dict[str, Tensor]:
    """Return what a model's own processor makes of frames and sentences, padded on the left, on its device.

    Padding on the left lets tokens of actions follow every prompt directly.
    """
    mark = str(getattr(base.processor, "image_token", "") or "")
    texts = [prompted(prompt, sentence, mark=mark) for sentence in seen.sentences]
    base.processor.tokenizer.padding_side = "left"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`max_length` is ignored")  # pi0's default, which padding overrules.
            found: Any = base.processor(
                images=[[image] for image in seen.images], text=texts, padding=True, return_tensors="pt"
            )
    except (ValueError, TypeError) as error:
        raise UserError(
            f"The processor of {base.identity.name} does not take this prompt and a frame of {seen.images.shape[1]} "
            f"pixels: {str(error)[:400]} Write the model's own form as prompt = '...', with {{image}} where its image "
            "token belongs."
        ) from error
    return {name: value.to(base.device) for name, value in found.items()}


def drawn_seed(seed: int, *names: str | int) -> int:
    """Return a seed for torch of the stream (seed, names)."""
    return int(generator(seed, "pretrained", *names).integers(2**62))
