import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end_and_says_what_it_did(number):
    command = [sys.executable, "demomill.py", "serve", "random", "--port", "0", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        assert line.startswith("serving at ws://127.0.0.1:")
        client = WebsocketClientPolicy(line.split(";")[0].removeprefix("serving at "))
        assert client.infer({"demomill/seed": 3})["actions"].shape == (1, 7)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert err == ""
    told = json.loads(out)
    assert (told["clients"], told["requests"], told["inferences"], told["errors"]) == (1, 1, 1, 0)
    assert 0 < told["seconds_p50"] <= told["seconds_p95"]


def test_random_through_the_wire_follows_the_seed():
    from policies.loading import load_policy
    from tests.policy_servers import running

    with running(load_policy("random")) as (address, _):
        client = WebsocketClientPolicy(address)
        first, other, again = (client.infer({"demomill/seed": seed})["actions"] for seed in (3, 4, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
