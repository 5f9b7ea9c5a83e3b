"""Arithmetic of a network at run time: single precision, bfloat16, or 8-bit weights of its linear layers."""

from __future__ import annotations

import contextlib
import warnings
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def prepared(model: M, dtype: str) -> M:
    """Return the network for `dtype`: with "int8", linear layers hold 8-bit weights and quantize what they are given.

    Activations are quantized with one scale per pass (dynamic quantization), so a pass must hold one world.
    """
    if dtype != "int8":
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It says on every call that torch will move it elsewhere.
        quantized: M = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return quantized


def arithmetic(dtype: str, *, device: str = "cpu") -> contextlib.AbstractContextManager[object]:
    """Return the context of a pass: with "bf16", convolutions and linear layers compute in bfloat16."""
    if dtype == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()
