"""Our own scenes as an arm varies them: as few draws as in a host, and the arm's laws laid over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from bench.variation import Change, applied, drawn_changes
from sim.engine import make_engine
from sim.scene import PALETTE, Value
from tasks.env import TaskEnv
from tasks.grammar import Thing, descriptions
from tasks.layout import Place
from tasks.presets import SEMANTICS
from tasks.randomization import Knob, is_visual
from tasks.semantics import Meaning, Semantics
from tasks.task import Task
from tasks.things import KINDS, size_word

COUNT = "others.count"
"""Path of the number of objects beside those that sentences are about."""


def nominal_preset(task: Task) -> str:
    """Return the part of the task's training draws that a host draws too: where objects stand, and how turned."""
    if task.semantics is not None:
        return f"train[{SEMANTICS}]"
    drawn = [law.path for law in task.presets["train"] if law.path in (f"{task.target}.position", f"{task.target}.yaw")]
    return f"train[{', '.join(drawn)}]" if drawn else "none"


def turnable(task: Task) -> frozenset[str]:
    """Return the paths that our own engine can turn in the task's scene, with "target" for the target's slot."""
    own = set(task.scene.nominal())
    knobs = {f"target.{path.split('.')[1]}" if path.startswith(f"{task.target}.") else path for path in own}
    if task.semantics is None:
        # The sentences of such a task name one kind of thing.
        return frozenset(knobs - {"target.shape"})
    return frozenset(knobs | ({COUNT} if task.semantics.others else set()))


@dataclass(frozen=True)
class VariedTask(Task):
    """A task whose draws an arm's laws change; sentences stay true of the scene."""

    laws: tuple[Knob, ...] = ()

    def changes(self, seed: int) -> dict[str, Change]:
        """Return what the episode `seed` draws of the laws, by the scene's own paths."""
        drawn = drawn_changes(self.laws, seed)
        return {own: change for path, change in drawn.items() for own in _own_paths(self, path)}

    def draw(self, seed: int, *, preset: str = "train", visual: bool = True) -> dict[str, Value]:
        """Return the absolute values that the episode `seed` draws under `preset`, changed by the laws."""
        values, nominal = super().draw(seed, preset=preset, visual=visual), self.scene.nominal()
        meant = self.meaning(seed, preset=preset).values
        for path, change in self.changes(seed).items():
            if path in nominal and path not in meant and (visual or not is_visual(path)):
                values[path] = applied(change, values.get(path, nominal[path]), path=path)
        return values

    def draw_one(self, path: str, seed: int, *, preset: str = "train") -> Value:
        """Return the value of one parameter in the episode `seed`."""
        return {path: self.scene.nominal()[path], **self.draw(seed, preset=preset)}[path]

    def meaning(self, seed: int, *, preset: str = "train") -> Meaning:
        """Return the semantic part of the draw, drawn as the laws want it and said as it then is."""
        if self.semantics is None or preset == "none":
            return super().meaning(seed, preset=preset)
        changes = self.changes(seed)
        meant = _staged(self.semantics, self.target, changes).draw(seed, self.id, held_out=False)
        values = {**meant.values, **_usual_color(self)}
        for path, change in changes.items():
            if path in values and not _where_drawn(self.semantics, self.target, path, change):
                values[path] = applied(change, values[path], path=path)
        if values == meant.values:
            return meant
        return _told_apart(self.target, values, [_seen(thing, values) for thing in meant.things])


def _usual_color(task: Task) -> dict[str, Value]:
    """Return the colour that the target has where no law says another: always the same, as in a host."""
    path = f"{task.target}.color"
    return {path: task.scene.nominal()[path]} if task.semantics is not None and task.semantics.roles else {}


def _own_paths(task: Task, path: str) -> list[str]:
    """Return what a path is called in our scene; of a target that is a fixture, in all of which an episode has one."""
    if not path.startswith("target."):
        return [path]
    fixtures = [fixture.name for fixture in task.scene.fixtures]
    names = fixtures if task.target in fixtures else [task.target]
    return [f"{name}.{path.removeprefix('target.')}" for name in names]


def _where_drawn(semantics: Semantics, target: str, path: str, change: Change) -> bool:
    """Return whether the change says where the target is drawn: what goes with it keeps its distance."""
    roles = semantics.roles
    return path == f"{target}.position" and change[0] == "=" and bool(roles) and roles[0].slot == target


def _staged(semantics: Semantics, target: str, changes: Mapping[str, Change]) -> Semantics:
    """Return how the scene is drawn: cubes of middle size as in the hosts, nothing beside them unless a law says so."""
    count = int(cast(float, changes[COUNT][1])) if COUNT in changes else 0
    path = f"{target}.position"
    roles = [replace(role, kinds=role.kinds[:1], sizes=("medium",)) for role in semantics.roles]
    if path in changes and _where_drawn(semantics, target, path, changes[path]):
        spot = cast(Place, changes[path][1])
        roles[0] = replace(roles[0], region=(spot, spot))
    return replace(semantics, roles=tuple(roles), counts=(count,))


def _seen(thing: Thing, values: Mapping[str, Value]) -> Thing:
    """Return the thing as it is after the changes, in the words of the grammar."""
    half = cast(tuple[float, ...], values[f"{thing.name}.half_size"])
    shape = str(values[f"{thing.name}.shape"])
    kind = thing.kind if KINDS[thing.kind] == shape else next(k for k, s in KINDS.items() if s == shape)
    place = cast(Place, tuple(cast(Sequence[float], values[f"{thing.name}.position"])))
    return Thing(thing.name, kind, str(values[f"{thing.name}.color"]), _size_word(kind, half), place)


def _size_word(kind: str, half: Sequence[float]) -> str:
    """Return the word for the size of a thing; see `tasks.things.half_size`."""
    return size_word({"ball": half[0] / 1.1, "peg": half[1] / 0.8}.get(kind, half[0]))


def _told_apart(target: str, values: dict[str, Value], things: list[Thing]) -> Meaning:
    """Return the meaning of a changed scene: whatever can no longer be told from another thing gets another colour."""
    for k, thing in enumerate(things):
        if thing.name != target and not all(descriptions(things, each.name) for each in things):
            free = [color for color in PALETTE if color not in {each.color for each in things}]
            things[k] = replace(thing, color=free[0])
            values[f"{thing.name}.color"] = free[0]
    return Meaning(values, tuple(things))


class OwnEnv(TaskEnv):
    """Our own engine as a host whose worlds can be varied; see `nominal_preset` for what it draws by itself."""

    def __init__(self, task: Task, *, n: int = 1, image_size: int = 256) -> None:
        """Build `n` worlds of the task's scene."""
        self._base = VariedTask(**{field.name: getattr(task, field.name) for field in fields(Task)})
        engine = make_engine("mujoco", task.scene, n=n)
        super().__init__(self._base, engine, preset=nominal_preset(task), image_size=image_size)

    @property
    def knobs(self) -> frozenset[str]:
        """Paths that its worlds can turn."""
        return turnable(self._base)

    def vary(self, laws: Sequence[Knob]) -> None:
        """Lay `laws` over every episode from the next reset on."""
        self.task = replace(self._base, laws=tuple(laws))

    def things(self, world: int) -> tuple[Thing, ...]:
        """Return what stands in `world`, as sentences speak of it; nothing for a task without a grammar."""
        return self.task.meaning(self._seeds[world], preset=self._preset).things
