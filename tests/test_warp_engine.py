"""What is particular to MuJoCo Warp: a model per world in one, contacts that cannot be, agreement with MuJoCo."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from sim.engine import make_engine
from sim.errors import UserError
from sim.host_engine import on_host, state_to_host
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.dynamics import DYNAMICS

warp_model = pytest.importorskip("sim.warp_model", reason="the extra 'warp' is not installed")

TASK = load_task("lift_cube-v1")
NOMINAL = TASK.scene.nominal()
HOLD = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
RANDOM = dataclasses.replace(TASK, presets={"all": TASK.presets["train"] + DYNAMICS})


def drawn(count: int, *, first: int = 0) -> list[dict]:
    """Return the values of validation episodes under every physical knob there is."""
    seeds = [episode_seed("validation", 0, first + i) for i in range(count)]
    return [NOMINAL | RANDOM.draw(seed, preset="all", visual=False) for seed in seeds]


def test_what_all_worlds_share_cannot_be_varied():
    made = warp_model.WarpModel(TASK.scene, n=2, device="cpu")
    made.write(np.array([1]), drawn(1))
    made._scratch.geom_condim[:] = 4
    with pytest.raises(UserError, match="cannot vary geom_condim from world to world"):
        made.write(np.array([1]), drawn(1))


def test_cubes_lie_still_though_rounding_gives_some_an_impossible_contact():
    """Should the second assertion fail, MuJoCo Warp has mended its box test, and the judge of contacts can go."""
    from sim.warp_kernels import NEVER

    count = 128
    engine = make_engine("mujoco_warp", TASK.scene, n=count, device="cpu")
    engine.reset(np.arange(count), drawn(count))
    start = engine.state().poses["cube"]
    dropped = 0
    for _ in range(2):
        state = engine.step(np.tile(HOLD, (count, 1)))
        contact = engine._worlds._data.contact
        dropped += int((contact.dist.numpy()[: int(engine._worlds._data.nacon.numpy()[0])] == float(NEVER)).sum())
    engine.close()
    assert float((state.poses["cube"][:, :3] - start[:, :3]).norm(dim=1).max()) < 1e-3
    assert dropped > 0


def test_overflowing_buffers_are_told():
    engine = make_engine("mujoco_warp", TASK.scene, n=2, device="cpu")
    engine._worlds._rows = 4
    engine.step(np.tile(HOLD, (2, 1)))
    assert engine.diverged().all()
    engine._worlds._contacts = 1
    with pytest.raises(UserError, match="contact buffer of the engine 'mujoco_warp' overflowed"):
        engine.step(np.tile(HOLD, (2, 1)))
    engine.close()


def test_an_action_that_is_no_number_is_told():
    engine = make_engine("mujoco_warp", TASK.scene, n=2, device="cpu")
    actions = np.tile(HOLD, (2, 1))
    actions[1, 3] = np.nan
    state = engine.step(actions)
    assert engine.diverged().tolist() == [False, True]
    assert all(np.isfinite(part).all() for part in (state.q.numpy(), state.tcp.numpy()))
    engine.close()


def test_states_are_tensors_and_come_to_the_host_as_numpy():
    import torch

    engine = make_engine("mujoco_warp", TASK.scene, n=1, device="cpu")
    assert isinstance(engine.state().tcp, torch.Tensor)
    host = on_host(engine)
    assert host.capabilities.arrays == "numpy"
    state = host.step(HOLD[None])
    assert isinstance(state.tcp, np.ndarray)
    assert state.poses["cube"].dtype == np.float64
    np.testing.assert_array_equal(state.q, state_to_host(engine.state()).q)
    host.close()


def test_devices_that_are_not_there_are_refused():
    with pytest.raises(UserError, match="finds no device 'cuda:77'"):
        make_engine("mujoco_warp", TASK.scene, n=1, device="cuda:77")
    with pytest.raises(UserError, match="no choice of devices"):
        make_engine("mujoco", TASK.scene, n=1, device="cuda:0")


COMMANDS = {
    "evaluate": ["evaluate-expert", "lift_cube", "--engine", "mujoco_warp", "--episodes", "1"],
    "train": ["train-expert", "lift_cube", "--engine", "mujoco_warp", "--worlds", "128", "--out", "expert"],
    "generate": ["generate", "job.toml", "--engine", "mujoco_warp"],
    "transfer": ["transfer", "lift_cube", "--engines", "mujoco_warp", "--episodes", "1"],
    "check": ["check-engine", "mujoco_warp"],
}


@pytest.mark.parametrize("package", ["warp", "mujoco_warp"])
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_without_the_extra_one_paragraph_says_what_to_type(monkeypatch, capsys, tmp_path, words, package):
    from demomill import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text('task = "lift_cube"\nepisodes = 1\n')
    for name in [each for each in sys.modules if each.startswith("sim.warp_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(words) == 2
    told = capsys.readouterr()
    assert "pip install 'demomill[warp]'" in " ".join((told.err + told.out).split())
    assert "Traceback" not in told.err


@pytest.mark.parametrize("words", [COMMANDS[name] for name in ("evaluate", "train", "generate", "transfer")])
def test_a_device_that_is_not_there_stops_every_command_with_one_paragraph(monkeypatch, capsys, tmp_path, words):
    from demomill import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.toml").write_text('task = "lift_cube"\nepisodes = 1\n')
    assert main([*words, "--device", "cuda:77"]) == 2
    told = capsys.readouterr().err
    assert "finds no device 'cuda:77'" in told
    assert "Traceback" not in told
