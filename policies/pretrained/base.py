"""The pretrained model that a fine-tuning starts from: found, pinned by its files' digest, loaded without pickle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sim.errors import UserError
from sim.files import digest_json, read_json, sha256

PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""Files of a model that are read: never a pickled one."""

CODE = "*.py"


@dataclass(frozen=True)
class BaseIdentity:
    """What a pretrained model is, as checkpoints record it."""

    # Folder or hub id, as it was given, and its branch, tag or commit.
    name: str
    revision: str
    # The architecture, as its config.json names it.
    model_type: str
    # Digest of every file that is read.
    digest: str
    # Whether Python files that came with it were run.
    remote_code: bool


@dataclass(frozen=True)
class Base:
    """A pretrained model, its processor, and what they are."""

    identity: BaseIdentity
    # transformers' model and processor, which have no types.
    model: Any = field(repr=False)
    processor: Any = field(repr=False)
    device: torch.device
    # Arithmetic of its weights: "fp32" or "bf16".
    dtype: str = "fp32"

    def arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Return the context of a pass: with bf16 weights, what is trained in fp32 computes in bfloat16 beside them."""
        if self.dtype == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def find(name: str, *, revision: str, remote_code: bool) -> Path:
    """Return the folder of a pretrained model: a local one, or the hub's, downloaded where it is not here yet."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise UserError(
            f"base = {name!r} is no folder and no id of the hub. Name a folder with config.json and *.safetensors, or "
            "an id like 'HuggingFaceTB/SmolVLM-256M-Instruct'."
        )
    from huggingface_hub import snapshot_download

    patterns = [*PATTERNS, *([CODE] if remote_code else [])]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # The hub's own errors are of these two kinds.
        said = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UserError(
            f"The model {name!r} (revision {revision!r}) is neither here nor could it be fetched from the hub: "
            f"{type(error).__name__}: {said} Without a network, copy its folder here and name that: "
            f"base = '/path/to/{name.split('/')[1]}'."
        ) from error


def identify(name: str, folder: Path, *, revision: str, remote_code: bool) -> BaseIdentity:
    """Return what the model in `folder` is; one without a configuration or safetensors weights is refused."""
    patterns = (*PATTERNS, CODE) if remote_code else PATTERNS
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json: it is no model of transformers. Name the folder that has one.")
    if not any(path.suffix == ".safetensors" for path in files):
        raise UserError(
            f"{folder} holds no *.safetensors. Pickled weights (*.bin, *.pt) can run code and are not read: convert "
            "them once, where you trust them, with model.save_pretrained(folder, safe_serialization=True)."
        )
    config = read_json(folder / "config.json")
    return BaseIdentity(
        name=name,
        revision=revision,
        model_type=str(config.get("model_type", "")),
        digest=digest_json({path.name: sha256(path) for path in files}),
        remote_code=remote_code,
    )


def load_base(
    name: str, *, revision: str = "main", remote_code: bool = False, dtype: str = "fp32", device: str = "auto"
) -> Base:
    """Return the pretrained model `name`, in evaluation mode on its device, with its processor."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = find(name, revision=revision, remote_code=remote_code)
    identity = identify(name, folder, revision=revision, remote_code=remote_code)
    _check_code(folder, identity)
    place, options = choose_device(device), {"local_files_only": True, "trust_remote_code": remote_code}
    try:
        with _quietly():
            processor = AutoProcessor.from_pretrained(folder, **options)
            model = AutoModelForImageTextToText.from_pretrained(
                folder,
                use_safetensors=True,
                dtype=torch.bfloat16 if dtype == "bf16" else torch.float32,
                **options,
            )
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"transformers cannot load {folder} (model type {identity.model_type!r}): {str(error)[:600]} Allowed are "
            "models that AutoModelForImageTextToText and AutoProcessor know; docs/pretrained.md says what to do "
            "with others."
        ) from error
    return Base(identity, model.to(place).eval(), processor, place, dtype)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers' progress bars off the screen while it loads."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check_code(folder: Path, identity: BaseIdentity) -> None:
    """Refuse a model that only its own Python files can build, unless they may be run."""
    from transformers import CONFIG_MAPPING

    if identity.model_type in CONFIG_MAPPING or identity.remote_code:
        return
    mapped = read_json(folder / "config.json").get("auto_map", {})
    brings = f" It brings its own code ({', '.join(sorted(map(str, mapped.values())))})." if mapped else ""
    raise UserError(
        f"{identity.name} is a model of type {identity.model_type!r}, which this transformers does not know.{brings} "
        "Code that comes with a model is not run unless you say remote_code = true, and only if it was written for "
        "this version of transformers; otherwise serve the model from an environment of its own and name it as "
        "ws://HOST:PORT (docs/pretrained.md)."
    )


def choose_device(name: str) -> torch.device:
    """Return the device that `name` means; one that is not there is refused."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device = {name!r} cannot be used: {str(error).splitlines()[0]} Type: auto, or cpu."
        ) from error
    return device


def parameters(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters of several modules, each once."""
    found = {id(p): p for module in modules for p in module.parameters()}
    return list(found.values())
