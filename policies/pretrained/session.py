"""One fine-tuning from data to checkpoint: load, learn, validate, save; interrupted at any step, continued exactly."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from datagen.loader import LoadedMixture, LoadOptions, load_mixture
from datagen.mixture import MixReport, mixture_digest, open_sources, report
from policies.pretrained.base import BaseIdentity, find, identify, load_base
from policies.pretrained.checkpoint import RECORD, Recipe, save_checkpoint
from policies.pretrained.families import Family, FamilyOptions, family
from policies.pretrained.feed import PretrainedFeed
from policies.pretrained.finetune import FinetuneResult
from policies.pretrained.learner import WORDS, Finetuner
from policies.pretrained.settings import FinetuneConfig
from policies.pretrained.trainable import make_trainable
from policies.pretrained.validation import validate
from policies.vla.checkpoint import code_versions
from policies.vla.loop import Course, Loop, Turns
from policies.vla.normalization import mixture_statistics
from policies.vla.parallel import Ranks
from policies.vla.resume import finished_record
from policies.vla.runtime import torch_threads
from policies.vla.train import OnStep
from sim.files import digest_json
from sim.locks import alone_in
from sim.progress import ProgressLine

LOG_EVERY = 10
"""Steps between two entries of the curve."""

IRRELEVANT = ("out", "base", "threads", "save_every", "validations", "validation_samples", "memory_gb", "tensorboard")
"""Settings that change no weight (and the model's place, for which its digest stands)."""


def run(config: FinetuneConfig, *, on_step: OnStep | None = None) -> FinetuneResult:
    """Do what `policies.pretrained.finetune.finetune` says."""
    config = replace(config, data=replace(config.data, normalization="quantiles"))
    config.budget()
    place = find(config.base, revision=config.revision, remote_code=config.remote_code)
    base = identify(config.base, place, revision=config.revision, remote_code=config.remote_code)
    identity = _identity(config, base)
    finished = _finished(config, identity)
    if finished is not None:
        return finished
    with torch_threads(config.threads) as threads, alone_in(config.out, doing="training"):
        return _Session(config, identity, threads=threads).run(on_step or (lambda step: None))


def _identity(config: FinetuneConfig, base: BaseIdentity) -> str:
    """Return the digest of what determines the weights: model, data, settings, seed."""
    said = {name: value for name, value in asdict(config).items() if name not in (*IRRELEVANT, "data")}
    mixture = mixture_digest(open_sources(config.data), config.data)
    return digest_json({**said, "base": base.digest, "mixture": mixture})


def _finished(config: FinetuneConfig, identity: str) -> FinetuneResult | None:
    """Return the result of the finished training in `out`; a checkpoint of another training is never overwritten."""
    record = finished_record(config.out / RECORD, identity=identity, words=WORDS)
    if record is None:
        return None
    return FinetuneResult(
        folder=config.out,
        digest=record["sha256"],
        base=record["base"]["name"],
        model_type=record["base"]["model_type"],
        mixture=MixReport.stored(record["mixture"]),
        metrics=record["metrics"],
        **record["training"],
    )


def _loaded(config: FinetuneConfig, *, chunk: int, threads: int) -> LoadedMixture:
    options = LoadOptions(
        image_size=config.image_size,
        chunk=chunk,
        validation=config.validation_split,
        memory_gb=config.memory_gb,
        threads=threads,
    )
    with ProgressLine("load", unit="frames") as line:
        return load_mixture(config.data, options, progress=line)


def _course(config: FinetuneConfig) -> Course:
    return Course(
        budget=config.budget(),
        batch=config.batch,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        validations=config.validations,
        save_every=config.save_every,
        log_every=LOG_EVERY,
    )


class _Session:
    """One run of a fine-tuning: the model, what feeds it, and what is written down."""

    def __init__(self, config: FinetuneConfig, identity: str, *, threads: int) -> None:
        self.config, self.identity = config, identity
        base = load_base(
            config.base,
            revision=config.revision,
            remote_code=config.remote_code,
            dtype=config.dtype,
            device=config.device,
        )
        options = FamilyOptions(config.chunk, config.read_state, config.prompt, config.image_size)
        self.family: Family = family(base, options)
        self.adapted = make_trainable(
            self.family.anatomy,
            train=config.train,
            lora=config.lora,
            last_layers=config.last_layers,
            seed=config.seed,
        )
        if config.gradient_checkpointing:
            base.model.gradient_checkpointing_enable()
            base.model.enable_input_require_grads()
        self.recipe = Recipe(
            base.identity, options, config.train, config.lora, config.last_layers, config.dtype, config.seed
        )
        self.data = _loaded(config, chunk=self.family.chunk, threads=threads)
        self.statistics = mixture_statistics(self.data)
        self.feed = PretrainedFeed(self.data, self.statistics, shift=config.shift, seed=config.seed)
        self.learner = Finetuner(self.family, config)
        self.loop = Loop(
            self.learner,
            _course(config),
            config.out,
            identity=identity,
            words=WORDS,
            tensorboard=config.tensorboard,
            ranks=Ranks(),
        )

    def run(self, on_step: OnStep) -> FinetuneResult:
        """Learn until the budget is used up, then validate and save."""
        self.loop.run(Turns(learn=self._learn, look=self._look), on_step)
        return self._finish()

    def _learn(self, rate: float) -> dict[str, float]:
        seen, actions, mask = self.feed.training(self.learner.step, self.config.batch)
        return {"loss": self.learner.learn(seen, actions, mask, learning_rate=rate)}

    def _look(self) -> None:
        """Validate, and add what was found to the curve."""
        metrics = validate(self.family, self.feed, batch=self.config.batch, limit=self.config.validation_samples)
        self.loop.curve.add(self.learner.step, {"validation": metrics})

    def _finish(self) -> FinetuneResult:
        """Save the checkpoint, remove the state that is no longer needed, and return the result."""
        learner, config, loop = self.learner, self.config, self.loop
        metrics = loop.looks()[-1]["validation"]
        drawn = report(self.data.sources, self.data.mixture, config=config.data, samples=loop.samples)
        training: dict[str, Any] = {
            **loop.spent(),
            "trained": sum(p.numel() for p in learner.trained.values()),
            "parameters": sum(p.numel() for p in learner.model.parameters()),
        }
        record = {
            "identity": self.identity,
            "training": training,
            "budget": asdict(loop.course.budget),
            "mixture": asdict(drawn),
            "metrics": metrics,
            "code": code_versions() | library_versions(),
        }
        digest = save_checkpoint(
            config.out,
            self.family,
            self.adapted,
            self.recipe,
            convention=self.data.convention,
            statistics=self.statistics,
            record=record,
        )
        loop.state_file.unlink(missing_ok=True)
        base = self.recipe.base
        return FinetuneResult(
            config.out, digest, base.name, base.model_type, metrics=metrics, mixture=drawn, **training
        )


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that built the model."""
    import peft
    import transformers

    return {"transformers": transformers.__version__, "peft": peft.__version__}
