"""What arms do to a policy that sees and reads: measured with one whose eyes and ears are known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.axes import find_axis
from bench.grounding import acted_on
from bench.variation import NOMINAL
from bench.variation_env import VariedEnv
from bench.variation_task import OwnEnv
from sim.rollouts import rollout
from sim.scene import PALETTE
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tests.colour_policy import ColourPolicy, find

SEEDS = [episode_seed("benchmark", 0, i) for i in range(12)]


@pytest.fixture(scope="module")
def env():
    """Return our own engine with one world of lift_cube-v2, for arms to be laid over."""
    task = load_task("lift_cube-v2")
    made = VariedEnv(OwnEnv(task), task)
    yield made
    made.close()


def _begun(env, arm, seed):
    """Return what an episode shows at its start, and what it drew."""
    env.vary(arm)
    env.reset(np.array([0]), [seed])
    return env.observe(np.array([0])), env.draw(0)


def _looked(env, arm, seed):
    """Return sentence, the place that the policy finds, and what the episode drew."""
    shown, draw = _begun(env, arm, seed)
    return shown.instructions[0], find(shown.render("image")[0], shown.instructions[0]), draw


def _errors(env, arm):
    """Return the distances, m, between where the policy sees the target and where it is; infinite: it sees none."""
    found = []
    for seed in SEEDS:
        _, place, draw = _looked(env, arm, seed)
        target = np.array(draw["target.position"])
        found.append(np.inf if place is None else float(np.linalg.norm(place[:2] - target)))
    return np.array(found)


def test_it_sees_the_target_of_a_nominal_scene(env):
    assert np.median(_errors(env, NOMINAL)) < 0.004


def test_a_displaced_camera_shifts_what_it_sees_the_more_the_stronger(env):
    medians = [np.median(_errors(env, find_axis("camera_pose").arm(level))) for level in (1, 2, 3)]
    assert 0.004 < medians[0] < medians[1] < medians[2]
    assert medians[2] > 0.02


@pytest.mark.parametrize("name", ["action_latency", "table_color", "image_blur", "object_color", "sentence_paraphrase"])
def test_what_leaves_the_picture_readable_leaves_the_place(env, name):
    axis = find_axis(name)
    assert np.median(_errors(env, axis.arm(len(axis.levels)))) < 0.01


def test_it_finds_nothing_for_a_blank_sentence_and_nothing_of_a_color_that_is_not_there(env):
    colored = 0
    for seed in SEEDS:
        assert _looked(env, find_axis("sentence_blank").arm(1), seed)[1] is None
        sentence, place, draw = _looked(env, find_axis("sentence_wrong").arm(1), seed)
        said = {color for color in PALETTE if color in sentence}
        assert said
        assert draw["target.color"] not in said
        assert draw["sentence.names"] == ""
        colored += place is None
    assert colored == len(SEEDS)


OBJECTS = ("target", "other1", "other2", "other3")


def _plain(sentence, draw):
    """Return whether the sentence names a colour that one object alone has, and that object."""
    colors = {name: draw[f"{name}.color"] for name in OBJECTS if draw[f"{name}.present"] > 0.5}
    color = colors[draw["sentence.names"]]
    return (
        f"{color} " in sentence
        and [c in sentence for c in PALETTE].count(True) == 1
        and [*colors.values()].count(color) == 1
    )


def test_a_swapped_sentence_leads_it_to_the_other_object(env):
    followed, asked = 0, 0
    for seed in SEEDS:
        sentence, place, draw = _looked(env, find_axis("grounding_swapped").arm(1), seed)
        assert draw["sentence.names"] in OBJECTS[1:]
        if _plain(sentence, draw):
            asked += 1
            there = np.array(draw[f"{draw['sentence.names']}.position"])
            followed += place is not None and np.linalg.norm(place[:2] - there) < 0.02
    assert asked >= 4
    assert followed == asked


def _usual(draw):
    """Return whether the sentence names a cube of 4 cm."""
    name = draw["sentence.names"]
    return draw[f"{name}.shape"] == "box" and 0.018 < draw[f"{name}.half_size"][0] < 0.022


def _clear_seed(env):
    """Return a seed in which right and swapped sentences name colours, of cubes of 4 cm."""
    for seed in range(SEEDS[0], SEEDS[0] + 300):
        begun = [_begun(env, find_axis(f"grounding_{form}").arm(1), seed) for form in ("right", "swapped")]
        if all(_plain(shown.instructions[0], draw) and _usual(draw) for shown, draw in begun):
            return seed
    raise AssertionError("no scene with clear colours")


def test_it_grasps_what_it_was_told_and_the_measurement_says_so(env):
    seed, hands = _clear_seed(env), []
    for axis in ("grounding_right", "grounding_swapped", "grounding_blank"):
        env.vary(find_axis(axis).arm(1))
        episode = next(rollout(env, ColourPolicy(), [seed]))
        hands.append((acted_on(episode), episode.draw["sentence.names"]))
    (right, target), (swapped, other), (blank, nobody) = hands
    assert right == target == "target"
    assert swapped == other != "target"
    assert blank == nobody == ""
