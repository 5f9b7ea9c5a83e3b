"""Draw a grid of randomized frames per task, each with its sentence: python scripts/gallery.py OUT [TASK ...]."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sim.model_values import start_positions
from sim.renderer import Renderer
from sim.streams import episode_seed, frame_seed
from tasks.catalogue import TASKS, load_task
from tasks.task import Task

COLUMNS, ROWS = 4, 3
CAPTION = 47
"""Height of the text under a frame, pixels."""


def frames(task: Task, *, preset: str, size: int, first: int = 0) -> list[tuple[Image.Image, str]]:
    """Return the first frame of COLUMNS x ROWS episodes, each with its sentence."""
    nominal, made = task.scene.nominal(), []
    with Renderer(task.scene, size=size) as renderer:
        for k in range(COLUMNS * ROWS):
            seed = episode_seed("validation", 0, first + k)
            values = nominal | task.draw(seed, preset=preset)
            positions = np.asarray(start_positions(task.scene, values))
            frame = renderer.render(positions, values, noise_seed=frame_seed(seed, 0))
            made.append((Image.fromarray(frame), task.sentence(seed, preset=preset)[0]))
    return made


def sheet(pictures: list[tuple[Image.Image, str]]) -> Image.Image:
    """Return the frames as one picture, row by row, each over its sentence."""
    size = pictures[0][0].width
    page = Image.new("RGB", (COLUMNS * (size + 4), ROWS * (size + CAPTION)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    for k, (picture, sentence) in enumerate(pictures):
        x, y = k % COLUMNS * (size + 4), k // COLUMNS * (size + CAPTION)
        page.paste(picture, (x, y))
        text = "\n".join(textwrap.wrap(sentence, width=size // 6)[:4])
        pen.multiline_text((x + 2, y + size + 1), text, fill="black", font=font, spacing=0)
    return page


def main() -> None:
    """Write <task id>.jpg for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("tasks", nargs="*", default=sorted(TASKS))
    parser.add_argument("--preset", default="train")
    parser.add_argument("--size", type=int, default=208)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.tasks:
        task = load_task(name)
        path = options.out / f"{task.id}.jpg"
        sheet(frames(task, preset=options.preset, size=options.size)).save(path, quality=78, optimize=True)
        print(f"{path}  {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
