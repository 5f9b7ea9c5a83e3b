"""`demomill import`: a recording of robosuite or ManiSkill to a dataset in the canonical convention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datagen.importing.importer import DEMONSTRATOR, FAILED, Importer, Options
from datagen.importing.maniskill_layout import maniskill_recording
from datagen.importing.recording import Examined, Recording, open_hdf5
from datagen.importing.robomimic_layout import robomimic_recording
from datagen.job import SYNTHETIC, demomill_version
from datagen.journal import finished_description, opened
from datagen.layout import Place
from datagen.rlds_reader import open_dataset
from datagen.source_check import conversions, examine
from sim.conventions import ARM_LIMITS
from sim.errors import UserError
from sim.files import require_folder, sha256
from sim.ranges import PIXELS, WHOLE, require


@dataclass(frozen=True)
class ImportConfig:
    """One recording to import."""

    # The HDF5 file: robomimic's demonstrations of robosuite, or ManiSkill's trajectory with its .json beside it.
    recording: Path
    # What the robot was asked to do: these recordings hold no sentence.
    instruction: str
    # The dataset lies in <out>/<name>/<version>.
    out: Path
    name: str
    version: str = "1.0.0"
    # Label in reports; empty says "recorded in HOST (TASK)". "synthetic" is kept for what demomill generates.
    source: str = ""
    # Width and height of the frames that are stored, pixels.
    image_size: int = 256
    # Episodes of the split `val`, spread evenly over the recording.
    validation: int = 0
    # Keep episodes without success at their end too, where the recording tells.
    failures: bool = False
    # Bring another rate to 20 Hz: motion interpolated, frames held in between. Without it another rate is refused.
    resample: bool = False

    def __post_init__(self) -> None:
        """Refuse what no dataset can be."""
        if not self.instruction.strip():
            raise UserError("instruction is empty. Say what the robot was asked to do: --instruction 'Lift the cube.'")
        if self.source.strip() == SYNTHETIC:
            raise UserError(f"source = {SYNTHETIC!r} is kept for what demomill generates. Name the origin, or nothing.")
        require(self, {"validation": WHOLE, "image_size": PIXELS})


@dataclass(frozen=True)
class ImportResult:
    """A finished import."""

    # Folder of the dataset's version.
    path: Path
    host: str
    host_task: str
    # Split -> episodes, steps in all, and episodes that were left out because they did not succeed.
    episodes: Mapping[str, int]
    steps: int
    failed: int
    # Share of the steps whose action is beyond what a canonical action can ask for (0.05 m, 0.25 rad per step).
    beyond_limits: float
    # What was converted and measured.
    note: str
    adapters: tuple[str, ...]
    already_finished: bool

    def __rich__(self) -> str:
        """Return the result in a few lines."""
        splits = ", ".join(f"{split} {count}" for split, count in self.episodes.items())
        lines = [f"{self.path}: {splits} episodes, {self.steps} steps, from {self.host} {self.host_task}", self.note]
        lines += [f"left out: {self.failed} episodes without success"] if self.failed else []
        if self.beyond_limits:
            lines.append(
                f"{self.beyond_limits:.1%} of the actions ask for more than a canonical action can: they are cut"
            )
        lines += ["It was finished before."] if self.already_finished else []
        return "\n".join(lines)


def import_recording(config: ImportConfig) -> ImportResult:
    """Convert a recording to a dataset, whole or not at all; what its own numbers contradict is refused."""
    place = Place(config.out, config.name, config.version)
    require_folder(config.out)
    with open_hdf5(config.recording) as file:
        recording = read_layout(file, config.recording)
        measured = examine(Examined(recording, config.instruction, config.resample))
        job = _identity(config, recording, note=conversions(recording.declared, measured))
        done = finished_description(place, job)
        already = done is not None
        if done is None:
            with opened(place, job) as journal:
                options = Options(config.instruction.strip(), config.image_size, config.validation, config.failures)
                done = Importer(options, recording, journal, job).run()
    return _result(place, done, recording, already=already)


def read_layout(file: Any, path: Path) -> Recording:
    """Return the recording in an open HDF5 file, by the groups that it has."""
    if "data" in file:
        return robomimic_recording(file, path)
    if any(key.startswith("traj_") for key in file):
        return maniskill_recording(file, path)
    raise UserError(
        f"{path} is of no layout that is read: it has {', '.join(sorted(file)[:6]) or 'nothing'}. Allowed: robomimic's "
        "(data/demo_N) and ManiSkill's (traj_N). RLDS datasets need no import: declare them (docs/datagen.md)."
    )


def _identity(config: ImportConfig, recording: Recording, *, note: str) -> dict[str, Any]:
    """Return everything that decides the dataset's content, as JSON."""
    said = {name: value for name, value in asdict(config).items() if name not in ("out", "recording")}
    label = config.source.strip() or f"recorded in {recording.host} ({recording.host_task})"
    return {
        **said,
        "source": label,
        "expert": DEMONSTRATOR,
        "recording": config.recording.name,
        "recording_sha256": sha256(config.recording),
        "declared": recording.declared.json(),
        "adapters": list(recording.adapters),
        "note": note,
        "demomill_version": demomill_version(),
    }


def _result(place: Place, about: Mapping[str, Any], recording: Recording, *, already: bool) -> ImportResult:
    """Return what demomill.json says of the finished dataset."""
    shards = list(about["shards"].values())
    splits = dict.fromkeys(shard["split"] for shard in shards)
    return ImportResult(
        path=place.final,
        host=recording.host,
        host_task=recording.host_task,
        episodes={split: sum(s["episodes"] for s in shards if s["split"] == split) for split in splits},
        steps=sum(shard["steps"] for shard in shards),
        failed=about["filters"]["train"]["rejected"].get(FAILED, 0),
        beyond_limits=beyond_limits(place.final),
        note=about["job"]["note"],
        adapters=recording.adapters,
        already_finished=already,
    )


def beyond_limits(folder: Path) -> float:
    """Return the share of the training steps whose action is beyond the canonical limits."""
    dataset = open_dataset(folder)
    actions = [np.asarray(e.steps["action"]) for e in dataset.episodes("train", verify=False)]
    return float((np.abs(np.concatenate(actions)[:, :6]) > 1.0001 * np.array(ARM_LIMITS)).any(axis=1).mean())
