"""The 20-step probe: what static comparison cannot see is flagged, and a good or a merely bad policy is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.check_policy import CheckPolicyConfig, check_policy
from bench.probe_motion import DIMENSIONS
from bench.probe_policy import CHANGES, EPISODES, Shadow, correlations, shadow, shadow_findings
from policies.loading import load_policy
from sim.baselines import RandomPolicy
from sim.conventions import CANONICAL
from sim.errors import UserError
from sim.results import plain
from sim.streams import episode_seed
from tests.fault_doubles import Seeing, Speaking, seeing, worlds
from tests.scripted_policy import ScriptedPolicy, plain_pick

WATCHED = tuple(episode_seed("validation", 2, i) for i in range(EPISODES))


@pytest.fixture(scope="module")
def seen() -> Shadow:
    """A plain script beside the expert: two good policies that do the same in different ways."""
    env = worlds()
    scripted = ScriptedPolicy(lambda ids: env._state, script=plain_pick)
    return shadow(env, scripted, load_policy("expert:lift_cube"), WATCHED)


def told(found: Shadow) -> dict[str, str]:
    return {f.what: f.got for f in shadow_findings(found) if f.passed is False}


def test_two_good_policies_that_differ_are_not_flagged(seen):
    assert told(seen) == {}
    assert len(seen.policy) == len(seen.reference) == 20 * EPISODES


def test_a_random_policy_follows_nothing_and_that_is_no_fault():
    found = shadow(worlds(), RandomPolicy(1), load_policy("expert:lift_cube"), WATCHED)
    assert told(found) == {}
    assert not any(f.passed for f in shadow_findings(found) if f.what != "its gripper")


@pytest.mark.parametrize("dimension", range(6))
def test_a_turned_sign_inside_a_policy_is_named_by_its_dimension(seen, dimension):
    planted = seen.policy.copy()
    planted[:, dimension] *= -1
    found = told(replace(seen, policy=planted))
    assert list(found) == [f"its {DIMENSIONS[dimension]}"]
    assert "sign" in found[f"its {DIMENSIONS[dimension]}"]


def test_a_turned_gripper_is_named(seen):
    planted = seen.policy.copy()
    planted[:, 6] = 1 - planted[:, 6]
    assert "sign" in told(replace(seen, policy=planted))["its gripper"]


def test_a_wrong_unnormalization_is_told_by_its_scale(seen):
    planted = seen.policy.copy()
    planted[:, :3] *= 0.2
    found = told(replace(seen, policy=planted))
    assert {"its position x", "its position y"} <= set(found)
    assert all("un-normalization" in text for text in found.values())


def test_exchanged_dimensions_are_told(seen):
    both = seen.reference.copy()
    both[:, [0, 1]] = both[:, [1, 0]]
    matrix = correlations(both, seen.reference)
    assert matrix[0, 1] == pytest.approx(1.0)
    assert any("order or frame" in text or "sign" in text for text in told(replace(seen, policy=both)).values())


class Trained:
    """The policy that sees, as if it had been trained on changed frames without anything saying so."""

    spec = Seeing.spec

    def __init__(self, change: str) -> None:
        self.change = change

    def reset(self, ids: np.ndarray) -> None:
        seeing().reset(ids)

    def act(self, observation):
        changed = replace(observation, render=lambda camera: CHANGES[self.change](observation.render(camera)))
        return seeing().act(changed)


@pytest.mark.parametrize("change", CHANGES)
def test_frames_that_a_policy_was_trained_on_otherwise_are_named(change):
    found = shadow(worlds(), Trained(change), load_policy("expert:lift_cube"), WATCHED[:4], changes=tuple(CHANGES))
    assert change in told(found).get("its frames", "")


def test_a_policy_that_sees_rightly_is_not_flagged():
    found = shadow(worlds(), seeing(), load_policy("expert:lift_cube"), WATCHED[:4], changes=tuple(CHANGES))
    assert told(found) == {}


def test_a_policy_in_another_convention_is_compared_in_canonical_terms(seen):
    inner = load_policy("expert:lift_cube")
    other = Speaking(inner, replace(CANONICAL, position_unit=0.05, rotation="delta 6d rows", gripper_open=-1.0))
    found = shadow(worlds(), other, inner, WATCHED[:1])
    np.testing.assert_allclose(found.policy, found.reference, atol=1e-9)


def test_a_probe_of_nothing_is_refused():
    with pytest.raises(UserError, match="empty"):
        shadow(worlds(), RandomPolicy(0), RandomPolicy(1), [])


def test_the_verb_tells_field_by_field_and_says_whether_they_can_work_together(capsys):
    from sim.results import show

    good = check_policy(CheckPolicyConfig("expert:lift_cube", hosts=("demomill",)), load_policy("expert:lift_cube"))
    assert good.ok
    (host,) = good.hosts
    assert {field["verdict"] for field in host.fields} == {"equal"}
    assert any(check.check.startswith("probe: commanded rotation") for check in host.checks)
    slow = load_policy("expert:lift_cube")
    slow.spec = replace(slow.spec, convention=replace(CANONICAL, rate=5.0, position_unit=0.1))
    bad = check_policy(CheckPolicyConfig("expert:lift_cube", hosts=("demomill",)), slow)
    assert not bad.ok
    assert not bad.hosts[0].checks, "nothing is opened to a step when it is refused"
    show(bad, as_json=False)
    text = capsys.readouterr().out
    assert "refused" in text
    assert "must not be run together" in text
    assert plain(bad)["hosts"][0]["fields"][2]["verdict"] == "refused"
