"""The worker that serves lerobot's policies, run as a process of its own with a stand-in for lerobot on its path."""

import http.client
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.exceptions import InvalidStatus

from policies.loading import load_policy
from tests.test_remote_policy import observation

ROOT = Path(__file__).resolve().parent.parent
DECLARED = """
[keys]
image = "observation/image"
state = "observation/state"
instruction = "prompt"
actions = "actions"
[image]
size = 32
rendered = 64
camera = "third person, in front of the robot"
[action]
chunk = 4
execute = 2
rate = 20.0
position = "delta"
position_unit = 1.0
rotation = "delta axis-angle"
rotation_unit = 1.0
gripper_open = 1.0
gripper_closed = 0.0
base_frame = "panda base, x forward, y left, z up"
tcp = "0.1034 m along +z of the hand frame"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smolvla")
    said = {"type": "smolvla", "chunk_size": 4, "images": ["observation.images.front", "observation.images.wrist"]}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


@contextmanager
def worker(folder, *options, **environment):
    command = [sys.executable, str(ROOT / "policies/serve/lerobot_worker.py"), str(folder), "--port", "0", *options]
    path = {"PYTHONPATH": str(ROOT / "tests/lerobot_double")}
    with subprocess.Popen(
        command, cwd="/", env=os.environ | path | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.stdout.readline()
            yield said.removeprefix("serving at ").strip(), process
        finally:
            process.terminate()


def seen(number=0, size=32):
    stream = np.random.default_rng(number)
    return {
        "observation/image": stream.integers(0, 256, (size, size, 3), dtype=np.uint8),
        "observation/state": stream.uniform(-1, 1, 8).astype(np.float32),
        "prompt": "Lift." + "!" * number,
    }


@pytest.fixture(scope="module")
def address(folder):
    with worker(folder) as (address, _):
        yield address


def test_the_openpi_client_gets_metadata_and_chunks_of_what_the_policy_said(address):
    client = WebsocketClientPolicy(address)
    told = client.get_server_metadata()
    assert told["type"] == "smolvla"
    assert told["images"] == ["observation.images.front"]
    for number in (0, 3):
        message = seen(number)
        chunk = client.infer(message)["actions"]
        expected = [message["observation/image"].mean() / 255, message["observation/state"].sum(), 5 + number]
        assert chunk.shape == (4, 7)
        assert chunk[0, :3] == pytest.approx(2 * np.array(expected) / 1000, abs=1e-6)
        assert chunk[3] == pytest.approx(4 * chunk[0])


def test_a_bad_request_is_told_why_and_the_next_one_is_answered(address):
    client = WebsocketClientPolicy(address)
    with pytest.raises(RuntimeError, match="lacks observation/state"):
        client.infer({name: value for name, value in seen().items() if name != "observation/state"})
    with pytest.raises(RuntimeError, match="MessageError"):
        client.infer(seen() | {"observation/image": np.zeros((4, 4, 3), dtype="<M8[s]")})
    assert client.infer(seen())["actions"].shape == (4, 7)


def test_it_is_a_policy_of_ours_once_it_is_declared(address, tmp_path):
    declared = tmp_path / "server.toml"
    declared.write_text(DECLARED)
    policy = load_policy(f"{address}?declare={declared}")
    assert (policy.spec.chunk, policy.spec.execute) == (4, 2)
    policy.reset(np.arange(2))
    shown = observation([0, 1])
    chunks = policy.act(shown)
    assert chunks.shape == (2, 4, 7)
    assert chunks[:, 0, 2] == pytest.approx(2 * np.array([len(text) for text in shown.instructions]) / 1000)
    policy.close()


def test_health_keys_and_wrist_images(folder):
    with worker(folder, "--wrist", "observation.images.wrist", DEMOMILL_API_KEY="secret") as (address, _):
        connection = http.client.HTTPConnection(address.removeprefix("ws://"))
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        with pytest.raises(InvalidStatus):
            WebsocketClientPolicy(address)
        client = WebsocketClientPolicy(address, api_key="secret")
        message = seen() | {"observation/wrist_image": np.full((32, 32, 3), 255, np.uint8)}
        assert client.infer(message)["actions"][0, 1] == pytest.approx(0.002)


@pytest.mark.parametrize(("options", "word"), [((), "no config.json"), (("--image", "nose"), "no image nose")])
def test_a_folder_or_an_image_that_is_not_there_ends_in_words(folder, tmp_path, options, word):
    with worker(folder if options else tmp_path, *options) as (_, process):
        assert process.wait(300) == 1
        assert word in process.stderr.read()
