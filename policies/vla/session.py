"""One training from data to checkpoint: what decides its weights, whether it is finished, and what it reads."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict

from datagen.loader import LoadedMixture, LoadOptions, load_mixture
from datagen.mixture import MixReport, mixture_digest, open_sources
from policies.vla.checkpoint import RECORD, WEIGHTS, VlaCheckpoint, load_checkpoint
from policies.vla.learner import WORDS, model_config
from policies.vla.parallel import joined
from policies.vla.resume import finished_record
from policies.vla.runtime import require_device, torch_threads
from policies.vla.settings import CHUNK, TrainVlaConfig
from policies.vla.train import OnStep, TrainVlaResult
from policies.vla.training import Training
from sim.errors import UserError
from sim.files import digest_json, sha256
from sim.locks import alone_in
from sim.progress import ProgressLine


def run(config: TrainVlaConfig, *, on_step: OnStep | None = None) -> TrainVlaResult:
    """Do what `policies.vla.train.train_vla` says."""
    require_device(config.device)
    identity = _identity(config)
    finished = _finished(config, identity)
    if finished is not None:
        return finished
    start = load_checkpoint(config.init) if config.init is not None else None
    with (
        torch_threads(config.threads) as threads,
        joined() as ranks,
        alone_in(config.out, doing="training") if ranks.first else nullcontext(),
    ):
        data = _load(config, threads=threads, start=start)
        training = Training(config, data, identity, ranks=ranks, start=start)
        return training.run(on_step or (lambda step: None))


def _identity(config: TrainVlaConfig) -> str:
    """Return the digest of what determines the weights: data, preset, budget, seed."""
    said = {
        "mixture": mixture_digest(open_sources(config.data), config.data),
        "preset": asdict(config.resolved()),
        "budget": asdict(config.budget()),
        "seed": config.seed,
        "chunk": CHUNK,
    }
    if config.init is not None:
        if not (config.init / RECORD).is_file() or not (config.init / WEIGHTS).is_file():
            raise UserError(
                f"init = {config.init} is no finished checkpoint: it lacks {RECORD} or {WEIGHTS}. Name a folder that "
                "`demomill train-vla` finished, or leave it unset to begin with nothing."
            )
        said["init"] = sha256(config.init / WEIGHTS)
    if config.patience is not None:
        said["patience"] = [config.patience, config.validations, config.validation_samples, config.validation_split]
    return digest_json(said)


def _finished(config: TrainVlaConfig, identity: str) -> TrainVlaResult | None:
    """Return the result of the finished training in `out`; a checkpoint of another training is never overwritten."""
    record = finished_record(config.out / RECORD, identity=identity, words=WORDS)
    if record is None:
        return None
    return TrainVlaResult(
        folder=config.out,
        digest=record["sha256"],
        mixture=MixReport.stored(record["mixture"]),
        metrics=record["metrics"],
        notes=tuple(record.get("notes", ())),
        **record["training"],
    )


def _load(config: TrainVlaConfig, *, threads: int, start: VlaCheckpoint | None = None) -> LoadedMixture:
    preset = config.resolved()
    if start is not None:
        _require_same_shape(config, start)
    options = LoadOptions(
        image_size=preset.image_size,
        wrist_size=preset.wrist_size,
        chunk=CHUNK,
        validation=config.validation_split,
        memory_gb=config.memory_gb,
        threads=threads,
        paraphrase=preset.augment.paraphrase > 0,
    )
    with ProgressLine("load", unit="frames") as line:
        return load_mixture(config.data, options, progress=line)


def _require_same_shape(config: TrainVlaConfig, start: VlaCheckpoint) -> None:
    """Refuse to go on from a network of another shape than the job asks for."""
    wanted = model_config(config.resolved(), chunk=CHUNK, vocabulary=start.model.config.vocabulary)
    stored = asdict(start.model.config)
    other = {name: (stored[name], value) for name, value in asdict(wanted).items() if stored[name] != value}
    if other:
        rows = "\n".join(f"  {name}: {old!r} there, {new!r} asked for" for name, (old, new) in other.items())
        raise UserError(
            f"The network in {config.init} has another shape than this job's, which cannot begin with its weights:\n"
            f"{rows}\nTake the preset and the head that it was trained with, or leave out `init`."
        )
