"""A task: data and pure functions of State. No engine is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim.files import digest_json
from sim.panda import forward
from sim.scene import Scene, Value
from sim.state import Array, State
from sim.streams import generator
from tasks.grammar import Thing
from tasks.presets import SEMANTICS, SENTENCE, Selection, select
from tasks.randomization import Knob, draw_values, is_visual
from tasks.semantics import Meaning, Semantics

Terms = Mapping[str, Array]

POSTURE = "robot.q"
"""The knob of the arm's joints at the start."""

POSTURES = 100
"""Postures that are drawn at most until one is clear of the table."""


@dataclass(frozen=True)
class Twin:
    """An environment of another simulator that asks for nearly the same."""

    host: str
    host_task: str
    # What differs, said in every report.
    difference: str


@dataclass(frozen=True)
class Task:
    """What to do. One file of tasks/ defines one of these."""

    # Versioned id: a change of scene, success or randomization is a new version.
    id: str
    # One line for the catalogue.
    summary: str
    scene: Scene
    # Presets of randomization: "none", "train", "held_out".
    presets: Mapping[str, tuple[Knob, ...]]
    # Steps after which an episode is truncated, and for how many success must hold in a demonstration.
    horizon: int
    hold: int
    # State -> (n, p) privileged observation.
    privileged: Callable[[State], Array]
    # State, canonical action (n, 7), previous action (n, 7) -> terms in [0, 1], each (n,).
    terms: Callable[[State, Array, Array], Terms]
    # Weight of each term.
    weights: Mapping[str, float]
    # State -> (n,) bool.
    success: Callable[[State], Array]
    # Template id -> sentence with {color}; ids that begin with "held_out" are never trained on.
    templates: Mapping[str, str]
    # The object that sentences are about.
    target: str
    twins: tuple[Twin, ...] = ()
    # Least height of the TCP above the table at the start, m: a posture that is lower is drawn again.
    clearance: float = 0.0
    # How targets, other objects and sentences are drawn together; None: the sentence fits the only object there is.
    semantics: Semantics | None = None

    def draw(self, seed: int, *, preset: str = "train", visual: bool = True) -> dict[str, Value]:
        """Return the absolute values that the episode `seed` draws under `preset`; without `visual`, physics only."""
        chosen = [knob for knob in self._preset(preset) if visual or not is_visual(knob.path)]
        nominal = self.scene.nominal()
        drawn = draw_values(chosen, nominal, seed, names=(self.id,))
        if self.clearance:
            drawn |= self._clear_posture(drawn, chosen, seed, nominal=nominal)
        meant = self.meaning(seed, preset=preset)
        return drawn | {path: value for path, value in meant.values.items() if visual or not is_visual(path)}

    def _clear_posture(
        self, drawn: Mapping[str, Value], chosen: Sequence[Knob], seed: int, *, nominal: Mapping[str, Value]
    ) -> dict[str, Value]:
        """Return a posture of the arm whose TCP is `clearance` above the table: the drawn one, or a later draw."""
        laws = [knob for knob in chosen if knob.path == POSTURE]
        table = {**nominal, **drawn}["table.height"]
        found = dict(drawn)
        for attempt in range(POSTURES if laws else 0):
            q = np.asarray([found[POSTURE]], dtype=np.float64)
            if float(forward(q).position[0, 2]) - float(np.asarray(table)) >= self.clearance:
                break
            found = draw_values(laws, nominal, seed, names=(self.id, "posture", attempt))
        return {POSTURE: found[POSTURE]} if laws else {}

    def draw_one(self, path: str, seed: int, *, preset: str = "train") -> Value:
        """Return the value of the single parameter `path` in the episode `seed`, drawn or nominal."""
        chosen = [knob for knob in self._preset(preset) if knob.path == path]
        nominal = self.scene.nominal()
        drawn = draw_values(chosen, nominal, seed, names=(self.id,)) | dict(self.meaning(seed, preset=preset).values)
        return {path: nominal[path], **drawn}[path]

    def redraw_visual(self, seed: int, step: int, *, preset: str = "train") -> dict[str, Value]:
        """Return visual values drawn anew for one step of the episode.

        Colours that the sentence may name stay: the target's, and with `semantics` those of all objects.
        """
        kept = f"{self.target}.color"
        chosen = [knob for knob in self._preset(preset) if is_visual(knob.path) and knob.path != kept]
        return draw_values(chosen, self.scene.nominal(), seed, names=(self.id, "step", step))

    def meaning(self, seed: int, *, preset: str = "train") -> Meaning:
        """Return the semantic part of the draw of the episode `seed`; empty for a task without `semantics`."""
        chosen = self.selection(preset)
        if self.semantics is None:
            return Meaning({}, ())
        if chosen.base == "none" or SEMANTICS not in chosen.parts:
            return self.semantics.nominal(self.scene.nominal())
        return self.semantics.draw(seed, self.id, held_out=chosen.base == "held_out")

    def sentence(self, seed: int, *, preset: str = "train") -> tuple[str, str]:
        """Return the sentence of the episode `seed` under `preset`, and the id of its template."""
        held_out = self.selection(preset).held_out_sentences
        if self.semantics is not None:
            meaning = self.meaning(seed, preset=preset)
            return self.semantics.sentence(meaning, seed, self.id, held_out=held_out)
        color = self.draw_one(f"{self.target}.color", seed, preset=preset)
        return self.instruction(seed, color=color if isinstance(color, str) else "", held_out=held_out)

    def instruction(self, seed: int, *, held_out: bool = False, color: str = "") -> tuple[str, str]:
        """Return a sentence for a scene whose target has `color`, and the id of its template.

        A task with `semantics` returns the sentence of its own episode `seed`.
        """
        if self.semantics is not None:
            return self.sentence(seed, preset="held_out" if held_out else "train")
        ids = sorted(name for name in self.templates if name.startswith("held_out") == held_out)
        template = ids[int(generator(seed, self.id, "instruction").integers(len(ids)))]
        return " ".join(self.templates[template].format(color=color).split()), template

    def host_sentence(self, seed: int, things: Sequence[Thing], *, held_out: bool = False) -> tuple[str, str]:
        """Return a sentence for a host's scene with these `things` in it, and the id of its template."""
        if self.semantics is not None:
            return self.semantics.host_sentence(seed, self.id, held_out=held_out, things=things)
        color = next((thing.color for thing in things if thing.name in ("target", self.target)), "")
        return self.instruction(seed, color=color, held_out=held_out)

    def digest(self) -> str:
        """Return the digest of the task's data: scene, randomization, horizon, weights, sentences."""
        data: dict[str, Any] = {
            "id": self.id,
            "scene": _scene_data(self.scene),
            "presets": {name: [knob.text for knob in chosen] for name, chosen in self.presets.items()},
            "horizon": self.horizon,
            "hold": self.hold,
            "weights": dict(self.weights),
            "templates": dict(self.templates),
        }
        if self.clearance:
            data["clearance"] = self.clearance
        if self.semantics is not None:
            data["semantics"] = self.semantics.data()
        return digest_json(data)

    def selection(self, preset: str) -> Selection:
        """Return what the name of a preset, or of a part of one such as "train[camera]", chooses."""
        parts = (SENTENCE,) if self.semantics is None else (SENTENCE, SEMANTICS)
        return select(preset, self.presets, task=self.id, parts=parts)

    def _preset(self, name: str) -> tuple[Knob, ...]:
        return self.presets[name] if name in self.presets else self.selection(name).knobs


def _scene_data(scene: Scene) -> dict[str, Any]:
    """Return the scene as JSON. What scenes did not always have is left out where unused: old digests stand."""
    data = asdict(scene)
    if not scene.fixtures:
        del data["fixtures"]
    for fixture in data.get("fixtures", ()):
        if fixture["present"] == 1.0:
            del fixture["present"]
        if fixture["size"] is None:
            del fixture["size"]
        for part in fixture["parts"]:
            for entry in ("grows", "shifts"):
                if not any(part[entry]):
                    del part[entry]
    if scene.table_shape == "box":
        del data["table_shape"]
    for item in data["objects"]:
        # It says what engines prepare for, not what the scene is.
        del item["shapes"]
        if item["present"] == 1.0:
            del item["present"]
    return data
