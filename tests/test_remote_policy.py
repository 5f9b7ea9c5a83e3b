import asyncio
import contextlib
import threading
from dataclasses import replace

import numpy as np
import pytest
from openpi_client import msgpack_numpy
from websockets.sync.server import serve as listen

from bench.config import BenchConfig, HostTask
from bench.worker import Todo, WorkerJob, _Worker
from datagen.mixture import MixConfig, SourceConfig
from policies.loading import load_policy, policy_factory
from policies.serve import foreign
from policies.serve.remote import RemotePolicy, RemotePolicyError
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.conventions import CANONICAL, differences
from sim.engine import make_engine
from sim.episodes import Observation
from sim.errors import UserError
from sim.rollouts import rollout
from tasks.catalogue import load_task
from tasks.env import TaskEnv
from tests.policy_servers import Counting, running
from tests.small_data import write_dataset


def observation(rows, size=64, steps=0):
    streams = [np.random.default_rng(int(row)) for row in rows]
    images = np.array([s.integers(0, 256, (size, size, 3), dtype=np.uint8) for s in streams])
    return Observation(
        ids=np.array(rows),
        seeds=tuple(int(row) for row in rows),
        steps=np.full(len(rows), steps, np.intp),
        state=np.array([s.uniform(-1, 1, 8) for s in streams], np.float32),
        privileged=np.zeros((len(rows), 0), np.float32),
        instructions=tuple("Lift the cube" + "!" * row for row in rows),
        render=lambda camera: images,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    out = tmp_path_factory.mktemp("vla")
    data = MixConfig(sources=(SourceConfig(write_dataset(out, image_size=256)),))
    return train_vla(TrainVlaConfig(data=data, out=out / "checkpoint", preset="debug", steps=5, threads=1)).folder


def episodes(policy, *, n=2, count=4):
    """Return episodes of our own engine, by number."""
    task = load_task("lift_cube")
    env = TaskEnv(task, make_engine("mujoco", task.scene, n=n), preset="train", image_size=256)
    try:
        return list(rollout(env, policy, [10 + k for k in range(count)]))
    finally:
        env.close()


def test_a_remote_checkpoint_says_of_itself_what_the_local_one_says(checkpoint):
    local = load_policy(str(checkpoint))
    with running(local) as (address, _):
        assert load_policy(address).spec == local.spec


@pytest.mark.parametrize("worlds", [1, 3])
def test_episodes_through_a_server_are_those_of_the_policy_itself_bit_for_bit(checkpoint, worlds):
    local = load_policy(str(checkpoint), execute=8)
    own = episodes(load_policy(str(checkpoint), execute=8), n=worlds, count=worlds)
    with running(local) as (address, server):
        far = episodes(load_policy(address), n=worlds, count=worlds)
        assert server.tally.errors == 0
        assert (server.tally.inferences < server.tally.requests) == (worlds > 1)
    for here, there in zip(own, far, strict=True):
        assert there.actions.tobytes() == here.actions.tobytes()
        assert there.states.tobytes() == here.states.tobytes()
        assert (there.success == here.success).all()


@pytest.mark.parametrize("name", ["random", "expert:lift_cube"])
def test_policies_that_read_seeds_or_hidden_values_are_the_same_through_a_server(name):
    own = episodes(load_policy(name), count=2)
    with running(load_policy(name)) as (address, _):
        far = episodes(load_policy(address), count=2)
    assert [e.actions.tobytes() for e in far] == [e.actions.tobytes() for e in own]


def test_each_world_is_remembered_apart_and_forgotten_at_its_reset():
    with running(Counting()) as (address, _):
        policy = load_policy(address)
        policy.reset(np.array([0, 1]))
        calls = [np.round(100 * policy.act(observation([0, 1]))[:, 0, 3]).tolist() for _ in range(2)]
        policy.reset(np.array([1]))
        calls.append(np.round(100 * policy.act(observation([1, 0]))[:, 0, 3]).tolist())
        assert calls == [[1, 1], [2, 2], [1, 3]]


def test_no_server_a_wrong_key_and_no_address_are_told(monkeypatch):
    monkeypatch.setenv("DEMOMILL_API_KEY", "wrong")
    with pytest.raises(UserError, match="demomill serve POLICY"):
        load_policy("ws://127.0.0.1:9")
    with running(Counting(), key="right") as (address, _):
        with pytest.raises(UserError, match="takes another one"):
            load_policy(address)
        monkeypatch.delenv("DEMOMILL_API_KEY")
        with pytest.raises(UserError, match="there is none in DEMOMILL_API_KEY"):
            load_policy(address)
        monkeypatch.setenv("DEMOMILL_API_KEY", "right")
        assert load_policy(address).spec.name == "counting"
    with pytest.raises(UserError, match="no address"):
        load_policy("ws://")
    with running(Counting()) as (address, _), pytest.raises(UserError, match="says itself"):
        load_policy(f"{address}?declare=x.toml")


def test_a_server_that_stops_is_an_error_and_one_that_comes_back_is_used_again():
    with contextlib.ExitStack() as stack:
        address, _ = stack.enter_context(running(Counting()))
        policy = RemotePolicy(address, patience=0.5)
        policy.reset(np.array([0]))
        policy.act(observation([0]))
        stack.close()
        with pytest.raises(RemotePolicyError, match="did not answer"):
            policy.act(observation([0]))
        with pytest.raises(RemotePolicyError, match="is gone"):
            policy.reset(np.array([0]))
    port = int(address.rsplit(":", 1)[1])
    with running(Counting(), port=port):
        policy.reset(np.array([0]))
        assert policy.act(observation([0])).shape == (1, 4, 7)
    policy.close()
    with running(Counting(inputs=("state",)), port=port), pytest.raises(UserError, match="another policy"):
        policy.reset(np.array([0]))


def test_a_server_that_is_too_slow_is_an_error():
    with running(Counting(delay=1.0)) as (address, _):
        policy = load_policy(f"{address}?timeout=0.2")
        policy.reset(np.array([0]))
        with pytest.raises(RemotePolicyError, match="did not answer"):
            policy.act(observation([0]))


class Pipe:
    """A connection to the fleet that only remembers."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)


def test_in_a_benchmark_a_dead_server_is_an_error_episode_and_the_next_one_counts(tmp_path):
    config = BenchConfig(out=tmp_path, hosts=("demomill",), workers=1)
    served = Counting(size=256)
    served.spec = replace(served.spec, chunk=4, execute=4)
    with running(served) as (address, server):
        job = WorkerJob(config, HostTask("demomill", "lift_cube-v1"), {"far": policy_factory(address)}, [])
        pipe = Pipe()
        worker = _Worker(pipe, job)
        policy = job.factories["far"]()
        ask, left = server._batcher.ask, [3]

        async def ask_a_few(slot, request):
            left[0] -= 1
            if left[0] == 0:
                raise asyncio.CancelledError  # The connection breaks off in the middle of an episode.
            return await ask(slot, request)

        server._batcher.ask = ask_a_few
        for seed in (1, 2):
            worker._run(policy, [Todo("far", seed)])
        worker.env.close()
    first, second = (message[1] for message in pipe.sent if message[0] == "episode")
    assert "RemotePolicyError" in first["error"]
    assert "success" not in first
    assert second["error"] is None
    assert second["success"] is False


class Openpi:
    """A server as openpi's own: any metadata, a map in, a map out, a traceback as text."""

    def __init__(self, infer, metadata):
        self.infer, self.metadata, self.seen = infer, metadata, []

    def __call__(self, connection):
        connection.send(msgpack_numpy.packb(self.metadata))
        for data in connection:
            message = msgpack_numpy.unpackb(data)
            self.seen.append(message)
            answer = self.infer(message)
            connection.send(answer if isinstance(answer, str) else msgpack_numpy.packb(answer))


@contextlib.contextmanager
def openpi(infer, metadata=None):
    handler = Openpi(infer, metadata or {})
    with listen(handler, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", handler
        finally:
            server.shutdown()
            thread.join()


def actions(message):
    return {"actions": np.full((10, 7), 0.5, np.float32), "server_timing": {"infer_ms": 1.0}}


@pytest.fixture
def declared(tmp_path):
    file = tmp_path / "server.toml"
    file.write_text(foreign.EXAMPLE)
    return file


def test_a_server_that_says_nothing_must_be_declared_and_the_refusal_shows_how(declared):
    with openpi(actions) as (address, _):
        with pytest.raises(UserError, match=r"\[action\]") as caught:
            load_policy(address)
        assert f"{address}?declare=server.toml" in str(caught.value)
        assert load_policy(f"{address}?declare={declared}").spec.chunk == 10


def test_a_declared_server_is_asked_in_its_terms_and_answers_in_its_convention(declared):
    with openpi(actions) as (address, handler):
        policy = load_policy(f"{address}?declare={declared}")
        shown = observation([0, 1], size=256)
        policy.reset(np.array([0, 1]))
        chunks = policy.act(shown)
        assert chunks.shape == (2, 10, 7)
        message = next(seen for seen in handler.seen if seen["prompt"] == shown.instructions[0])
        assert sorted(message) == ["observation/image", "observation/state", "prompt"]
        assert message["observation/image"].shape == (224, 224, 3)
        assert message["observation/image"].dtype == np.uint8
        opening = shown.state[0, 7]
        assert message["observation/state"][6:] == pytest.approx([0.04 * opening, -0.04 * opening])
        assert [d.field for d in differences(policy.spec.convention, CANONICAL)] == [
            "position_unit",
            "rotation_unit",
            "gripper_open",
            "gripper_closed",
        ]
        episode = episodes(policy, n=1, count=1)[0]
        assert episode.error is None
        assert np.abs(episode.actions[:, :3]).max() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("infer", "word"),
    [
        (lambda message: "Traceback: KeyError", "says: Traceback"),
        (lambda message: {"action": np.zeros((10, 7))}, "'actions' of the answer is NoneType"),
        (lambda message: {"actions": np.zeros((10, 8))}, r"\(10, 8\)"),
        (lambda message: {"actions": np.zeros((4, 7))}, r"\(4, 7\)"),
    ],
)
def test_what_a_server_answers_wrongly_is_an_error_of_the_episode(declared, infer, word):
    with openpi(infer) as (address, _):
        policy = load_policy(f"{address}?declare={declared}")
        policy.reset(np.array([0]))
        with pytest.raises(RemotePolicyError, match=word):
            policy.act(observation([0], size=256))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("chunk = 10", "", "missing chunk"),
        ("rate = 20.0", "rat = 20.0", "Did you mean 'rate'"),
        ('rotation = "axis-angle"', 'rotation = "axis angle"', "Did you mean 'axis-angle'"),
        ('rotation = "delta axis-angle"', 'rotation = "absolute"', "rotation of the action"),
        ("execute = 5", "execute = 11", "1 to chunk"),
        ("gripper_open = -1.0", "gripper_open = 1.0", "are equal"),
        ("gripper_closed = [0.0, 0.0]", "gripper_closed = [0.0]", "same number"),
        ("size = 224", "size = 512", "size <= rendered"),
    ],
)
def test_a_wrong_declaration_is_refused(tmp_path, old, new, word):
    assert old in foreign.EXAMPLE
    (tmp_path / "server.toml").write_text(foreign.EXAMPLE.replace(old, new))
    with openpi(actions) as (address, _), pytest.raises(UserError, match=word):
        load_policy(f"{address}?declare={tmp_path / 'server.toml'}")


def test_frames_are_cropped_to_their_middle_reduced_and_mirrored():
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    declared = foreign.ImageDeclaration(size=4, camera="any", rendered=8, crop=0.5, mirror=True)
    assert (foreign.frame(image, declared) == image[2:6, 2:6][:, ::-1]).all()
