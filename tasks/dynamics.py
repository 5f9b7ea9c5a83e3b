"""Laws on how robot and contacts respond, for the presets of any task."""

from __future__ import annotations

from tasks.randomization import knobs

DYNAMICS = knobs(
    "robot.stiffness *U(0.8, 1.25)",
    "robot.joint_damping =U(0, 8)",
    "contact.softness =U(1, 1.6)",
    "contact.damping =U(0.6, 1)",
    "table.friction =U(0.2, 0.8)",
    "action.latency =choice(0, 1, 2)",
)
"""What the hosts' arms and a real one do differently from a nominal servo on a nominal table."""
