"""The features of the datasets written here."""

from __future__ import annotations

from datagen.features import METADATA, STEPS, Kind, Leaf


def rlds_features(
    *,
    image_size: int,
    cameras: tuple[str, ...] = ("image",),
    annotations: tuple[str, ...] = (),
    objects: tuple[str, ...] = (),
) -> tuple[Leaf, ...]:
    """Return the features of the datasets written here, with square frames of `image_size` pixels per camera.

    `annotations` of the `objects` are added, see `annotation_features`.
    """
    images = [_step(f"observation/{name}", "image", "uint8", (image_size, image_size, 3)) for name in cameras]
    return (
        *images,
        *annotation_features(annotations, image_size=image_size, cameras=cameras, objects=objects),
        _step("observation/state", "tensor", "float32", (8,)),
        _step("observation/joint_position", "tensor", "float32", (7,)),
        _step("action", "tensor", "float32", (7,)),
        _step("reward", "tensor", "float32"),
        _step("discount", "tensor", "float32"),
        _step("is_first", "tensor", "bool"),
        _step("is_last", "tensor", "bool"),
        _step("is_terminal", "tensor", "bool"),
        _step("language_instruction", "text", "string"),
        *(Leaf(f"{METADATA}/{name}", "text", "string") for name in METADATA_TEXTS),
        *(Leaf(f"{METADATA}/{name}", "tensor", dtype) for name, dtype in METADATA_SCALARS),
    )


POINTS = ("target", "tcp")
"""The things whose place in the frame the annotation "points" tells: the object the sentence means, and the TCP."""

ANNOTATIONS = ("object_poses", "points", "depth", "segmentation", "boxes")
"""What can be stored beside the frames; all of it is off unless a job asks for it."""


def annotation_features(
    annotations: tuple[str, ...], *, image_size: int, cameras: tuple[str, ...], objects: tuple[str, ...]
) -> list[Leaf]:
    """Return the features of the annotations, per camera and object.

    Poses: position (m) and quaternion xyzw, base frame. Depth: mm along the viewing axis. Segmentation: instances as
    demomill.json numbers them. Boxes: left, top, right, bottom in pixels, zeros where nothing of the object is seen.
    Points: x to the right and y down as shares of the frame, seen or hidden; -1 for what lies behind the camera.
    """
    square = (image_size, image_size)
    leaves = []
    if "object_poses" in annotations:
        leaves += [_step(f"observation/object_pose/{name}", "tensor", "float32", (7,)) for name in objects]
    for camera in cameras:
        if "points" in annotations:
            leaves += [_step(point_key(camera, name), "tensor", "float32", (2,)) for name in POINTS]
        if "depth" in annotations:
            leaves.append(_step(f"observation/{camera}_depth", "tensor", "uint16", square, encoding="zlib"))
        if "segmentation" in annotations:
            leaves.append(_step(f"observation/{camera}_segmentation", "tensor", "uint8", square, encoding="zlib"))
        if "boxes" in annotations:
            leaves += [_step(f"observation/{camera}_box/{name}", "tensor", "int32", (4,)) for name in objects]
    return leaves


def point_key(camera: str, name: str) -> str:
    """Return the key below "steps" of the place of one of POINTS in the frames of a camera."""
    return f"observation/{camera}_point/{name}"


METADATA_TEXTS = (
    "task",
    "task_digest",
    "template",
    "draw",
    "measurements",
    "host",
    "host_task",
    "engine",
    "expert",
    "expert_digest",
    "demomill_version",
    "source",
)
"""Texts stored with an episode; "draw" and "measurements" are JSON."""

METADATA_SCALARS = (("seed", "int64"), ("success", "bool"), ("success_once", "bool"), ("perturbed", "bool"))
"""Numbers stored with an episode and their types."""


def _step(name: str, kind: Kind, dtype: str, shape: tuple[int | None, ...] = (), *, encoding: str = "none") -> Leaf:
    return Leaf(f"{STEPS}/{name}", kind, dtype, shape, "jpeg" if kind == "image" else encoding)
