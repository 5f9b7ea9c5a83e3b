"""An episode in a host is a function of its seed: what ran before in the same world changes no byte of it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bench.hosts.registry import make_world
from tasks import parts
from tests.host_support import needs
from tests.scripted_policy import plain_pick

SEED = 3

GRASPED = {"maniskill": "PickCube-v1", "robosuite": "Lift"}

STEPS = {"maniskill": 32, "robosuite": 45}
"""Until the target is up."""


def trace(world, seed, *, changes=None, steps=None):
    """Return the digests of all states and of two frames of an episode that grasps and raises the target."""
    world.reset(seed, changes or {})
    steps = STEPS[world.host] if steps is None else steps
    states, frames = hashlib.sha256(), hashlib.sha256()
    for step in range(steps):
        state = world.state()
        arrays = (state.q, state.qd, state.tcp, state.opening, state.contact, *state.poses.values())
        for array in (*arrays, *state.twists.values()):
            states.update(np.ascontiguousarray(array).tobytes())
        if step in (0, steps - 1):
            frames.update(world.image("image").tobytes())
        world.step(plain_pick(state, "target")[0])
    lifted = float(parts.height(world.state(), "target")[0])
    return states.hexdigest(), frames.hexdigest(), lifted, world.success()


@pytest.fixture(scope="module", params=sorted(GRASPED))
def world(request):
    needs(request.param)
    made = make_world(request.param, GRASPED[request.param], image_size=64)
    made.host = request.param
    yield made
    made.close()


@pytest.fixture(scope="module")
def first(world):
    """Return the episode of `SEED` in a world in which nothing else has happened."""
    found = trace(world, SEED)
    assert found[2] > 0.02, "the script must have grasped: what is remembered is remembered of contacts"
    return found


def test_episodes_before_it_change_no_byte(world, first):
    assert trace(world, SEED) == first
    for before in (11, 12, 13, 14, 15):
        trace(world, before)
    assert trace(world, SEED) == first


def test_an_episode_that_broke_off_in_a_grasp_changes_no_byte(world, first):
    trace(world, 12, steps=25)
    world.step(np.array([0.05, 0.0, -0.05, 0.0, 0.2, 0.0, 0.0]))
    assert trace(world, SEED) == first


def test_a_world_of_its_own_gives_the_same_bytes_and_leaves_the_other_alone(world, first):
    other = make_world(world.host, GRASPED[world.host], image_size=64)
    other.host = world.host
    trace(other, 12)
    alone = trace(other, SEED)
    assert alone == first
    other.close()
    assert trace(world, SEED) == first


def test_worlds_that_are_drawn_in_turns_keep_their_looks(world):
    other = make_world(world.host, GRASPED[world.host], image_size=64)
    for each, texture in ((world, "checker"), (other, "wood")):
        each.reset(SEED, {"table.texture": ("=", texture)})
    frames = [[each.image("image") for each in (world, other)] for _ in range(2)]
    other.close()
    frames.append([world.image("image"), frames[0][1]])
    assert (frames[0][0] != frames[0][1]).mean() > 0.1
    for later in frames[1:]:
        assert all(np.array_equal(one, again) for one, again in zip(frames[0], later, strict=True))


@pytest.mark.parametrize(
    "change", [("others.count", ("=", 2.0)), ("target.half_size", ("*", 1.2))], ids=["others", "size"]
)
def test_the_same_for_scenes_that_are_built_anew(world, change):
    changes = dict([change])
    found = trace(world, SEED, changes=changes)
    trace(world, 13, changes={"others.count": ("=", 1.0)})
    trace(world, 14, changes=changes)
    assert trace(world, SEED, changes=changes) == found
