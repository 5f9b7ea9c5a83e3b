"""Plain values of the API. A misspelt attribute is refused, as the original's bound classes do."""

import math
from enum import IntEnum

import numpy as np


class _Closed:
    """Attributes are those of `fields`, with the types of their defaults."""

    fields = {}

    def __init__(self):
        for name, value in self.fields.items():
            object.__setattr__(self, name, value() if isinstance(value, type) else value)

    def __setattr__(self, name, value):
        if name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        known = getattr(self, name)
        numbers = (int, float, np.floating, np.integer)
        if isinstance(known, bool):
            sound = isinstance(value, bool)
        elif isinstance(known, IntEnum):
            sound = isinstance(value, type(known))
        elif isinstance(known, int):
            sound = isinstance(value, int) and not isinstance(value, bool)
        elif isinstance(known, float):
            sound = isinstance(value, numbers) and not isinstance(value, bool) and math.isfinite(value)
        else:
            sound = isinstance(value, type(known))
        if not sound:
            raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")
        object.__setattr__(self, name, value)


class Vec3:
    def __init__(self, x=0.0, y=0.0, z=0.0):
        self.x, self.y, self.z = (_number(value) for value in (x, y, z))

    def array(self):
        return np.array([self.x, self.y, self.z])


class Quat:
    """x, y, z, w; the constructor does not normalize."""

    def __init__(self, x=0.0, y=0.0, z=0.0, w=1.0):
        self.x, self.y, self.z, self.w = (_number(value) for value in (x, y, z, w))
        norm = math.sqrt(self.x**2 + self.y**2 + self.z**2 + self.w**2)
        if abs(norm - 1.0) > 1e-3:
            raise ValueError(f"a rotation must be a unit quaternion, its norm is {norm}")

    def array(self):
        return np.array([self.x, self.y, self.z, self.w])


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"a coordinate must be a finite number, got {value!r}")
    return float(value)


class Transform(_Closed):
    fields = {"p": Vec3, "r": Quat}


class SimType(IntEnum):
    SIM_PHYSX = 0
    SIM_FLEX = 1


class UpAxis(IntEnum):
    UP_AXIS_Y = 0
    UP_AXIS_Z = 1


class ContactCollection(IntEnum):
    CC_NEVER = 0
    CC_LAST_SUBSTEP = 1
    CC_ALL_SUBSTEPS = 2


class DofDriveMode(IntEnum):
    DOF_MODE_NONE = 0
    DOF_MODE_POS = 1
    DOF_MODE_VEL = 2
    DOF_MODE_EFFORT = 3


class IndexDomain(IntEnum):
    DOMAIN_ACTOR = 0
    DOMAIN_ENV = 1
    DOMAIN_SIM = 2


class MeshType(IntEnum):
    MESH_NONE = 0
    MESH_COLLISION = 1
    MESH_VISUAL = 2
    MESH_VISUAL_AND_COLLISION = 3


class ImageType(IntEnum):
    IMAGE_COLOR = 0
    IMAGE_DEPTH = 1


class CameraFollowMode(IntEnum):
    FOLLOW_POSITION = 0
    FOLLOW_TRANSFORM = 1


class PhysXParams(_Closed):
    fields = {
        "use_gpu": False,
        "solver_type": 1,
        "num_threads": 0,
        "num_subscenes": 0,
        "num_position_iterations": 4,
        "num_velocity_iterations": 1,
        "contact_offset": 0.02,
        "rest_offset": 0.001,
        "bounce_threshold_velocity": 0.2,
        "max_depenetration_velocity": 100.0,
        "friction_offset_threshold": 0.04,
        "friction_correlation_distance": 0.025,
        "default_buffer_size_multiplier": 2.0,
        "max_gpu_contact_pairs": 1048576,
        "contact_collection": ContactCollection.CC_ALL_SUBSTEPS,
    }


class SimParams(_Closed):
    fields = {
        "dt": 1.0 / 60.0,
        "substeps": 2,
        "up_axis": UpAxis.UP_AXIS_Y,
        "gravity": Vec3,
        "use_gpu_pipeline": False,
        "physx": PhysXParams,
    }


class AssetOptions(_Closed):
    fields = {
        "fix_base_link": False,
        "disable_gravity": False,
        "collapse_fixed_joints": False,
        "flip_visual_attachments": False,
        "use_mesh_materials": False,
        "replace_cylinder_with_capsule": False,
        "default_dof_drive_mode": 0,
        "density": 1000.0,
        "thickness": 0.02,
        "armature": 0.0,
        "linear_damping": 0.0,
        "angular_damping": 0.5,
    }


class CameraProperties(_Closed):
    fields = {
        "width": 1600,
        "height": 900,
        "horizontal_fov": 90.0,
        "near_plane": 0.0010,
        "far_plane": 2000000.0,
        "enable_tensors": False,
    }


class RigidShapeProperties(_Closed):
    fields = {"friction": 1.0, "rolling_friction": 0.0, "torsion_friction": 0.0, "restitution": 0.0, "filter": 0}


class IndexRange:
    def __init__(self, start, count):
        self.start, self.count = start, count


class Tensor:
    """A descriptor: type, shape, and either Isaac Gym's own memory or a tensor of torch's that may be gone."""

    def __init__(self, dtype, shape, owner=None, buffer=None):
        self.dtype, self.shape, self.owner, self.buffer = dtype, shape, owner, buffer

    def values(self):
        """Return the numbers now, or fail as a dangling pointer would, only louder."""
        if self.buffer is not None:
            return self.buffer
        tensor = self.owner()
        if tensor is None:
            raise RuntimeError("the tensor behind a descriptor was garbage-collected: keep a reference to it")
        return tensor.cpu().numpy()


DOF_PROPERTIES = np.dtype(
    [
        ("hasLimits", "?"),
        ("lower", "<f4"),
        ("upper", "<f4"),
        ("driveMode", "<i4"),
        ("velocity", "<f4"),
        ("effort", "<f4"),
        ("stiffness", "<f4"),
        ("damping", "<f4"),
        ("friction", "<f4"),
        ("armature", "<f4"),
    ]
)
