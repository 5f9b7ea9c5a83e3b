"""Axes and arms: frozen data, laws that draw alike everywhere, and worlds that differ in what an arm says alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.axes import GROUPS, axes_digest, load_axes, together
from bench.config import BenchConfig, HostTask
from bench.suite_available import available, host_knobs, notices
from bench.variation import NOMINAL, WRAPPED, Arm, applied, drawn_changes
from bench.variation_env import NEUTRAL, VariedEnv, open_env
from bench.variation_task import OwnEnv, nominal_preset, turnable
from sim.baselines import RandomPolicy
from sim.errors import UserError
from sim.rollouts import rollout
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.grammar import denoted, read
from tasks.randomization import knobs

FROZEN = "7784c8deddceff12"
SEEDS = [episode_seed("benchmark", 0, i) for i in range(40)]


def arm(*laws):
    return Arm("test", 1, knobs(*laws))


@pytest.fixture(scope="module")
def own():
    """Return our own engine with one world of lift_cube-v2, for arms to be laid over."""
    env = VariedEnv(OwnEnv(load_task("lift_cube-v2"), image_size=48), load_task("lift_cube-v2"))
    yield env
    env.close()


def test_the_axes_are_frozen():
    assert axes_digest(tuple(load_axes())) == FROZEN, (
        "an axis changed. Numbers of runs that used it can no longer be compared: make it a new axis instead, "
        "or raise the version of every suite that has it, then put the new digest here"
    )


def test_every_axis_is_graded_and_says_what_it_does():
    for name, axis in load_axes().items():
        assert axis.group in GROUPS, name
        assert axis.about, name
        assert len(axis.levels) in (1, 3), name
        paths = [{law.path for law in laws} for laws in axis.levels]
        assert all(each == paths[0] for each in paths), f"{name} turns other knobs at other levels"
        assert len({tuple(law.text for law in laws) for laws in axis.levels}) == len(axis.levels), name


def test_our_own_scenes_can_turn_every_axis_that_has_a_meaning_there():
    task = load_task("lift_cube-v2")
    missing = {n: why for n, axis in load_axes().items() if (why := available(axis, task, turnable(task) | WRAPPED)[1])}
    assert missing == {}
    single = load_task("lift_cube-v1")
    for name in ("distractors", "object_shape", "grounding_swapped"):
        assert available(load_axes()[name], single, turnable(single) | WRAPPED)[0] is None


def test_what_a_host_cannot_turn_is_named_and_the_rest_of_the_combination_is_kept():
    task = load_task("lift_cube-v2")
    found, why = available(load_axes()["camera_pose"], task, WRAPPED)
    assert found is None
    assert why == "cannot turn camera.offset, camera.target_offset"
    combined, why = available(load_axes()["combined"], task, WRAPPED)
    assert combined is not None
    assert {law.path for laws in combined.levels for law in laws} <= WRAPPED
    assert "without object_color" in why
    assert len(combined.levels) == 3
    assert together([]) == ()


def test_a_policy_notices_only_what_it_reads():
    axes = load_axes()
    image, state = frozenset({"image", "instruction"}), frozenset({"privileged"})
    spec = RandomPolicy(0).spec
    seeing, blind = replace(spec, inputs=image), replace(spec, inputs=state)
    for name, expected in (
        ("camera_pose", (True, False)),
        ("sentence_blank", (True, False)),
        ("object_color", (True, False)),
        ("state_noise", (False, True)),
        ("action_latency", (True, True)),
        ("object_mass", (True, True)),
        ("combined", (True, True)),
    ):
        assert (notices(seeing, axes[name].arm(1)), notices(blind, axes[name].arm(1))) == expected, name


@given(seed=st.integers(0, 2**31 - 1))
def test_a_change_is_drawn_alike_for_every_nominal_value(seed):
    laws = knobs("target.mass *U(2, 3)", "light.diffuse *U(0.4, 0.5)", "camera.offset +U([-1, 0, 0], [1, 0, 2])")
    changes = drawn_changes(laws, seed)
    assert changes == drawn_changes(reversed(laws), seed)
    (_, factor), (_, dim), (_, shift) = (changes[law.path] for law in laws)
    assert 2 <= factor <= 3
    assert applied(changes["target.mass"], 0.5) == 0.5 * factor
    assert applied(changes["light.diffuse"], (1.0, 2.0, 4.0)) == (dim, 2 * dim, 4 * dim)
    assert applied(changes["camera.offset"], (1.0, 1.0, 1.0)) == tuple(1.0 + s for s in shift)


def test_choices_draw_names_and_numbers_and_wrong_sizes_are_refused():
    changes = drawn_changes(knobs("target.color =choice(purple)", "action.latency =choice(2)"), 7)
    assert applied(changes["target.color"], "red") == "purple"
    assert applied(changes["action.latency"], 0.0) == 2.0
    with pytest.raises(UserError, match=r"2 components, but robot\.q has 3"):
        applied(("+", (1.0, 2.0)), (0.0, 0.0, 0.0), path="robot.q")
    with pytest.raises(UserError, match="does not fit"):
        applied(("*", 2.0), "red", path="target.color")


@pytest.mark.parametrize("name", ["object_color", "object_shape"])
def test_another_color_and_another_shape_are_always_others(own, name):
    task, path = load_task("lift_cube-v2"), {"object_color": "target.color", "object_shape": "target.shape"}[name]
    own.env.vary(())
    usual = {str(own.env.task.draw(seed, preset=nominal_preset(task))[path]) for seed in SEEDS}
    assert len(usual) == 1
    for level in (1, 2, 3):
        own.env.vary(load_axes()[name].arm(level).hosted)
        drawn = {str(own.env.task.draw(seed, preset=nominal_preset(task))[path]) for seed in SEEDS}
        assert not drawn & usual


@pytest.mark.parametrize("name", TASKS)
def test_the_nominal_scene_has_what_hosts_draw_and_nothing_else(name):
    task = load_task(name)
    env = OwnEnv(task, image_size=32)
    try:
        draws = [env.task.draw(seed, preset=nominal_preset(task)) for seed in SEEDS]
        assert len({str(draw) for draw in draws}) == len(SEEDS), "every episode looks the same"
        nominal = task.scene.nominal()
        for path in ("camera.offset", "light.diffuse", "robot.response", "action.latency", "image.noise"):
            assert all(draw.get(path, nominal[path]) == nominal[path] for draw in draws)
        assert all(float(draw.get(f"{o}.present", 1.0)) < 0.5 for draw in draws for o in ("other1",) if task.semantics)
    finally:
        env.close()


@pytest.mark.parametrize("name", [n for n, a in load_axes().items() if a.group in ("object", "scene", "grounding")])
def test_sentences_stay_true_of_what_an_arm_changed(own, name):
    task = load_task("lift_cube-v2")
    changed = 0
    for level in range(1, len(load_axes()[name].levels) + 1):
        own.env.vary(load_axes()[name].arm(level).hosted)
        for seed in SEEDS:
            meaning = own.env.task.meaning(seed, preset=nominal_preset(task))
            sentence, _ = own.env.task.sentence(seed, preset=nominal_preset(task))
            _, phrases = read(sentence, task.templates)
            assert denoted(phrases["target"], meaning.things) == ("target",), (sentence, meaning.things)
            own.env.vary(())
            changed += own.env.task.meaning(seed, preset=nominal_preset(task)).values != meaning.values
            own.env.vary(load_axes()[name].arm(level).hosted)
    assert changed or name in ("table_texture", "table_color", "object_mass", "friction")


def test_targets_outside_the_field_are_clear_of_other_things():
    for name in ("position_near", "position_side"):
        task = load_task("stack_cube-v1")
        env = OwnEnv(task, image_size=32)
        env.vary(load_axes()[name].arm(1).hosted)
        for seed in SEEDS:
            values = env.task.draw(seed, preset=nominal_preset(task))
            gap = np.linalg.norm(np.subtract(values["target.position"], values["base.position"]))
            assert gap > 0.06
            assert not (0.43 <= values["target.position"][0] <= 0.73 and abs(values["target.position"][1]) <= 0.22)
        env.close()


def test_a_law_for_the_target_holds_for_whichever_door_is_there():
    task = load_task("open_door-v1")
    doors = [fixture.name for fixture in task.scene.fixtures]
    env, seen = OwnEnv(task, image_size=32), set()
    env.vary(knobs("target.color =choice(green)", "target.damping *U(2, 3)"))
    for seed in SEEDS:
        values = task.scene.nominal() | env.task.draw(seed, preset=nominal_preset(task))
        (there,) = [name for name in doors if values[f"{name}.present"] > 0.5]
        seen.add(there)
        assert values[f"{there}.color"] == "green"
        assert values[f"{there}.damping"] >= 2 * task.scene.nominal()[f"{there}.damping"]
    env.close()
    assert seen == set(doors)


def _episode(env, chosen, seed=SEEDS[0]):
    env.vary(chosen)
    return next(rollout(env, RandomPolicy(0), [seed]))


def test_the_nominal_arm_is_the_environment_itself():
    task = load_task("lift_cube-v1")
    bare, wrapped = OwnEnv(task, image_size=32), VariedEnv(OwnEnv(task, image_size=32), task)
    first, second = next(rollout(bare, RandomPolicy(0), [SEEDS[1]])), _episode(wrapped, NOMINAL, SEEDS[1])
    assert np.array_equal(first.traces["tcp"], second.traces["tcp"])
    assert first.draw == second.draw
    assert first.instruction == second.instruction
    bare.close()
    wrapped.close()


def test_an_arm_leaves_nothing_behind(own):
    before = _episode(own, NOMINAL)
    varied = _episode(own, arm("target.mass *U(6, 7)", "action.latency =choice(2)", "robot.q +U(0.2, 0.3)"))
    after = _episode(own, NOMINAL)
    assert not np.array_equal(before.traces["tcp"], varied.traces["tcp"])
    assert np.array_equal(before.traces["tcp"], after.traces["tcp"])
    assert before.draw == after.draw


@pytest.mark.parametrize("name", [n for n, a in load_axes().items() if a.group in ("light", "camera", "scene")])
def test_a_visual_axis_changes_pixels_and_no_motion(own, name):
    if name == "distractors":
        return
    before = _episode(own, NOMINAL)
    plain = own.observe(np.array([0])).render("image")
    varied = _episode(own, load_axes()[name].arm(3))
    seen = own.observe(np.array([0])).render("image")
    assert np.array_equal(before.traces["tcp"], varied.traces["tcp"])
    assert np.abs(plain.astype(int) - seen.astype(int)).mean() > 1.0, "the picture hardly changed"


@pytest.mark.parametrize(
    "name",
    ["object_mass", "friction", "object_larger", "object_smaller", "object_shape", "position_near", "robot_pose"],
)
def test_a_physical_axis_turns_what_it_says(own, name):
    own.vary(load_axes()[name].arm(3))
    own.reset(np.array([0]), [SEEDS[0]])
    varied, paths = own.draw(0), [law.path for law in load_axes()[name].levels[2]]
    own.vary(NOMINAL)
    own.reset(np.array([0]), [SEEDS[0]])
    nominal = load_task("lift_cube-v2").scene.nominal() | own.draw(0)
    for path in paths:
        assert varied[path] != nominal[path]
    if name == "object_mass":
        assert 5.5 <= varied["target.mass"] / nominal["target.mass"] <= 7


def test_actions_come_late_by_whole_steps(own):
    plain = _episode(own, NOMINAL)
    late = _episode(own, arm("action.latency =choice(2)"))
    assert np.array_equal(plain.actions, late.actions)
    assert np.allclose(late.traces["tcp"][2:30], plain.traces["tcp"][:28], atol=2e-3)
    assert not np.allclose(late.traces["tcp"][1:29], plain.traces["tcp"][:28], atol=2e-3)


def test_noise_on_actions_and_state_is_drawn_from_the_seed(own):
    noisy = arm("action.noise =choice(0.3)", "state.position_noise =choice(0.01)", "privileged.noise =choice(0.01)")
    first, again, other = _episode(own, noisy), _episode(own, noisy), _episode(own, noisy, SEEDS[1])
    assert np.array_equal(first.states, again.states)
    error = first.states[:, :3] - first.traces["tcp"][:, :3]
    assert 0.007 < error.std() < 0.013
    assert abs(np.linalg.norm(first.states[:, 3:7], axis=1) - 1).max() < 1e-5
    assert not np.array_equal(error, other.states[:, :3] - other.traces["tcp"][:, :3])
    assert np.abs(first.traces["tcp"] - _episode(own, NOMINAL).traces["tcp"]).max() > 1e-3


def test_an_axis_that_a_host_cannot_turn_is_refused_in_words(own):
    with pytest.raises(UserError, match=r"cannot turn moon\.phase, so the axis test is not available here"):
        own.vary(arm("moon.phase =U(0, 1)"))
    assert own.vary(NOMINAL) is None


def test_hosts_say_what_they_can_turn_without_being_built():
    pytest.importorskip("robosuite")
    found = host_knobs(HostTask("robosuite", "Lift"), load_task("lift_cube-v1"))
    assert isinstance(found, frozenset)
    assert set(NEUTRAL) == WRAPPED


def test_a_run_without_a_suite_keeps_the_held_out_worlds(tmp_path):
    task = load_task("lift_cube-v1")
    env = open_env(BenchConfig(out=tmp_path, hosts=("demomill",)), HostTask("demomill", task.id), task)
    env.reset(np.array([0]), [SEEDS[0]])
    assert env.draw(0)["camera.offset"] != (0.0, 0.0, 0.0)
    env.close()
