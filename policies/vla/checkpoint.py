"""VLA checkpoints: a folder with model.safetensors and checkpoint.json. Nothing is unpickled."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor

from datagen.job import demomill_version
from policies.vla.model import VlaModel
from policies.vla.normalization import Statistics, statistics_from_json
from policies.vla.shape import ModelConfig
from policies.vla.words import Vocabulary, load_vocabulary, reader
from policies.weights import read_weights
from sim.conventions import Convention, from_json, to_json
from sim.errors import UserError
from sim.files import read_json, sha256, write_bytes, write_json
from sim.jobs import from_mapping

KIND = "vla"
FORMAT = 1
"""Version of the layout of checkpoint.json; another one is refused."""

WEIGHTS, RECORD = "model.safetensors", "checkpoint.json"


@dataclass(frozen=True)
class VlaCheckpoint:
    """A trained VLA and everything that is needed to use and to judge it."""

    model: VlaModel
    convention: Convention
    statistics: Statistics
    # SHA-256 of the weights.
    digest: str
    # All of checkpoint.json: mixture, datasets, training, metrics, code versions.
    record: Mapping[str, Any]
    # The sub-word pieces of a network that reads such.
    vocabulary: Vocabulary | None = None

    def read(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """Return sentences as the numbers (k, L) that the network reads."""
        return reader(self.model.config, self.vocabulary)(sentences)


def save_checkpoint(
    folder: Path,
    model: VlaModel,
    *,
    convention: Convention,
    statistics: Statistics,
    record: Mapping[str, Any],
    vocabulary: Vocabulary | None = None,
) -> str:
    """Write a checkpoint to `folder` and return the SHA-256 of its weights; the record is written last."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(tensors))
    digest = sha256(folder / WEIGHTS)
    stored = {
        "kind": KIND,
        "format": FORMAT,
        "sha256": digest,
        "convention": to_json(convention),
        "statistics": asdict(statistics),
        "statistics_fingerprint": statistics.fingerprint,
        "model": asdict(model.config),
        **({} if vocabulary is None else {"vocabulary_sha256": vocabulary.save(folder)}),
        **record,
    }
    write_json(folder / RECORD, stored)
    return digest


def code_versions() -> dict[str, str]:
    """Return the versions of what computed the weights."""
    return {
        "demomill": demomill_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
    }


def load_checkpoint(folder: Path) -> VlaCheckpoint:
    """Return the checkpoint in `folder`, ready for inference.

    Refused in one paragraph: another kind or version, altered statistics, altered or missing weights.
    """
    if not (folder / RECORD).is_file():
        raise UserError(
            f"{folder} is no finished checkpoint: it has no {RECORD}. Name a folder of `demomill train-vla`."
        )
    record = read_json(folder / RECORD)
    _check_kind(folder, record)
    lacking = [
        key for key in ("sha256", "convention", "statistics", "statistics_fingerprint", "model") if key not in record
    ]
    if lacking:
        raise UserError(f"{folder / RECORD} lacks {', '.join(lacking)}. It is damaged: restore it, or train again.")
    where = str(folder / RECORD)
    statistics = statistics_from_json(record["statistics"], fingerprint=record["statistics_fingerprint"], source=where)
    config = from_mapping(record["model"], ModelConfig, where=f"{where} [model]")
    model = VlaModel(config)
    reads_pieces = config.text_encoder == "subword"
    vocabulary = load_vocabulary(folder, expected=str(record.get("vocabulary_sha256"))) if reads_pieces else None
    _fill(model, read_weights(folder / WEIGHTS, expected=record["sha256"], load=load_file), folder)
    return VlaCheckpoint(
        model=model.to(memory_format=torch.channels_last).eval(),  # type: ignore[call-overload]
        convention=from_json(record["convention"], source=where),
        statistics=statistics,
        digest=record["sha256"],
        record=record,
        vocabulary=vocabulary,
    )


def _check_kind(folder: Path, record: Any) -> None:
    """Refuse what is no VLA checkpoint of this version."""
    if not isinstance(record, dict) or record.get("kind") != KIND:
        kind = record.get("kind") if isinstance(record, dict) else None
        raise UserError(
            f"{folder} holds a checkpoint of kind {kind!r}, not a VLA. Name a folder that `demomill train-vla` wrote."
        )
    if record.get("format") != FORMAT:
        raise UserError(
            f"{folder / RECORD} has format {record.get('format')!r}; this version of demomill reads format {FORMAT}. "
            "Load it with the version that wrote it (its record names it under code), or train again."
        )


def misfits(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return which of the wanted tensors are missing, unknown or of another shape, by name; nothing where all fit."""
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    shapes = sorted(k for k in wanted.keys() & tensors.keys() if wanted[k].shape != tensors[k].shape)
    parts = [("missing", missing), ("unknown", extra), ("of another shape", shapes)]
    return "; ".join(f"{what}: {', '.join(names[:4])}" for what, names in parts if names)


def _fill(model: VlaModel, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put the tensors into the model; missing, unknown and misshapen ones are refused by name."""
    if found := misfits(model.state_dict(), tensors):
        raise UserError(
            f"The weights in {folder} do not fit the model that its record describes ({found}). Weights and record do "
            "not belong together: restore both files, or train again."
        )
    model.load_state_dict(dict(tensors))
