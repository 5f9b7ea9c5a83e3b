"""A policy looks over a reference's shoulder for 20 steps: do its actions mean the same.

The reference acts; the policy is asked in the same worlds, of the same observations, and what it says is only written
down. A wrong sign inside a checkpoint shows as a correlation below zero, a wrong un-normalization as a wrong scale, and
exchanged channels as actions that agree with the reference only when the frames are changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.checklist import Finding
from bench.probe_motion import DIMENSIONS, STEPS
from sim.adapters import adapt_actions
from sim.compatibility import Agreement, agree
from sim.conventions import ARM_LIMITS, CANONICAL
from sim.episodes import Env, Images, Observation, Policy
from sim.errors import UserError
from sim.streams import generator

EPISODES = 8
"""Episodes of 20 steps that a probe looks at; `docs/convention.md` says how often it errs with so many."""

DISTURBED, HOLDS = 0.6, 5
"""Standard deviation of what is added to the reference's arm actions, as a share of their limits; steps per draw.

It leads the hand off its way and tilts it, so that every dimension has something to answer.
"""

MOVES = 0.15
"""Root mean square of the reference's component, as a share of its limit, below which a dimension tells nothing."""

AGAINST, ALONG = -0.25, 0.5
"""Correlations with the reference below which a sign counts as turned, and from which on it counts as followed."""

SCALES = (1 / 3, 3.0)
"""Ratio of a followed dimension's size to the reference's beyond which a unit or un-normalization counts as wrong."""

BETTER = 0.25
"""How much more a policy must agree with the reference when its frames are changed for the change to count."""

CHANGES: Mapping[str, Callable[[Images], Images]] = {
    "with red and blue exchanged (BGR)": lambda frames: np.ascontiguousarray(frames[..., ::-1]),
    "with their rows flipped": lambda frames: np.ascontiguousarray(frames[:, ::-1]),
    "with their columns mirrored": lambda frames: np.ascontiguousarray(frames[:, :, ::-1]),
}
"""What may have happened to the frames that a policy was trained on."""


@dataclass(frozen=True)
class Shadow:
    """Canonical actions, over all episodes and steps, of the reference and of the policy that watched it."""

    # (N, 7) each.
    reference: NDArray[np.float64]
    policy: NDArray[np.float64]
    # Name of a change of the frames -> what the policy would have said then, (N, 7).
    changed: Mapping[str, NDArray[np.float64]]


def shadow(env: Env, policy: Policy, reference: Policy, seeds: Sequence[int], *, changes: Sequence[str] = ()) -> Shadow:
    """Let the reference act for 20 steps of each episode in world 0 and ask the policy beside it.

    The policy is asked as often as in a rollout, every `execute` steps, and the actions that it would have executed are
    compared. `changes` names changes of the frames under which it is asked too.
    """
    if not seeds:
        raise UserError("A probe needs at least one episode; the list of seeds is empty.")
    watch = _Watch(env, policy, reference)
    ours: list[NDArray[np.float64]] = []
    theirs: list[NDArray[np.float64]] = []
    changed: dict[str, list[NDArray[np.float64]]] = {name: [] for name in changes}
    for seed in seeds:
        acted, said = watch.episode(seed, changes)
        theirs.append(acted)
        ours.append(said.pop(""))
        for name, actions in said.items():
            changed[name].append(actions)
    return Shadow(np.concatenate(theirs), np.concatenate(ours), {n: np.concatenate(a) for n, a in changed.items()})


class _Watch:
    """An environment in which the reference acts and the policy is asked."""

    def __init__(self, env: Env, policy: Policy, reference: Policy) -> None:
        self.env, self.policy, self.reference = env, policy, reference
        self.ours, self.theirs = agree(policy.spec, env.spec), agree(reference.spec, env.spec)
        self.to_canonical, _ = adapt_actions(policy.spec.convention, CANONICAL, action_only=True)
        self.one = np.zeros(1, dtype=np.intp)

    def episode(self, seed: int, changes: Sequence[str]) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return the reference's canonical actions (T, 7), and the policy's by change; "" is no change."""
        self.env.reset(self.one, [seed])
        self.policy.reset(self.one)
        self.reference.reset(self.one)
        acted: list[NDArray[np.float64]] = []
        said: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("", *changes)}
        off = DISTURBED * generator(seed, "probe").standard_normal((-(-STEPS // HOLDS), 6))
        for step in range(min(STEPS, self.env.spec.horizon)):
            shown = self.env.observe(self.one)
            if step % self.policy.spec.execute == 0:
                for name in said:
                    said[name].append(self._asked(shown, name))
            action = _chunks(self.reference.act(self.theirs.observation(shown)))[0, 0]
            acted.append(action)
            led = np.concatenate([action[:6] + off[step // HOLDS] * ARM_LIMITS, action[6:]])
            everywhere = np.repeat(self.theirs.actions(led)[None], self.env.n, axis=0)
            if self.env.step(everywhere).errors:
                break
        count = len(acted)
        return np.array(acted), {name: np.concatenate(parts)[:count] for name, parts in said.items()}

    def _asked(self, shown: Observation, change: str) -> NDArray[np.float64]:
        """Return the canonical actions (execute, 7) that the policy would execute now."""
        seen = _changed(self.ours, shown, change)
        return self.to_canonical(_chunks(self.policy.act(seen))[0, : self.policy.spec.execute])


def _changed(agreement: Agreement, shown: Observation, change: str) -> Observation:
    seen = agreement.observation(shown)
    if not change:
        return seen
    return replace(seen, render=lambda camera: CHANGES[change](seen.render(camera)))


def _chunks(answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an answer as chunks (k, chunk, a)."""
    values = np.asarray(answer, dtype=np.float64)
    return values[:, None] if values.ndim == 2 else values


def shadow_findings(found: Shadow) -> Iterator[Finding]:
    """Yield one finding per dimension, one for the gripper and one for the frames, each with a sentence.

    A policy that simply is bad follows nothing: that is told and passes, as nothing says that it is misunderstood.
    """
    matrix = correlations(found.policy, found.reference)
    for k, name in enumerate(DIMENSIONS):
        got, passed = _dimension(found, matrix, k)
        yield Finding(f"its {name}", "as the reference's", got, passed)
    yield _gripper(found)
    if found.changed:
        yield _frames(found)


def correlations(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation (6, 6) of each arm dimension of one with each of the other; 0 where one stands still.

    It is taken about zero, not about the mean: a constant motion in the right direction is agreement.
    """
    a, b = (np.clip(x[:, :6] / ARM_LIMITS, -1.0, 1.0) for x in (ours, theirs))
    sizes = np.sqrt((a**2).sum(axis=0))[:, None] * np.sqrt((b**2).sum(axis=0))
    return np.asarray(a.T @ b / np.where(sizes > 0, sizes, 1.0))


def _dimension(found: Shadow, matrix: NDArray[np.float64], k: int) -> tuple[str, bool | None]:
    """Return what to tell of an arm dimension, and whether it means what the reference means."""
    ours, theirs = (float(np.sqrt(((x[:, k] / ARM_LIMITS[k]) ** 2).mean())) for x in (found.policy, found.reference))
    if theirs < MOVES:
        return "not judged: the reference hardly moves it", None
    kind = slice(0, 3) if k < 3 else slice(3, 6)
    own, row = float(matrix[k, k]), matrix[k, kind]
    best = int(np.argmax(np.abs(row))) + kind.start
    got = f"correlation {own:.2f}, size {ours / theirs:.2f} of the reference's"
    if own < AGAINST:
        return f"{got}: it goes the other way; its sign seems to be turned", False
    if best != k and abs(own) < 0.3 and abs(matrix[k, best]) > 0.8:
        return f"{got}: it follows {DIMENSIONS[best]} ({matrix[k, best]:.2f}); another order or frame", False
    if own < ALONG:
        return f"{got}: it follows the reference weakly, which says nothing of its convention", None
    if not SCALES[0] < ours / theirs < SCALES[1]:
        return f"{got}: its unit or un-normalization seems to be another", False
    return got, True


def _gripper(found: Shadow) -> Finding:
    """Return whether the policy opens and closes where the reference does."""
    what, expected = "its gripper", "open and closed as the reference's"
    ours, theirs = found.policy[:, 6] > 0.5, found.reference[:, 6] > 0.5
    share = float((ours == theirs).mean())
    got = f"equal in {share:.0%} of the steps"
    if share < 0.25:
        return Finding(what, expected, f"{got}: its sign seems to be turned", False)
    return Finding(what, expected, got, True if share > 0.6 else None)


def _frames(found: Shadow) -> Finding:
    """Return whether the policy agrees better with the reference when its frames are changed."""
    plain = score(found.policy, found.reference)
    scores = {name: score(actions, found.reference) for name, actions in found.changed.items()}
    best = max(scores, key=lambda name: scores[name])
    what, expected, got = "its frames", "best as they are", f"agreement {plain:.2f}"
    if scores[best] > plain + BETTER and scores[best] > ALONG:
        return Finding(what, expected, f"{got}, but {scores[best]:.2f} {best}: it was trained on such frames", False)
    return Finding(what, expected, got, True if plain > ALONG else None)


def score(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return the agreement of two runs of actions (N, 7): the mean correlation of x, y and z, which frames decide."""
    return float(np.diag(correlations(ours, theirs))[:3].mean())
