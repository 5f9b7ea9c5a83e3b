"""The planted misunderstandings, one per line of the table in docs/convention.md."""

from __future__ import annotations

import numpy as np

from sim.episodes import SHOWN
from sim.streams import episode_seed
from tests.fault_doubles import SEEDS
from tests.faults import (
    HORIZON,
    QUATERNION,
    STATE,
    Bed,
    Fault,
    acts,
    chunk,
    commanded,
    dimension,
    drifting,
    expert,
    frames,
    hand_frame,
    joint_targets,
    lies,
    means,
    other_frame,
    put,
    same_world_seeds,
    sees,
    spec,
    state,
)  # fmt: skip


def turn(part: slice) -> Bed:
    """Return an environment that turns the sign of a part of the actions."""
    return acts(lambda a: a.__setitem__((slice(None), part), -a[:, part]))


def scale(part: slice, factor: float) -> Bed:
    """Return an environment that takes a part of the actions in another unit."""
    return acts(lambda a: a.__setitem__((slice(None), part), factor * a[:, part]))


def seeds(*chosen: int) -> Bed:
    """Return a good pair with other seeds."""
    return Bed(lies().env, means().policy, chosen)


R, G = slice(3, 6), slice(6, 7)

FAULTS = (
    Fault("rotation: euler", "the policy says extrinsic xyz Euler angles", "adapted", "delta euler xyz extrinsic to",
          lambda: expert(rotation="delta euler xyz extrinsic")),
    Fault("rotation: euler", "the policy says intrinsic XYZ Euler angles", "adapted", "delta euler xyz intrinsic to",
          lambda: expert(rotation="delta euler xyz intrinsic", rotation_unit=0.1)),
    Fault("rotation: euler", "the policy says zyx Euler angles, an unknown form", "refused", "rotation: policy",
          lambda: means(rotation="delta euler zyx")),
    Fault("rotation: euler", "the environment turns the sign of rotations", "flagged", "the sign is turned",
          lambda: turn(R)),
    Fault("wxyz, xyzw", "the policy says quaternions wxyz in actions", "adapted", "delta quaternion wxyz to",
          lambda: expert(rotation="delta quaternion wxyz")),
    Fault("wxyz, xyzw", "the policy reads a state with wxyz", "adapted", "state: ",
          lambda: sees(state=QUATERNION.format("wxyz", "w positive", "opening fraction 1"))),
    Fault("wxyz, xyzw", "the environment shows wxyz and says xyzw", "refused", "TCP orientation",
          lambda: state(lambda s: put(s, slice(3, 7), np.roll(s[:, 3:7], 1, axis=1)))),
    Fault("quaternion sign", "the policy reads w positive", "adapted", "(w positive)",
          lambda: sees(state=QUATERNION.format("xyzw", "w positive", "opening fraction 1"))),
    Fault("quaternion sign", "the policy was trained on either sign", "refused", "any sign",
          lambda: means(state=QUATERNION.format("xyzw", "any sign", "opening fraction 1"))),
    Fault("quaternion sign", "the environment shows the other sign", "refused", "sign of the state's quaternion",
          lambda: state(lambda s: put(s, slice(3, 7), -s[:, 3:7]))),
    Fault("6-D rotation", "the policy says the first two rows", "adapted", "delta 6d rows to",
          lambda: expert(rotation="delta 6d rows")),
    Fault("6-D rotation", "the policy says the first two columns", "adapted", "delta 6d columns to",
          lambda: expert(rotation="delta 6d columns")),
    Fault("missing offset", "the policy steers the hand frame, not the TCP", "refused", "tcp: policy 'hand frame'",
          lambda: means(tcp="hand frame")),
    Fault("missing offset", "the environment shows the hand frame's position", "refused", "TCP position",
          lambda: state(hand_frame)),
    Fault("missing offset", "the environment shows a frame turned by 90 degrees", "refused", "TCP orientation",
          lambda: state(other_frame)),
    Fault("gripper sign", "the policy says -1 to open and 1 to close", "adapted", "gripper_range",
          lambda: expert(gripper_open=-1.0, gripper_closed=1.0)),
    Fault("gripper sign", "the environment closes at 1", "flagged", "gripper's sign",
          lambda: acts(lambda a: a.__setitem__((slice(None), G), 1 - a[:, G]))),
    Fault("gripper threshold", "the policy opens from 0.2 on", "adapted", "gripper_threshold",
          lambda: expert(gripper_threshold=0.2)),
    Fault("gripper range", "the policy says 0 to 255", "adapted", "gripper_range", lambda: expert(gripper_open=255.0)),
    Fault("gripper range", "the environment shows 0 to 255 in the state", "refused", "gripper's part of the state",
          lambda: state(lambda s: put(s, slice(7, 8), 255 * s[:, 7:]))),
    Fault("gripper stickiness", "the policy says open, close or keep", "refused", "gripper: policy 'relative'",
          lambda: means(gripper="relative")),
    Fault("state not sent", "the policy reads a state that the environment does not show", "refused", "inputs: policy",
          lambda: Bed(lies(offers=frozenset({"image", "instruction"})).env, means().policy)),
    Fault("state not sent", "the environment shows zeros", "refused", "length of the state's quaternion",
          lambda: state(np.zeros_like)),
    Fault("state: wrong source", "the policy reads commanded positions", "refused", "state_source: policy 'commanded'",
          lambda: means(state_source="commanded")),
    Fault("state: wrong source", "the environment shows commanded positions", "flagged", "mm off at most", commanded),
    Fault("state: wrong source", "the environment shows the world's frame", "refused", "TCP position",
          lambda: state(lambda s: s + np.array([-0.56, 0, 0.912, 0, 0, 0, 0, 0]))),
    Fault("gripper formula", "the policy reads two finger positions", "adapted", "fingers m, second negative",
          lambda: sees(state=STATE.replace("opening fraction 1", "fingers m, second negative 2"))),
    Fault("gripper formula", "the environment shows metres and says a fraction", "flagged", "it was never open",
          lambda: state(lambda s: put(s, slice(7, 8), 0.08 * s[:, 7:]))),
    Fault("delta, absolute", "the policy says absolute positions", "refused", "position: policy 'absolute'",
          lambda: means(position="absolute")),
    Fault("delta, absolute", "the policy says absolute rotations", "refused", "rotation: policy 'absolute axis-angle'",
          lambda: means(rotation="absolute axis-angle")),
    Fault("joint, end effector", "the policy says joint targets", "refused", "control: policy 'joint'",
          lambda: means(control="joint")),
    Fault("dimension", "the policy gives 10 numbers and says 7", "refused", "actions of shape (1, 10)", dimension),
    Fault("frame", "the policy says another base frame", "refused", "base_frame: policy 'world'",
          lambda: means(base_frame="world")),
    Fault("frame", "the policy says changes in the hand's frame", "refused", "delta_frame: policy 'tool'",
          lambda: means(delta_frame="tool")),
    Fault("frame", "the environment executes changes in the hand's frame", "flagged", "the sign is turned",
          lambda: acts(joint_targets)),
    Fault("un-normalization", "the policy says 1 for 0.05 m and 0.5 rad", "adapted", "position_unit",
          lambda: expert(position_unit=0.05, rotation_unit=0.5)),
    Fault("un-normalization", "the environment takes metres for shares of 0.05 m", "flagged", "nothing moves",
          lambda: scale(slice(0, 3), 0.05)),
    Fault("chunk executed", "the policy would execute 9 of 8 actions", "refused", "execute 9 of 8",
          lambda: spec(chunk=8, execute=9)),
    Fault("chunk executed", "the policy gives 4 actions and says 8", "refused", "actions of shape (1, 4, 7)", chunk),
    Fault("horizon", "the policy's demonstrations are longer than the episode", "refused", "horizon: policy",
          lambda: spec(horizon=HORIZON)),
    Fault("control rate", "the policy was trained at 5 Hz", "refused", "rate: policy 5.0", lambda: means(rate=5.0)),
    Fault("success: end, once", "the environment counts success once", "refused", "success: policy 'end'",
          lambda: lies(success="once")),
    Fault("placement", "the environment starts every episode alike", "refused", "other seeds: expected other starts",
          lambda: lies(seeds=lambda chosen: [SEEDS[0]] * len(chosen))),
    Fault("centre crop", "the policy reads the central 224 of 256 pixels", "adapted", "crop: the central 224",
          lambda: sees(crop=0.875, image_size=224)),
    Fault("centre crop", "the policy reads crops that were enlarged again", "refused", "crop: policy 0.9",
          lambda: means(crop=0.9)),
    Fault("flipped rows", "the policy reads the bottom row first", "adapted", "first_row: top to bottom",
          lambda: sees(first_row="bottom")),
    Fault("flipped rows", "the environment shows the bottom row first", "refused", "rows are flipped",
          lambda: frames(lambda f: f[:, ::-1])),
    Fault("flipped rows", "the policy reads mirrored columns", "adapted", "first_column: left to right",
          lambda: sees(first_column="right")),
    Fault("flipped rows", "the environment mirrors columns", "refused", "columns are mirrored",
          lambda: frames(lambda f: f[:, :, ::-1])),
    Fault("BGR", "the policy reads BGR", "adapted", "channels: rgb to bgr", lambda: sees(channels="bgr")),
    Fault("BGR", "the environment shows BGR", "refused", "BGR", lambda: frames(lambda f: f[..., ::-1])),
    Fault("resolution", "the policy reads 128 pixels", "refused", "--image-size 128", lambda: means(image_size=128)),
    Fault("resolution", "the environment renders 128 pixels and says 256", "refused", "frames: expected",
          lambda: frames(lambda f: f[:, ::2, ::2])),
    Fault("camera role", "the policy's `image` is the wrist camera", "refused", "camera: policy 'on the hand'",
          lambda: means(camera="on the hand")),
    Fault("camera role", "the policy reads a wrist camera that is not there", "refused", "inputs: policy",
          lambda: Bed(lies(offers=SHOWN).env, spec(inputs=frozenset({"image", "wrist_image"})).policy)),
    Fault("seeds duplicated", "a seed stands twice in the list", "refused", "stands twice",
          lambda: seeds(*SEEDS, SEEDS[0])),
    Fault("seeds duplicated", "two worlds run one episode", "refused", "a seed in another world", same_world_seeds),
    Fault("seeds not stored", "resets do not follow the seed", "refused", "equal seeds: expected equal starts",
          drifting),
    Fault("seeds reused", "a training seed among the benchmark's", "refused", "belongs to the train split",
          lambda: seeds(*SEEDS[:5], episode_seed("train", 0, 5))),
)  # fmt: skip
"""All of them; tests/test_faults.py runs each."""
