"""`demomill check-policy`: what a policy and each host mean, side by side, a look at the host, and a 20-step probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.checklist import CheckRow, row
from bench.config import BenchConfig, HostTask, host_tasks
from bench.first_look import look
from bench.hosts.registry import OWN, make_host
from bench.picture_look import STARTS
from bench.probe_motion import motion_findings, probe_motion
from bench.probe_policy import CHANGES, EPISODES, shadow, shadow_findings
from sim.compatibility import compare
from sim.episodes import Env, Policy
from sim.ranges import PIXELS, Numbers, require
from sim.streams import episode_seed
from tasks.catalogue import load_task
from tasks.task import Task

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class CheckPolicyConfig:
    """Options of `demomill check-policy`."""

    # The policy: expert:TASK, a checkpoint's folder, module:attribute, ws://HOST:PORT or random.
    policy: str
    # Task in whose worlds it is asked.
    task: str = "lift_cube"
    # Hosts as "host:environment", or "host" alone for the task's twin there; "demomill" is our own engine.
    hosts: tuple[str, ...] = (OWN, "robosuite", "maniskill")
    # Episodes of 20 steps in which the policy is asked beside a reference; 0 compares conventions and looks only.
    episodes: int = EPISODES
    # The reference, a POLICY too; by default the task's shipped expert.
    reference: str | None = None
    # Width and height of rendered images, pixels; by default those that the policy wants.
    image_size: int | None = None

    def __post_init__(self) -> None:
        require(self, {"episodes": Numbers(0, 100_000), "image_size": PIXELS})


@dataclass(frozen=True)
class HostCheck:
    """What was found in one host."""

    host: str
    # Fields of the comparison: field, policy, environment, verdict, note.
    fields: tuple[dict[str, Any], ...]
    # What the host showed before a step, and what 20 steps showed; empty where the comparison already refuses.
    checks: tuple[CheckRow, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is refused and nothing was found wrong."""
        refused = any(field["verdict"] == "refused" for field in self.fields)
        return not refused and not any(check.verdict == "fail" for check in self.checks)


@dataclass(frozen=True)
class CheckPolicyResult:
    """The comparison of a policy with its hosts; `ok` where nothing is refused and nothing looks wrong."""

    ok: bool
    policy: str
    hosts: tuple[HostCheck, ...]

    def __rich__(self) -> Group:
        """Return both tables of every host for a terminal."""
        from rich.console import Group

        from bench.check_policy_table import host_tables

        return Group(*(part for check in self.hosts for part in host_tables(check, self.policy)))


def check_policy(config: CheckPolicyConfig, policy: Policy) -> CheckPolicyResult:
    """Compare `policy` with each host field by field; where nothing is refused, look and probe."""
    task = load_task(config.task)
    size = config.image_size or policy.spec.convention.image_size
    hosts = host_tasks(BenchConfig(out=Path(), task=config.task, hosts=config.hosts), task)
    checks = tuple(_check(config, policy, task, host, size) for host in hosts)
    return CheckPolicyResult(all(check.ok for check in checks), policy.spec.name, checks)


def _check(config: CheckPolicyConfig, policy: Policy, task: Task, host: HostTask, size: int) -> HostCheck:
    """Return what is found in one host, which is open for that long."""
    env = make_host(host.host, host.host_task, task=task, image_size=size)
    try:
        rows = compare(policy.spec, env.spec)
        refused = any(each.verdict == "refused" for each in rows)
        checks = () if refused else tuple(_found(config, policy, task, env))
        fields = tuple(vars(each) for each in rows)
        return HostCheck(str(host), fields, checks)
    finally:
        env.close()


def _found(config: CheckPolicyConfig, policy: Policy, task: Task, env: Env) -> Iterator[CheckRow]:
    """Yield what the host shows before the first step and, if nothing is wrong yet, what 20 steps show."""
    wrong = False
    starts = [episode_seed("validation", 0, i) for i in range(STARTS)]
    for finding in look(env, starts, target=task.target, inputs=policy.spec.inputs):
        wrong = wrong or finding.passed is False
        yield row("look", finding)
    if wrong or not config.episodes:
        return
    for finding in motion_findings(probe_motion(env, starts[0])):
        yield row("probe", finding)
    reference = _reference(config, task)
    if reference is None:
        return
    changes = tuple(CHANGES) if {"image", "wrist_image"} & policy.spec.inputs else ()
    seeds = [episode_seed("validation", 1, i) for i in range(config.episodes)]
    for finding in shadow_findings(shadow(env, policy, reference, seeds, changes=changes)):
        yield row("probe", finding)


def _reference(config: CheckPolicyConfig, task: Task) -> Policy | None:
    """Return the policy that shows how it is done, None where the task has no expert and none was named."""
    from policies.expert import SHIPPED, load_expert
    from policies.loading import load_policy

    if config.reference is not None:
        return load_policy(config.reference)
    return load_expert(task.id) if (SHIPPED / task.id).is_dir() else None
