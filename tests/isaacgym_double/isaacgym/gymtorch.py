"""Tensors of the simulation as torch tensors, and back; a descriptor does not keep its tensor alive."""

import weakref

import torch

from isaacgym import gymapi


def wrap_tensor(gym_tensor, offsets=None, counts=None):
    if not isinstance(gym_tensor, gymapi.Tensor) or gym_tensor.buffer is None:
        raise TypeError("wrap_tensor expects a tensor that Isaac Gym returned")
    return torch.from_numpy(gym_tensor.buffer)


def unwrap_tensor(torch_tensor):
    if not isinstance(torch_tensor, torch.Tensor):
        raise TypeError(f"unwrap_tensor expects a torch tensor, got {type(torch_tensor).__name__}")
    if not torch_tensor.is_contiguous():
        raise Exception("Input tensor must be contiguous")
    kinds = {torch.float32: "float32", torch.int32: "int32", torch.uint8: "uint8", torch.int64: "int64"}
    if torch_tensor.dtype not in kinds:
        raise Exception("Unsupported Gym tensor dtype")
    return gymapi.Tensor(kinds[torch_tensor.dtype], tuple(torch_tensor.shape), weakref.ref(torch_tensor))
