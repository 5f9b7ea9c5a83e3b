"""Other ways to tell an episode: the task's own templates, and phrases that denote the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product

from datagen.rlds_reader import StoredEpisode
from sim.errors import UserError
from sim.scene import PALETTE
from tasks.catalogue import load_task
from tasks.grammar import descriptions, read
from tasks.task import Task

MOST = 64
"""Paraphrases of an episode at most, the shortest first."""


def paraphrases(episode: StoredEpisode) -> tuple[str, ...]:
    """Return sentences that mean the same in the scene of `episode` and that training may show, its own included.

    None where the episode does not say which of our tasks it is, where that task is another version now, or where its
    sentence is none of the task's.
    """
    about, sentences = episode.metadata, episode.texts()
    try:
        task = load_task(str(about.get("task", "")))
    except UserError:
        return ()
    if about.get("task_digest") != task.digest() or not sentences or len(set(sentences)) > 1:
        return ()
    return told_otherwise(task, sentences[0], seed=int(about["seed"]), drawn=json.loads(str(about["draw"])))


def told_otherwise(task: Task, sentence: str, *, seed: int, drawn: Mapping[str, object]) -> tuple[str, ...]:
    """Return sentences of `task` that mean what `sentence` means in the episode `seed`, which drew `drawn`."""
    if task.semantics is None:
        return _recoloured(task, sentence)
    templates = {name: text for name, text in task.semantics.templates.items() if not name.startswith("held_out")}
    found = read(sentence, task.semantics.templates)
    if found is None:
        return ()
    said = {role: [str(phrase)] for role, phrase in found[1].items()}
    meaning = task.meaning(seed)
    if all(_same(drawn.get(path), value) for path, value in meaning.values.items()):
        said = {role: [str(p) for p in descriptions(meaning.things, role)] or said[role] for role in said}
    choices = [dict(zip(said, phrases, strict=True)) for phrases in product(*said.values())]
    every = {text.format(**choice) for text in templates.values() for choice in choices}
    return tuple(sorted(every, key=lambda text: (len(text), text))[:MOST])


def _recoloured(task: Task, sentence: str) -> tuple[str, ...]:
    """Return the sentences of a task with one object; a template without a colour says less, never something else."""
    for color in ("", *PALETTE):
        said = {" ".join(text.format(color=color).split()): name for name, text in task.templates.items()}
        if sentence in said:
            return tuple(sorted(text for text, name in said.items() if not name.startswith("held_out")))
    return ()


def _same(drawn: object, value: object) -> bool:
    """Return whether a stored value is the drawn one; JSON keeps tuples as lists."""
    return (list(drawn) if isinstance(drawn, list | tuple) else drawn) == (
        list(value) if isinstance(value, list | tuple) else value
    )
