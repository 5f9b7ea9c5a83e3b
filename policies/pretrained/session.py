"""One fine-tuning from data to checkpoint: load, learn, validate, save; interrupted at any step, continued exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from datagen.loader import LoadedMixture, LoadOptions, load_mixture
from datagen.mixture import MixReport, mixture_digest, open_sources, report
from policies.pretrained.base import BaseIdentity, find, identify, load_base
from policies.pretrained.checkpoint import RECORD, Recipe, save_checkpoint
from policies.pretrained.families import Family, FamilyOptions, family
from policies.pretrained.feed import PretrainedFeed
from policies.pretrained.finetune import FinetuneResult
from policies.pretrained.learner import Finetuner
from policies.pretrained.settings import FinetuneConfig
from policies.pretrained.trainable import make_trainable
from policies.pretrained.validation import validate
from policies.vla.checkpoint import code_versions
from policies.vla.curve import Curve
from policies.vla.normalization import mixture_statistics
from policies.vla.runtime import deferred_interrupts, torch_threads
from policies.vla.settings import learning_rate_factor
from policies.vla.train import OnStep
from sim.errors import UserError
from sim.files import digest_json, read_json
from sim.progress import ProgressLine

STATE_FILE = "resume.safetensors"
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
    with torch_threads(config.threads) as threads:
        return _Session(config, identity, threads=threads).run(on_step or (lambda step: None))


def _identity(config: FinetuneConfig, base: BaseIdentity) -> str:
    """Return the digest of what determines the weights: model, data, settings, seed."""
    said = {name: value for name, value in asdict(config).items() if name not in (*IRRELEVANT, "data")}
    mixture = mixture_digest(open_sources(config.data), config.data)
    return digest_json({**said, "base": base.digest, "mixture": mixture})


def _finished(config: FinetuneConfig, identity: str) -> FinetuneResult | None:
    """Return the result of the finished training in `out`; a checkpoint of another training is never overwritten."""
    if not (config.out / RECORD).exists():
        return None
    record = read_json(config.out / RECORD)
    if not isinstance(record, dict) or record.get("identity") != identity:
        raise UserError(
            f"{config.out} holds a finished checkpoint of other data, another model or other settings, and it is not "
            "overwritten. Choose another `out`, or move that folder away."
        )
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


class _Session:
    """One run of a fine-tuning: the model, what feeds it, and what is written down."""

    def __init__(self, config: FinetuneConfig, identity: str, *, threads: int) -> None:
        self.config, self.identity, self.budget = config, identity, config.budget()
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
        self.state_file = config.out / STATE_FILE
        if self.state_file.exists():
            self.learner.load(self.state_file, identity=identity)
        self.curve = Curve(config.out, step=self.learner.step, tensorboard=config.tensorboard)
        self.recent: list[float] = []

    def run(self, on_step: OnStep) -> FinetuneResult:
        """Learn until the budget is used up, then validate and save."""
        with deferred_interrupts() as interrupted, ProgressLine("finetune", unit="samples") as line:
            self._learn(on_step, interrupted, line)
        metrics = self._validate()
        self.curve.close()
        return self._finish(metrics)

    def _learn(self, on_step: OnStep, interrupted: Callable[[], bool], line: ProgressLine) -> None:
        """Do all steps that are left; leave a state on interruption and every `save_every` seconds."""
        learner, saved = self.learner, time.monotonic()
        due = self._validations_done()
        while (progress := self.budget.progress(learner.step, learner.seconds)) < 1:
            began = time.monotonic()
            self._step(progress)
            learner.seconds += time.monotonic() - began
            after = self.budget.progress(learner.step, learner.seconds)
            samples = learner.step * self.config.batch
            line(samples, max(samples, round(samples / after)), f"loss {self.recent[-1]:.4f}")
            if learner.step % LOG_EVERY == 0:
                self._log(progress)
            if after < 1 and self._validations_done() > due:
                due = self._validations_done()
                self._validate()
            on_step(learner.step)
            if interrupted() or time.monotonic() - saved > self.config.save_every:
                learner.save(self.state_file, identity=self.identity)
                saved = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt

    def _step(self, progress: float) -> None:
        """Do one step; a loss that is no number ends the training in words."""
        seen, actions, mask = self.feed.training(self.learner.step, self.config.batch)
        loss = self.learner.learn(seen, actions, mask, learning_rate=self._rate(progress))
        if not math.isfinite(loss):
            raise UserError(
                f"The fine-tuning diverged at step {self.learner.step}: the loss is {loss}. Nothing of it was saved "
                f"after the last state in {self.config.out}. Lower learning_rate (it is "
                f"{self.config.learning_rate:g}) and choose another `out`."
            )
        self.recent.append(loss)

    def _rate(self, progress: float) -> float:
        return self.config.learning_rate * learning_rate_factor(progress, warmup=self.config.warmup)

    def _validations_done(self) -> int:
        """Return how many of the evenly spaced validations the used budget covers."""
        return int(self.budget.progress(self.learner.step, self.learner.seconds) * self.config.validations)

    def _validate(self) -> dict[str, dict[str, float]]:
        """Validate, and add what was found to the curve."""
        metrics = validate(self.family, self.feed, batch=self.config.batch, limit=self.config.validation_samples)
        self.curve.add(self.learner.step, {"validation": metrics})
        return metrics

    def _log(self, progress: float) -> None:
        """Add the mean loss since the last entry to the curve."""
        mean = sum(self.recent) / len(self.recent)
        entry = {"loss": mean, "learning_rate": self._rate(progress), "seconds": round(self.learner.seconds, 3)}
        self.curve.add(self.learner.step, entry)
        self.recent.clear()

    def _finish(self, metrics: dict[str, dict[str, float]]) -> FinetuneResult:
        """Save the checkpoint, remove the state that is no longer needed, and return the result."""
        learner, config = self.learner, self.config
        samples = learner.step * config.batch
        drawn = report(self.data.sources, self.data.mixture, config=config.data, samples=samples)
        training: dict[str, Any] = {
            "steps": learner.step,
            "seconds": learner.seconds,
            "samples_per_second": samples / learner.seconds,
            "trained": sum(p.numel() for p in learner.trained.values()),
            "parameters": sum(p.numel() for p in learner.model.parameters()),
        }
        record = {
            "identity": self.identity,
            "training": training,
            "budget": asdict(self.budget),
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
        self.state_file.unlink(missing_ok=True)
        base = self.recipe.base
        return FinetuneResult(
            config.out, digest, base.name, base.model_type, metrics=metrics, mixture=drawn, **training
        )


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that built the model."""
    import peft
    import transformers

    return {"transformers": transformers.__version__, "peft": peft.__version__}
