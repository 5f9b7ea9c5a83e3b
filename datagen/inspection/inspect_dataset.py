"""`demomill inspect`: what is in an RLDS dataset, whoever wrote it, in the terminal and on one page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.inspection.page import write_page
from datagen.inspection.picks import Picks, pick
from datagen.inspection.result import InspectResult
from datagen.inspection.roles import find_roles
from datagen.inspection.shots import Shot, shoot
from datagen.inspection.summary import summarize
from datagen.inspection.survey import Survey
from datagen.rlds_reader import Dataset, StoredEpisode, open_dataset
from datagen.tfrecord import read_records
from sim.errors import UserError
from sim.files import require_file
from sim.progress import ProgressLine


@dataclass(frozen=True)
class InspectConfig:
    """Which dataset is inspected, and how much of it."""

    # Folder of an RLDS dataset: its version, its name, or their parent where there is only one below.
    dataset: Path
    # Read only so many episodes, drawn evenly from the whole. None: all.
    episodes: int | None = None
    # Seed of that draw, and of which trajectories are shown.
    seed: int = 0
    # File of the page; by default runs/inspect/<name>-<version>.html. The dataset's own folder is never written to.
    html: Path | None = None

    def __post_init__(self) -> None:
        if self.episodes is not None and self.episodes < 1:
            raise UserError(
                f"episodes = {self.episodes} is not allowed. Allowed: 1 or more, or leave it unset for all."
            )


def inspect_dataset(config: InspectConfig) -> InspectResult:
    """Read the dataset, write the page and return what was found."""
    require_file(config.html, "html")
    dataset = open_dataset(config.dataset, lenient=True)
    page = config.html or Path("runs") / "inspect" / f"{dataset.name}-{dataset.version}.html"
    if page.resolve().is_relative_to(dataset.path.resolve()):
        raise UserError(
            f"{page} lies in the dataset's own folder, which is left as it is. Write the page elsewhere: --html PAGE."
        )
    total = sum(sum(lengths) for lengths in dataset.splits.values())
    if not total:
        raise UserError(f"{dataset.path} declares no episodes. Nothing can be said of an empty dataset.")
    roles = find_roles(dataset.leaves, dataset.description)
    picks = pick(dataset.splits, episodes=config.episodes, seed=config.seed)
    survey = Survey(roles, seed=config.seed)
    shots = _read(dataset, picks, survey, total=min(config.episodes or total, total))
    if not survey.episodes:
        first = survey.findings.listed()[0]
        raise UserError(f"No episode of {dataset.path} could be read. {first.split} {first.episode}: {first.reason}")
    result = summarize(dataset, survey, sampled=picks.read is not None, page=page)
    write_page(result, shots)
    return result


def _read(dataset: Dataset, picks: Picks, survey: Survey, *, total: int) -> list[Shot]:
    """Show every wanted episode to the survey, and return those that the page shows."""
    shots = []
    with ProgressLine("inspecting", unit="episodes") as line:
        line(0, total)
        for done, (split, number, episode) in enumerate(_episodes(dataset, picks, survey), start=1):
            survey.add(split, number, episode)
            if (split, number) in picks.drawn:
                filmed = (split, number) in picks.filmed
                shots.append(shoot(split, number, episode, survey.roles, filmed=filmed))
            line(done, max(total, done))
    return shots


def _episodes(dataset: Dataset, picks: Picks, survey: Survey) -> Iterator[tuple[str, int, StoredEpisode]]:
    """Yield the wanted episodes with split and number; what cannot be read is told to the survey."""
    for split, lengths in sorted(dataset.splits.items()):
        start = 0
        for shard, count in enumerate(lengths):
            wanted = picks.wanted(split, start, count)
            rows = sorted(wanted) if wanted is not None else list(range(count))
            path, read = dataset.shard_path(split, shard), 0
            try:
                for payload in read_records(path, wanted=wanted) if rows else ():
                    row = rows[read] if read < len(rows) else read
                    read += 1
                    yield from _decoded(dataset, payload, split, start + row, survey)
            except UserError as error:
                left = f" The {len(rows) - read - 1} wanted after it were not read." if len(rows) > read + 1 else ""
                survey.unreadable(split, start + (rows[read] if read < len(rows) else count), f"{error}{left}")
            else:
                if read != len(rows):
                    promised = (
                        f"{path.name} holds {read} episodes where {len(rows)} were to be read of {count} declared"
                    )
                    survey.unreadable(split, start + min(read, count - 1), promised)
            start += count


def _decoded(
    dataset: Dataset, payload: bytes, split: str, number: int, survey: Survey
) -> Iterator[tuple[str, int, StoredEpisode]]:
    try:
        episode = dataset.decode(payload, where=f"Episode {number} of {split}")
    except UserError as error:
        survey.unreadable(split, number, str(error))
        return
    yield split, number, episode
