"""The bodies that an Isaac Gym world has in stock: shapes, sizes and masses cannot change once it was created.

Every slot of a world gets one body per class of similar bodies that its draws ask for. An episode takes the body of the
right shape and of nearly the size that it drew; the others wait out of sight. Within a class, the worlds' bodies differ
as the draws do, so many worlds together show the whole variety.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sim.engine import Values
from sim.errors import UserError, unknown
from sim.fixtures import SHAPES
from sim.scene import Scene

SPREAD = np.array([0.12, 0.12, 0.26])
"""Half the widest class: largest difference of a half extent (x, y, z) from the class's own, natural logarithm.

Words for sizes lie 0.13 apart at least (tasks/things.py): no class holds bodies that sentences call differently.
"""

NEAR = np.array([0.2, 0.2, 0.4])
"""A body that differs by more than this from every class cannot be stood in for."""

MOST_BODIES = 64
"""A slot whose draws need more classes than this is refused: each is a body in every world."""


@dataclass(frozen=True)
class Body:
    """What cannot change: shape as an index into SHAPES, half extents, m, and mass, kg."""

    shape: int
    half_size: tuple[float, ...]
    mass: float

    @property
    def size(self) -> NDArray[np.float64]:
        """Return the logarithms of the half extents (3,)."""
        return np.asarray(np.log(self.half_size))


@dataclass(frozen=True)
class Column:
    """One class of bodies of one slot: each world has a member of it."""

    # Name of the slot, and the class's own size: the logarithms of its half extents (3,).
    slot: str
    shape: int
    size: NDArray[np.float64]
    # The body of each world, n of them.
    members: tuple[Body, ...]


def drawn_body(name: str, values: Values) -> Body | None:
    """Return the body that `values` ask for in a slot, None where the episode does without."""
    if float(cast(float, values[f"{name}.present"])) <= 0.5:
        return None
    shape = values[f"{name}.shape"]
    if shape not in SHAPES:
        raise unknown(f"shape for {name}.shape", str(shape), SHAPES)
    half = tuple(float(x) for x in cast(Sequence[float], values[f"{name}.half_size"]))
    return Body(SHAPES.index(shape), half, float(cast(float, values[f"{name}.mass"])))


class Stock:
    """The bodies of n worlds, column by column; a slot's columns stand together, in the order of the scene's slots."""

    def __init__(self, scene: Scene, samples: Sequence[Values], firsts: Mapping[int, Values], *, n: int) -> None:
        """Lay in what `samples` ask for; `firsts` are the values of first episodes, whose very bodies are kept.

        Slots that are empty unless a draw fills them are filled alike: what one of them gets, the others get too.
        """
        self.columns: list[Column] = []
        self._slots = {item.name: [0, 0] for item in scene.objects}
        spare = {item.name for item in scene.objects if item.present <= 0.5}
        asked: dict[str, list[Body]] = {name: [] for name in self._slots}
        for values, name in product((*samples, *firsts.values()), self._slots):
            body = drawn_body(name, values)
            if body is not None:
                for slot in spare if name in spare else {name}:
                    asked[slot].append(body)
        for name, span in self._slots.items():
            span[0] = len(self.columns)
            own = {world: drawn_body(name, values) for world, values in firsts.items()}
            self.columns += _columns(name, asked[name], own, n=n)
            span[1] = len(self.columns)

    def column(self, name: str, world: int, values: Values) -> int:
        """Return the column whose body of `world` is what the slot's values ask for, -1 for an absent object."""
        body = drawn_body(name, values)
        if body is None:
            return -1
        for k in range(*self._slots[name]):
            if self.columns[k].members[world] == body:
                return k
        kept = self.columns[self._nearest(name, body)].members[world]
        raise UserError(
            f"Isaac Gym makes all bodies when it creates a world: for {name} in world {world} a reset asks for half "
            f"extents {body.half_size} m and {body.mass:g} kg; nearest in stock: {kept.half_size} and {kept.mass:g}. "
            f"Take engine.fixed_values({world}, values) over into the draw, or make a new engine."
        )

    def settled(self, world: int, values: Values) -> dict[str, Any]:
        """Return the half extents and masses that `world` can offer for `values`, by path."""
        found: dict[str, Any] = {}
        for name in self._slots:
            body = drawn_body(name, values)
            if body is not None:
                member = self.columns[self._nearest(name, body)].members[world]
                found |= {f"{name}.half_size": member.half_size, f"{name}.mass": member.mass}
        return found

    def _nearest(self, name: str, body: Body) -> int:
        """Return the column of the class that comes nearest, or refuse a body that nothing comes near."""
        chosen = [k for k in range(*self._slots[name]) if self.columns[k].shape == body.shape]
        centers = np.array([self.columns[k].size for k in chosen]).reshape(-1, 3)
        best = int(_nearest_center(body.size[None], centers)[0]) if chosen else -1
        if best < 0 or (np.abs(centers[best] - body.size) > NEAR).any():
            raise UserError(
                f"Isaac Gym makes all bodies when it creates a world, and none is like what {name} asks for: a "
                f"{SHAPES[body.shape]} with half extents {body.half_size} m. Call engine.stock(values) with draws like "
                "it before the first reset, or make a new engine."
            )
        return chosen[best]

    def arrays(self, scene: Scene, *, n: int) -> dict[str, NDArray[Any]]:
        """Return slot and shape of each column (columns,), and half extents (n, columns, 3) and masses (n, columns)."""
        names, count = [item.name for item in scene.objects], len(self.columns)
        half = [member.half_size for column in self.columns for member in column.members]
        mass = [member.mass for column in self.columns for member in column.members]
        return {
            "slot": np.array([names.index(column.slot) for column in self.columns], dtype=np.int32),
            "shape": np.array([column.shape for column in self.columns], dtype=np.int32),
            "half_size": np.array(half, dtype=np.float64).reshape(count, n, 3).swapaxes(0, 1),
            "mass": np.array(mass, dtype=np.float64).reshape(count, n).T,
        }


def _columns(name: str, asked: Sequence[Body], own: Mapping[int, Body | None], *, n: int) -> list[Column]:
    """Return the classes of one slot and who is in them."""
    columns = []
    for shape in sorted({body.shape for body in asked}):
        bodies = [body for body in asked if body.shape == shape]
        sizes = np.array([body.size for body in bodies])
        centers = _centers(sizes)
        nearest = _nearest_center(sizes, sizes[centers])
        for k, center in enumerate(centers):
            members = [body for body, at in zip(bodies, nearest, strict=True) if at == k]
            chosen = [members[world % len(members)] for world in range(n)]
            for world, body in own.items():
                if (
                    body is not None
                    and body.shape == shape
                    and _nearest_center(body.size[None], sizes[centers])[0] == k
                ):
                    chosen[world] = body
            columns.append(Column(name, shape, sizes[center], tuple(chosen)))
    if len(columns) > MOST_BODIES:
        raise UserError(
            f"The draws of {name} need {len(columns)} bodies of different sizes in every Isaac Gym world; allowed: "
            f"{MOST_BODIES}. Narrow the law of {name}.half_size, or use --engine mujoco."
        )
    return columns


def _centers(sizes: NDArray[np.float64]) -> list[int]:
    """Return the rows of `sizes` (k, 3) that stand for classes: again and again the one with most others around it."""
    near = (np.abs(sizes[:, None] - sizes[None]) <= SPREAD).all(axis=-1)
    left, centers = np.ones(len(sizes), dtype=np.bool_), []
    while left.any():
        best = int(np.argmax((near & left).sum(axis=1)))
        centers.append(best)
        left &= ~near[best]
    return centers


def _nearest_center(sizes: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for each of `sizes` (k, 3) the index of the nearest of `centers` (c, 3)."""
    return np.asarray((np.abs(sizes[:, None] - centers[None]) / SPREAD).max(axis=-1).argmin(axis=1))
