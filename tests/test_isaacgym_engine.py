"""The Isaac Gym engine against the test double, in a real Python 3.8: resets, motion, deaths, and its absence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import demomill
from bench import check_engine as checklist
from bench import doctor as clinic
from bench.check_engine import CheckEngineConfig, check_engine
from sim import isaacgym_engine as client
from sim.conventions import CANONICAL
from sim.episodes import PolicySpec
from sim.errors import UserError
from sim.isaacgym_engine import IsaacGymEngine
from sim.isaacgym_python import VARIABLE, WORKER, ask_interpreter, find_interpreter
from sim.rollouts import rollout
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.env import TaskEnv
from tests.isaacgym_support import ROOT, double_interpreter

TASK = load_task("lift_cube")
NOMINAL = TASK.scene.nominal()
HOLD = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> str:
    return str(double_interpreter(tmp_path_factory.mktemp("python")))


@pytest.fixture
def interpreter(command, monkeypatch) -> str:
    monkeypatch.setenv(VARIABLE, command)
    return command


@pytest.fixture(scope="module")
def shared(command) -> Iterator[IsaacGymEngine]:
    """Four worlds that several tests reset for themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, command)
        engine = IsaacGymEngine(TASK.scene, n=4)
    engine.stock([values_of(index) for index in range(200)])
    engine.reset(np.arange(4), [values_of(world) for world in range(4)])
    yield engine
    engine.close()


def values_of(index: int, *, engine: IsaacGymEngine | None = None, world: int = 0) -> dict:
    """Return the values of an episode; with an engine, with the body that its `world` has for them."""
    values = NOMINAL | TASK.draw(episode_seed("train", 7, index), visual=False)
    return values if engine is None else {**values, **engine.fixed_values(world, values)}


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


class TestWorlds:
    """What the engine contract does not ask for: velocities, several resets at once, bodies in stock."""

    def test_time_and_velocity_are_in_seconds(self, shared):
        shared.reset(np.arange(4), [values_of(world) for world in range(4)])
        assert not shared.state().time.any()
        action = np.tile([0.03, 0, 0, 0, 0, 0, 1.0], (4, 1))
        before = shared.step(action).q
        after = shared.step(action)
        np.testing.assert_allclose(after.time, 0.1)
        slope = (after.q - before) / 0.05
        assert np.abs(after.qd - slope).max() < 0.6 * np.abs(slope).max()
        assert (np.sign(after.qd) == np.sign(slope))[np.abs(slope) > 0.1].all()

    def test_several_resets_before_a_step_all_count(self, shared):
        """The physics allows each setter once between two steps: the resets must be handed over together."""
        for world in (3, 1, 3):
            shared.reset(np.array([world]), [values_of(20 + world, engine=shared, world=world)])
        state = shared.step(np.tile(HOLD, (4, 1)))
        for world in (1, 3):
            np.testing.assert_allclose(state.q[world], values_of(20 + world)["robot.q"], atol=0.02)

    def test_a_body_that_is_not_in_stock_is_told_and_refused(self, shared):
        asked, first = values_of(9), values_of(2)
        assert shared.capabilities.fixed == ("*.half_size", "*.mass", "*.size")
        assert shared.fixed_values(2, first) == {
            "cube.half_size": first["cube.half_size"],
            "cube.mass": first["cube.mass"],
        }
        offered = shared.fixed_values(2, asked)
        np.testing.assert_allclose(offered["cube.half_size"], asked["cube.half_size"], rtol=0.25)
        assert offered != {path: asked[path] for path in offered}
        assert shared.fixed_values(2, {**asked, **offered}) == offered
        with pytest.raises(UserError, match=r"cube in world 2 .*nearest in stock.*fixed_values\(2, values\)"):
            shared.reset(np.array([2]), [asked])
        with pytest.raises(UserError, match=r"none is like what cube asks for: a sphere"):
            shared.fixed_values(2, asked | {"cube.shape": "sphere"})

    def test_capabilities_say_what_it_cannot(self, shared):
        made = shared.capabilities
        assert (made.name, made.deterministic, made.renders) == ("isaacgym", False, False)
        assert "double" in made.version
        with pytest.raises(UserError, match="without cameras"):
            shared.render(np.arange(1), [{}])


def test_before_the_first_reset_the_worlds_are_nominal(interpreter):
    engine = IsaacGymEngine(TASK.scene, n=2)
    np.testing.assert_allclose(engine.state().q, [NOMINAL["robot.q"]] * 2, atol=1e-6)
    assert engine.fixed_values(1, NOMINAL) == {}
    engine.step(np.tile(HOLD, (2, 1)))
    assert engine.fixed_values(1, NOMINAL)["cube.mass"] == NOMINAL["cube.mass"]
    engine.close()
    engine.close()


class TestDeaths:
    """A worker that dies is reported with its last output and started again by a reset."""

    @pytest.fixture
    def engine(self, interpreter) -> Iterator[IsaacGymEngine]:
        engine = IsaacGymEngine(TASK.scene, n=2)
        engine.stock([values_of(index) for index in range(100)])
        engine.reset(np.arange(2), [values_of(0), values_of(1)])
        yield engine
        engine.close()

    def test_death_is_told_and_a_reset_revives(self, engine, capsys):
        engine.step(np.tile(HOLD, (2, 1)))
        before, pid = engine.positions(), engine._worker.pid
        os.kill(pid, signal.SIGKILL)
        state = engine.step(np.tile(HOLD, (2, 1)))
        told = capsys.readouterr().err
        assert f"process {pid}" in told
        assert "SIGKILL" in told
        assert "It had said nothing." in told or "It last said:" in told
        assert engine.diverged().all()
        np.testing.assert_array_equal(engine.positions(), before)
        assert np.isfinite(state.q).all()
        engine.reset(np.array([1]), [values_of(8, engine=engine, world=1)])
        assert engine.diverged().tolist() == [True, False]
        state = engine.step(np.tile(HOLD, (2, 1)))
        np.testing.assert_allclose(state.q[1], values_of(8)["robot.q"], atol=0.02)
        assert engine._worker.pid != pid

    def test_a_worker_that_hangs_is_ended(self, engine, capsys, monkeypatch):
        monkeypatch.setattr(client, "STEP_TIMEOUT", 0.5)
        pid = engine._worker.pid
        os.kill(pid, signal.SIGSTOP)
        engine.step(np.tile(HOLD, (2, 1)))
        assert "did not answer 'step' within 0 s" in capsys.readouterr().err
        assert wait_for_end(pid)
        assert engine.diverged().all()

    def test_a_failure_in_the_worker_quotes_its_traceback(self, engine, capsys):
        engine._worker.memory["targets"][:] = np.nan
        engine._mirror.targets = lambda actions: np.full((2, 9), np.nan)
        engine.step(np.tile(HOLD, (2, 1)))
        assert "a target is not finite" in capsys.readouterr().err

    def test_three_deaths_in_a_row_are_enough(self, engine):
        for _ in range(2):
            os.kill(engine._worker.pid, signal.SIGKILL)
            engine.step(np.tile(HOLD, (2, 1)))
            engine.reset(np.arange(2), [values_of(0), values_of(1)])
        os.kill(engine._worker.pid, signal.SIGKILL)
        with pytest.raises(UserError, match="died 3 times in a row"):
            engine.step(np.tile(HOLD, (2, 1)))

    def test_close_leaves_no_process(self, engine):
        pid = engine._worker.pid
        assert is_running(pid)
        engine.close()
        assert not is_running(pid)

    def test_a_forgotten_engine_leaves_no_process(self, interpreter):
        engine = IsaacGymEngine(TASK.scene, n=1)
        pid = engine._worker.pid
        del engine
        assert wait_for_end(pid)


ORPHANED = """
import os, signal, sys, time
import numpy as np
from sim.isaacgym_engine import IsaacGymEngine
from tasks.catalogue import load_task
engine = IsaacGymEngine(load_task("lift_cube").scene, n=2)
engine.step(np.zeros((2, 7)))
print(engine._worker.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["waiting", "hanging"])
def test_a_killed_parent_leaves_no_worker_and_no_shared_memory(interpreter, stopped):
    """Kill -9 of the parent, while the worker waits and while a native call of it hangs."""
    end = "os.kill(engine._worker.pid, signal.SIGSTOP)\n" if stopped else ""
    code = ORPHANED.format(end=end + "time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    if stopped:
        os.kill(pid, signal.SIGCONT)
    assert wait_for_end(pid)
    assert not [name for name in os.listdir("/dev/shm") if "demomill" in name]


class TestEnvironment:
    """The task environment and the one loop of rollouts run on it."""

    def test_a_draw_tells_what_was_really_simulated(self, interpreter):
        env = TaskEnv(TASK, IsaacGymEngine(TASK.scene, n=2), preset="physical")
        env.reset(np.arange(2), [11, 12])
        first = env.draw(0)
        assert first["cube.half_size"] == TASK.draw(11, preset="physical")["cube.half_size"]
        env.reset(np.arange(2), [13, 14])
        second, drawn = env.draw(0), TASK.draw(13, preset="physical")
        assert second["cube.half_size"] != drawn["cube.half_size"]
        np.testing.assert_allclose(second["cube.half_size"], drawn["cube.half_size"], rtol=0.25)
        assert second["cube.friction"] == drawn["cube.friction"]
        np.testing.assert_allclose(env.observe(np.arange(1)).state[0, :3], env.snapshot([0])["tcp"][0, :3], atol=1e-6)
        np.testing.assert_allclose(env.engine.state().half_sizes["cube"][0], second["cube.half_size"])
        env.close()

    def test_rollouts_go_on_after_a_death(self, interpreter, capsys):
        env = TaskEnv(TASK, IsaacGymEngine(TASK.scene, n=2), preset="none")
        seeds = [episode_seed("validation", 0, i) for i in range(4)]
        episodes = []
        for episode in rollout(env, _Idle(), seeds):
            if not episodes:
                os.kill(env.engine._worker.pid, signal.SIGKILL)
            episodes.append(episode)
        env.close()
        assert [e.seed for e in episodes] == seeds
        assert [e.error is None for e in episodes] == [True, True, False, False]
        assert "Isaac Gym worker" in capsys.readouterr().err


class _Idle:
    """A policy that stands still."""

    spec = PolicySpec(name="idle", convention=CANONICAL, inputs=frozenset({"privileged"}))

    def reset(self, ids) -> None:
        """Nothing is remembered."""

    def act(self, observation) -> np.ndarray:
        return np.tile(HOLD, (len(observation.ids), 1))


def test_the_shipped_expert_lifts_in_the_worker(interpreter, capsys):
    """The double's fingers hold a cube; poses, frames, units and the order of joints must all be right for that."""
    assert demomill.main(["evaluate-expert", "lift_cube", "--engine", "isaacgym", "--episodes", "4", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["errors"] == 0
    assert answer["success"]["successes"] == 4


@pytest.mark.slow
def test_a_dataset_is_generated_in_the_worker(interpreter, tmp_path):
    job = tmp_path / "job.toml"
    sizes = "episodes = 2\nval_episodes = 0\nunit_episodes = 2\nimage_size = 64\nworkers = 1\n"
    job.write_text(f'task = "lift_cube"\nengine = "isaacgym"\nout = "{tmp_path}/data"\n{sizes}')
    assert demomill.main(["generate", str(job)]) == 0
    (info,) = (tmp_path / "data").rglob("dataset_info.json")
    assert '"2"' in info.read_text()


@pytest.mark.slow
def test_an_expert_is_trained_and_measured_in_the_worker(interpreter, tmp_path, capsys):
    """Too short to learn anything; what counts is that training and measurement go all the way."""
    words = [
        "train-expert",
        "lift_cube",
        "--engine",
        "isaacgym",
        "--worlds",
        "128",
        "--max-steps",
        "16000",
        "--start",
        "nothing",
    ]
    assert demomill.main([*words, "--episodes", "128", "--out", str(tmp_path / "expert"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 12_000 <= answer["steps"] <= 16_000
    assert answer["score"]["errors"] == 0
    assert "--engine isaacgym" in json.loads((tmp_path / "expert" / "checkpoint.json").read_text())["command"]


class TestAbsence:
    """Without Isaac Gym every verb stops with one paragraph that says what is missing."""

    @pytest.fixture(autouse=True)
    def nothing(self, monkeypatch):
        monkeypatch.delenv(VARIABLE, raising=False)

    def test_no_interpreter_is_named(self):
        with pytest.raises(UserError, match=r"names none.*developer\.nvidia\.com"):
            find_interpreter()

    def test_what_is_named_is_no_program(self, monkeypatch):
        monkeypatch.setenv(VARIABLE, "/no/such/python")
        with pytest.raises(UserError, match="no program that can be run"):
            find_interpreter()

    def test_an_interpreter_without_isaacgym_says_so(self, monkeypatch):
        with pytest.raises(UserError, match="No module named 'isaacgym'"):
            ask_interpreter(sys.executable)
        monkeypatch.setenv(VARIABLE, sys.executable)
        with pytest.raises(UserError, match="No module named 'isaacgym'"):
            IsaacGymEngine(TASK.scene, n=1)

    def test_an_interpreter_that_is_none_says_so(self):
        with pytest.raises(UserError, match="cannot run Isaac Gym"):
            ask_interpreter("/bin/false")

    @pytest.mark.parametrize("verb", ["train-expert", "evaluate-expert"])
    def test_verbs_stop_with_one_paragraph(self, verb, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert demomill.main([verb, "lift_cube", "--engine", "isaacgym"]) == 2
        told = capsys.readouterr().err
        assert VARIABLE in told
        assert "developer.nvidia.com/isaac-gym" in told
        assert "Traceback" not in told
        assert not list(tmp_path.rglob("*.safetensors"))

    def test_generate_stops_with_one_paragraph(self, capsys, tmp_path):
        job = tmp_path / "job.toml"
        job.write_text(f'task = "lift_cube"\nengine = "isaacgym"\nout = "{tmp_path}/data"\nepisodes = 1\n')
        assert demomill.main(["generate", str(job)]) == 2
        assert VARIABLE in capsys.readouterr().err

    def test_the_option_names_the_interpreter(self, capsys, monkeypatch):
        monkeypatch.setenv(VARIABLE, "")  # So that what the option sets is undone.
        words = ["check-engine", "isaacgym", "--isaacgym-python=/no/such/python", "--json"]
        assert demomill.main(words) == 2
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert row["check"] == "interpreter"
        assert "/no/such/python" in row["got"]
        assert demomill.main(["doctor", "--isaacgym-python"]) == 2
        assert "names a Python interpreter" in capsys.readouterr().err

    def test_the_doctor_says_how_to_get_it(self):
        check = clinic._isaacgym(10.0)
        assert check.state == "missing"
        assert not check.needed
        assert "developer.nvidia.com/isaac-gym" in check.mend


def test_the_doctor_finds_it(interpreter):
    check = clinic._isaacgym(60.0)
    assert check.state == "ok", check
    assert "Python 3.8" in check.detail
    assert check.mend == ""


def test_the_checklist_passes_but_for_what_the_double_cannot(interpreter, monkeypatch):
    """Nothing moves a door of the double; everything else passes, the cameras included."""
    monkeypatch.setattr(checklist, "WORLDS", 3)
    result = check_engine(CheckEngineConfig("isaacgym", worlds=(4,), seconds=0.0))
    failed = {row.check.split(":")[0] for row in result.rows if row.verdict == "fail"}
    assert failed == {"door"}, result
    passed = {row.check.split(":")[0] for row in result.rows if row.verdict == "pass"}
    wanted = {"interpreter", "Python", "imports", "initial poses", "quaternion order", "step response", "gripper"}
    wanted |= {"rest", "grasp", "neighbours", "slots", "fixtures", "placed", "camera frame", "joint velocity"}
    assert passed >= wanted


def test_the_worker_refuses_another_protocol(interpreter):
    from sim.isaacgym_process import WorkerProcess

    worker = WorkerProcess(interpreter, worlds=1, objects=0)
    with pytest.raises(UserError, match="same version of demomill"):
        worker.call("hello", protocol=0, timeout=60)
    with pytest.raises(UserError, match="no request 'dance'"):
        worker.call("dance", timeout=60)
    with pytest.raises(UserError, match="Nothing was created"):
        worker.call("step", timeout=60)
    worker.close()


def test_the_worker_leaves_when_nobody_holds_its_lifeline(interpreter):
    read_end, write_end = os.pipe()
    os.close(write_end)
    command = [interpreter, str(WORKER), "--lifeline", str(read_end)]
    done = subprocess.run(command, pass_fds=(read_end,), capture_output=True, text=True, timeout=60, check=False)
    os.close(read_end)
    assert done.returncode == 1
    assert "is gone" in done.stderr
