"""The Warp kernels of our own: one judges contacts, one notes whether the buffers were large enough."""

from typing import Any

import mujoco_warp as mjw
import warp as wp

SLACK = wp.constant(1e-5)  # type: ignore[no-untyped-call]
"""How much deeper than the overlap of two boxes a contact may be, m: rounding."""

NEVER = wp.constant(1e6)  # type: ignore[no-untyped-call]
"""A contact at this distance, m, does not act."""

BOX = wp.constant(int(mjw.GeomType.BOX))  # type: ignore[no-untyped-call]


@wp.func
def _reach(size: wp.vec3, rotation: wp.mat33, normal: wp.vec3):  # type: ignore[no-untyped-def]
    """Return how far a box extends from its centre along `normal`, m."""
    local = wp.transpose(rotation) * normal
    return size[0] * wp.abs(local[0]) + size[1] * wp.abs(local[1]) + size[2] * wp.abs(local[2])


@wp.func
def _impossible(  # type: ignore[no-untyped-def]
    a: wp.int32,
    b: wp.int32,
    world: wp.int32,
    distance: wp.float32,
    frame: wp.mat33,
    types: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    sizes: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    positions: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    rotations: wp.array2d(dtype=wp.mat33),  # type: ignore[valid-type]
):
    """Return whether two boxes touch deeper than they overlap along the contact's normal."""
    if a < 0 or b < 0 or types[a] != BOX or types[b] != BOX:
        return False
    normal = wp.vec3(frame[0, 0], frame[0, 1], frame[0, 2])
    apart = wp.abs(wp.dot(positions[world, b] - positions[world, a], normal))
    row = world % sizes.shape[0]
    reach = _reach(sizes[row, a], rotations[world, a], normal) + _reach(sizes[row, b], rotations[world, b], normal)
    return distance < apart - reach - SLACK


@wp.kernel
def _look_at_contacts(  # type: ignore[no-untyped-def]
    count: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    geoms: wp.array(dtype=wp.vec2i),  # type: ignore[valid-type]
    worlds: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    frames: wp.array(dtype=wp.mat33),  # type: ignore[valid-type]
    types: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    sizes: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    positions: wp.array2d(dtype=wp.vec3),  # type: ignore[valid-type]
    rotations: wp.array2d(dtype=wp.mat33),  # type: ignore[valid-type]
    distances: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
    deepest: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
):
    contact = wp.tid()
    if contact >= count[0]:
        return
    pair = geoms[contact]
    world = worlds[contact]
    distance = distances[contact]
    if _impossible(pair[0], pair[1], world, distance, frames[contact], types, sizes, positions, rotations):
        distances[contact] = NEVER
        return
    wp.atomic_max(deepest, world, -distance)


@wp.kernel
def _note_fill(  # type: ignore[no-untyped-def]
    contacts: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    pairs: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    rows: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    most_contacts: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    most_rows: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
):
    world = wp.tid()
    most_rows[world] = wp.max(most_rows[world], rows[world])
    if world == 0:
        most_contacts[0] = wp.max(most_contacts[0], wp.max(contacts[0], pairs[0]))


@wp.kernel
def _forget_first(  # type: ignore[no-untyped-def]
    first: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    deepest: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
):
    world = wp.tid()
    if first[world] != 0:
        deepest[world] = 0.0


def forget_first(first: Any, deepest: Any) -> None:
    """Zero `deepest` (n,) in the worlds whose first control step it is, marked in `first` (n,).

    An episode may begin with the arm inside an object; the first step may push them apart.
    """
    wp.launch(_forget_first, dim=len(first), inputs=[first], outputs=[deepest])


@wp.kernel
def _damp_free_joints(  # type: ignore[no-untyped-def]
    starts: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    damping: wp.array2d(dtype=wp.float32),  # type: ignore[valid-type]
    velocities: wp.array2d(dtype=wp.float32),  # type: ignore[valid-type]
    forces: wp.array2d(dtype=wp.float32),  # type: ignore[valid-type]
):
    world, joint = wp.tid()  # type: ignore[misc]
    start, row = starts[joint], world % damping.shape[0]
    for k in range(1, 6):
        missing = damping[row, start + k] - damping[row, start]
        forces[world, start + k] -= missing * velocities[world, start + k]


def damp_free_joints(model: Any, data: Any, starts: Any) -> None:
    """Give the free joints whose first degrees of freedom are `starts` the damping that each of the six has.

    MuJoCo Warp takes the first one's for all, and balls would not stop rolling.
    """
    if len(starts):
        wp.launch(
            _damp_free_joints,
            dim=(data.nworld, len(starts)),
            inputs=[starts, model.dof_damping, data.qvel],
            outputs=[data.qfrc_passive],
        )


def look_at_contacts(model: Any, data: Any, deepest: Any) -> None:
    """Raise `deepest` (n,), m, to the deepest overlap of this physics step, and switch off impossible contacts.

    MuJoCo's box test tells a tie between two faces and two edges by one part in 1e12. In 32 bits rounding decides, and
    a cube that lies flat may get a contact 60 cm deep beside its true ones. No true contact between two boxes is deeper
    than the boxes overlap along its normal.
    """
    contact = data.contact
    wp.launch(
        _look_at_contacts,
        dim=data.naconmax,
        inputs=[data.nacon, contact.geom, contact.worldid, contact.frame, model.geom_type, model.geom_size],
        outputs=[data.geom_xpos, data.geom_xmat, contact.dist, deepest],
    )


def note_fill(data: Any, most_contacts: Any, most_rows: Any) -> None:
    """Raise `most_contacts` (1,) and `most_rows` (n,) to what this physics step needed."""
    fill = [data.nacon, data.ncollision, data.nefc]
    wp.launch(_note_fill, dim=data.nworld, inputs=fill, outputs=[most_contacts, most_rows])
