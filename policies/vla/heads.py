"""From features to a chunk of actions: chunk regression, bins, or flow matching, behind one seam."""

from __future__ import annotations

from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from policies.vla.kinds import HEADS
from policies.vla.shape import ARM, GRIPPER, Inputs, ModelConfig
from sim.errors import unknown

ACTION = ARM + GRIPPER

BIN_WIDTH = 32
"""Features of each value of the chunk from which its bin is chosen."""

WAVES = 16
"""Frequencies in which the flow's time is shown to the network."""


class Losses(NamedTuple):
    """Sums over the actions that count; the caller divides by how many those are."""

    arm: Tensor
    gripper: Tensor


class Head(Protocol):
    """What makes actions of features (B, C)."""

    def losses(self, context: Tensor, inputs: Inputs) -> Losses:
        """Return what training minimizes, summed over the actions that count."""

    def decode(self, context: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return normalized arm actions (B, H, 6) and gripper logits (B, H).

        `noise` (B, H, 7) is what "flow" starts from; None starts from its mean. The others are not random.
        """


def new_head(config: ModelConfig, context: int) -> nn.Module:
    """Return the head that `config` names, for features of size `context`."""
    if config.head not in HEADS:
        raise unknown("head", config.head, HEADS)
    kinds = {"l1": RegressionHead, "bins": BinsHead, "flow": FlowHead}
    return kinds[config.head](config, context)


def as_head(module: nn.Module) -> Head:
    """Return a module that `new_head` made as what it is."""
    return cast(Head, module)


def _gripper_loss(logits: Tensor, inputs: Inputs) -> Tensor:
    wanted = inputs.wanted
    each = functional.binary_cross_entropy_with_logits(logits, wanted.gripper, reduction="none")
    return (each * wanted.mask).sum()


class RegressionHead(nn.Sequential):
    """Says the whole chunk at once; smooth L1 on the arm, cross-entropy on the gripper."""

    def __init__(self, config: ModelConfig, context: int) -> None:
        super().__init__(nn.Linear(context, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.chunk * ACTION))
        self.chunk = config.chunk

    def decode(self, context: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the chunk that it says."""
        out = self(context).view(-1, self.chunk, ACTION)
        return out[..., :ARM], out[..., ARM]

    def losses(self, context: Tensor, inputs: Inputs) -> Losses:
        """Return smooth L1 of the arm, a mean over its six values, and cross-entropy of the gripper."""
        arm, gripper = self.decode(context)
        wanted = inputs.wanted
        each = functional.smooth_l1_loss(arm, wanted.arm, reduction="none").mean(dim=-1)
        return Losses((each * wanted.mask).sum(), _gripper_loss(gripper, inputs))


class BinsHead(nn.Module):
    """Chooses one of the bins of each arm value's range (RT-1, Brohan et al. 2022); the gripper has two: open, closed.

    The range is what may be executed at all, the canonical limits; values beyond it count as its ends. With an even
    number of bins, one of them is no motion at all, and one is the upper limit.
    """

    # (6,) middle of the first and of the last bin, normalized; set from the statistics, stored with the weights.
    low: Tensor
    high: Tensor

    def __init__(self, config: ModelConfig, context: int) -> None:
        super().__init__()
        self.chunk, self.bins = config.chunk, config.bins
        self.hidden = nn.Sequential(
            nn.Linear(context, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.chunk * (ARM * BIN_WIDTH + GRIPPER)),
        )
        # One classifier for each arm value, shared by the steps of the chunk.
        self.choose = nn.Conv1d(ARM * BIN_WIDTH, ARM * config.bins, 1, groups=ARM)
        self.register_buffer("low", -torch.ones(ARM))
        self.register_buffer("high", torch.ones(ARM))

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Take the middles (6,) of the first and of the last bin, in normalized units."""
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, H, 6, bins) of the arm and (B, H) of an open gripper."""
        out = self.hidden(context).view(-1, self.chunk, ARM * BIN_WIDTH + GRIPPER)
        features = functional.relu(out[..., :-GRIPPER]).transpose(1, 2)
        return self.choose(features).transpose(1, 2).unflatten(2, (ARM, self.bins)), out[..., -1]

    def decode(self, context: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the middles of the likeliest bins."""
        logits, gripper = self(context)
        place = logits.argmax(dim=-1).to(self.low.dtype) / (self.bins - 1)
        return self.low + place * (self.high - self.low), gripper

    def losses(self, context: Tensor, inputs: Inputs) -> Losses:
        """Return cross-entropy of the arm's bins, a mean over its six values, and that of the gripper."""
        logits, gripper = self(context)
        wanted = inputs.wanted
        each = functional.cross_entropy(logits.flatten(0, 2), self.numbers(wanted.arm).flatten(), reduction="none")
        arm = each.view(wanted.arm.shape).mean(dim=-1)
        return Losses((arm * wanted.mask).sum(), _gripper_loss(gripper, inputs))

    def numbers(self, arm: Tensor) -> Tensor:
        """Return the bin of each normalized arm value (..., 6)."""
        place = (arm - self.low) / (self.high - self.low)
        return (place * (self.bins - 1)).round().long().clamp(0, self.bins - 1)


def ends(limits: NDArray[np.float32], bins: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the middles of the first and last of `bins` bins, so that one lies at 0 and the last at `limits`."""
    half = bins // 2
    return -limits * np.float32(half / (half - 1)), limits


class FlowHead(nn.Module):
    """Moves noise to actions along a learned velocity (flow matching, Lipman et al. 2023); the gripper flows too.

    At time t the point x between noise e and action a is (1 - t) e + t a, and its velocity a - e. The network says a,
    which a narrow one can, and the velocity is (a - x) / (1 - t). Decoding goes from t = 0 to 1 in a few Euler steps.
    """

    def __init__(self, config: ModelConfig, context: int) -> None:
        super().__init__()
        self.chunk, self.steps = config.chunk, config.flow_steps
        size, hidden = config.chunk * ACTION, config.hidden
        self.enter = nn.Linear(context + size + 2 * WAVES, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.SiLU(), nn.Linear(2 * hidden, hidden))
            for _ in range(2)
        )
        self.leave = nn.Linear(hidden, size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, context: Tensor, place: Tensor, time: Tensor) -> Tensor:
        """Return where the flow through `place` (B, H, 7) at `time` (B,) leads, (B, H, 7)."""
        waves = time[:, None] * (2.0 ** torch.linspace(0, 6, WAVES, device=time.device)) * torch.pi
        x = self.enter(torch.cat([context, place.flatten(1), waves.sin(), waves.cos()], dim=1))
        for block in self.blocks:
            x = x + block(x)
        goal: Tensor = self.leave(functional.silu(x))
        return goal.view(-1, self.chunk, ACTION)

    def decode(self, context: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return where `noise` flows to; the gripper's place, -1 closed and 1 open, is its logit."""
        place = context.new_zeros(len(context), self.chunk, ACTION) if noise is None else noise
        for step in range(self.steps):
            time = context.new_full((len(context),), step / self.steps)
            place = place + (self(context, place, time) - place) / (self.steps - step)
        return place[..., :ARM], place[..., ARM]

    def losses(self, context: Tensor, inputs: Inputs) -> Losses:
        """Return the squared error of where it leads: of the arm, a mean over its six values, and of the gripper."""
        wanted, time = inputs.wanted, inputs.time[:, None, None]
        goal = torch.cat([wanted.arm, 2 * wanted.gripper[..., None] - 1], dim=-1)
        place = (1 - time) * inputs.noise + time * goal
        each = (self(context, place, inputs.time) - goal) ** 2 * wanted.mask[..., None]
        return Losses(each[..., :ARM].mean(dim=-1).sum(), each[..., ARM].sum())
