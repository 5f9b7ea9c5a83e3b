"""The loop of every training: learn, log, validate, save; interrupted at any step, continued exactly."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.vla.curve import Curve
from policies.vla.parallel import Ranks
from policies.vla.resume import STATE_FILE, Learns, Words
from policies.vla.runtime import deferred_interrupts
from policies.vla.settings import Budget, learning_rate_factor
from policies.vla.train import OnStep
from sim.errors import UserError
from sim.progress import ProgressLine


@dataclass(frozen=True)
class Course:
    """How long a training goes on, how fast it learns, and how often it looks up."""

    budget: Budget
    # Samples per step.
    batch: int
    # Peak learning rate, and the share of the budget that warms up to it.
    learning_rate: float
    warmup: float
    # Validations, evenly spaced over the budget; the last one is at its end.
    validations: int
    # Seconds between savings of the state, and steps between entries of the curve.
    save_every: float
    log_every: int


@dataclass(frozen=True)
class Turns:
    """What a training does when the loop says that it is time."""

    # One step at this learning rate -> its loss terms, "loss" among them.
    learn: Callable[[float], Mapping[str, float]]
    # Validate and add what was found to the curve.
    look: Callable[[], None]
    # After the means of some steps were added to the curve.
    logged: Callable[[], None] = lambda: None
    # Whether to end before the budget does.
    stopped: Callable[[], bool] = lambda: False


class Loop:
    """A learner on its course: its state file and its curve in `folder` say how far it is."""

    def __init__(
        self,
        learner: Learns,
        course: Course,
        folder: Path,
        *,
        identity: str,
        words: Words,
        tensorboard: bool,
        ranks: Ranks,
    ) -> None:
        """Continue from the state in `folder`, if there is one; that of a training of another `identity` is refused."""
        self.learner, self.course, self.identity, self.words, self.ranks = learner, course, identity, words, ranks
        self.folder, self.state_file = folder, folder / STATE_FILE
        if self.state_file.exists():
            learner.load(self.state_file, identity=identity)
        ranks.wait()  # No process may read what another is already writing.
        self.curve = Curve(folder, step=learner.step, tensorboard=tensorboard, write=ranks.first)
        self._recent: dict[str, list[float]] = defaultdict(list)

    @property
    def samples(self) -> int:
        """How many samples were learned from."""
        return self.learner.step * self.course.batch

    def spent(self) -> dict[str, float]:
        """Return steps, seconds and samples per second."""
        learner = self.learner
        rate = self.samples / learner.seconds
        return {"steps": learner.step, "seconds": learner.seconds, "samples_per_second": rate}

    def looks(self) -> list[dict[str, Any]]:
        """Return the curve's entries that hold a validation."""
        return [entry for entry in self.curve.entries if "validation" in entry]

    def run(self, turns: Turns, on_step: OnStep) -> None:
        """Learn until the budget is used up or the training says stop, then validate."""
        with deferred_interrupts() as interrupted, ProgressLine(self.words.verb, unit="samples") as line:
            self._learn(turns, on_step, interrupted, line)
        if not turns.stopped():
            self._look(turns)
        self.curve.close()

    def _learn(self, turns: Turns, on_step: OnStep, interrupted: Callable[[], bool], line: ProgressLine) -> None:
        """Do all steps that are left; leave a state on interruption and every `save_every` seconds."""
        learner, ranks, saved = self.learner, self.ranks, time.monotonic()
        while (progress := self._used()) < 1 and not turns.stopped():
            began, looked = time.monotonic(), self._looks_done()
            loss = self._step(turns, progress)
            learner.seconds = ranks.agreed(learner.seconds + time.monotonic() - began)
            after = self._used()
            line(self.samples, max(self.samples, round(self.samples / after)), f"loss {loss:.4f}")
            if learner.step % self.course.log_every == 0:
                self._log(turns, progress)
            if after < 1 and self._looks_done() > looked:
                self._look(turns)
            on_step(learner.step)
            stop = ranks.some(said=interrupted())
            if stop or ranks.agreed(time.monotonic() - saved) > self.course.save_every:
                self._save()
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    def _used(self) -> float:
        return self.course.budget.progress(self.learner.step, self.learner.seconds)

    def _looks_done(self) -> int:
        """Return how many of the evenly spaced validations the used budget covers."""
        return int(self._used() * self.course.validations)

    def _rate(self, progress: float) -> float:
        return self.course.learning_rate * learning_rate_factor(progress, warmup=self.course.warmup)

    def _step(self, turns: Turns, progress: float) -> float:
        """Do one step and return its loss; one that is no number ends the training in words."""
        terms = turns.learn(self._rate(progress))
        if not math.isfinite(terms["loss"]):
            raise UserError(
                f"The {self.words.name} diverged at step {self.learner.step}: the loss is {terms['loss']}. Nothing of "
                f"it was saved after the last state in {self.folder}. Lower learning_rate (it is "
                f"{self.course.learning_rate:g}) and choose another `out`."
            )
        for name, value in terms.items():
            self._recent[name].append(value)
        return terms["loss"]

    def _log(self, turns: Turns, progress: float) -> None:
        """Add the means since the last entry to the curve."""
        means = {name: sum(values) / len(values) for name, values in self._recent.items()}
        seconds = round(self.learner.seconds, 3)
        self.curve.add(self.learner.step, {**means, "learning_rate": self._rate(progress), "seconds": seconds})
        self._recent.clear()
        turns.logged()

    def _look(self, turns: Turns) -> None:
        """Validate. A step that was looked at before an interruption is not looked at again."""
        if all(entry["step"] != self.learner.step for entry in self.looks()):
            turns.look()

    def _save(self) -> None:
        if self.ranks.first:
            self.learner.save(self.state_file, identity=self.identity)
        self.ranks.wait()
