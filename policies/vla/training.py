"""What a training of the VLA does at its turns: learn, validate, stop early; and what it leaves when it is done."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from datagen.loader import LoadedMixture
from datagen.mixture import report
from policies.vla.ahead import Ahead
from policies.vla.checkpoint import WEIGHTS, VlaCheckpoint, code_versions, save_checkpoint
from policies.vla.closed_loop import success
from policies.vla.feed import Feed
from policies.vla.grounding import ROWS, write_grounding
from policies.vla.learner import WORDS, Learner
from policies.vla.loop import Course, Loop, Turns
from policies.vla.model import parameter_count
from policies.vla.normalization import mixture_statistics
from policies.vla.parallel import Ranks
from policies.vla.runtime import require_device
from policies.vla.settings import CHUNK, TrainVlaConfig
from policies.vla.shape import Inputs
from policies.vla.story import check_divergence, stale, tell, validations
from policies.vla.train import OnStep, TrainVlaResult
from policies.vla.validation import validate
from policies.vla.words import learn_vocabulary, reader
from sim.errors import UserError
from sim.files import sha256

BEST_FILE = "best.safetensors"
LOG_EVERY = 20
"""Steps between two entries of the curve."""


class Training:
    """One run of a training: the learner, what feeds it, and what is written down."""

    def __init__(
        self, config: TrainVlaConfig, data: LoadedMixture, identity: str, *, ranks: Ranks, start: VlaCheckpoint | None
    ) -> None:
        self.config, self.preset = config, config.resolved()
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
        self.best_file = config.out / BEST_FILE
        self.loop = Loop(
            self.learner,
            self._course(),
            config.out,
            identity=identity,
            words=WORDS,
            tensorboard=config.tensorboard,
            ranks=ranks,
        )
        self.shares = {s.name: share for s, share in zip(data.sources, data.mixture.shares, strict=True)}
        if config.compile:
            self.learner.compile()

    def _course(self) -> Course:
        preset, config = self.preset, self.config
        return Course(
            budget=config.budget(),
            batch=preset.batch,
            learning_rate=preset.learning_rate,
            warmup=preset.warmup,
            validations=config.validations,
            save_every=config.save_every,
            log_every=LOG_EVERY,
        )

    def run(self, on_step: OnStep) -> TrainVlaResult:
        """Learn until the budget is used up or validation says stop, then validate and save."""
        ahead = Ahead(self._passes, first=self.learner.step, count=self.config.prefetch)
        turns = Turns(
            learn=lambda rate: self.learner.learn(next(ahead), learning_rate=rate),
            look=self._look,
            logged=self._check_divergence,
            stopped=self._stopped,
        )
        try:
            self.loop.run(turns, on_step)
        finally:
            ahead.close()
        return self._finish()

    def _passes(self, step: int) -> tuple[Inputs, ...]:
        return self.feed.training(step, rank=self.ranks.rank, ranks=self.ranks.count)

    def _check_divergence(self) -> None:
        """End a training whose loss stays far above its lowest."""
        check_divergence(self.loop.curve.entries, learning_rate=self.preset.learning_rate)

    def _stopped(self) -> bool:
        """Return whether validation no longer improves."""
        patience = self.config.patience
        if patience is None:
            return False
        return bool(self.ranks.agreed(float(stale(self.loop.curve.entries, self.shares, patience=patience))))

    def _look(self) -> None:
        """Validate, try it in the engine where asked, and remember the weights if they are the best so far."""
        found: dict[str, Any] = {
            "validation": validate(self.learner.averaged, self.feed, limit=self.config.validation_samples)
        }
        if self.config.rollouts.tasks and self.ranks.first:
            found["rollouts"] = success(self._as_checkpoint(), self.config.rollouts, image_size=self._stored_size())
        curve = self.loop.curve
        curve.add(self.learner.step, found)
        best = not stale(curve.entries, self.shares, patience=1)
        if self.config.patience is not None and best and self.ranks.first:
            self.learner.save_averaged(self.best_file, identity=self.identity)
        self.ranks.wait()

    def _stored_size(self) -> int:
        """Return the width of the frames that the policy is shown: that of its datasets."""
        return int(self.data.convention.image_size)

    def _as_checkpoint(self) -> VlaCheckpoint:
        model = copy.deepcopy(self.learner.averaged).cpu().eval()
        return VlaCheckpoint(model, self.data.convention, self.statistics, "", {}, self.vocabulary)

    def _finish(self) -> TrainVlaResult:
        """Save the checkpoint, remove the state that is no longer needed, and return the result."""
        learner, loop = self.learner, self.loop
        if self.config.patience is not None and self.best_file.exists():
            learner.load_averaged(self.best_file, identity=self.identity)
        look = self._look_of_the_weights()
        training: dict[str, Any] = {
            **loop.spent(),
            "parameters": parameter_count(learner.model),
        }
        drawn = report(self.data.sources, self.data.mixture, config=self.config.data, samples=loop.samples)
        kept = {"metrics": look["validation"], "notes": list(tell(loop.curve.entries, self.shares))}
        record = {
            "identity": self.identity,
            "training": training,
            "settings": {"preset": self.config.preset, **asdict(self.preset), "seed": self.config.seed},
            "budget": asdict(loop.course.budget),
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
        looks = self.loop.looks()
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
        near = frames.wrist if self.preset.wrist_size else None
        write_grounding(self.config.out, self._as_checkpoint(), frames.image, said, frames.state, near)
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
        self.loop.state_file.unlink(missing_ok=True)
        self.best_file.unlink(missing_ok=True)
