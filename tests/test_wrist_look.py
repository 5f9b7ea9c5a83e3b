"""The look at a wrist camera before the first step: the canonical one passes, the usual mistakes are named."""

from dataclasses import replace

import numpy as np
import pytest

from bench.first_look import look
from bench.wrist_look import FEWEST, WAY, wrist_findings
from sim.streams import episode_seed
from tasks.env import make_env

SEEDS = [episode_seed("benchmark", 5, i) for i in range(12)]


class Turned:
    """An environment whose wrist frames are changed before they are shown."""

    def __init__(self, env, change=lambda frames: frames, *, more=()):
        self.env, self.change, self.more = env, change, more

    def __getattr__(self, name):
        return getattr(self.env, name)

    def snapshot(self, ids):
        told = self.env.snapshot(ids)
        return told | {f"object/{name}": told["object/cube"] for name in self.more}

    def observe(self, ids):
        shown = self.env.observe(ids)

        def render(camera):
            frames = shown.render(camera)
            return self.change(frames) if camera == "wrist_image" else frames

        return replace(shown, render=render)


@pytest.fixture(scope="module")
def env():
    made = make_env("lift_cube", n=1, preset="physical", image_size=128)
    yield made
    made.close()


def judged(env, change=lambda frames: frames, **options):
    findings = {found.what: found for found in wrist_findings(Turned(env, change, **options), SEEDS, target="cube")}
    return findings.get(WAY, findings["frames of the wrist camera"])


def test_the_canonical_camera_agrees(env):
    found = judged(env)
    assert found.passed is True, found


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda f: f[:, ::-1, ::-1], "turned by 180 degrees"),
        (lambda f: f[:, ::-1], "rows are flipped"),
        (lambda f: f[:, :, ::-1], "columns are mirrored"),
        (lambda f: np.rot90(f, 1, axes=(1, 2)), "90 degrees counterclockwise"),
        (lambda f: np.rot90(f, -1, axes=(1, 2)), "90 degrees clockwise"),
        (lambda f: np.roll(f, 30, axis=2), "elsewhere"),
    ],
)
def test_a_camera_that_is_turned_or_moved_is_named(env, change, word):
    found = judged(env, change)
    assert found.passed is False
    assert word in found.got


def test_other_things_of_its_colour_leave_it_open(env):
    assert judged(env, lambda f: np.roll(f, 30, axis=2), more=("other1",)).passed is None
    assert judged(env, lambda f: f[:, ::-1], more=("other1",)).passed is False


def test_a_target_that_is_not_seen_is_not_judged(env):
    found = judged(env, lambda f: np.full_like(f, 128))
    assert found.passed is None
    assert f"0 of {len(SEEDS)}" in found.got
    assert FEWEST > 0


def test_frames_of_another_size_are_refused_first(env):
    assert judged(env, lambda f: f[:, ::2, ::2]).passed is False


def test_it_is_looked_at_only_where_a_policy_reads_it(env):
    def names(inputs):
        return {found.what for found in look(env, SEEDS[:4], target="cube", inputs=frozenset(inputs))}

    assert WAY in names({"image", "wrist_image"})
    assert WAY not in names({"image", "state"})
