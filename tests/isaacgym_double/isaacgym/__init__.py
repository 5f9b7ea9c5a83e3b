"""A test double of Isaac Gym Preview 4: the parts that the worker calls, strict about how they are called.

Written from NVIDIA's public documentation (programming guide and API reference). It computes simple kinematics: drives
bring joints towards their targets, free objects fall onto the table. It knows no contact between objects and gripper.
Like the original, it must be imported before torch.
"""

import sys

__version__ = "double"

if "torch" in sys.modules:
    raise ImportError("PyTorch was imported before isaacgym modules.  Please import torch after isaacgym modules.")
