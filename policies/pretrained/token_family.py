"""Models that say an action as tokens, one number after the other, the way OpenVLA does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from policies.pretrained.action_tokens import action_tokens
from policies.pretrained.anatomy import Anatomy
from policies.pretrained.base import Base
from policies.pretrained.families import ACTION, FamilyOptions, Seen, drawn_seed, processed
from policies.pretrained.settings import PROMPT

SUFFIX_TYPE = {"paligemma": 1}
"""Architecture -> token type of what follows the prompt, where that is not 0."""


class TokenFamily:
    """A vision-language model that continues the prompt with 7 tokens per action."""

    def __init__(self, base: Base, anatomy: Anatomy, options: FamilyOptions) -> None:
        self.base, self.anatomy, self.options = base, anatomy, options
        self.chunk = options.chunk or 1
        self.inputs = frozenset({"image", "instruction", *(["state"] if options.read_state else [])})
        said: Any = anatomy.head[-1].weight
        self.tokens = action_tokens(base.processor.tokenizer, outputs=said.shape[0])

    def loss(self, seen: Seen, actions: NDArray[np.float32], mask: NDArray[np.bool_], *, seed: int) -> Tensor:
        """Return the cross-entropy of the tokens of actions (B, chunk, 7) that mask (B, chunk) counts."""
        said = self.tokens.encode(actions).reshape(len(actions), -1)
        inputs = self._behind(self._prompts(seen), said)
        count = said.shape[1]
        with torch.random.fork_rng(devices=self._cuda()):
            torch.manual_seed(drawn_seed(seed, "dropout"))
            with self.base.arithmetic():
                logits = self.base.model(**inputs).logits[:, -count - 1 : -1]
        wanted = np.where(np.repeat(mask, ACTION, axis=1), said, -100)
        labels = torch.from_numpy(wanted).to(logits.device)
        return functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)

    @torch.no_grad()
    def act(self, seen: Seen) -> NDArray[np.float32]:
        """Return actions (B, chunk, 7): the likeliest token each time, among those that stand for actions.

        Worlds are asked one by one: prompts of other lengths in the same pass would change the last bits.
        """
        return np.concatenate([self._act(seen.rows(row, row + 1)) for row in range(len(seen.sentences))])

    def _act(self, seen: Seen) -> NDArray[np.float32]:
        from transformers import GenerationConfig, LogitsProcessorList

        inputs = self._prompts(seen)
        count = self.chunk * ACTION
        greedy = GenerationConfig(
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            num_beams=1,
            eos_token_id=None,
            pad_token_id=self.base.processor.tokenizer.pad_token_id,
        )
        only = LogitsProcessorList([_Only(self.tokens.ids)])
        with self.base.arithmetic():
            made = self.base.model.generate(**inputs, generation_config=greedy, logits_processor=only)
        said = made[:, -count:].cpu().numpy()
        return self.tokens.decode(said).reshape(len(said), self.chunk, ACTION)

    def _prompts(self, seen: Seen) -> dict[str, Tensor]:
        """Return the inputs that end where the first action begins."""
        inputs = processed(self.base, seen, self.options.prompt or PROMPT)
        return self._behind(inputs, self.tokens.encode(seen.state)) if self.options.read_state else inputs

    def _behind(self, inputs: dict[str, Tensor], tokens: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the inputs with tokens (B, n) behind each prompt."""
        ids = torch.from_numpy(tokens).to(inputs["input_ids"].device)
        kind = SUFFIX_TYPE.get(self.base.identity.model_type, 0)
        added = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.full_like(ids, kind)}
        longer = {name: torch.cat([inputs[name], added[name]], dim=1) for name in added if name in inputs}
        return {**inputs, **longer}

    def _cuda(self) -> list[torch.device]:
        return [self.base.device] if self.base.device.type == "cuda" else []


class _Only:
    """Leaves a model only some tokens to say."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self.ids = torch.tensor(ids)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores (B, vocabulary) with minus infinity for every other token."""
        ids = self.ids.to(scores.device)
        kept = torch.full_like(scores, float("-inf"))
        kept[:, ids] = scores[:, ids]
        return kept
