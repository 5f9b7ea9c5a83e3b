"""What of a pretrained model is trained: low-rank adapters, or parts of the model itself."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from policies.pretrained.anatomy import Anatomy
from policies.pretrained.base import parameters
from policies.pretrained.settings import Lora, Train
from policies.vla.checkpoint import misfits
from sim.errors import UserError


def make_trainable(anatomy: Anatomy, *, train: Train, lora: Lora, last_layers: int, seed: int) -> Any:
    """Freeze the model but for what `train` names; return peft's model around it, or None without adapters.

    Adapters start from (seed) alone: A is Gaussian and B zero, so the model first says what it said before. Everything
    that is trained is held in float32.
    """
    model: nn.Module = anatomy.model
    model.requires_grad_(requires_grad=False)
    if train == "lora":
        return _adapters(anatomy, lora, seed=seed)
    if train == "all":
        chosen = list(model.parameters())
    elif train == "language":
        seen = {id(p) for p in anatomy.vision.parameters()} if anatomy.vision is not None else set()
        chosen = [p for p in model.parameters() if id(p) not in seen]
    elif train == "head":
        chosen = parameters(anatomy.head)
    else:
        if last_layers > len(anatomy.layers):
            raise UserError(f"last_layers = {last_layers}, and the model has {len(anatomy.layers)}. Ask for fewer.")
        chosen = parameters([*anatomy.layers[len(anatomy.layers) - last_layers :], *anatomy.head])
    for parameter in chosen:
        parameter.requires_grad_()
        parameter.data = parameter.data.float()
    return None


def _adapters(anatomy: Anatomy, lora: Lora, *, seed: int) -> Any:
    """Put low-rank adapters into the model, in place, and return peft's model around it."""
    import peft

    targets: Any = "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    encoder = anatomy.name_of(anatomy.vision) if lora.skip_vision else None
    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        exclude_modules=None if encoder is None else rf"{re.escape(encoder)}\..*",
        init_lora_weights="gaussian",
    )
    from sim.streams import generator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "pretrained", "adapters").integers(2**62)))
        try:
            with warnings.catch_warnings():  # peft asks transformers for what its next version calls otherwise.
                warnings.simplefilter("ignore", FutureWarning)
                wrapped = peft.get_peft_model(anatomy.model, settings)
        except ValueError as error:
            raise UserError(
                f"[lora] targets = {list(lora.targets)} cannot be adapted: {str(error)[:300]} Linear layers of this "
                f"model end with: {', '.join(anatomy.linear_names())}."
            ) from error
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return wrapped


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by their names in `model`; shared ones once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Put stored tensors into the trained parameters; missing, unknown and misshapen ones are refused by name."""
    wanted = trained(model)
    if found := misfits(wanted, tensors):
        raise UserError(
            f"The weights in {where} do not fit the pretrained model and the settings that its record describes "
            f"({found}). They do not belong together: restore both files, or train again."
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])
