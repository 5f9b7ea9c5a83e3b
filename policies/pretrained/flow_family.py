"""Models that draw whole chunks by flow matching: pi0, as transformers builds it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from policies.pretrained.anatomy import Anatomy
from policies.pretrained.base import Base
from policies.pretrained.families import ACTION, FamilyOptions, Seen, drawn_seed, processed
from policies.pretrained.settings import FLOW_PROMPT
from sim.errors import UserError


class FlowFamily:
    """A pi0 (Black et al. 2024): the state and noise go in, and in ten steps the noise becomes a chunk of actions.

    State and actions are padded with zeros to the sizes that the model was built for; only the 7 numbers of an action
    count in the loss.
    """

    inputs = frozenset({"image", "state", "instruction"})

    def __init__(self, base: Base, anatomy: Anatomy, options: FamilyOptions) -> None:
        self.base, self.anatomy, self.options = base, anatomy, options
        config = base.model.config
        self.chunk: int = config.chunk_size
        self._wide: int = config.max_action_dim
        self._state: int = config.max_state_dim
        if options.chunk not in (None, self.chunk):
            raise UserError(
                f"chunk = {options.chunk}, and {base.identity.name} was built for {self.chunk}. Leave chunk unset."
            )
        if self._wide < ACTION or self._state < 8:
            raise UserError(
                f"{base.identity.name} holds states of {self._state} and actions of {self._wide} numbers; 8 and "
                f"{ACTION} are needed. Choose another model."
            )
        # The same noise for every world and step, so that an action depends on what is seen alone.
        self._noise = self._drawn(0, 1)

    def loss(self, seen: Seen, actions: NDArray[np.float32], mask: NDArray[np.bool_], *, seed: int) -> Tensor:
        """Return the mean squared error of the velocity of actions (B, chunk, 7) that mask (B, chunk) counts."""
        wanted = self._padded(actions, self._wide)
        noise, config = self._drawn(seed, len(actions)), self.base.model.config
        with torch.random.fork_rng(devices=[self.base.device] if self.base.device.type == "cuda" else []):
            torch.manual_seed(drawn_seed(seed, "time and dropout"))
            late = torch.distributions.Beta(config.time_sampling_beta_alpha, config.time_sampling_beta_beta)
            drawn = late.sample((len(actions),)).to(self.base.device)
            time = drawn * config.time_sampling_scale + config.time_sampling_offset
            with self.base.arithmetic():
                said = self.base.model(**self._seen(seen), noise=noise, timestep=time, actions=wanted).logits
        error = functional.mse_loss(said.float(), noise - wanted, reduction="none")[..., :ACTION].mean(dim=-1)
        counted = torch.from_numpy(mask.astype(np.float32)).to(error.device)
        return (error * counted).sum() / counted.sum()

    @torch.no_grad()
    def act(self, seen: Seen) -> NDArray[np.float32]:
        """Return actions (B, chunk, 7); worlds are asked one by one, so that none changes another's last bits."""
        rows = [self._seen(seen.rows(row, row + 1)) for row in range(len(seen.sentences))]
        with self.base.arithmetic():
            made = [self.base.model.sample_actions(**inputs, noise=self._noise.clone()) for inputs in rows]
        chunks: NDArray[np.float32] = torch.cat(made)[..., :ACTION].float().cpu().numpy()
        return chunks

    def _seen(self, seen: Seen) -> dict[str, Tensor]:
        """Return what the model takes; its processor lays out the prompt itself, so only the sentence is given."""
        prompt = (self.options.prompt or FLOW_PROMPT).replace("{image}", "")
        return {**processed(self.base, seen, prompt), "state": self._padded(seen.state, self._state)}

    def _padded(self, values: NDArray[np.float32], size: int) -> Tensor:
        return functional.pad(torch.from_numpy(values), (0, size - values.shape[-1])).to(self.base.device)

    def _drawn(self, seed: int, count: int) -> Tensor:
        """Return noise (count, chunk, wide)."""
        stream = np.random.Generator(np.random.Philox(drawn_seed(seed, "noise")))
        noise = stream.standard_normal((count, self.chunk, self._wide), dtype=np.float32)
        return torch.from_numpy(noise).to(self.base.device)
