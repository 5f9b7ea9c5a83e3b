"""A PPO expert: a small network on the privileged observation, evaluated in numpy, stored without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from policies.weights import read_weights
from sim.conventions import CANONICAL, from_json, scaled, to_json
from sim.episodes import Ids, Observation, PolicySpec
from sim.errors import UserError, unknown
from sim.files import read_json, sha256, write_bytes, write_json
from tasks.catalogue import load_task

SHIPPED = Path(__file__).parent / "experts"
"""Experts that come with demomill, one folder per task id."""

WEIGHTS, RECORD = "model.safetensors", "checkpoint.json"


class ExpertPolicy:
    """The deterministic actor of a PPO expert."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], *, spec: PolicySpec, task: str) -> None:
        """Take "mean", "std" (p,) and the layers' "i.weight" (out, in), "i.bias" (out,)."""
        self.spec, self.task = spec, task
        self._mean, self._std = weights["mean"], weights["std"]
        count = sum(name.endswith(".weight") for name in weights)
        self._layers = [(np.ascontiguousarray(weights[f"{i}.weight"].T), weights[f"{i}.bias"]) for i in range(count)]

    def reset(self, ids: Ids) -> None:
        """Experts remember nothing."""

    def act(self, observation: Observation) -> NDArray[np.float64]:
        """Return canonical actions (k, 7)."""
        rows = np.asarray(observation.privileged, dtype=np.float32)
        if rows.shape[1] != len(self._mean):
            raise UserError(
                f"Expert {self.spec.name} reads {len(self._mean)} privileged values, but the environment shows "
                f"{rows.shape[1]}. These are worlds of another task than {self.task} (name it: --task {self.task}), or "
                f"the task has changed since (train it anew: demomill train-expert {self.task})."
            )
        return np.asarray(scaled(self._outputs(rows)))

    def _outputs(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return network outputs (k, 7) of observations (k, p).

        Each row is a matrix product of its own, in one stacked call: in a product of many rows the last bits of a row
        depend on where it stands.
        """
        x = np.clip((rows - self._mean) / self._std, -5.0, 5.0).astype(np.float32)
        for i, (weight, bias) in enumerate(self._layers):
            x = (x[:, None] @ weight)[:, 0] + bias
            if i < len(self._layers) - 1:
                x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        return x


def draft_spec(task: str) -> PolicySpec:
    """Return the spec of an expert that has no checkpoint yet."""
    return PolicySpec(f"expert:{task}", CANONICAL, inputs=frozenset({"privileged"}))


def save_expert(folder: Path, weights: Mapping[str, NDArray[np.float32]], record: Mapping[str, Any]) -> None:
    """Write weights and record to `folder`; the record gains kind, convention and the weights' digest."""
    write_bytes(folder / WEIGHTS, save(dict(weights)))
    stored = {
        "kind": "expert",
        "format": 1,
        "convention": to_json(CANONICAL),
        "sha256": sha256(folder / WEIGHTS),
        **record,
    }
    write_json(folder / RECORD, stored)


def expert_folder(name: str) -> Path:
    """Return the folder of the shipped expert of a task, or `name` itself where it is an expert's folder."""
    if (Path(name) / RECORD).is_file():
        return Path(name)
    if name.strip() in ("", ".") or ("/" in name and Path(name).exists()):
        raise UserError(
            f"{name!r} is no expert: there is no {RECORD}. Name a folder that `demomill train-expert` finished, or a "
            "task for its shipped expert, for example lift_cube."
        )
    folder = SHIPPED / load_task(name).id
    if not (folder / RECORD).is_file():
        shipped = [path.name for path in SHIPPED.glob("*") if (path / RECORD).is_file()]
        raise unknown("shipped expert", name, shipped, hint=f"Train one: demomill train-expert {name}")
    return folder


def _record(folder: Path) -> dict[str, Any]:
    """Return the record of the expert in `folder`; one of another kind, and one with parts missing, is refused."""
    record = read_json(folder / RECORD)
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind != "expert":
        raise UserError(
            f"{folder} holds a checkpoint of kind {kind!r}, not an expert. Name a folder that `demomill train-expert` "
            "wrote, or a task for its shipped expert."
        )
    missing = [key for key in ("sha256", "task", "convention") if key not in record]
    if missing:
        raise UserError(f"{folder / RECORD} lacks {', '.join(missing)}. It is damaged: restore it or train it anew.")
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder / WEIGHTS} does not exist. An expert is {WEIGHTS} and {RECORD}: restore both.")
    return dict(record)


def load_expert(name: str) -> ExpertPolicy:
    """Return the expert of a task, or of a folder; weights that do not match their record are refused."""
    folder = expert_folder(name)
    record = _record(folder)
    weights = read_weights(folder / WEIGHTS, expected=record["sha256"], load=load_file)
    spec = PolicySpec(
        name=f"expert:{record['task']}",
        convention=from_json(record["convention"], source=str(folder / RECORD)),
        inputs=frozenset({"privileged"}),
        digest=record["sha256"],
        record=record,
    )
    return ExpertPolicy(weights, spec=spec, task=record["task"])
