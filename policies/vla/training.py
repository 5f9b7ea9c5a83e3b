"""The loop of a training: learn, validate, save; interrupted at any step, continued exactly."""

from __future__ import annotations

import copy
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from datagen.loader import LoadedMixture
from datagen.mixture import report
from policies.vla.ahead import Ahead
from policies.vla.checkpoint import WEIGHTS, VlaCheckpoint, code_versions, save_checkpoint
from policies.vla.closed_loop import success
from policies.vla.curve import Curve
from policies.vla.feed import Feed
from policies.vla.grounding import ROWS, write_grounding
from policies.vla.learner import Learner
from policies.vla.model import parameter_count
from policies.vla.normalization import mixture_statistics
from policies.vla.parallel import Ranks
from policies.vla.runtime import deferred_interrupts, require_device
from policies.vla.settings import CHUNK, TrainVlaConfig, learning_rate_factor
from policies.vla.shape import Inputs
from policies.vla.story import check_divergence, stale, tell, validations
from policies.vla.train import OnStep, TrainVlaResult
from policies.vla.validation import validate
from policies.vla.words import learn_vocabulary, reader
from sim.errors import UserError
from sim.files import sha256
from sim.progress import ProgressLine

STATE_FILE, BEST_FILE = "resume.safetensors", "best.safetensors"
LOG_EVERY = 20
"""Steps between two entries of the curve."""


class Training:
    """One run of a training: the learner, what feeds it, and what is written down."""

    def __init__(
        self, config: TrainVlaConfig, data: LoadedMixture, identity: str, *, ranks: Ranks, start: VlaCheckpoint | None
    ) -> None:
        self.config, self.preset, self.budget = config, config.resolved(), config.budget()
        self.data, self.identity, self.ranks = data, identity, ranks
        require_device(config.device)
        if config.patience is not None and not data.validation:
            raise UserError(
                f"patience = {config.patience} stops a training by its validation, and no source has the split "
                f"{config.validation_split!r}. Generate one (val_episodes = 32), or leave patience out."
            )
        self.statistics = start.statistics if start else mixture_statistics(data)
        pieces = self.preset.text_encoder == "subword"
        self.vocabulary = start.vocabulary if start else learn_vocabulary(data.instructions) if pieces else None
        self.learner = Learner(
            self.preset,
            self.statistics,
            chunk=CHUNK,
            seed=config.seed,
            vocabulary=self.vocabulary.size if self.vocabulary else 0,
            ranks=ranks,
            device=config.device,
        )
        if start is not None:
            self.learner.begin_with(start.model)
        read = reader(self.learner.model.config, self.vocabulary)
        self.feed = Feed(data, self.statistics, self.preset, seed=config.seed, read=read)
        self.state_file, self.best_file = config.out / STATE_FILE, config.out / BEST_FILE
        if self.state_file.exists():
            self.learner.load(self.state_file, identity=identity)
        ranks.wait()  # No process may read what another is already writing.
        self.curve = Curve(config.out, step=self.learner.step, tensorboard=config.tensorboard, write=ranks.first)
        self.shares = {s.name: share for s, share in zip(data.sources, data.mixture.shares, strict=True)}
        self.recent: dict[str, list[float]] = defaultdict(list)
        if config.compile:
            self.learner.compile()

    def run(self, on_step: OnStep) -> TrainVlaResult:
        """Learn until the budget is used up or validation says stop, then validate and save."""
        ahead = Ahead(self._passes, first=self.learner.step, count=self.config.prefetch)
        try:
            with deferred_interrupts() as interrupted, ProgressLine("train", unit="samples") as line:
                self._learn(ahead, on_step, interrupted, line)
        finally:
            ahead.close()
        if not self._stopped():
            self._look()
        self.curve.close()
        return self._finish()

    def _passes(self, step: int) -> tuple[Inputs, ...]:
        return self.feed.training(step, rank=self.ranks.rank, ranks=self.ranks.count)

    def _learn(
        self, ahead: Ahead[tuple[Inputs, ...]], on_step: OnStep, interrupted: Callable[[], bool], line: ProgressLine
    ) -> None:
        """Do all steps that are left; leave a state on interruption and every `save_every` seconds."""
        learner, saved = self.learner, time.monotonic()
        while (progress := self._used()) < 1 and not self._stopped():
            began, looked = time.monotonic(), self._looks_done()
            self._step(ahead, progress)
            learner.seconds = self.ranks.agreed(learner.seconds + time.monotonic() - began)
            after, samples = self._used(), learner.step * self.preset.batch
            line(samples, max(samples, round(samples / after)), f"loss {self.recent['loss'][-1]:.4f}")
            if learner.step % LOG_EVERY == 0:
                self._log(progress)
            if after < 1 and self._looks_done() > looked:
                self._look()
            on_step(learner.step)
            stop = self.ranks.some(said=interrupted())
            if stop or self.ranks.agreed(time.monotonic() - saved) > self.config.save_every:
                self._save_state()
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    def _step(self, ahead: Ahead[tuple[Inputs, ...]], progress: float) -> None:
        """Do one step; a loss that is no number ends the training in words."""
        rate = self.preset.learning_rate * learning_rate_factor(progress, warmup=self.preset.warmup)
        terms = self.learner.learn(next(ahead), learning_rate=rate)
        if not math.isfinite(terms["loss"]):
            raise UserError(
                f"The training diverged at step {self.learner.step}: the loss is {terms['loss']}. Nothing of it was "
                f"saved after the last state in {self.config.out}. Lower learning_rate (it is "
                f"{self.preset.learning_rate:g}) and choose another `out`."
            )
        for name, value in terms.items():
            self.recent[name].append(value)

    def _used(self) -> float:
        return self.budget.progress(self.learner.step, self.learner.seconds)

    def _looks_done(self) -> int:
        """Return how many of the evenly spaced validations the used budget covers."""
        return int(self._used() * self.config.validations)

    def _stopped(self) -> bool:
        """Return whether validation no longer improves."""
        patience = self.config.patience
        if patience is None:
            return False
        return bool(self.ranks.agreed(float(stale(self.curve.entries, self.shares, patience=patience))))

    def _save_state(self) -> None:
        if self.ranks.first:
            self.learner.save(self.state_file, identity=self.identity)
        self.ranks.wait()

    def _look(self) -> None:
        """Validate, try it in the engine where asked, and remember the weights if they are the best so far.

        A step that was looked at before an interruption is not looked at again.
        """
        if any(entry["step"] == self.learner.step and "validation" in entry for entry in self.curve.entries):
            return
        found: dict[str, Any] = {
            "validation": validate(self.learner.averaged, self.feed, limit=self.config.validation_samples)
        }
        if self.config.rollouts.tasks and self.ranks.first:
            found["rollouts"] = success(self._as_checkpoint(), self.config.rollouts, image_size=self._stored_size())
        self.curve.add(self.learner.step, found)
        best = not stale(self.curve.entries, self.shares, patience=1)
        if self.config.patience is not None and best and self.ranks.first:
            self.learner.save_averaged(self.best_file, identity=self.identity)
        self.ranks.wait()

    def _stored_size(self) -> int:
        """Return the width of the frames that the policy is shown: that of its datasets."""
        return int(self.data.convention.image_size)

    def _as_checkpoint(self) -> VlaCheckpoint:
        model = copy.deepcopy(self.learner.averaged).cpu().eval()
        return VlaCheckpoint(model, self.data.convention, self.statistics, "", {}, self.vocabulary)

    def _log(self, progress: float) -> None:
        """Add the means since the last entry to the curve; a loss that stays far above its lowest ends the training."""
        means = {name: sum(values) / len(values) for name, values in self.recent.items()}
        rate = self.preset.learning_rate * learning_rate_factor(progress, warmup=self.preset.warmup)
        self.curve.add(self.learner.step, {**means, "learning_rate": rate, "seconds": round(self.learner.seconds, 3)})
        self.recent.clear()
        check_divergence(self.curve.entries, learning_rate=self.preset.learning_rate)

    def _finish(self) -> TrainVlaResult:
        """Save the checkpoint, remove the state that is no longer needed, and return the result."""
        learner, samples = self.learner, self.learner.step * self.preset.batch
        if self.config.patience is not None and self.best_file.exists():
            learner.load_averaged(self.best_file, identity=self.identity)
        look = self._look_of_the_weights()
        training: dict[str, Any] = {
            "steps": learner.step,
            "seconds": learner.seconds,
            "samples_per_second": samples / learner.seconds,
            "parameters": parameter_count(learner.model),
        }
        drawn = report(self.data.sources, self.data.mixture, config=self.config.data, samples=samples)
        kept = {"metrics": look["validation"], "notes": list(tell(self.curve.entries, self.shares))}
        record = {
            "identity": self.identity,
            "training": training,
            "settings": {"preset": self.config.preset, **asdict(self.preset), "seed": self.config.seed},
            "budget": asdict(self.budget),
            "mixture": asdict(drawn),
            "code": code_versions(),
            **kept,
            **({"rollouts": look["rollouts"]} if "rollouts" in look else {}),
        }
        record |= {"grounding": list(self._draw_grounding())} if self.ranks.first else {}
        if self.ranks.first:
            self._save_checkpoint(record)
        self.ranks.wait()
        digest = sha256(self.config.out / WEIGHTS)
        notes = tuple(kept["notes"])
        return TrainVlaResult(self.config.out, digest, mixture=drawn, metrics=kept["metrics"], notes=notes, **training)

    def _look_of_the_weights(self) -> Mapping[str, Any]:
        """Return the entry of the curve that measured the weights which are kept: the best, or else the last."""
        looks = [entry for entry in self.curve.entries if "validation" in entry]
        if self.config.patience is None:
            return looks[-1]
        found = validations(looks, self.shares)
        return looks[min(range(len(found)), key=lambda k: found[k][1])]

    def _draw_grounding(self) -> tuple[str, ...]:
        """Draw what the network makes of a few frames that it never learned from; return their sentences."""
        frames = self.feed.examples(ROWS)
        if not len(frames.image):
            return ()
        said = tuple(self.data.instructions[number] for number in frames.instruction)
        write_grounding(self.config.out, self._as_checkpoint(), frames.image, said, frames.state)
        return said

    def _save_checkpoint(self, record: dict[str, Any]) -> None:
        """Write the checkpoint, then remove what only an unfinished training needs."""
        save_checkpoint(
            self.config.out,
            self.learner.averaged,
            convention=self.data.convention,
            statistics=self.statistics,
            record=record,
            vocabulary=self.vocabulary,
        )
        self.state_file.unlink(missing_ok=True)
        self.best_file.unlink(missing_ok=True)
