"""Other sentences for the same scene: said otherwise, never trained on, blank, or naming what is not meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sim.errors import UserError, unknown
from sim.scene import PALETTE
from tasks.grammar import HELD_OUT_NOUNS, NOUNS, Phrase, Thing, descriptions, read
from tasks.layout import Dice
from tasks.task import Task

FORMS = ("right", "paraphrase", "unseen", "blank", "wrong", "swapped")
"""Values of the knob "sentence.form"."""


@dataclass(frozen=True)
class Said:
    """A sentence, and the name of the thing that it is about; "" for none of the scene's."""

    text: str
    names: str


def said(task: Task, sentence: str, form: str, seed: int, *, things: Sequence[Thing] = ()) -> Said:
    """Return `sentence`, which one of the task's templates made, in another form.

    "paraphrase" has another of the training templates, "unseen" one that training never saw and, where the grammar has
    one, a noun of that kind; "blank" is empty; "wrong" names a colour that the scene does not show; "swapped" names
    another one of `things`. A scene with nothing to swap keeps its sentence.
    """
    if form not in FORMS:
        raise unknown("form of a sentence", form, FORMS)
    if form == "blank":
        return Said("", "")
    if form == "right":
        return Said(sentence, task.target)
    dice = Dice(seed, task.id, "sentence form", form)
    speak = _by_grammar if task.semantics is not None else _by_template
    return speak(task, sentence, form, dice, things)


def _by_template(task: Task, sentence: str, form: str, dice: Dice, things: Sequence[Thing]) -> Said:
    """Return the sentence of a task whose templates have a colour at most."""
    template, color = _matched(task, sentence)
    if form == "swapped":
        return Said(sentence, task.target)
    if form == "wrong":
        named = sorted(t for t, text in task.templates.items() if "{color}" in text and _trained(t))
        chosen = template if template in named else dice.pick(named)
        other = dice.pick([c for c in sorted(PALETTE) if c not in {color or "red", *(t.color for t in things)}])
        return Said(_filled(task.templates[chosen], other), "")
    return Said(_filled(task.templates[_other_template(task, template, form, dice)], color), task.target)


def _by_grammar(task: Task, sentence: str, form: str, dice: Dice, things: Sequence[Thing]) -> Said:
    """Return the sentence of a task whose templates have phrases."""
    found = read(sentence, task.templates)
    if found is None:
        raise _unread(task, sentence)
    template, phrases = found
    first = next(iter(phrases), "")
    names = task.target
    if form == "swapped":
        others = [t for t in things if t.name != task.target and t.name not in phrases]
        if not others or not first:
            return Said(sentence, task.target)
        other = dice.pick(others)
        phrases[first], names = descriptions(things, other.name)[0], other.name
    elif form == "wrong" and first:
        phrases[first], names = _absent(phrases[first], things, dice), ""
    elif form == "unseen":
        phrases = {role: _held_out(phrase) for role, phrase in phrases.items()}
    chosen = template if form in ("swapped", "wrong") else _other_template(task, template, form, dice)
    return Said(task.templates[chosen].format(**{role: str(p) for role, p in phrases.items()}), names)


def _absent(phrase: Phrase, things: Sequence[Thing], dice: Dice) -> Phrase:
    """Return a plain phrase of the same noun in a colour that nothing in the scene has."""
    shown = {phrase.color, *(t.color for t in things)}
    return Phrase(phrase.noun, dice.pick([color for color in sorted(PALETTE) if color not in shown]))


def _held_out(phrase: Phrase) -> Phrase:
    """Return the phrase with a noun that no training sentence has."""
    kind = NOUNS[phrase.noun]
    noun = next((n for n in HELD_OUT_NOUNS if NOUNS[n] == kind), phrase.noun)
    return replace(phrase, noun=noun)


def _other_template(task: Task, template: str, form: str, dice: Dice) -> str:
    """Return another template: of those trained on for a paraphrase, else of those held out."""
    trained = form == "paraphrase"
    names = sorted(name for name in task.templates if _trained(name) == trained and name != template)
    if not names:
        raise UserError(f"The task {task.id} has no other sentence for the form {form!r}. Leave this axis out.")
    return dice.pick(names)


def _trained(template: str) -> bool:
    return not template.startswith("held_out")


def _filled(template: str, color: str) -> str:
    return " ".join(template.format(color=color).split())


def _matched(task: Task, sentence: str) -> tuple[str, str]:
    """Return the template that made the sentence and the colour in it, "" where it says none."""
    colors = "|".join(PALETTE)
    for name, template in task.templates.items():
        pattern = re.escape(template).replace(r"\{color\}\ ", rf"(?:(?P<color>{colors}) )?")
        match = re.fullmatch(pattern, sentence)
        if match is not None:
            return name, match.groupdict().get("color") or ""
    raise _unread(task, sentence)


def _unread(task: Task, sentence: str) -> UserError:
    return UserError(
        f"The sentence {sentence!r} was made by none of the templates of {task.id}, so it has no other forms. "
        "Leave the axes of sentences out, or let the environment say its sentence through the task."
    )
