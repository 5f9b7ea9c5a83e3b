import http.client
import threading
import time

import msgpack
import numpy as np
import pytest
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from policies.serve.command import ServeConfig, api_key, serve
from policies.serve.server import Limits
from policies.serve.wire import MessageError, pack, unpack
from sim.conventions import CANONICAL
from sim.errors import UserError
from tests.policy_servers import Counting, running


def observation(number=0, size=64):
    stream = np.random.default_rng(number)
    return {
        "observation/image": stream.integers(0, 256, (size, size, 3), dtype=np.uint8),
        "observation/state": stream.uniform(-1, 1, 8),
        "prompt": "Lift the cube." + "." * number,
    }


def expected(message):
    return [
        message["observation/image"].mean() / 1e4,
        np.float32(message["observation/state"]).sum() / 100,
        len(message["prompt"]) / 1e4,
    ]


def test_the_openpi_client_gets_metadata_actions_and_timing():
    with running(Counting()) as (address, _):
        client = WebsocketClientPolicy(address)
        told = client.get_server_metadata()
        assert told["demomill"] == 1
        assert told["convention"]["rate"] == CANONICAL.rate
        assert told["observation"]["observation/image"] == "(64, 64, 3) uint8"
        for _ in range(2):
            answer = client.infer(observation(3))
            assert answer["actions"].shape == (4, 7)
            assert answer["actions"].dtype == np.float64
            assert answer["actions"][0, :3] == pytest.approx(expected(observation(3)))
        assert answer["server_timing"]["infer_ms"] > 0
        assert answer["server_timing"]["prev_total_ms"] >= 0


def test_openpi_clients_broker_executes_the_chunk_action_by_action():
    with running(Counting()) as (address, server):
        broker = ActionChunkBroker(WebsocketClientPolicy(address), action_horizon=2)
        steps = [broker.infer(observation(k)) for k in range(4)]
        assert [step["actions"].shape for step in steps] == [(7,)] * 4
        assert server.tally.inferences == 2


class Gated(Counting):
    """Its first inference waits until it may go on."""

    def __init__(self):
        super().__init__()
        self.began, self.go_on = threading.Event(), threading.Event()

    def act(self, observation):
        self.began.set()
        assert self.go_on.wait(60)
        return super().act(observation)


def test_one_inference_answers_all_that_wait_and_each_gets_its_own():
    policy = Gated()
    with running(policy) as (address, server):
        clients = [WebsocketClientPolicy(address) for _ in range(6)]
        found = {}

        def ask(number):
            found[number] = clients[number].infer(observation(number))["actions"][0, :3]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        threads[0].start()
        assert policy.began.wait(60)
        for thread in threads[1:]:
            thread.start()
        while server._batcher._queue.qsize() < 5:
            time.sleep(0.01)
        policy.go_on.set()
        for thread in threads:
            thread.join(60)
        assert policy.batches == [1, 5]
        assert server.tally.inferences == 2
        for number in range(6):
            assert found[number] == pytest.approx(expected(observation(number)))


def test_every_client_is_a_world_of_its_own_and_a_place_is_forgotten_with_its_client():
    with running(Counting()) as (address, _):
        first, second = WebsocketClientPolicy(address), WebsocketClientPolicy(address)
        assert [round(100 * first.infer(observation())["actions"][0, 3]) for _ in range(3)] == [1, 2, 3]
        assert round(100 * second.infer(observation())["actions"][0, 3]) == 1
        again = first.infer(observation() | {"demomill/reset": True})
        assert round(100 * again["actions"][0, 3]) == 1
        first._ws.close()
        third = WebsocketClientPolicy(address)
        assert round(100 * third.infer(observation())["actions"][0, 3]) == 1


def test_the_steps_of_a_client_that_does_not_count_are_counted():
    with running(Counting()) as (address, _):
        client = WebsocketClientPolicy(address)

        def step(**said):
            return round(1e4 * client.infer(observation() | said)["actions"][0, 4])

        assert [step() for _ in range(3)] == [0, 2, 4]  # It executes 2 of the 4 actions.
        assert [step(**{"demomill/step": 9}), step(), step(**{"demomill/reset": True}), step()] == [9, 11, 0, 2]


BAD = {
    "no image": ({"observation/state": np.zeros(8), "prompt": ""}, "lacks observation/image"),
    "another size": (observation(size=224), r"\(224, 224, 3\) uint8; this policy reads \(64, 64, 3\)"),
    "floats": (observation() | {"observation/image": np.zeros((64, 64, 3))}, "float64"),
    "short state": (observation() | {"observation/state": np.zeros(7)}, r"\(7,\) float64"),
    "NaN": (observation() | {"observation/state": np.full(8, np.nan)}, "NaN"),
    "prompt": (observation() | {"prompt": 3}, "no text"),
    "seed": (observation() | {"demomill/seed": -1}, "demomill/seed"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_why_and_the_next_one_is_answered(name):
    message, word = BAD[name]
    with running(Counting()) as (address, server):
        client = WebsocketClientPolicy(address)
        with pytest.raises(RuntimeError, match=word):
            client.infer(message)
        assert client.infer(observation())["actions"].shape == (4, 7)
        assert server.tally.errors == 1


def raw(data):
    """Return what a server says to bytes that no client of good faith sends."""
    with running(Counting()) as (address, _), connect(address, compression=None) as connection:
        connection.recv()
        connection.send(data)
        said = connection.recv()
        connection.send(pack(observation()))
        assert unpack(connection.recv())["actions"].shape == (4, 7)
        return said


def array(dtype, data=b"\0" * 8, shape=(1,)):
    return msgpack.packb({"x": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}})


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\xc1", "no msgpack"),
        (b"\x93\x01", "no msgpack"),
        (b"\x91" * 5000, "no msgpack"),
        (b"", "no msgpack"),
        ("text", "text"),
        (msgpack.packb([1, 2]), "no map"),
        (msgpack.packb({b"x": 2}), "no map"),
        (msgpack.packb({1: 2}), "no msgpack"),
        (array("|O"), "refused"),
        (array("O"), "refused"),
        (array("<M8[s]"), "refused"),
        (array("<U2"), "refused"),
        (array("<c8"), "refused"),
        (array("<f8,<f8"), "refused"),
        (array("|V8"), "refused"),
        (array([["x", "<f8"]]), "refused"),
        (array("<f8", shape=(2,)), "does not have 8 bytes"),
        (array("<f8", shape=(-1,)), "sizes are integers"),
        (array("<f8", shape=(2**40, 2**40)), "sizes are integers"),
        (array("<f8", data="text"), "bytes as data"),
        (array("<f8", shape=1), "list of at most 8"),
        (msgpack.packb({"x": {b"__npgeneric__": True, b"data": [1], b"dtype": "<f8"}}), "only numbers"),
        (msgpack.packb({"x": msgpack.ExtType(4, b"abc")}), "extension type 4"),
    ],
)
def test_bytes_of_bad_faith_are_refused_in_words_and_kill_nothing(data, word):
    said = raw(data)
    assert isinstance(said, str)
    assert word in said


def test_a_message_that_is_too_large_ends_only_its_own_connection():
    with running(Counting(), limits=Limits(message_bytes=50_000)) as (address, _):
        other, large = WebsocketClientPolicy(address), WebsocketClientPolicy(address)
        with pytest.raises(ConnectionClosed) as caught:
            large.infer(observation() | {"more": np.zeros(100_000)})
        assert caught.value.rcvd.code == 1009
        assert other.infer(observation())["actions"].shape == (4, 7)


def test_an_api_key_opens_and_nothing_else_does():
    with running(Counting(), key="secret") as (address, _):
        assert WebsocketClientPolicy(address, api_key="secret").infer(observation())["actions"].shape == (4, 7)
        for wrong in (None, "secre", "secret1", "Secret"):
            with pytest.raises(InvalidStatus) as caught:
                WebsocketClientPolicy(address, api_key=wrong)
            assert caught.value.response.status_code == 401


def test_healthz_needs_no_key_and_web_pages_are_refused():
    with running(Counting(), key="secret") as (address, _):
        connection = http.client.HTTPConnection(address.removeprefix("ws://"))
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"OK\n")
    with running(Counting()) as (address, _), pytest.raises(InvalidStatus) as caught:
        connect(address, origin="https://example.org")
    assert caught.value.response.status_code == 403


def test_places_for_clients_run_out_and_come_back():
    with running(Counting(), limits=Limits(clients=1)) as (address, _):
        only = WebsocketClientPolicy(address)
        with pytest.raises(InvalidStatus) as caught:
            WebsocketClientPolicy(address)
        assert caught.value.response.status_code == 503
        only._ws.close()
        assert WebsocketClientPolicy(address).infer(observation())["actions"].shape == (4, 7)


def test_a_policy_that_fails_is_an_error_of_its_callers_only():
    class Failing(Counting):
        def act(self, observation):
            if "fail" in observation.instructions:
                raise ValueError("no idea")
            return super().act(observation)

    with running(Failing()) as (address, _):
        client = WebsocketClientPolicy(address)
        with pytest.raises(RuntimeError, match="ValueError: no idea"):
            client.infer(observation() | {"prompt": "fail"})
        assert client.infer(observation())["actions"].shape == (4, 7)


def test_messages_go_there_and_back_and_are_openpi_clients():
    from openpi_client import msgpack_numpy

    message = {
        "a": np.arange(6, dtype=np.int16).reshape(2, 3),
        "b": np.float32(1.5),
        "c": [1, "x", None],
        "d": {"e": True},
    }
    for read in (unpack, msgpack_numpy.unpackb):
        back = read(pack(message))
        assert (back["a"] == message["a"]).all()
        assert back["a"].dtype == np.int16
        assert back["b"] == np.float32(1.5)
        assert (back["c"], back["d"]) == ([1, "x", None], {"e": True})
    assert (unpack(msgpack_numpy.packb(message))["a"] == message["a"]).all()
    with pytest.raises(TypeError, match="object"):
        pack({"a": np.array([None])})
    with pytest.raises(MessageError, match="refused"):
        unpack(array("|O8"))


def test_other_machines_need_a_key_or_a_word(monkeypatch, tmp_path):
    monkeypatch.delenv("DEMOMILL_API_KEY", raising=False)
    with pytest.raises(UserError, match="--open"):
        serve(ServeConfig(policy="x", host="0.0.0.0"), policy=Counting())
    with pytest.raises(UserError, match="max_batch"):
        serve(ServeConfig(policy="x", max_batch=0), policy=Counting())
    (tmp_path / "key").write_text("abc \nmore\n")
    assert api_key(tmp_path / "key") == "abc"
    (tmp_path / "key").write_text("a b\n")
    with pytest.raises(UserError, match="one line"):
        api_key(tmp_path / "key")
    monkeypatch.setenv("DEMOMILL_API_KEY", "")
    with pytest.raises(UserError, match="DEMOMILL_API_KEY"):
        api_key(None)


def test_a_port_that_is_taken_is_told():
    with running(Counting()) as (address, _), pytest.raises(UserError, match="Another program has it"):
        serve(ServeConfig(policy="x", port=int(address.rsplit(":", 1)[1])), policy=Counting())
