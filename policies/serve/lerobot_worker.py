"""A policy of lerobot (SmolVLA, pi0, ACT, ...) behind the openpi websocket protocol, in lerobot's own interpreter.

lerobot wants other versions of numpy and torch than the hosts that judge, so this file is run by the Python that has
lerobot, numpy, msgpack and websockets, and by nothing else of demomill than the file `wire.py` beside it:

    /path/to/lerobot/bin/python policies/serve/lerobot_worker.py FOLDER --port 8000

A client sends {"observation/image": (h, w, 3) u8, "observation/state": (n,), "prompt": text} and gets {"actions":
(chunk, a)} in the units of the data that the policy was trained on. Facts: huggingface/lerobot
src/lerobot/policies/factory.py and src/lerobot/async_inference/policy_server.py, October 2026.
"""

from __future__ import annotations

import argparse
import hmac
import importlib.util
import json
import os
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

KEY_VARIABLE = "DEMOMILL_API_KEY"
LARGEST = 16 * 2**20
"""Bytes of the largest message that is read."""

KEYS = ("observation/image", "observation/wrist_image", "observation/state", "prompt")


def main() -> None:
    """Load the policy and serve it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="folder of a lerobot policy: config.json and model.safetensors")
    parser.add_argument("--image", default="", help="the policy's name of the image; by default its first one")
    parser.add_argument("--wrist", default="", help="the policy's name of the wrist image; by default none is sent")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--port", type=int, default=8000, help="TCP port on this machine; 0 takes a free one")
    options = parser.parse_args()
    policy = LerobotPolicy(options.checkpoint, image=options.image, wrist=options.wrist, device=options.device)
    wire = load_wire()
    from websockets.sync.server import serve

    told = {"policy": str(options.checkpoint), "type": policy.kind, "images": list(policy.images.values())}
    with serve(
        lambda connection: _client(connection, policy, wire, told),
        "127.0.0.1",
        options.port,
        compression=None,
        max_size=LARGEST,
        process_request=_admit,
    ) as server:
        print(f"serving at ws://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


def load_wire() -> Any:
    """Return the module `wire.py` beside this file, which needs numpy and msgpack alone."""
    place = Path(__file__).with_name("wire.py")
    specification = importlib.util.spec_from_file_location("demomill_wire", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class LerobotPolicy:
    """One policy with its processors; one thread asks it at a time."""

    def __init__(self, folder: Path, *, image: str, wrist: str, device: str) -> None:
        if not (folder / "config.json").is_file():
            raise SystemExit(f"{folder} holds no config.json. Name the folder of a policy that lerobot saved.")
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        self.kind = str(json.loads((folder / "config.json").read_text())["type"])
        self.policy: Any = get_policy_class(self.kind).from_pretrained(str(folder))
        self.policy.to(device).eval()
        place = {"device_processor": {"device": device}}
        self.before: Callable[[Any], Any]
        self.after: Callable[[Any], Any]
        self.before, self.after = make_pre_post_processors(
            self.policy.config,
            pretrained_path=str(folder),
            preprocessor_overrides=place,
            postprocessor_overrides=place,
        )
        named = list(self.policy.config.image_features)
        wanted = {KEYS[0]: image or (named[0] if named else ""), KEYS[1]: wrist}
        self.images = {key: name for key, name in wanted.items() if name}
        unknown = [name for name in self.images.values() if name not in named]
        if unknown:
            raise SystemExit(f"The policy has no image {', '.join(unknown)}; it has {', '.join(named) or 'none'}.")
        self._lock = threading.Lock()

    def act(self, seen: Mapping[str, Any]) -> Any:
        """Return the chunk (n, a) float64 for one observation; what is missing is a `ValueError` in words."""
        import torch

        missing = [key for key in (*self.images, KEYS[2], KEYS[3]) if key not in seen]
        if missing:
            raise ValueError(f"the observation lacks {', '.join(missing)}")
        batch: dict[str, Any] = {"observation.state": torch.as_tensor(seen[KEYS[2]], dtype=torch.float32)[None]}
        for key, name in self.images.items():
            batch[name] = torch.as_tensor(seen[key]).permute(2, 0, 1)[None].float() / 255
        batch["task"] = str(seen[KEYS[3]])
        with self._lock, torch.inference_mode():
            chunk = self.policy.predict_action_chunk(self.before(batch))
            steps = [self.after(chunk[:, step]) for step in range(chunk.shape[1])]
        return torch.stack(steps, dim=1)[0].double().cpu().numpy()


def _client(connection: Any, policy: LerobotPolicy, wire: Any, told: Mapping[str, Any]) -> None:
    """Serve one client: the metadata first, then an answer to each message, or a text that says what was wrong."""
    connection.send(wire.pack(told))
    for data in connection:
        try:
            answer: Any = wire.pack({"actions": policy.act(wire.unpack(data))})
        except Exception as error:  # The client is told, and the next request is welcome.
            answer = f"{type(error).__name__}: {error}"
        connection.send(answer)


def _admit(connection: Any, request: Any) -> Any:
    """Answer health checks; refuse web pages and a wrong API key."""
    if request.path == "/healthz":
        return connection.respond(HTTPStatus.OK, "OK\n")
    key = os.environ.get(KEY_VARIABLE)
    if key and not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Api-Key {key}".encode()):
        return connection.respond(HTTPStatus.UNAUTHORIZED, "This policy server wants an API key.\n")
    if "Origin" in request.headers:
        return connection.respond(HTTPStatus.FORBIDDEN, "This policy server does not serve web pages.\n")
    return None


if __name__ == "__main__":
    main()
