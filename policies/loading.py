"""The grammar of POLICY, the same everywhere: a text becomes a policy."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.options import PolicyOptions, parse_policy
from sim.episodes import Policy
from sim.errors import UserError, nearest, unknown
from sim.files import read_json

FORMS = "expert:TASK, the folder of a checkpoint, module:attribute, ws://HOST:PORT, or random"
RECORD = "checkpoint.json"
REMOTE = ("ws://", "wss://")
LEARNED = ("vla", "pretrained")
"""Kinds of checkpoints of policies that see frames and sentences."""


def load_policy(
    text: str,
    *,
    task: str | None = None,
    execute: int | None = None,
    instruction: str | None = None,
    seed: int = 0,
) -> Policy:
    """Return the policy that `text` names: expert:TASK, a checkpoint's folder, module:attribute, ws://, or random.

    Options may stand behind it: `runs/vla?execute=2&ensemble=0.01&dtype=int8` (policies/options.py). With `task`, an
    expert of another task is refused. `execute` (actions of each chunk that are executed) and `instruction` (a
    sentence, also a blank one, instead of the environment's) are for learned VLAs; `seed` is for the random policy.
    """
    base, options = parse_policy(text)
    if execute is not None:
        options = replace(options, execute=execute)
    folder = None if base.startswith(REMOTE) else _checkpoint_folder(base)
    if folder is not None and _kind(folder) in LEARNED:
        policy = _learned(folder, options, text, instruction=instruction)
        return _filtered(policy, options) if options.filters else policy
    if instruction is not None:
        raise UserError(f"Policy {text!r} has no instruction to change: only VLA checkpoints have.")
    allowed = {"execute", "ensemble", "smooth", "limit"}
    expert = folder is not None or base.startswith("expert:")
    of_its_own = {"declare", "timeout"} if base.startswith(REMOTE) else {"floor"} if expert else set()
    _only(options, text, allowed | of_its_own)
    policy = _plain(base, folder, options, task=task, seed=seed)
    if options.floor is not None:
        from policies.guard import GuardedPolicy

        policy = GuardedPolicy(policy, floor=options.floor)
    return _filtered(policy, options) if options.filters or options.execute is not None else policy


def _learned(folder: Path, options: PolicyOptions, text: str, *, instruction: str | None) -> Policy:
    """Return the policy of a checkpoint that `train-vla` or `finetune` wrote, as it is."""
    allowed = {"execute", "ensemble", "smooth", "limit", "dtype"}
    direct = None if options.filters else options.execute
    if _kind(folder) == "vla":
        from policies.vla.policy import load_vla

        _only(options, text, allowed)
        return load_vla(folder, execute=direct, instruction=instruction, dtype=options.dtype)
    from policies.pretrained.policy import load_pretrained

    _only(options, text, {*allowed, "base", "remote_code"})
    return load_pretrained(
        folder,
        execute=direct,
        instruction=instruction,
        dtype=options.dtype,
        base=options.base,
        remote_code=bool(options.remote_code),
    )


def _plain(text: str, folder: Path | None, options: PolicyOptions, *, task: str | None, seed: int) -> Policy:
    """Return a policy that is no VLA checkpoint, as it is."""
    if text.startswith(REMOTE):
        from policies.serve.command import api_key
        from policies.serve.remote import RemotePolicy

        return RemotePolicy(text, declare=options.declare or "", timeout=options.timeout or 60.0, key=api_key(None))
    if text == "random":
        from sim.baselines import RandomPolicy

        return RandomPolicy(seed)
    if text.startswith("expert:") or folder is not None:
        return _expert(str(folder or text.removeprefix("expert:")), text, task)
    return _attribute(text)


def _only(options: PolicyOptions, text: str, allowed: set[str]) -> None:
    """Refuse options that a policy does not have."""
    wrong = [name for name in options.given() if name not in allowed]
    if wrong:
        raise UserError(
            f"Policy {text!r} has no {' or '.join(wrong)} to change. Allowed here: {', '.join(sorted(allowed))}."
        )


def _filtered(policy: Policy, options: PolicyOptions) -> Policy:
    """Return the policy with the options that change its actions."""
    from policies.inference import FilteredPolicy

    chosen = {name: getattr(options, name) for name in ("execute", "ensemble", "smooth", "limit")}
    said = "&".join(f"{name}={value:g}" for name, value in chosen.items() if value is not None)
    return FilteredPolicy(policy, name=f"{policy.spec.name}?{said}", **chosen)


def policy_factory(text: str, **options: Any) -> Callable[[], Policy]:
    """Return a picklable function that loads the policy: for worker processes, which take functions and no networks."""
    return functools.partial(load_policy, text, **options)


def _checkpoint_folder(text: str) -> Path | None:
    """Return the checkpoint's folder that `text` names, None if it names no file or folder at all."""
    if not text.strip():
        raise UserError(f"The policy has no name. Allowed: {FORMS}.")
    path = Path(text)
    folder = path.parent if path.is_file() else path
    if (folder / RECORD).is_file():
        return folder
    if path.exists():
        raise UserError(
            f"{text} is no checkpoint: it has no {RECORD}. A checkpoint is the folder that `demomill train-vla`, "
            "`demomill finetune` or `demomill train-expert` wrote; an unfinished training has none yet: run the same "
            "command again."
        )
    return None


def _kind(folder: Path) -> str:
    """Return what kind of checkpoint lies in `folder`."""
    record = read_json(folder / RECORD)
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in (*LEARNED, "expert"):
        raise unknown("kind of checkpoint", str(kind), (*LEARNED, "expert"), hint=f"It stands in {folder / RECORD}.")
    return str(kind)


def _expert(name: str, text: str, task: str | None) -> Policy:
    """Return an expert; one of another task than `task` is refused."""
    from policies.expert import load_expert
    from tasks.catalogue import load_task

    policy = load_expert(name)
    if task is not None and load_task(task).id != policy.task:
        raise UserError(f"{text} is an expert of {policy.task}, but the task is {task}. Type: expert:{task}")
    return policy


def _attribute(text: str) -> Policy:
    """Return the policy at `module:attribute`: a policy, or a class or function that returns one."""
    module, _, attribute = text.partition(":")
    if not attribute or not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        looks_like_path = "/" in text or text.startswith(".")
        wrong = f"The checkpoint {text} does not exist." if looks_like_path else f"Unknown policy {text!r}."
        raise UserError(f"{wrong}{nearest(text, ('random', 'expert:lift_cube'))} Allowed: {FORMS}.")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"Policy {text!r}: the module {error.name!r} cannot be imported. Install it, or start in its folder with "
            "PYTHONPATH=. in front of the command."
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise unknown(f"attribute of {module} for the policy", name, [n for n in vars(found) if n[0] != "_"])
        found = getattr(found, name)
    policy = found if hasattr(found, "act") and not isinstance(found, type) else _called(found, text)
    missing = [name for name in ("spec", "reset", "act") if not hasattr(policy, name)]
    if missing:
        raise UserError(
            f"{text} is a {type(policy).__name__} without {', '.join(missing)}. A policy has spec, reset(ids) and "
            "act(observation); docs/policies.md shows one."
        )
    return policy  # type: ignore[no-any-return]


def _called(found: Any, text: str) -> Any:
    """Return what a class or function gives when it is called without arguments."""
    if not callable(found):
        return found
    try:
        return found()
    except TypeError as error:
        raise UserError(f"{text} could not be called without arguments to make a policy: {error}.") from error
