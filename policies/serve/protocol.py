"""What server and client say to each other: metadata, requests of one world each, answers with a chunk of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.serve.wire import MessageError
from sim.conventions import from_json, to_json
from sim.episodes import Ids, Images, Observation, PolicySpec
from sim.errors import UserError, unknown

VERSION = 1
"""Version of the keys below; a server of another one is refused."""

MARK, RESET, SEED, STEP = "demomill", "demomill/reset", "demomill/seed", "demomill/step"
"""Key of the metadata by which a server of ours is known; keys of a request that only such a server reads."""

IMAGES = {"image": "observation/image", "wrist_image": "observation/wrist_image"}
"""Camera -> key of its frame (h, w, 3) u8; the keys of openpi's LIBERO policies."""

STATE, PRIVILEGED, PROMPT, ACTIONS = "observation/state", "observation/privileged", "prompt", "actions"

STATE_SIZE = 8


@dataclass(frozen=True)
class Request:
    """One world's observation, checked."""

    images: Mapping[str, Images]
    state: NDArray[np.float32]
    privileged: NDArray[np.float32]
    instruction: str
    seed: int
    step: int
    # A new episode begins: what was remembered of this client is forgotten first.
    reset: bool


def metadata(spec: PolicySpec) -> dict[str, Any]:
    """Return what a server says of its policy to every client, before the first request."""
    return {
        MARK: VERSION,
        "policy": spec.name,
        "digest": spec.digest or "",
        "inputs": sorted(spec.inputs),
        "chunk": spec.chunk,
        "execute": spec.execute,
        "convention": to_json(spec.convention),
        "observation": keys(spec),
    }


def keys(spec: PolicySpec) -> dict[str, str]:
    """Return the keys of a request that the policy reads, and what each must hold."""
    size = spec.convention.image_size
    held = {IMAGES[name]: f"({size}, {size}, 3) uint8" for name in IMAGES if name in spec.inputs}
    if "state" in spec.inputs:
        held[STATE] = f"({STATE_SIZE},) float"
    if "privileged" in spec.inputs:
        held[PRIVILEGED] = "(p,) float"
    if "instruction" in spec.inputs:
        held[PROMPT] = "text"
    return held


def spec_from(told: Mapping[str, Any], *, where: str) -> PolicySpec:
    """Return the spec that the metadata of one of our servers describes."""
    if told.get(MARK) != VERSION:
        raise UserError(
            f"{where} speaks version {told.get(MARK)!r} of the keys of demomill; this one speaks {VERSION}. "
            "Run the same demomill at both ends."
        )
    try:
        return PolicySpec(
            name=str(told["policy"]),
            convention=from_json(dict(told["convention"]), source=where),
            inputs=frozenset(str(name) for name in told["inputs"]),
            chunk=int(told["chunk"]),
            execute=int(told["execute"]),
            digest=str(told["digest"]) or None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} sent metadata that is not complete ({error!r}). Run the same demomill there."
        ) from error


def encode_request(observation: Observation, row: int, spec: PolicySpec, *, reset: bool) -> dict[str, Any]:
    """Return the request of one row of an observation, as a server of ours reads it."""
    message: dict[str, Any] = {
        SEED: int(observation.seeds[row]),
        STEP: int(observation.steps[row]),
        RESET: reset,
    }
    if "state" in spec.inputs:
        message[STATE] = np.asarray(observation.state[row])
    if "privileged" in spec.inputs:
        message[PRIVILEGED] = np.asarray(observation.privileged[row])
    if "instruction" in spec.inputs:
        message[PROMPT] = observation.instructions[row]
    return message


def decode_request(message: Mapping[str, Any], spec: PolicySpec, *, before: Request | None = None) -> Request:
    """Return the request in a message; what is missing or misshapen is a `MessageError` that says what is wanted.

    Of a client that does not count its steps, the step follows from the request `before`: it executes what the spec
    says, and another seed begins another episode.
    """
    wanted = keys(spec)
    missing = [key for key in wanted if key not in message]
    if missing:
        raise MessageError(
            f"the observation lacks {', '.join(missing)}. This policy reads "
            f"{', '.join(f'{key}: {what}' for key, what in wanted.items())}; it got {', '.join(sorted(message))[:200]}"
        )
    size = spec.convention.image_size
    state = _numbers(message[STATE], STATE, size=STATE_SIZE) if STATE in wanted else np.zeros(STATE_SIZE, np.float32)
    seed, reset = _integer(message.get(SEED, 0), SEED), message.get(RESET, False) is True
    earlier = before if before is not None and not reset and seed == before.seed else None
    expected = 0 if earlier is None else earlier.step + spec.execute
    hidden = _numbers(message[PRIVILEGED], PRIVILEGED) if PRIVILEGED in wanted else np.zeros(0, np.float32)
    return Request(
        images={name: _image(message[key], key, size) for name, key in IMAGES.items() if key in wanted},
        state=state,
        privileged=hidden,
        instruction=_text(message[PROMPT]) if PROMPT in wanted else "",
        seed=seed,
        step=_integer(message.get(STEP, expected), STEP),
        reset=reset,
    )


def _image(value: Any, key: str, size: int) -> Images:
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.shape != (size, size, 3):
        got = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise MessageError(f"{key} is {got}; this policy reads ({size}, {size}, 3) uint8, RGB, row 0 on top")
    return value


def _numbers(value: Any, key: str, *, size: int | None = None) -> NDArray[np.float32]:
    if not isinstance(value, np.ndarray) or value.ndim != 1 or (size is not None and len(value) != size):
        got = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise MessageError(f"{key} is {got}; this policy reads a float array ({size or 'p'},)")
    if not np.isfinite(value).all():
        raise MessageError(f"{key} holds NaN or infinity")
    return value.astype(np.float32)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 10_000:
        raise MessageError(f"{PROMPT} is no text of at most 10,000 letters")
    return value


def _integer(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= int(value) < 2**31:
        raise MessageError(f"{key} is no integer from 0 to {2**31 - 1:,}")
    return int(value)


def observation_of(requests: Sequence[Request], slots: Ids) -> Observation:
    """Return the observation of the worlds `slots` (k,) that the requests of k clients make together."""

    def render(camera: str) -> Images:
        if any(camera not in request.images for request in requests):
            raise unknown("camera", camera, requests[0].images)
        return np.stack([request.images[camera] for request in requests])

    return Observation(
        ids=slots,
        seeds=tuple(request.seed for request in requests),
        steps=np.array([request.step for request in requests], dtype=np.intp),
        state=np.stack([request.state for request in requests]),
        privileged=np.stack([request.privileged for request in requests]),
        instructions=tuple(request.instruction for request in requests),
        render=render,
    )


def check_actions(value: Any, *, chunk: int, key: str = ACTIONS, size: int = 7) -> NDArray[np.float64]:
    """Return the actions (chunk, size) of an answer; another shape is a `MessageError`."""
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[1] != size or len(value) < chunk:
        got = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise MessageError(f"{key!r} of the answer is {got}; expected at least ({chunk}, {size})")
    return value[:chunk].astype(np.float64)
