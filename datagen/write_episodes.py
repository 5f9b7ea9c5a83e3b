"""Ready episodes with frames to RLDS: demonstrations that were rolled out, and rendered, in another simulator."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datagen.dataset_statistics import dataset_statistics
from datagen.filters import FilterConfig, FilterReport, reasons
from datagen.finish import Description, FinishedSplit, finish
from datagen.generated import GenerateResult, finished_result
from datagen.job import SYNTHETIC, demomill_version
from datagen.journal import Journal, finished_description, opened
from datagen.layout import Place
from datagen.measurements import measure
from datagen.progress import Progress, Show, silent
from datagen.quotas import Selection
from datagen.render_shards import episode_record, placed
from datagen.rlds_writer import EpisodeRecord, ShardRecord, encode_jpeg, write_shard
from datagen.schema import rlds_features
from datagen.units import StateEpisode, require_canonical, state_episode
from sim.episodes import EnvSpec, Episode, PolicySpec
from sim.errors import UserError
from sim.ranges import EPISODES, PIXELS, require
from tasks.catalogue import load_task
from tasks.task import Task

SPLIT = "train"


@dataclass(frozen=True)
class WriteConfig:
    """A dataset of episodes that somebody else rolled out."""

    # Task of the episodes.
    task: str
    # What the data is, said wherever it appears: "stand-in for real data (robosuite Lift)".
    source: str
    # The dataset lies in <out>/<name>/<version>.
    out: Path
    name: str
    version: str = "1.0.0"
    # Episodes to keep.
    episodes: int = 20
    shard_episodes: int = 32
    # Width and height of the frames, pixels, and the cameras that are stored.
    image_size: int = 256
    cameras: tuple[str, ...] = ("image",)
    filters: FilterConfig = field(default_factory=FilterConfig)
    # What else decides the content, e.g. host and seed: a finished dataset of another origin is refused.
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.source.strip() or self.source.strip() == SYNTHETIC:
            raise UserError(
                f"source = {self.source!r} does not say what the episodes are. Name their origin, for example "
                "'stand-in for real data (robosuite Lift)'."
            )
        require(self, {"episodes": EPISODES, "shard_episodes": EPISODES, "image_size": PIXELS})

    def identity(self, task: Task, policy: PolicySpec) -> dict[str, Any]:
        """Return everything that decides the dataset's content, as JSON."""
        data = asdict(self)
        del data["out"]
        data["filters"] = {name: value for name, value in data["filters"].items() if value is not None}
        data["filters"]["workspace"] = list(self.filters.workspace)
        return {
            **data,
            "cameras": list(self.cameras),
            "task": task.id,
            "task_digest": task.digest(),
            "expert": policy.name,
            "expert_digest": policy.digest or "",
            "demomill_version": demomill_version(),
        }


def write_episodes(
    episodes: Iterable[Episode], config: WriteConfig, *, policy: PolicySpec, progress: Show = silent
) -> GenerateResult:
    """Write the first good ones of `episodes`, which carry a frame of every step, as a dataset, whole or not at all.

    `policy` rolled them out: its convention says what the actions mean. A dataset that is finished already is returned
    before the first episode is asked for.
    """
    began = time.monotonic()
    task = load_task(config.task)
    place = Place(config.out, config.name, config.version)
    job = config.identity(task, policy)
    done = finished_description(place, job)
    if done is not None:
        return finished_result(place, done, seconds=time.monotonic() - began)
    with opened(place, job) as journal:
        writer = _Writer(config, journal, task, policy, job)
        for episode in episodes:
            progress(writer.add(episode))
            if writer.complete:
                break
        about = writer.finish()
    return finished_result(place, about, seconds=time.monotonic() - began, simulation=0.0)


class _Writer:
    """The shards of one dataset as they fill."""

    def __init__(
        self, config: WriteConfig, journal: Journal, task: Task, policy: PolicySpec, job: Mapping[str, Any]
    ) -> None:
        self._config, self._journal, self._task, self._policy, self._job = config, journal, task, policy, job
        self._leaves = rlds_features(image_size=config.image_size, cameras=config.cameras)
        self._report = FilterReport()
        self._kept: list[StateEpisode] = []
        self._waiting: list[EpisodeRecord] = []
        self._shards: list[ShardRecord] = []
        self._description: Description | None = None
        self._selection = Selection(config.episodes, min_distance=config.filters.min_start_distance)
        self._distances: list[float | None] = []

    @property
    def complete(self) -> bool:
        """Whether enough episodes are kept."""
        return len(self._kept) == self._config.episodes

    def add(self, episode: Episode) -> Progress:
        """Filter one episode and keep it if it is good."""
        description = self._described(episode.spec)
        measurements = measure(episode, workspace=self._config.filters.workspace)
        why = reasons(episode, measurements, self._config.filters)
        self._report.add(why)
        template = str(episode.draw.get("instruction.template") or self._task.instruction(episode.seed)[1])
        stored = None if why else state_episode(episode, measurements, policy=self._policy, template=template)
        if stored is not None and self._takes(stored):
            stored = placed(stored, self._distances[-1])
            frames = {camera: self._encoded(episode, camera) for camera in self._config.cameras}
            metadata = description.metadata(expert=self._policy.name, expert_digest=self._policy.digest or "")
            self._kept.append(stored)
            self._waiting.append(episode_record(stored, frames, metadata=metadata))
            if self.complete or len(self._waiting) == self._config.shard_episodes:
                self._flush()
        return self._progress()

    def _takes(self, episode: StateEpisode) -> bool:
        """Return whether the episode is no near-duplicate of an earlier one, and remember where it begins."""
        verdict = self._selection.offer(episode.start, episode.draw)
        if verdict.taken:
            self._distances.append(verdict.start_distance)
        else:
            self._report.reject(verdict.reason)
        return verdict.taken

    def finish(self) -> dict[str, Any]:
        """Describe and publish the dataset; too few episodes are refused."""
        if not self.complete or self._description is None:
            raise UserError(
                f"{len(self._kept)} good episodes of {self._config.episodes} came in ({self._report.text()}). Roll out "
                "more episodes, or ask for fewer."
            )
        statistics = dataset_statistics([(e.actions, e.states) for e in self._kept])
        seeds = [episode.seed for episode in self._kept]
        splits = {SPLIT: FinishedSplit(self._shards, self._report, seeds, self._distances)}
        return finish(self._journal, splits, description=self._description, statistics=statistics)

    def _described(self, spec: EnvSpec) -> Description:
        """Return what demomill.json will say, known from the first episode on."""
        if self._description is None:
            require_canonical(spec)
            self._description = Description(
                source=self._config.source,
                task=self._task.id,
                task_digest=self._task.digest(),
                engine=spec.engine,
                host=spec.host,
                host_task=spec.host_task,
                image_size=self._config.image_size,
                cameras=self._config.cameras,
                demomill_version=demomill_version(),
                job=self._job,
            )
        return self._description

    def _encoded(self, episode: Episode, camera: str) -> list[bytes]:
        """Return the frames that were seen before each action, as JPEG."""
        size = self._config.image_size
        rows = {step: row for row, step in enumerate(episode.frame_steps)}
        missing = [step for step in range(episode.length) if step not in rows]
        if camera not in episode.frames or missing:
            raise UserError(
                f"Episode {episode.seed} lacks frames of {camera!r} for {len(missing) or 'all'} of its "
                f"{episode.length} steps. Roll out with RolloutOptions(cameras=({camera!r},), frame_every=1)."
            )
        frames = episode.frames[camera]
        if frames.shape[1:] != (size, size, 3):
            raise UserError(f"Frames of {camera!r} have the shape {frames.shape[1:]}; image_size is {size}.")
        return [encode_jpeg(frames[rows[step]]) for step in range(episode.length)]

    def _flush(self) -> None:
        path = self._journal.shard(SPLIT, len(self._shards))
        self._shards.append(write_shard(path, self._waiting, leaves=self._leaves))
        self._waiting.clear()

    def _progress(self) -> Progress:
        return Progress(
            wanted=self._config.episodes,
            kept=len(self._kept),
            candidates=self._report.candidates,
            accepted=self._report.kept,
            written=sum(shard.episodes for shard in self._shards),
            size=sum(shard.size for shard in self._shards),
        )
