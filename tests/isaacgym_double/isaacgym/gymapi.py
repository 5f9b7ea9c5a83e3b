"""The Gym object: creation, tensors, simulation, cameras. Wrong calls and wrong sequences raise."""

import numpy as np

from isaacgym import assets, physics
from isaacgym.pictures import draw
from isaacgym.structures import *  # noqa: F403
from isaacgym.structures import (
    AssetOptions,
    CameraFollowMode,
    CameraProperties,
    DofDriveMode,
    ImageType,
    IndexDomain,
    IndexRange,
    MeshType,
    RigidShapeProperties,
    SimParams,
    SimType,
    Tensor,
    Transform,
    UpAxis,
    Vec3,
)

SIM_PHYSX, UP_AXIS_Z = SimType.SIM_PHYSX, UpAxis.UP_AXIS_Z
DOF_MODE_NONE, DOF_MODE_POS = DofDriveMode.DOF_MODE_NONE, DofDriveMode.DOF_MODE_POS
DOF_MODE_EFFORT = DofDriveMode.DOF_MODE_EFFORT
DOMAIN_ACTOR, DOMAIN_ENV, DOMAIN_SIM = IndexDomain
MESH_VISUAL = MeshType.MESH_VISUAL
IMAGE_COLOR = ImageType.IMAGE_COLOR
FOLLOW_TRANSFORM = CameraFollowMode.FOLLOW_TRANSFORM


def acquire_gym(*args):
    return Gym()


class Actor:
    def __init__(self, asset, pose, name, group, filter_bits):
        self.asset, self.name, self.group, self.filter = asset, name, group, filter_bits
        self.start = np.concatenate([pose.p.array(), pose.r.array(), np.zeros(6)])
        self.properties = asset.dof_properties()
        self.shapes = [RigidShapeProperties() for _ in range(sum(asset.bodies.values()))]
        self.color, self.texture = (0.5, 0.5, 0.5), None
        self.index = self.first_dof = self.first_body = -1


class Env:
    def __init__(self, sim):
        self.sim, self.actors, self.cameras = sim, [], []


class Sim:
    def __init__(self, params, graphics):
        self.params, self.graphics = params, graphics
        self.envs, self.actors, self.textures = [], [], []
        self.prepared = self.fetched = self.stepped_graphics = self.rendered = self.accessing = self.destroyed = False
        self.called, self.alive = set(), []


def check(condition, message):
    if not condition:
        raise RuntimeError("isaacgym double: " + message)


def expect(kind, *values):
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"isaacgym double: expected {kind}, got {value!r}")


class Gym:
    """All methods take positional arguments only, as the bound originals without argument names do."""

    # -- creation ------------------------------------------------------------------------------------------------------

    def create_sim(self, compute_device, graphics_device, kind, params, /):
        expect(int, compute_device, graphics_device)
        expect(SimParams, params)
        check(kind == SimType.SIM_PHYSX, "the tensor API needs SIM_PHYSX")
        check(params.up_axis == UpAxis.UP_AXIS_Z, "up_axis is y: set UP_AXIS_Z")
        check(params.gravity.z < 0, "gravity does not point down")
        check(params.physx.contact_collection != 0, "contact forces need a contact collection")
        check(params.use_gpu_pipeline == params.physx.use_gpu, "the GPU pipeline needs GPU physics")
        return Sim(params, graphics_device)

    def _open(self, sim):
        expect(Sim, sim)
        check(not sim.destroyed, "the simulation was destroyed")
        check(not sim.prepared, "nothing can be created after prepare_sim")

    def load_asset(self, sim, root, name, options, /):
        self._open(sim)
        expect(str, root, name)
        expect(AssetOptions, options)
        return assets.from_urdf(options, root, name)

    def create_box(self, sim, width, height, depth, options, /):
        self._open(sim)
        expect(float, width, height, depth)
        expect(AssetOptions, options)
        return assets.box(options, width, height, depth)

    def create_sphere(self, sim, radius, options, /):
        self._open(sim)
        expect(float, radius)
        expect(AssetOptions, options)
        return assets.sphere(options, radius)

    def create_env(self, sim, lower, upper, per_row, /):
        self._open(sim)
        expect(Vec3, lower, upper)
        expect(int, per_row)
        check(per_row >= 1, "num_per_row must be at least 1")
        sim.envs.append(Env(sim))
        return sim.envs[-1]

    def create_actor(self, env, asset, pose, name, group=-1, filter_bits=-1, segmentation=0, /):
        expect(Env, env)
        self._open(env.sim)
        check(env is env.sim.envs[-1], "all actors of an env must be created before the next env")
        expect(assets.Asset, asset)
        expect(Transform, pose)
        expect(str, name)
        expect(int, group, filter_bits, segmentation)
        check(group >= 0, "worlds must not collide with each other: group is the env's number, or that of none")
        actor = Actor(asset, pose, name, group, filter_bits)
        actor.index = len(env.sim.actors)
        actor.first_dof = sum(len(each.asset.joints) for each in env.sim.actors)
        actor.first_body = sum(len(each.asset.bodies) for each in env.sim.actors)
        env.sim.actors.append(actor)
        env.actors.append(actor)
        return len(env.actors) - 1

    def get_asset_dof_count(self, asset, /):
        return len(asset.joints)

    # -- looking things up ---------------------------------------------------------------------------------------------

    def _actor(self, env, handle):
        expect(Env, env)
        expect(int, handle)
        return env.actors[handle]

    def get_sim_rigid_body_count(self, sim, /):
        return sum(len(actor.asset.bodies) for actor in sim.actors)

    def get_actor_index(self, env, handle, domain, /):
        check(domain == DOMAIN_SIM, "the tensors need DOMAIN_SIM")
        return self._actor(env, handle).index

    def find_actor_dof_index(self, env, handle, name, domain, /):
        actor = self._actor(env, handle)
        names = [joint.get("name") for joint in actor.asset.joints]
        if name not in names:
            return -1
        return names.index(name) + (actor.first_dof if domain == DOMAIN_SIM else 0)

    def find_actor_rigid_body_index(self, env, handle, name, domain, /):
        actor = self._actor(env, handle)
        names = list(actor.asset.bodies)
        if name not in names:
            return -1
        return names.index(name) + (actor.first_body if domain == DOMAIN_SIM else 0)

    def find_actor_rigid_body_handle(self, env, handle, name, /):
        return self.find_actor_rigid_body_index(env, handle, name, DOMAIN_ACTOR)

    def get_actor_rigid_body_shape_indices(self, env, handle, /):
        counts = list(self._actor(env, handle).asset.bodies.values())
        return [IndexRange(sum(counts[:k]), count) for k, count in enumerate(counts)]

    # -- properties ----------------------------------------------------------------------------------------------------

    def get_actor_dof_properties(self, env, handle, /):
        return self._actor(env, handle).properties.copy()

    def set_actor_dof_properties(self, env, handle, properties, /):
        actor = self._actor(env, handle)
        check(properties.dtype == actor.properties.dtype, "dof properties have another type")
        check(properties.shape == actor.properties.shape, "dof properties have another length")
        numbers = [properties[field] for field in ("stiffness", "damping", "effort", "armature", "velocity")]
        check(np.isfinite(numbers).all() and (np.array(numbers) >= 0).all(), "a dof property is negative or not finite")
        actor.properties = properties.copy()
        return True

    def get_actor_rigid_shape_properties(self, env, handle, /):
        copies = []
        for shape in self._actor(env, handle).shapes:
            copy = RigidShapeProperties()
            copy.friction = shape.friction
            copies.append(copy)
        return copies

    def set_actor_rigid_shape_properties(self, env, handle, shapes, /):
        actor = self._actor(env, handle)
        check(isinstance(shapes, list) and len(shapes) == len(actor.shapes), "one property per shape is needed")
        expect(RigidShapeProperties, *shapes)
        check(all(shape.friction >= 0 for shape in shapes), "friction is negative")
        actor.shapes = shapes
        env.sim.materials = getattr(env.sim, "materials", set()) | {shape.friction for shape in shapes}
        check(len(env.sim.materials) <= 64000, "PhysX holds 64,000 materials")
        return True

    # -- tensors -------------------------------------------------------------------------------------------------------

    def prepare_sim(self, sim, /):
        self._open(sim)
        check(sim.envs, "there is no env")
        for number, env in enumerate(sim.envs):
            alone = all(actor.group == number or actor.group >= len(sim.envs) for actor in env.actors)
            check(alone, "worlds must not collide with each other: group is the env's number, or that of none")
        dofs = sum(len(actor.asset.joints) for actor in sim.actors)
        sim.roots = np.array([actor.start for actor in sim.actors], dtype=np.float32)
        sim.joints, sim.targets = np.zeros((dofs, 2), dtype=np.float32), np.zeros(dofs, dtype=np.float32)
        sim.efforts, sim.contacts = np.zeros(dofs, dtype=np.float32), physics.Physics(sim)
        sim.forces = np.zeros((self.get_sim_rigid_body_count(sim), 3), dtype=np.float32)
        sim.prepared = sim.fetched = True
        sim.buffers = {}
        return True

    def _acquire(self, sim, name, values):
        expect(Sim, sim)
        check(sim.prepared, "prepare_sim must be called before tensors are acquired")
        buffer = sim.buffers.setdefault(name, np.full_like(values, np.nan))
        return Tensor("float32", buffer.shape, buffer=buffer)

    def acquire_dof_state_tensor(self, sim, /):
        return self._acquire(sim, "joints", sim.joints if sim.prepared else None)

    def acquire_actor_root_state_tensor(self, sim, /):
        return self._acquire(sim, "roots", sim.roots if sim.prepared else None)

    def acquire_net_contact_force_tensor(self, sim, /):
        return self._acquire(sim, "forces", sim.forces if sim.prepared else None)

    def _refresh(self, sim, name, values):
        check(sim.prepared and name in sim.buffers, "the tensor was not acquired")
        check(sim.fetched, "fetch_results must be called after simulate and before tensors are refreshed")
        check(not sim.called & {"set_dof_state", "set_root_state"}, "a refresh after a setter returns stale data")
        sim.buffers[name][:] = values
        return True

    def refresh_dof_state_tensor(self, sim, /):
        return self._refresh(sim, "joints", sim.joints)

    def refresh_actor_root_state_tensor(self, sim, /):
        return self._refresh(sim, "roots", sim.roots)

    def refresh_net_contact_force_tensor(self, sim, /):
        return self._refresh(sim, "forces", sim.forces)

    def _set(self, sim, name, tensor, shape):
        check(sim.prepared, "prepare_sim must be called before tensors are set")
        check(name not in sim.called, f"{name} was called twice between two calls of simulate")
        expect(Tensor, tensor)
        check(tensor.dtype == "float32", f"{name} needs float32, got {tensor.dtype}")
        check(tensor.shape == shape, f"{name} needs the shape {shape}, got {tensor.shape}")
        sim.called.add(name)
        return tensor.values()

    def _indices(self, sim, indices, count):
        expect(Tensor, indices)
        expect(int, count)
        check(indices.dtype == "int32", f"actor indices must be int32, got {indices.dtype}")
        check(indices.shape == (count,), f"{count} indices were announced, {indices.shape} given")
        chosen = indices.values()
        check(len(set(chosen.tolist())) == count, "an actor is named twice")
        check(((chosen >= 0) & (chosen < len(sim.actors))).all(), "there is no such actor")
        sim.alive.append(indices)
        return [sim.actors[index] for index in chosen]

    def set_dof_position_target_tensor(self, sim, targets, /):
        values = self._set(sim, "set_targets", targets, sim.targets.shape)
        check(np.isfinite(values).all(), "a target is not finite")
        sim.targets = values.reshape(-1).copy()
        return True

    def set_dof_actuation_force_tensor(self, sim, efforts, /):
        values = self._set(sim, "set_efforts", efforts, sim.efforts.shape)
        check(np.isfinite(values).all(), "an effort is not finite")
        sim.efforts = values.reshape(-1).copy()
        return True

    def set_dof_state_tensor_indexed(self, sim, states, indices, count, /):
        values = self._set(sim, "set_dof_state", states, sim.joints.shape)
        for actor in self._indices(sim, indices, count):
            check(actor.asset.joints, f"actor {actor.name} has no joints")
            rows = slice(actor.first_dof, actor.first_dof + len(actor.asset.joints))
            sim.joints[rows] = values[rows]
            low, high = actor.properties["lower"], actor.properties["upper"]
            within = (values[rows, 0] >= low - 1e-4) & (values[rows, 0] <= high + 1e-4)
            check(within.all(), f"a joint of {actor.name} is set beyond its limits")
        return True

    def set_actor_root_state_tensor_indexed(self, sim, states, indices, count, /):
        values = self._set(sim, "set_root_state", states, sim.roots.shape)
        for actor in self._indices(sim, indices, count):
            # NVIDIA's own tasks move fixed actors of one body (a bolt, a bucket) and none with joints.
            fixed = actor.asset.options.fix_base_link and len(actor.asset.bodies) > 1
            check(not fixed, f"actor {actor.name} is fixed, has links, and cannot be moved")
            norm = np.linalg.norm(values[actor.index, 3:7])
            check(abs(norm - 1) < 1e-3, "a root rotation is no unit quaternion")
            sim.roots[actor.index] = values[actor.index]
        return True

    # -- simulation ----------------------------------------------------------------------------------------------------

    def simulate(self, sim, /):
        check(sim.prepared, "prepare_sim must be called before simulate")
        check(sim.fetched, "fetch_results was not called after the last simulate")
        for tensor in sim.alive:
            tensor.values()
        sim.alive, sim.called = [], set()
        sim.fetched = sim.stepped_graphics = sim.rendered = False
        sim.contacts.advance()
        sim.efforts = np.zeros_like(sim.efforts)

    def fetch_results(self, sim, wait, /):
        expect(bool, wait)
        check(not sim.fetched, "there is nothing to fetch")
        sim.fetched = True

    def destroy_sim(self, sim, /):
        expect(Sim, sim)
        sim.destroyed = True

    # -- cameras -------------------------------------------------------------------------------------------------------

    def create_camera_sensor(self, env, properties, /):
        expect(Env, env)
        expect(CameraProperties, properties)
        check(env.sim.graphics >= 0, "cameras need a graphics device")
        check(10.0 < properties.horizontal_fov < 170.0, "horizontal_fov is in degrees")
        env.cameras.append({"properties": properties})
        return len(env.cameras) - 1

    def set_camera_location(self, handle, env, position, target, /):
        expect(int, handle)
        expect(Env, env)
        expect(Vec3, position, target)
        env.cameras[handle].update(position=position.array(), target=target.array())

    def attach_camera_to_body(self, handle, env, body, place, mode, /):
        expect(int, handle, body)
        expect(Env, env)
        expect(Transform, place)
        expect(CameraFollowMode, mode)
        check(body >= 0, "there is no such body")
        env.cameras[handle].update(body=body, place=place)

    def set_light_parameters(self, sim, index, intensity, ambient, direction, /):
        expect(Sim, sim)
        expect(int, index)
        expect(Vec3, intensity, ambient, direction)

    def create_texture_from_file(self, sim, path, /):
        expect(str, path)
        with open(path, "rb") as stream:
            check(stream.read(4) == b"\x89PNG", f"{path} is no PNG")
        sim.textures.append(path)
        return len(sim.textures)

    def set_rigid_body_color(self, env, handle, body, kind, color, /):
        expect(MeshType, kind)
        expect(Vec3, color)
        check(0 <= body < len(self._actor(env, handle).asset.bodies), "there is no such body")
        self._actor(env, handle).color = tuple(color.array())

    def set_rigid_body_texture(self, env, handle, body, kind, texture, /):
        expect(MeshType, kind)
        check(0 < texture <= len(env.sim.textures), "there is no such texture")
        self._actor(env, handle).texture = env.sim.textures[texture - 1]

    def step_graphics(self, sim, /):
        check(sim.fetched, "fetch_results must be called before step_graphics")
        sim.stepped_graphics = True

    def render_all_camera_sensors(self, sim, /):
        check(sim.stepped_graphics, "step_graphics must be called before cameras are rendered")
        sim.rendered = True

    def start_access_image_tensors(self, sim, /):
        check(sim.rendered and not sim.accessing, "cameras must be rendered before their tensors are accessed")
        sim.accessing = True

    def end_access_image_tensors(self, sim, /):
        check(sim.accessing, "start_access_image_tensors was not called")
        sim.accessing = False

    def get_camera_image_gpu_tensor(self, sim, env, handle, kind, /):
        check(sim.accessing, "image tensors are read between start and end of access")
        check(env.cameras[handle]["properties"].enable_tensors, "enable_tensors is off")
        picture = draw(sim, env, env.cameras[handle])
        return Tensor("uint8", picture.shape, buffer=picture)

    def get_camera_image(self, sim, env, handle, kind, /):
        expect(ImageType, kind)
        check(sim.rendered, "cameras must be rendered before they are read")
        picture = draw(sim, env, env.cameras[handle])
        return picture.reshape(picture.shape[0], -1)
