"""The names of what a network can be made of."""

from __future__ import annotations

from typing import Literal

HeadKind = Literal["l1", "bins", "flow"]
TextKind = Literal["hashed", "subword"]
FusionKind = Literal["pooled", "transformer"]
Precision = Literal["fp32", "bf16"]

HEADS: tuple[HeadKind, ...] = ("l1", "bins", "flow")
TEXTS: tuple[TextKind, ...] = ("hashed", "subword")
FUSIONS: tuple[FusionKind, ...] = ("pooled", "transformer")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
