"""Whether a policy and an environment mean the same, compared field by field before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sim.adapters import READ_BY, Adapter, action_steps, adaptable, composed, frame_steps, refusal, state_step
from sim.conventions import Convention, Difference
from sim.episodes import EnvSpec, Images, Observation, PolicySpec

Verdict = Literal["equal", "adapted", "not read", "refused"]


@dataclass(frozen=True)
class Row:
    """One line of the comparison."""

    field: str
    policy: Any
    environment: Any
    verdict: Verdict
    # What the difference means for this pair, where the verdict does not say it all.
    note: str = ""


@dataclass(frozen=True)
class Agreement:
    """A policy and an environment that can work together, and the conversions between them."""

    rows: tuple[Row, ...]
    # Names of the conversions of actions and of observations, in the order in which they are made.
    adapters: tuple[str, ...]
    # The policy's actions (..., a) -> the environment's (..., b).
    actions: Adapter
    # The environment's observation -> the policy's.
    observation: Callable[[Observation], Observation]


def agree(policy: PolicySpec, environment: EnvSpec) -> Agreement:
    """Return how the two work together; what cannot be adapted is refused, with both sides printed."""
    rows = compare(policy, environment)
    hopeless = [Difference(row.field, row.policy, row.environment) for row in rows if row.verdict == "refused"]
    if hopeless:
        raise refusal(hopeless)
    ours, theirs = policy.convention, environment.convention
    actions, frames = action_steps(ours, theirs), []
    state = state_step(ours, theirs) if "state" in policy.inputs else None
    if policy.inputs & {"image", "wrist_image"}:
        frames = list(frame_steps(ours, theirs))
    names = [f"action {name}" for name, _ in actions] + [f"image {name}" for name, _ in frames]
    return Agreement(
        rows=tuple(rows),
        adapters=(*names, *([state[0]] if state else [])),
        actions=composed([step for _, step in actions]),
        observation=_observation(state[1] if state else None, [step for _, step in frames]),
    )


def compare(policy: PolicySpec, environment: EnvSpec) -> list[Row]:
    """Return every field in which the two could differ, with both sides and the verdict; nothing is refused here."""
    return [*_fields(policy, environment), *_beyond(policy, environment)]


def _fields(policy: PolicySpec, environment: EnvSpec) -> Iterator[Row]:
    """Yield the fields of the two conventions."""
    for field in fields(Convention):
        name = field.name
        ours, theirs = getattr(policy.convention, name), getattr(environment.convention, name)
        verdict: Verdict = "equal"
        if ours != theirs:
            unread = name in READ_BY and not READ_BY[name] & policy.inputs
            able = adaptable(name, policy.convention, environment.convention)
            verdict = "not read" if unread else "adapted" if able else "refused"
        yield Row(name, ours, theirs, verdict)


def _beyond(policy: PolicySpec, environment: EnvSpec) -> Iterator[Row]:
    """Yield what the conventions do not hold: inputs, chunks, length of episodes."""
    missing = policy.inputs - environment.offers
    yield Row(
        "inputs",
        ", ".join(sorted(policy.inputs)) or "nothing",
        ", ".join(sorted(environment.offers)),
        "refused" if missing else "equal",
        f"{', '.join(sorted(missing))} is not shown" if missing else "",
    )
    possible = 1 <= policy.execute <= policy.chunk
    executed = f"{policy.execute} of {policy.chunk} actions"
    yield Row("chunk executed", executed, "any", "equal" if possible else "refused")
    needed = policy.horizon
    short = needed is not None and environment.horizon < needed
    said = "not said" if needed is None else f"{needed} steps"
    yield Row("horizon", said, f"{environment.horizon} steps", "refused" if short else "equal")


def _observation(
    state: Callable[[Observation], Observation] | None, frames: Sequence[Callable[[Images], Images]]
) -> Callable[[Observation], Observation]:
    """Return the function that turns the environment's observations into the policy's."""

    def convert(shown: Observation) -> Observation:
        converted = shown if state is None else state(shown)
        if not frames:
            return converted

        def render(camera: str) -> Images:
            images = shown.render(camera)
            for step in frames:
                images = step(images)
            return images

        return replace(converted, render=render)

    return convert
