"""Checkpoints of fine-tuned models: what was trained as safetensors, and a record as JSON of where it belongs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from policies.pretrained.base import Base, BaseIdentity, load_base
from policies.pretrained.families import Family, FamilyOptions, family
from policies.pretrained.settings import Lora, Train
from policies.pretrained.trainable import fill, make_trainable, trained
from policies.vla.normalization import Statistics, statistics_from_json
from policies.weights import read_weights
from sim.conventions import Convention, from_json, to_json
from sim.errors import UserError
from sim.files import digest_json, read_json, sha256, write_bytes, write_json
from sim.jobs import from_mapping

KIND = "pretrained"
FORMAT = 1
"""Version of the layout of checkpoint.json; another one is refused."""

RECORD, WEIGHTS = "checkpoint.json", "trained.safetensors"
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""Names under which peft finds adapters: `PeftModel.from_pretrained(model, folder)` loads ours."""


@dataclass(frozen=True)
class Recipe:
    """What is needed beside the weights to build the model again."""

    base: BaseIdentity
    options: FamilyOptions
    train: Train
    lora: Lora
    last_layers: int
    dtype: str
    seed: int


@dataclass(frozen=True)
class PretrainedCheckpoint:
    """A fine-tuned model and everything that is needed to use and to judge it."""

    family: Family
    # peft's model around it; None without adapters.
    adapted: Any
    convention: Convention
    statistics: Statistics
    # Digest of the pretrained model and of what was trained.
    digest: str
    record: Mapping[str, Any]


def save_checkpoint(
    folder: Path,
    model: Family,
    adapted: Any,
    recipe: Recipe,
    *,
    convention: Convention,
    statistics: Statistics,
    record: Mapping[str, Any],
) -> str:
    """Write what was trained to `folder` and return the checkpoint's digest; the record is written last."""
    name = WEIGHTS if adapted is None else ADAPTER_WEIGHTS
    write_bytes(folder / name, save(_stored(model, adapted)))
    if adapted is not None:
        _write_adapter_config(folder, adapted, recipe)
    weights = sha256(folder / name)
    digest = digest_json({"base": recipe.base.digest, "weights": weights, "options": asdict(recipe.options)})
    stored = {
        "kind": KIND,
        "format": FORMAT,
        "sha256": digest,
        "weights": weights,
        **{key: value for key, value in asdict(recipe).items() if key != "base"},
        "base": asdict(recipe.base),
        "convention": to_json(convention),
        "statistics": asdict(statistics),
        "statistics_fingerprint": statistics.fingerprint,
        **record,
    }
    write_json(folder / RECORD, stored)
    return digest


def _stored(model: Family, adapted: Any) -> dict[str, Tensor]:
    """Return what was trained, by peft's names where there are adapters."""
    if adapted is None:
        found: Mapping[str, Tensor] = trained(model.anatomy.model)
    else:
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}


def _write_adapter_config(folder: Path, adapted: Any, recipe: Recipe) -> None:
    """Write peft's own description of the adapters; sets become sorted lists, so equal settings give equal bytes."""
    said = adapted.peft_config["default"].to_dict() | {
        "base_model_name_or_path": recipe.base.name,
        "inference_mode": True,
    }
    plain = json.loads(json.dumps(said, default=lambda value: sorted(value) if isinstance(value, set) else str(value)))
    write_json(folder / ADAPTER_CONFIG, plain)


def load_checkpoint(
    folder: Path, *, base: str | None = None, remote_code: bool = False, device: str = "auto"
) -> PretrainedCheckpoint:
    """Return the checkpoint in `folder`, ready for inference.

    The pretrained model is taken from where it was, or from `base`; in both cases its files must be those that the
    training began with. Refused in one paragraph: another kind or version, altered statistics or weights, another base.
    """
    record = _read_record(folder)
    where = str(folder / RECORD)
    recipe = recipe_from(record, where=where)
    if recipe.base.remote_code and not remote_code:
        raise UserError(
            f"{folder} was trained on {recipe.base.name}, which runs Python files of its own. They can do anything "
            f"that you can. If you trust them, type: '{folder}?remote_code=true'"
        )
    statistics = statistics_from_json(record["statistics"], fingerprint=record["statistics_fingerprint"], source=where)
    loaded = _same_base(folder, recipe, base or recipe.base.name, device=device)
    model = family(loaded, recipe.options)
    adapted = make_trainable(
        model.anatomy, train=recipe.train, lora=recipe.lora, last_layers=recipe.last_layers, seed=recipe.seed
    )
    _fill(folder, record["weights"], model, adapted)
    model.anatomy.model.requires_grad_(requires_grad=False).eval()
    return PretrainedCheckpoint(
        family=model,
        adapted=adapted,
        convention=from_json(record["convention"], source=where),
        statistics=statistics,
        digest=record["sha256"],
        record=record,
    )


def _read_record(folder: Path) -> dict[str, Any]:
    """Return checkpoint.json; another kind, another version or an incomplete one is refused."""
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or record.get("kind") != KIND or record.get("format") != FORMAT:
        said = (record.get("kind"), record.get("format")) if isinstance(record, dict) else (None, None)
        raise UserError(
            f"{folder / RECORD} is of kind {said[0]!r}, format {said[1]!r}; wanted is {KIND!r}, format {FORMAT}. Name "
            "a folder that `demomill finetune` wrote, with the version of demomill that wrote it."
        )
    keys = ("sha256", "weights", "convention", "statistics", "statistics_fingerprint")
    lacking = [key for key in (*keys, *Recipe.__dataclass_fields__) if key not in record]
    if lacking:
        raise UserError(f"{folder / RECORD} lacks {', '.join(lacking)}. It is damaged: restore it, or train again.")
    return record


def recipe_from(record: Mapping[str, Any], *, where: str) -> Recipe:
    """Return the recipe in a record."""
    return from_mapping({name: record[name] for name in Recipe.__dataclass_fields__}, Recipe, where=where)


def _same_base(folder: Path, recipe: Recipe, name: str, *, device: str) -> Base:
    """Return the pretrained model that a checkpoint was trained on; one with other files is refused."""
    found = load_base(
        name,
        revision=recipe.base.revision,
        remote_code=recipe.base.remote_code,
        dtype=recipe.dtype,
        device=device,
    )
    if found.identity.digest != recipe.base.digest:
        raise UserError(
            f"{folder} was trained on {recipe.base.name} with files of digest {recipe.base.digest}; those of {name} "
            f"have {found.identity.digest}. On another model its adapters mean nothing. Restore the files, or name "
            f"where they are: '{folder}?base=/path/to/model'"
        )
    return found


def _fill(folder: Path, expected: str, model: Family, adapted: Any) -> None:
    """Put the stored weights into the model; a file that is not the one of the record is refused."""
    path = folder / (WEIGHTS if adapted is None else ADAPTER_WEIGHTS)
    tensors = read_weights(path, expected=expected, load=load_file)
    if adapted is None:
        fill(model.anatomy.model, tensors, where=str(folder))
        return
    from peft import set_peft_model_state_dict

    wanted = {name: tensor.shape for name, tensor in _stored(model, adapted).items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != wanted:
        raise UserError(
            f"The adapters in {folder} do not fit the pretrained model and the settings that its record describes. "
            "They do not belong together: restore both files, or train again."
        )
    with torch.no_grad():
        set_peft_model_state_dict(adapted, tensors)
