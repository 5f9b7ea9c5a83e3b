"""Where the parts of a transformers model are: image encoder, blocks of the language model, output layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from sim.errors import UserError

FLOW = "pi0"
"""Architecture whose actions come from flow matching instead of tokens."""


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model that training can choose."""

    model: Any = field(repr=False)
    # The image encoder; None where the model names none.
    vision: nn.Module | None = field(repr=False)
    # The blocks that the output is computed from, the last one last.
    layers: tuple[nn.Module, ...] = field(repr=False)
    # What comes behind them.
    head: tuple[nn.Module, ...] = field(repr=False)

    def name_of(self, part: nn.Module | None) -> str | None:
        """Return the name under which the model holds a part."""
        return next((name for name, module in self.model.named_modules() if module is part), None)

    def linear_names(self) -> list[str]:
        """Return the last parts of the names of all linear layers, for messages."""
        named = self.model.named_modules()
        return sorted({name.rsplit(".", 1)[-1] for name, module in named if isinstance(module, nn.Linear)})


def anatomy(model: Any) -> Anatomy:
    """Return the parts of a model; one whose blocks cannot be found is refused."""
    if model.config.model_type == FLOW:
        inner = model.model
        heads: tuple[nn.Module, ...] = (inner.dit.norm, model.embed_action_time, model.action_out_proj)
        return Anatomy(model, _vision(inner.vlm), tuple(inner.dit.layers), heads)
    decoder, output = model.get_decoder(), model.get_output_embeddings()
    layers = getattr(decoder, "layers", None)
    if layers is None or output is None:
        raise UserError(
            f"A {type(model).__name__} does not say where its language model's blocks or its output layer are, so it "
            "cannot say actions as tokens. Choose a model that generates text, such as LLaVA, PaliGemma or SmolVLM."
        )
    norm = getattr(decoder, "norm", None)
    return Anatomy(model, _vision(model), tuple(layers), (*([norm] if norm is not None else []), output))


def _vision(model: Any) -> nn.Module | None:
    """Return the image encoder of a vision-language model."""
    found = model.get_encoder(modality="image")
    return None if found is model or not isinstance(found, nn.Module) else found
