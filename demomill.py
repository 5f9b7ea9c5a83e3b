"""The command line: a table of verbs, each bound to one function that is imported only when its verb is typed."""

from __future__ import annotations

import copy
import functools
import importlib
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from sim.errors import UserError, unknown
from sim.faults import told_missing, told_system

__version__ = "0.1.0"


@dataclass(frozen=True)
class Verb:
    """One verb: the function that does it takes one frozen dataclass and returns a small result dataclass.

    A function with an argument `policy` is handed the policy that the field `policy` names.
    """

    name: str
    # "module:function".
    target: str
    # One line for the overview.
    summary: str
    # Field of the dataclass that can be given without its option's name. A field that the dataclass lacks takes the
    # policies that the function is handed as `policies=`.
    positional: str | None = None
    # The dataclass is filled from a TOML file, named first; options on the command line go before the file's values.
    job: bool = False


VERBS = (
    Verb("doctor", "bench.doctor:doctor", "what can run on this machine, and the command that mends what cannot"),
    Verb("check-engine", "bench.check_engine:check_engine", "compare an engine with MuJoCo, check by check", "engine"),
    Verb("tasks", "policies.task_list:list_tasks", "the catalogue: tasks, instructions, twins, shipped experts"),
    Verb("train-expert", "policies.train_expert:train_expert", "train a PPO expert on randomized worlds", "task"),
    Verb("evaluate-expert", "policies.evaluate_expert:evaluate_expert", "measure an expert's success", "task"),
    Verb("transfer", "bench.transfer:transfer", "experts on other engines: success, engine x engine", "experts"),
    Verb("generate", "datagen.several:generate_job", "make filtered demonstrations (RLDS)", job=True),
    Verb(
        "import",
        "datagen.importing.import_recording:import_recording",
        "a recording of robosuite or ManiSkill (HDF5) -> RLDS",
        "recording",
    ),
    Verb("inspect", "datagen.inspection.inspect_dataset:inspect_dataset", "what is in an RLDS dataset", "dataset"),
    Verb("verify", "datagen.verify:verify", "whether a dataset is what it says, byte for byte", "dataset"),
    Verb("mix", "datagen.mixture:mix", "what a mixture will really draw: exact counts per source", job=True),
    Verb("train-vla", "policies.vla.train:train_vla", "train a vision-language-action policy on a mixture", job=True),
    Verb("finetune", "policies.pretrained.finetune:finetune", "adapt a pretrained VLA to a mixture (LoRA)", job=True),
    Verb("dagger", "policies.vla.dagger:dagger", "rounds of acting, labelling by the expert and training on", job=True),
    Verb("bench", "bench.reproduce:bench_verb", "judge a policy in held-out worlds of other simulators", "policy"),
    Verb("check-policy", "bench.check_policy:check_policy", "what a policy and the hosts mean, and a probe", "policy"),
    Verb("serve", "policies.serve.command:serve", "a policy server that speaks the openpi protocol", "policy"),
    Verb("compare", "bench.compare:compare", "two policies on the same episodes, and which is better", "runs"),
    Verb("view", "bench.pages:view", "one self-contained HTML page of finished runs", "runs"),
    Verb("ablate", "bench.ablate:ablate", "a grid of settings, trained and benchmarked, in one report", job=True),
    Verb("overnight", "bench.overnight:overnight", "all of it in order, resumable", job=True),
)

ISAACGYM = "--isaacgym-python"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0, 2 after a fault of the user's, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except UserError as error:
        print(f"demomill: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        return told_missing(error)
    except OSError as error:
        return told_system(error)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        return 130


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    verbs = {verb.name: verb for verb in VERBS}
    if words[0] not in verbs:
        raise unknown("verb", words[0], verbs, hint="Type: demomill --help")
    from sim.results import show

    verb, rest = verbs[words[0]], _without_interpreter(words[1:])
    as_json = "--json" in rest
    result = _call(verb, [word for word in rest if word != "--json"])
    show(result, as_json=as_json)
    return 0 if getattr(result, "ok", True) else 2


def _without_interpreter(words: list[str]) -> list[str]:
    """Take `--isaacgym-python PATH` out of the words; it names the Isaac Gym engine's interpreter for this command."""
    words = [part for word in words for part in (word.split("=", 1) if word.startswith(f"{ISAACGYM}=") else [word])]
    if ISAACGYM not in words:
        return words
    place = words.index(ISAACGYM)
    if place + 1 == len(words):
        raise UserError(f"{ISAACGYM} names a Python interpreter. Type: {ISAACGYM} /path/to/python3.8")
    os.environ["DEMOMILL_ISAACGYM_PYTHON"] = words[place + 1]
    return words[:place] + words[place + 2 :]


def overview() -> str:
    """Return the help text: one line per verb."""
    width = max(len(verb.name) for verb in VERBS) + 2
    lines = "\n".join(f"  {verb.name:{width}}{verb.summary}" for verb in VERBS)
    return (
        "demomill turns a simulated task into a benchmarked vision-language-action policy.\n\n"
        f"usage: demomill VERB [options]\n\n{lines}\n\n"
        "demomill VERB --help lists the options of a verb; --json prints its result as JSON;\n"
        f"{ISAACGYM} PATH names the interpreter that the engine isaacgym lives in."
    )


def _call(verb: Verb, words: list[str]) -> Any:
    """Read the options, call the verb's function and return its result."""
    module, name = verb.target.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    hints = typing.get_type_hints(function)
    if "config" not in hints:
        if {"-h", "--help"} & set(words):
            print(f"usage: demomill {verb.name} [--json]\n\n{verb.summary}")
            raise SystemExit(0)
        if words:
            raise UserError(f"demomill {verb.name} takes no options but --json; got {' '.join(words)!r}.")
        return function()
    config, named = parse(verb, hints["config"], words)
    if "policy" in hints:
        return function(config, policy=_load_policy()(config.policy))
    if "load_policy" in hints:
        return function(config, load_policy=lambda each: _load_policy()(each))
    if "policies" in hints:
        return function(config, policies={each: functools.partial(_load_policy(), each) for each in named})
    return function(config)


def _load_policy() -> Callable[[str], Any]:
    load: Callable[[str], Any] = importlib.import_module("policies.loading").load_policy
    return load


def parse(verb: Verb, kind: type[Any], words: list[str]) -> tuple[Any, tuple[str, ...]]:
    """Return the dataclass `kind` filled from the job file, if the verb takes one, and from the options in `words`.

    The second value holds the words of a positional that is no field of `kind`.
    """
    import tyro

    from sim.jobs import check_numbers, load_toml, refuse_empty_paths

    default: Any = _blank(kind)
    if verb.job:
        jobs = [word for word in words if word.endswith(".toml")][:1]
        if not jobs and not {"-h", "--help"} & set(words):
            raise UserError(f"demomill {verb.name} needs a job file, NAME.toml. Type: demomill {verb.name} JOB.toml")
        words = [word for word in words if word not in jobs]
        default = load_toml(Path(jobs[0]), kind) if jobs else default
    shown = _shown(kind, verb.positional)
    usage = f"demomill {verb.name}" + (" JOB.toml" if verb.job else "")
    values = {name: getattr(default, name) for name in kind.__dataclass_fields__}
    start = _filled(shown, dict.fromkeys(shown.__dataclass_fields__, tyro.MISSING) | values)
    parsed = tyro.cli(
        shown, prog=usage, description=f"{verb.summary}; --json prints the result as JSON", args=words, default=start
    )
    check_numbers(parsed, "")
    refuse_empty_paths(parsed, words)
    named = getattr(parsed, verb.positional or "", ())
    return kind(**{name: getattr(parsed, name) for name in values}), named if isinstance(named, tuple) else ()


def _blank(kind: type[Any]) -> Any:
    """Return `kind` with its defaults and with marks where it has none, unchecked."""
    import tyro

    values: dict[str, Any] = {}
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        if field.default is not MISSING:
            values[field.name] = field.default
        elif field.default_factory is not MISSING:
            values[field.name] = field.default_factory()
        elif is_dataclass(hints[field.name]):
            values[field.name] = _blank(hints[field.name])
        else:
            values[field.name] = () if _holds_dataclasses(hints[field.name]) else tyro.MISSING
    return _filled(kind, values)


def _holds_dataclasses(hint: Any) -> bool:
    """Return whether `hint` is a tuple of dataclasses, which only a job file can fill."""
    return typing.get_origin(hint) is tuple and is_dataclass(typing.get_args(hint)[0])


def _filled(kind: type[Any], values: dict[str, Any]) -> Any:
    """Return `kind` holding `values`, without its checks: it is only the start that options are laid over."""
    instance = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(instance, name, value)
    return instance


def _shown(kind: type[Any], positional: str | None) -> type[Any]:
    """Return `kind` as its help shows it: what may be unset is shown as what it is when it is set.

    The field `positional` is accepted without its option's name, and added where `kind` lacks it.
    """
    import tyro

    from sim.jobs import shown_type

    hints, known = typing.get_type_hints(kind), kind.__dataclass_fields__
    changed: list[Any] = []
    for name, hint in hints.items():
        if name in known and name != positional and (words := shown_type(hint)):
            arg = tyro.conf.arg(metavar=words, help_behavior_hint=lambda d: f"(default: {d.replace('None', 'unset')})")
            changed.append((name, typing.Annotated[hint, arg], copy.copy(known[name])))
    if positional is not None:
        several = positional not in known or typing.get_origin(hints[positional]) is tuple
        metavar = positional.upper().removesuffix("S") + (" ..." if several else "")
        forms = "One or more: expert:TASK, a checkpoint's folder, module:attribute, ws://HOST:PORT, random."
        told: dict[str, Any] = {} if positional in known else {"help": forms}
        arg = tyro.conf.arg(metavar=metavar, help_behavior_hint="(required)", **told)
        hint = typing.Annotated[hints.get(positional, tuple[str, ...]), tyro.conf.Positional, arg]
        field = copy.copy(known[positional]) if positional in known else dataclass_field(kw_only=True)
        changed.append((positional, hint, field))
    namespace = {"__module__": kind.__module__}  # The comments that explain the fields are found through it.
    return make_dataclass(kind.__name__, changed, bases=(kind,), frozen=True, namespace=namespace)


if __name__ == "__main__":
    sys.exit(main())
