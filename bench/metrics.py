"""Smoothness, speed, forces and limits of one episode, from the executed motion at the control rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from bench.events import Events
from bench.failures import progress
from bench.limits import contact_mean, contact_peak, joint_share, velocity_share, workspace_share
from sim.conventions import ARM_LIMITS
from sim.episodes import Episode

Samples = NDArray[np.float64]

STILL = 1e-6
"""Peak speed below which nothing moved and smoothness has no meaning, m/s."""


@dataclass(frozen=True)
class Metrics:
    """Measurements of one episode; None where one has no meaning, such as the time to a success that never came."""

    # Spectral arc length of the TCP's speed, 1; closer to 0 is smoother.
    sparc: float | None
    # Log dimensionless jerk of the TCP's speed, 1; closer to 0 is smoother.
    ldlj_v: float | None
    # Mean and root mean square of the TCP's jerk, m/s^3.
    jerk_mean: float | None
    jerk_rms: float | None
    # Mean squared difference of consecutive arm actions, in units of the action limits, per dimension.
    action_change: float | None
    # Path of the TCP divided by the straight way from its start over the object's start to its end.
    path_ratio: float | None
    # Time until the host's success, and until our task's own, first held, s.
    time_to_success: float | None
    time_to_lifted: float | None
    # How far the episode came, in quarters; see `bench.failures.progress`.
    progress: float | None = None
    # Mean squared action difference where one chunk ends and the next begins, in units of `action_change`.
    chunk_jump: float | None = None
    # Largest and mean contact force on the hand, N; the mean over the steps with contact.
    contact_peak: float | None = None
    contact_mean: float | None = None
    # Share of the steps in which a joint was at its limit, a joint was too fast, the TCP was where it must not be.
    joint_limit: float | None = None
    velocity_limit: float | None = None
    workspace_limit: float | None = None
    # How often the object fell out of the hand, and was held again.
    drops: float | None = None
    regrasps: float | None = None


def episode_metrics(
    episode: Episode, *, target: str, lifted: NDArray[np.bool_], events: Events, execute: int
) -> dict[str, float | None]:
    """Return the metrics of an episode as JSON.

    `lifted` (T,) says at which steps our task's own success held, `execute` how many actions of a chunk were executed.
    """
    rate = episode.spec.convention.rate
    positions = np.asarray(episode.traces["tcp"][:, :3], dtype=np.float64)
    way = episode.traces.get(f"object/{target}")
    speed = tcp_speed(positions, rate=rate)
    mean, rms = jerk(positions, rate=rate)
    actions, joints = (np.asarray(values, dtype=np.float64) for values in (episode.executed, episode.traces["joints"]))
    force = np.asarray(episode.traces["contact"], dtype=np.float64)
    metrics = Metrics(
        sparc=sparc(speed, rate=rate),
        ldlj_v=ldlj_v(speed, rate=rate),
        jerk_mean=mean,
        jerk_rms=rms,
        action_change=action_change(actions),
        path_ratio=None if way is None else path_ratio(positions, via=np.asarray(way[0, :3], dtype=np.float64)),
        time_to_success=first_time(episode.success, rate=rate),
        time_to_lifted=first_time(lifted, rate=rate),
        progress=progress(events, once=bool(lifted.any()), success=bool(lifted[-1])),
        chunk_jump=chunk_jump(actions, execute=execute),
        contact_peak=contact_peak(force),
        contact_mean=contact_mean(force),
        joint_limit=joint_share(joints),
        velocity_limit=velocity_share(joints, rate=rate),
        workspace_limit=workspace_share(positions, np.asarray(episode.traces["table"], dtype=np.float64)),
        drops=float(events.drops),
        regrasps=float(events.regrasps),
    )
    return asdict(metrics)


def tcp_speed(positions: Samples, *, rate: float) -> Samples:
    """Return the speed (T,) m/s between positions (T + 1, 3) m sampled at `rate` Hz."""
    return np.asarray(np.linalg.norm(np.diff(positions, axis=0), axis=1) * rate)


def sparc(
    speed: Samples, *, rate: float, cutoff: float = 10.0, threshold: float = 0.05, padding: int = 4
) -> float | None:
    """Return the spectral arc length of a speed profile (T,); None for fewer than 4 samples or no motion.

    Arc length of the normalized magnitude spectrum up to `cutoff` Hz, cut where it stays under `threshold`. Source:
    Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet, J. NeuroEngineering and Rehabilitation 12:112, 2015.
    """
    if len(speed) < 4 or speed.max() < STILL:
        return None
    size = 2 ** (int(np.ceil(np.log2(len(speed)))) + padding)
    frequency = np.arange(size) * rate / size
    magnitude = np.abs(np.fft.fft(speed, size))
    magnitude /= magnitude.max()
    band = frequency <= min(cutoff, rate / 2)
    frequency, magnitude = frequency[band], magnitude[band]
    kept = np.flatnonzero(magnitude >= threshold)
    frequency, magnitude = frequency[kept[0] : kept[-1] + 1], magnitude[kept[0] : kept[-1] + 1]
    if len(frequency) < 2:
        return None
    step = np.diff(frequency) / (frequency[-1] - frequency[0])
    return -float(np.hypot(step, np.diff(magnitude)).sum())


def ldlj_v(speed: Samples, *, rate: float) -> float | None:
    """Return the log dimensionless jerk of a speed profile (T,); None for fewer than 4 samples or no motion.

    -ln(duration^3 / peak^2 * integral of (d2v/dt2)^2 dt). Source: Hogan and Sternad, J. Motor Behavior 41:529, 2009;
    in its form for speed, Balasubramanian et al. 2015 (see `sparc`).
    """
    if len(speed) < 4 or speed.max() < STILL:
        return None
    second = np.diff(speed, 2) * rate**2
    dimensionless = (len(speed) / rate) ** 3 / speed.max() ** 2 * float((second**2).sum()) / rate
    return -float(np.log(dimensionless)) if dimensionless > 0 else None


def jerk(positions: Samples, *, rate: float) -> tuple[float | None, float | None]:
    """Return mean and root mean square of the jerk, m/s^3, of positions (T + 1, 3) m; None for fewer than 4.

    The length of the third difference times rate^3: the definition of jerk (Flash and Hogan, J. Neuroscience 5:1688,
    1985), by finite differences.
    """
    if len(positions) < 4:
        return None, None
    values = np.linalg.norm(np.diff(positions, 3, axis=0), axis=1) * rate**3
    return float(values.mean()), float(np.sqrt((values**2).mean()))


def action_change(actions: Samples) -> float | None:
    """Return the mean squared difference of consecutive arm actions (T, 7), in units of the action limits.

    Mean over steps and the six arm dimensions; the action smoothness term of Mysore et al. (CAPS, ICRA 2021).
    """
    return float(_changes(actions).mean()) if len(actions) > 1 else None


def chunk_jump(actions: Samples, *, execute: int) -> float | None:
    """Return the mean squared difference of arm actions (T, 7) over the borders of chunks, in units of the limits.

    A border lies after every `execute` actions. None where every action is a chunk of its own, or none has ended.
    """
    borders = np.arange(execute, len(actions), execute) - 1
    return float(_changes(actions)[borders].mean()) if execute > 1 and len(borders) else None


def _changes(actions: Samples) -> Samples:
    """Return the squared differences (T - 1, 6) of consecutive arm actions (T, 7), in units of the limits."""
    limits = np.array(ARM_LIMITS)
    return np.asarray((np.diff(np.clip(actions[:, :6], -limits, limits), axis=0) / limits) ** 2)


def path_ratio(positions: Samples, *, via: Samples) -> float | None:
    """Return the length of the path (T + 1, 3) divided by that of the way start, `via` (3,), end; 1 is the shortest.

    The efficiency measure of reaching studies (Anderson et al., On Evaluation of Embodied Navigation Agents, 2018, with
    the object as a waypoint), inverted.
    """
    direct = float(np.linalg.norm(via - positions[0]) + np.linalg.norm(positions[-1] - via))
    length = float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())
    return length / direct if direct > STILL else None


def first_time(held: NDArray[np.bool_], *, rate: float) -> float | None:
    """Return when `held` (T,) was first true, s from the start; None if it never was."""
    where = np.flatnonzero(held)
    return float(where[0] + 1) / rate if len(where) else None
