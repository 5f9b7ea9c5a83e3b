"""Pictures of the double: a pinhole camera that sees the free objects as squares in their colours."""

import math

import numpy as np


def draw(sim, env, camera):
    """Return RGBA (h, w, 4) u8, row 0 on top; a camera in the hand sees grey."""
    properties = camera["properties"]
    width, height = properties.width, properties.height
    picture = np.full((height, width, 4), 128, dtype=np.uint8)
    picture[..., 3] = 255
    if "position" not in camera:
        return picture
    forward = camera["target"] - camera["position"]
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal = width / 2.0 / math.tan(math.radians(properties.horizontal_fov) / 2.0)
    for actor in env.actors:
        if actor.asset.joints or actor.asset.options.fix_base_link:
            continue
        if sim.roots[actor.index, 2] < -0.92:
            continue  # Below the floor.
        offset = sim.roots[actor.index, :3] - camera["position"]
        depth = float(offset @ forward)
        if depth <= properties.near_plane:
            continue
        x, y = (
            width / 2.0 + focal * float(offset @ right) / depth,
            height / 2.0 + focal * float(offset @ down) / depth,
        )
        side = max(focal * actor.asset.half[0] / depth, 1.0)
        rows = slice(max(int(y - side), 0), max(int(y + side) + 1, 0))
        picture[rows, max(int(x - side), 0) : max(int(x + side) + 1, 0), :3] = np.round(255 * np.array(actor.color))
    return picture
