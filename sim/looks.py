"""The visual values of one frame, written into a model: every parameter, each time, from its nominal value."""

from __future__ import annotations

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.appearance import HIDDEN, LIGHTS, SURFACES, TABLE_FRONT, VISIBLE
from sim.contacts import GEOM_TYPES, size_triple
from sim.engine import Values
from sim.errors import UserError, nearest, unknown
from sim.fixture_geoms import fixture_geoms, write_size
from sim.fixtures import SHAPES, Vec, fixture_pose
from sim.image_effects import EFFECTS
from sim.mjcf import TABLE_CENTER, TABLE_HALF
from sim.scene import Camera, Scene, Value, light_direction, rgb
from sim.textures import TEXTURES


class Look:
    """Writes the visual values of `scene` into a model of `build_visual_spec(scene)`."""

    def __init__(self, scene: Scene, model: mujoco.MjModel) -> None:
        """Look up ids and remember what is nominal."""
        self._scene, self._model = scene, model
        self._nominal = scene.nominal()
        self._views = dict(scene.cameras)
        names = [model.geom(i).name for i in range(model.ngeom)]
        self._geoms = {name: i for i, name in enumerate(names) if name}
        self._walls = [i for name, i in self._geoms.items() if name.startswith("wall")]
        self._robot = np.array([i for i, name in enumerate(names) if name.startswith("robot_")])
        self._robot_color = model.geom_rgba[self._robot, :3].copy()
        self._materials = {
            surface: {name: model.material(f"{surface}_{name}").id for name in ("plain", *TEXTURES)}
            for surface in SURFACES
        }
        self._table, self._camera = model.body("table").id, model.camera("image").id
        lights = {model.light(i).name: i for i in range(model.nlight)}
        self._lights = [(lights[name], suffix) for name, suffix in LIGHTS.items() if name in lights]
        self._parts = tuple(fixture_geoms(scene))
        self._fixtures = [(fixture.name, model.body(fixture.name).id) for fixture in scene.fixtures]
        self._sized = [fixture for fixture in scene.fixtures if fixture.size is not None]

    def effects(self, values: Values) -> dict[str, float]:
        """Return what `sim.image_effects.apply_effects` takes: what the camera does to the frame."""
        return {name: self._number(f"image.{name}", values) for name in EFFECTS}

    def apply(self, values: Values) -> None:
        """Set everything visual to `values`; a path that they lack is nominal again, physical ones are ignored.

        Colours and light are clipped to [0, 1]. A `UserError` refuses an unknown path or name, a wrong length, a value
        that is not finite, and a size, distance or field of view that is not positive.
        """
        for path in values:
            if path not in self._nominal:
                raise UserError(f"The scene has no parameter {path!r}.{nearest(path, self._nominal)}")
        self._set_table(values)
        self._set_room(values)
        self._set_light(values)
        self._set_camera(values)
        for item in self._scene.objects:
            self._set_object(item.name, values)
        for fixture, part, name in self._parts:
            color = self._object_color(fixture.name, values, own=part.color)
            self._model.geom_rgba[self._geoms[name], :3] = color
        for name, body in self._fixtures:
            self._set_fixture(name, body, values)
        for fixture in self._sized:
            path = f"{fixture.name}.size"
            write_size(self._model, fixture, {path: tuple(self._positive(path, values))})

    def _set_fixture(self, name: str, body: int, values: Values) -> None:
        """Set the pose of a fixture; one that the episode does without is far away."""
        paths = (f"{name}.position", f"{name}.yaw", f"{name}.present", "table.height")
        pose = fixture_pose(name, {path: self.vector(path, values) for path in paths})
        self._model.body_pos[body], self._model.body_quat[body] = pose[:3], pose[3:]

    def _set_object(self, name: str, values: Values) -> None:
        """Set shape, size and colour of an object; one that the episode does without is not drawn."""
        geom, model = self._geoms[name], self._model
        model.geom_rgba[geom, :3] = self._object_color(name, values)
        shape = values.get(f"{name}.shape", self._nominal[f"{name}.shape"])
        if shape not in SHAPES:
            raise unknown(f"shape for {name}.shape", str(shape), SHAPES)
        half_size = self._positive(f"{name}.half_size", values)
        model.geom_type[geom] = GEOM_TYPES[shape]
        model.geom_size[geom] = size_triple(shape, tuple(half_size))
        model.geom_group[geom] = VISIBLE if self._number(f"{name}.present", values) > 0.5 else HIDDEN

    def _object_color(self, name: str, values: Values, *, own: Vec | None = None) -> tuple[float, ...]:
        """Return an object's RGB: its `own`, or a name of the palette or RGB, times its shade."""
        path = f"{name}.color"
        color = values.get(path, self._nominal[path]) if own is None else own
        if not isinstance(color, str):
            checked(path, color, (1.0, 1.0, 1.0))
        shade = self.vector(f"{name}.shade", values)
        return rgb(color, tuple(shade))

    def _set_table(self, values: Values) -> None:
        model, geom = self._model, self._geoms["table_top"]
        model.body_pos[self._table, 2] = self._number("table.height", values)
        rear, half_width = self.vector("table.extent", values)
        half_length = (TABLE_FRONT - rear) / 2
        if min(half_length, half_width) <= 0:
            raise UserError(
                f"table.extent = ({rear}, {half_width}) leaves no table. It is the rear edge x, below {TABLE_FRONT} m, "
                "and half the width, above 0 m."
            )
        model.geom_pos[geom, 0] = rear + half_length - TABLE_CENTER[0]
        model.geom_size[geom] = half_length, half_width, TABLE_HALF[2]
        model.geom_rbound[geom] = math.hypot(half_length, half_width)
        self._set_surface("table", geom, values)

    def _set_room(self, values: Values) -> None:
        self._set_surface("floor", self._geoms["floor"], values)
        self._set_color(self._geoms["mount"], "mount.color", values)
        for wall in self._walls:
            self._set_color(wall, "background.color", values)
        (distance,) = self._positive("background.distance", values)
        self._model.geom_pos[self._geoms["wall"], 0] = -distance
        tint = self.vector("robot.color", values)
        self._model.geom_rgba[self._robot, :3] = np.clip(self._robot_color * tint, 0.0, 1.0)

    def _set_light(self, values: Values) -> None:
        model, count, most = self._model, self._number("light.count", values), len(self._lights)
        if count not in range(1, most + 1):
            told = "1 light and no more" if most == 1 else f"1 to {most} lights, a whole number"
            raise UserError(f"light.count = {count:g} is not allowed: this renderer draws with {told}.")
        for number, (light, suffix) in enumerate(self._lights):
            self._aim(light, f"light.direction{suffix}", values)
            model.light_diffuse[light] = np.clip(self.vector(f"light.diffuse{suffix}", values), 0.0, 1.0)
            model.light_active[light] = number < count
        model.vis.headlight.ambient = np.clip(self.vector("light.ambient", values), 0.0, 1.0)
        model.light_castshadow[self._lights[0][0]] = self._number("light.shadows", values) > 0.5

    def _aim(self, light: int, path: str, values: Values) -> None:
        """Turn a light, and put it where its shadows are cast from."""
        direction = light_direction(path, self.vector(path, values))
        self._model.light_dir[light] = direction
        self._model.light_pos[light] = np.array([0.5, 0.0, 0.0]) - 2.0 * direction

    def _set_camera(self, values: Values) -> None:
        view = self._view(values)
        height = np.array([0.0, 0.0, self._number("table.height", values)])
        position = np.array(view.position) + self.vector("camera.offset", values) + height
        target = np.array(view.target) + self.vector("camera.target_offset", values) + height
        rotation = look_at(position, target, roll=self._number("camera.roll", values))
        model, camera = self._model, self._camera
        model.cam_pos[camera] = position
        mujoco.mju_mat2Quat(model.cam_quat[camera], rotation.ravel())
        fovy = view.fovy * self._positive("camera.fovy", values)[0]
        if fovy >= 170:
            raise UserError(f"camera.fovy makes the vertical field of view {fovy:.1f} degrees; it must be below 170.")
        model.cam_fovy[camera] = fovy

    def _view(self, values: Values) -> Camera:
        name = values.get("camera.view", self._nominal["camera.view"])
        if name not in self._views:
            raise unknown("camera view", str(name), self._views)
        return self._views[str(name)]

    def _set_surface(self, surface: str, geom: int, values: Values) -> None:
        path = f"{surface}.texture"
        name, materials = values.get(path, self._nominal[path]), self._materials[surface]
        if name not in materials:
            raise unknown(f"texture for {path}", str(name), materials)
        self._model.geom_matid[geom] = materials[str(name)]
        self._set_color(geom, f"{surface}.color", values)

    def _set_color(self, geom: int, path: str, values: Values) -> None:
        self._model.geom_rgba[geom, :3] = np.clip(self.vector(path, values), 0.0, 1.0)

    def _positive(self, path: str, values: Values) -> NDArray[np.float64]:
        vector = np.atleast_1d(self.vector(path, values))
        if vector.min() <= 0:
            raise UserError(f"{path} = {values[path]!r} is not allowed: it must be above 0.")
        return vector

    def _number(self, path: str, values: Values) -> float:
        return float(self.vector(path, values))

    def vector(self, path: str, values: Values) -> NDArray[np.float64]:
        """Return the value of `path` as an array of the nominal value's shape."""
        return checked(path, values.get(path, self._nominal[path]), self._nominal[path])


def checked(path: str, value: Value, nominal: Value) -> NDArray[np.float64]:
    """Return `value` as a finite array of the shape of `nominal`, or refuse it by its `path`."""
    wanted = np.shape(nominal)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != wanted or not np.isfinite(array).all():
        kind = f"{wanted[0]} finite numbers" if wanted else "one finite number"
        raise UserError(f"{path} = {value!r} is not allowed: it must be {kind}, such as {nominal!r}.")
    return array


def seen_at(
    points: NDArray[np.float64], *, eye: NDArray[np.float64], rotation: NDArray[np.float64], fovy: float
) -> NDArray[np.float64]:
    """Return where points (k, 3), m, lie in the square frame of a camera at `eye`, (k, 2).

    x to the right and y down, as shares of the frame, which covers 0 to 1; what lies behind the camera is NaN. The
    columns of `rotation` (3, 3) are right, up and backward; `fovy` is in degrees.
    """
    seen = (np.asarray(points) - eye) @ rotation
    depth = np.where(seen[:, 2] < 0, -seen[:, 2], np.nan)
    scale = 0.5 / np.tan(np.radians(fovy) / 2)
    return np.stack([0.5 + scale * seen[:, 0] / depth, 0.5 - scale * seen[:, 1] / depth], axis=1)


def look_at(position: NDArray[np.float64], target: NDArray[np.float64], *, roll: float = 0.0) -> NDArray[np.float64]:
    """Return the rotation (3, 3) of a camera at `position` that looks at `target`: columns right, up, backward.

    `roll`, rad, turns the camera counter-clockwise as seen from behind it, so that the picture turns clockwise.
    """
    back = position - target
    length = float(np.linalg.norm(back))
    if length < 1e-6:
        raise UserError(f"The camera stands on its own target {tuple(target)}; move one of them.")
    back = back / length
    up = np.array([1.0, 0.0, 0.0]) if abs(back[2]) > 1 - 1e-9 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    c, s = math.cos(roll), math.sin(roll)
    return np.stack([c * right + s * up, c * up - s * right, back], axis=-1)
