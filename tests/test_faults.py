"""Planted misunderstandings are refused before a step or adapted without a trace; good pairs are never refused."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from bench.first_look import check_seeds, require_sound
from bench.probe_motion import motion_findings, probe_motion
from sim.baselines import RandomPolicy
from sim.compatibility import agree
from sim.errors import UserError
from sim.rollouts import rollout
from tests.fault_doubles import SEEDS, Spy, seeing
from tests.fault_list import FAULTS
from tests.faults import Bed, expert, means

ROOT = Path(__file__).parent.parent


def run(bed: Bed):
    """Do what a worker of the benchmark does, and return the first episode."""
    check_seeds(bed.seeds)
    require_sound(bed.env, bed.seeds, target="cube", inputs=bed.policy.spec.inputs)
    return next(rollout(bed.env, bed.policy, bed.seeds))


@functools.cache
def good(kind: str):
    return run(expert() if kind == "expert" else means())


def identity(fault) -> str:
    return fault.planted


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.caught == "refused"], ids=identity)
def test_it_is_refused_before_the_first_step(fault):
    bed = fault.plant()
    with pytest.raises(UserError) as refused:
        run(bed)
    assert fault.told in str(refused.value)
    assert bed.env.steps == 0


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.caught == "adapted"], ids=identity)
def test_it_is_adapted_and_the_episode_is_that_of_the_good_pair(fault):
    bed = fault.plant()
    adapters = agree(bed.policy.spec, bed.env.spec).adapters
    assert any(fault.told in name for name in adapters), adapters
    episode = run(bed)
    np.testing.assert_allclose(episode.states, good(bed.policy.inner.spec.name.split(":")[0]).states, atol=2e-4)
    assert np.abs(episode.states[-1, :3] - episode.states[0, :3]).max() > 0.02, "and it moves"


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.caught == "flagged"], ids=identity)
def test_it_cannot_be_seen_before_a_step_and_the_probe_flags_it(fault):
    bed = fault.plant()
    findings = list(motion_findings(probe_motion(bed.env, SEEDS[0])))
    wrong = [f for f in findings if f.passed is False]
    assert any(fault.told in f.got for f in wrong), [f.got for f in findings]


@pytest.mark.parametrize("policy", [RandomPolicy(0), seeing(), expert().policy], ids=lambda p: p.spec.name)
def test_good_pairs_are_not_refused_and_not_flagged(policy):
    bed = Bed(Spy(), policy)
    assert run(bed).error is None
    assert bed.env.steps > 0
    assert all(f.passed for f in motion_findings(probe_motion(bed.env, SEEDS[1])))


def test_the_table_in_the_docs_is_the_list_of_what_is_planted():
    text = (ROOT / "docs" / "convention.md").read_text()
    words = {"adapted": "adapted: ", "refused": "refused: ", "flagged": "probe: "}
    section = text.partition("## Every known pitfall")[2].partition("\n## ")[0]
    told = [line for line in section.splitlines() if line.startswith("| ")][1:]
    rows = [f"| {f.pitfall} | {f.planted} | {words[f.caught]}`{f.told.strip()}` |" for f in FAULTS]
    assert told == rows, "docs/convention.md should have:\n" + "\n".join(rows)


PITFALLS = (
    "rotation: euler; wxyz, xyzw; quaternion sign; 6-D rotation; missing offset; gripper sign; gripper threshold; "
    "gripper range; gripper stickiness; state not sent; state: wrong source; gripper formula; delta, absolute; "
    "joint, end effector; dimension; frame; un-normalization; chunk executed; horizon; control rate; "
    "success: end, once; placement; centre crop; flipped rows; BGR; resolution; camera role; seeds duplicated; "
    "seeds not stored; seeds reused"
)


def test_every_known_pitfall_is_planted_at_least_once():
    assert {f.pitfall for f in FAULTS} == set(PITFALLS.split("; "))
