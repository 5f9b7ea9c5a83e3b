"""One training from data to checkpoint: load, learn, validate, save; interrupted at any step, continued exactly."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from datagen.loader import LoadedMixture, LoadOptions, load_mixture
from datagen.mixture import MixReport, SourceReport, mixture_digest, open_sources, report
from policies.vla.checkpoint import RECORD, code_versions, save_checkpoint
from policies.vla.curve import Curve
from policies.vla.feed import Feed
from policies.vla.learner import Learner
from policies.vla.model import parameter_count
from policies.vla.normalization import mixture_statistics
from policies.vla.runtime import deferred_interrupts, torch_threads
from policies.vla.settings import CHUNK, TrainVlaConfig, learning_rate_factor
from policies.vla.train import OnStep, TrainVlaResult
from policies.vla.validation import validate
from sim.errors import UserError
from sim.files import digest_json, read_json
from sim.progress import ProgressLine

STATE_FILE = "resume.safetensors"
LOG_EVERY = 20
"""Steps between two entries of the curve."""


def run(config: TrainVlaConfig, *, on_step: OnStep | None = None) -> TrainVlaResult:
    """Do what `policies.vla.train.train_vla` says."""
    identity = _identity(config)
    finished = _finished(config, identity)
    if finished is not None:
        return finished
    with torch_threads(config.threads) as threads:
        data = _load(config, threads=threads)
        return _Session(config, data, identity).run(on_step or (lambda step: None))


def _identity(config: TrainVlaConfig) -> str:
    """Return the digest of what determines the weights: data, preset, budget, seed."""
    said = {
        "mixture": mixture_digest(open_sources(config.data), config.data),
        "preset": asdict(config.resolved()),
        "budget": asdict(config.budget()),
        "seed": config.seed,
        "chunk": CHUNK,
    }
    return digest_json(said)


def _finished(config: TrainVlaConfig, identity: str) -> TrainVlaResult | None:
    """Return the result of the finished training in `out`; a checkpoint of another training is never overwritten."""
    if not (config.out / RECORD).exists():
        return None
    record = read_json(config.out / RECORD)
    if not isinstance(record, dict) or record.get("identity") != identity:
        raise UserError(
            f"{config.out} holds a finished checkpoint of other data or settings, and it is not overwritten. Choose "
            "another `out`, or move that folder away."
        )
    rows = tuple(SourceReport(**row) for row in record["mixture"]["sources"])
    return TrainVlaResult(
        folder=config.out,
        digest=record["sha256"],
        mixture=MixReport(**{**record["mixture"], "sources": rows}),
        metrics=record["metrics"],
        **record["training"],
    )


def _load(config: TrainVlaConfig, *, threads: int) -> LoadedMixture:
    options = LoadOptions(
        image_size=config.resolved().image_size,
        chunk=CHUNK,
        validation=config.validation_split,
        memory_gb=config.memory_gb,
        threads=threads,
    )
    with ProgressLine("load", unit="frames") as line:
        return load_mixture(config.data, options, progress=line)


class _Session:
    """One run of a training: the learner, what feeds it, and what is written down."""

    def __init__(self, config: TrainVlaConfig, data: LoadedMixture, identity: str) -> None:
        self.config, self.preset, self.budget = config, config.resolved(), config.budget()
        self.data, self.identity = data, identity
        self.statistics = mixture_statistics(data)
        self.feed = Feed(data, self.statistics, self.preset, seed=config.seed)
        self.learner = Learner(self.preset, self.statistics, chunk=CHUNK, seed=config.seed)
        self.state_file = config.out / STATE_FILE
        if self.state_file.exists():
            self.learner.load(self.state_file, identity=identity)
        self.curve = Curve(config.out, step=self.learner.step, tensorboard=config.tensorboard)
        self.recent: dict[str, list[float]] = defaultdict(list)

    def run(self, on_step: OnStep) -> TrainVlaResult:
        """Learn until the budget is used up, then validate and save."""
        with deferred_interrupts() as interrupted, ProgressLine("train", unit="samples") as line:
            self._learn(on_step, interrupted, line)
        metrics = validate(self.learner.averaged, self.feed, limit=self.config.validation_samples)
        self.curve.add(self.learner.step, {"validation": metrics})
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
            samples = learner.step * self.preset.batch
            line(samples, max(samples, round(samples / after)), f"loss {self.recent['loss'][-1]:.4f}")
            if learner.step % LOG_EVERY == 0:
                self._log(progress)
            if after < 1 and self._validations_done() > due:
                due = self._validations_done()
                self.curve.add(learner.step, {"validation": self._validate()})
            on_step(learner.step)
            if interrupted() or time.monotonic() - saved > self.config.save_every:
                learner.save(self.state_file, identity=self.identity)
                saved = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt

    def _step(self, progress: float) -> None:
        """Do one step; a loss that is no number ends the training in words."""
        rate = self.preset.learning_rate * learning_rate_factor(progress, warmup=self.preset.warmup)
        inputs = self.feed.training(self.learner.step)
        terms = self.learner.learn(inputs.pixels, inputs.words, inputs.state, inputs.wanted, learning_rate=rate)
        if not math.isfinite(terms["loss"]):
            raise UserError(
                f"The training diverged at step {self.learner.step}: the loss is {terms['loss']}. Nothing of it was "
                f"saved after the last state in {self.config.out}. Lower learning_rate (it is "
                f"{self.preset.learning_rate:g}) and choose another `out`."
            )
        for name, value in terms.items():
            self.recent[name].append(value)

    def _validations_done(self) -> int:
        """Return how many of the evenly spaced validations the used budget covers."""
        used = self.budget.progress(self.learner.step, self.learner.seconds)
        return int(used * self.config.validations)

    def _validate(self) -> dict[str, dict[str, float]]:
        return validate(self.learner.averaged, self.feed, limit=self.config.validation_samples)

    def _log(self, progress: float) -> None:
        """Add the means since the last entry to the curve."""
        means = {name: sum(values) / len(values) for name, values in self.recent.items()}
        rate = self.preset.learning_rate * learning_rate_factor(progress, warmup=self.preset.warmup)
        self.curve.add(self.learner.step, {**means, "learning_rate": rate, "seconds": round(self.learner.seconds, 3)})
        self.recent.clear()

    def _finish(self, metrics: dict[str, dict[str, float]]) -> TrainVlaResult:
        """Save the checkpoint, remove the state that is no longer needed, and return the result."""
        learner, batch = self.learner, self.preset.batch
        drawn = report(self.data.sources, self.data.mixture, config=self.config.data, samples=learner.step * batch)
        training: dict[str, Any] = {
            "steps": learner.step,
            "seconds": learner.seconds,
            "samples_per_second": learner.step * batch / learner.seconds,
            "parameters": parameter_count(learner.model),
        }
        record = {
            "identity": self.identity,
            "training": training,
            "settings": {"preset": self.config.preset, **asdict(self.preset), "seed": self.config.seed},
            "budget": asdict(self.budget),
            "mixture": asdict(drawn),
            "metrics": metrics,
            "code": code_versions(),
        }
        digest = save_checkpoint(
            self.config.out,
            learner.averaged,
            convention=self.data.convention,
            statistics=self.statistics,
            record=record,
        )
        self.state_file.unlink(missing_ok=True)
        return TrainVlaResult(folder=self.config.out, digest=digest, mixture=drawn, metrics=metrics, **training)
