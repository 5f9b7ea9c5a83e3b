"""The test double refuses the mistakes that Isaac Gym would answer with a crash or with wrong numbers."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.isaacgym_support import double_paths, interpreter_with_numpy

PREAMBLE = """
from isaacgym import gymapi, gymtorch
import os, tempfile, torch, numpy as np
gym = gymapi.acquire_gym()
params = gymapi.SimParams()
params.up_axis, params.gravity = gymapi.UP_AXIS_Z, gymapi.Vec3(0.0, 0.0, -9.81)
params.dt, params.substeps = 0.005, 1
def simulation(graphics=-1, worlds=2):
    sim = gym.create_sim(0, graphics, gymapi.SIM_PHYSX, params)
    fixed, free = gymapi.AssetOptions(), gymapi.AssetOptions()
    fixed.fix_base_link = True
    table = gym.create_box(sim, 0.8, 1.2, 0.05, fixed)
    cube = gym.create_box(sim, 0.04, 0.04, 0.04, free)
    envs, corner, place = [], gymapi.Vec3(1.0, 1.0, 1.0), gymapi.Transform()
    for world in range(worlds):
        env = gym.create_env(sim, corner, corner, 1)
        gym.create_actor(env, table, place, "table", world, 0)
        gym.create_actor(env, cube, place, "cube", world, 0)
        envs.append(env)
    return sim, envs, cube
def prepared():
    sim, envs, cube = simulation()
    gym.prepare_sim(sim)
    roots = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
    gym.refresh_actor_root_state_tensor(sim)
    return sim, envs, roots
FOLDER = tempfile.mkdtemp()
LINK = ('<link name="{}"><inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/>'
    '</inertial></link>')
DOOR = '<robot name="door">' + LINK.format("a") + LINK.format("b") + (
    '<joint name="hinge" type="revolute"><parent link="a"/><child link="b"/><axis xyz="0 0 1"/>'
    '<limit lower="0" upper="1" effort="1" velocity="1"/></joint></robot>')
def write(text):
    with open(os.path.join(FOLDER, "door.urdf"), "w") as stream:
        stream.write(text)
def with_door(mode=gymapi.DOF_MODE_EFFORT):
    sim, envs, _ = simulation()
    write(DOOR)
    options = gymapi.AssetOptions()
    options.fix_base_link, options.default_dof_drive_mode = True, int(mode)
    door = gym.load_asset(sim, FOLDER, "door.urdf", options)
    gym.create_actor(envs[-1], door, gymapi.Transform(), "door", 1, 0)
    gym.prepare_sim(sim)
    roots = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
    gym.refresh_actor_root_state_tensor(sim)
    return sim, envs, roots
def indices(*numbers, dtype=np.int32):
    return torch.from_numpy(np.array(numbers, dtype=dtype))
def move(sim, roots, chosen, count=None):
    count = len(chosen) if count is None else count
    gym.set_actor_root_state_tensor_indexed(sim, gymtorch.unwrap_tensor(roots), gymtorch.unwrap_tensor(chosen), count)
"""

MISTAKES = {
    "tensors before prepare_sim": (
        "sim, _, _ = simulation()\ngym.acquire_dof_state_tensor(sim)",
        "prepare_sim must be called before tensors are acquired",
    ),
    "creation after prepare_sim": (
        "sim, envs, _ = prepared()\ngym.create_env(sim, gymapi.Vec3(), gymapi.Vec3(), 1)",
        "nothing can be created after prepare_sim",
    ),
    "int64 indices": (
        "sim, _, roots = prepared()\nchosen = indices(1, dtype=np.int64)\nmove(sim, roots, chosen)",
        "actor indices must be int32",
    ),
    "indices that do not stay alive": (
        "sim, _, roots = prepared()\n"
        "gym.set_actor_root_state_tensor_indexed(sim, gymtorch.unwrap_tensor(roots),"
        " gymtorch.unwrap_tensor(indices(1)), 1)",
        "garbage-collected",
    ),
    "indices that are gone at simulate": (
        "sim, _, roots = prepared()\nchosen = indices(1)\nmove(sim, roots, chosen)\ndel chosen\ngym.simulate(sim)",
        "garbage-collected",
    ),
    "a setter twice": (
        "sim, _, roots = prepared()\na, b = indices(1), indices(3)\nmove(sim, roots, a)\nmove(sim, roots, b)",
        "called twice between two calls of simulate",
    ),
    "a wrong count": (
        "sim, _, roots = prepared()\nchosen = indices(1, 3)\nmove(sim, roots, chosen, 1)",
        "1 indices were announced",
    ),
    "an actor twice": (
        "sim, _, roots = prepared()\nchosen = indices(1, 1)\nmove(sim, roots, chosen)",
        "an actor is named twice",
    ),
    "moving a fixed actor with links": (
        "sim, _, roots = with_door()\nchosen = indices(4)\nmove(sim, roots, chosen)",
        "is fixed, has links, and cannot be moved",
    ),
    "efforts on a driven joint": (
        "sim, _, _ = with_door(gymapi.DOF_MODE_POS)\nefforts = torch.from_numpy(np.ones(1, np.float32))\n"
        "gym.set_dof_actuation_force_tensor(sim, gymtorch.unwrap_tensor(efforts))\ngym.simulate(sim)",
        "efforts need DOF_MODE_EFFORT",
    ),
    "a joint without a mode": (
        "sim, _, _ = with_door(gymapi.DOF_MODE_NONE)\ngym.simulate(sim)",
        "need DOF_MODE_POS and DOF_MODE_EFFORT",
    ),
    "a joint beyond its limits": (
        "sim, _, _ = with_door()\njoints = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))\n"
        "gym.refresh_dof_state_tensor(sim)\njoints[0, 0] = 2.0\nchosen = indices(4)\n"
        "gym.set_dof_state_tensor_indexed(sim, gymtorch.unwrap_tensor(joints), gymtorch.unwrap_tensor(chosen), 1)",
        "is set beyond its limits",
    ),
    "a link without mass": (
        "sim, _, _ = simulation()\nwrite(DOOR.replace('<mass value=\"1\"/>', '<mass value=\"0\"/>'))\n"
        "gym.load_asset(sim, FOLDER, 'door.urdf', gymapi.AssetOptions())",
        "has no mass",
    ),
    "joints of what has none": (
        "sim, _, roots = prepared()\njoints = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))\n"
        "chosen = indices(1)\n"
        "gym.set_dof_state_tensor_indexed(sim, gymtorch.unwrap_tensor(joints), gymtorch.unwrap_tensor(chosen), 1)",
        "has no joints",
    ),
    "a quaternion of zeros": (
        "sim, _, roots = prepared()\nroots[1, 3:7] = 0.0\nchosen = indices(1)\nmove(sim, roots, chosen)",
        "no unit quaternion",
    ),
    "part of a tensor": (
        "sim, _, roots = prepared()\nrows = roots[1:2].clone()\nchosen = indices(1)\nmove(sim, rows, chosen)",
        "needs the shape",
    ),
    "reading after a setter": (
        "sim, _, roots = prepared()\nchosen = indices(1)\nmove(sim, roots, chosen)\n"
        "gym.refresh_actor_root_state_tensor(sim)",
        "stale data",
    ),
    "simulate without fetch": (
        "sim, _, _ = prepared()\ngym.simulate(sim)\ngym.simulate(sim)",
        "fetch_results was not called",
    ),
    "refresh without fetch": (
        "sim, _, _ = prepared()\ngym.simulate(sim)\ngym.refresh_actor_root_state_tensor(sim)",
        "fetch_results must be called",
    ),
    "frames without step_graphics": (
        "sim, envs, _ = simulation(graphics=0)\ngym.prepare_sim(sim)\ngym.render_all_camera_sensors(sim)",
        "step_graphics must be called",
    ),
    "cameras without a graphics device": (
        "sim, envs, _ = simulation()\ngym.create_camera_sensor(envs[0], gymapi.CameraProperties())",
        "need a graphics device",
    ),
    "a field of view in radians": (
        "sim, envs, _ = simulation(graphics=0)\nwanted = gymapi.CameraProperties()\nwanted.horizontal_fov = 0.8\n"
        "gym.create_camera_sensor(envs[0], wanted)",
        "horizontal_fov is in degrees",
    ),
    "a misspelt option": (
        "options = gymapi.AssetOptions()\noptions.fix_base = True",
        "has no attribute 'fix_base'",
    ),
    "a value of another type": (
        "options = gymapi.AssetOptions()\noptions.fix_base_link = 1",
        "cannot be 1",
    ),
    "named arguments": (
        "sim, envs, _ = simulation()\ngym.prepare_sim(sim=sim)",
        "positional-only",
    ),
    "worlds that collide": (
        'sim, envs, cube = simulation()\ngym.create_actor(envs[-1], cube, gymapi.Transform(), "cube", 0, 0)\n'
        "gym.prepare_sim(sim)",
        "must not collide",
    ),
    "a group for everybody": (
        'sim, envs, cube = simulation()\ngym.create_actor(envs[-1], cube, gymapi.Transform(), "cube", -1, 0)',
        "must not collide",
    ),
    "a property that is no number": (
        "sim, envs, _ = simulation()\nshapes = gym.get_actor_rigid_shape_properties(envs[0], 1)\n"
        "shapes[0].friction = float('nan')",
        "cannot be nan",
    ),
}


def run(code: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(double_paths()), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [interpreter_with_numpy(), "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_mistake_is_refused():
    """One process tries them all, each in a simulation of its own."""
    parts = [PREAMBLE, "import gc, json, sys", "told = {}"]
    for name, (code, _) in MISTAKES.items():
        body = "\n".join(f"    {line}" for line in code.splitlines())
        parts.append(f"def attempt():\n{body}\ntry:\n    attempt()\n    told[{name!r}] = 'nothing'")
        parts.append(f"except Exception as error:\n    told[{name!r}] = str(error)")
    parts.append("print(json.dumps(told))")
    done = run("\n".join(parts))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name, (_, expected) in MISTAKES.items():
        assert expected in told[name], f"{name}: {told[name]}"


def test_torch_before_isaacgym_is_refused():
    done = run("import torch\nimport isaacgym")
    assert done.returncode != 0
    assert "PyTorch was imported before isaacgym" in done.stderr


@pytest.mark.parametrize("steps", [1, 50])
def test_without_a_refresh_nothing_changes_and_with_one_objects_fall(steps):
    code = (
        f"{PREAMBLE}\nsim, envs, roots = prepared()\nroots[1, 0:3] = torch.from_numpy(np.array([0.5, 0.0, 0.5], 'f'))\n"
        "chosen = indices(1)\nmove(sim, roots, chosen)\n"
        f"for _ in range({steps}):\n    gym.simulate(sim); gym.fetch_results(sim, True)\n"
        "before = float(roots[1, 2])\ngym.refresh_actor_root_state_tensor(sim)\nprint(before, float(roots[1, 2]))"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split()[-2:])
    assert before == 0.5
    fallen = 0.5 - 9.81 * 0.005**2 * steps * (steps + 1) / 2
    assert after == pytest.approx(fallen, abs=1e-4)
