"""Data-parallel training: what the processes that torchrun started tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from sim.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training; alone it is the first of one."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes what is written."""
        return self.rank == 0

    def add(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its sum over all processes: one message for all of them."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.add(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agreed(self, value: float) -> float:
        """Return the first process' `value`: clocks differ, and all must take the same way."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return float(told)

    def some(self, *, said: bool) -> bool:
        """Return whether some process says so."""
        return said if self.count == 1 else float(self.add(torch.tensor([float(said)]))) > 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the processes that torchrun started, as its variables say; without them this process is alone."""
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise UserError(
            f"WORLD_SIZE is {count}, but {', '.join(missing)} is not set. Start with torchrun: "
            f"torchrun --nproc-per-node {count} demomill.py train-vla JOB.toml"
        )
    distributed.init_process_group("gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
