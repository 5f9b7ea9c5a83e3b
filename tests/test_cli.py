"""The command line: lazy, one paragraph per fault, and the same options everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import demomill
from demomill import Verb, main
from sim.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Inner:
    """A nested part."""

    # How many times.
    times: int = 2


@dataclass(frozen=True)
class Config:
    """What the trial verb takes."""

    # Which task to try.
    task: str
    # How long, s.
    seconds: float = 1.5
    # Whether to hurry.
    fast: bool = False
    # Most tries.
    limit: int | None = None
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Result:
    """What the trial verb returns."""

    config: Config
    path: Path = Path("out/page.html")
    rate: float = float("nan")
    ok: bool = True


def try_it(config: Config) -> Result:
    """Return the config, or fail in the way that the task names."""
    faults: dict[str, Exception | type[BaseException]] = {
        "wrong": UserError("The task is wrong. Allowed: right."),
        "stop": KeyboardInterrupt,
        "full": OSError(28, "No space left on device"),
        "torchless": ModuleNotFoundError("No module named 'torch'", name="torch"),
        "broken": ValueError("our own fault"),
    }
    if config.task in faults:
        raise faults[config.task]
    return Result(config, ok=config.task != "negative")


@dataclass(frozen=True)
class PolicyConfig:
    """A job that names a policy, and lists of parts."""

    # Who acts.
    policy: str
    parts: tuple[Inner, ...]
    inner: Inner


def give_policy(config: PolicyConfig, *, policy: Any) -> Result:
    """Return what was loaded, as the task."""
    return Result(Config(task=policy, inner=config.parts[0]))


def give_policies(config: Config, *, policies: Mapping[str, Callable[[], Any]]) -> Result:
    """Return what was loaded, as the task."""
    return Result(Config(task=" + ".join(f"{name}: {load()}" for name, load in policies.items())))


@pytest.fixture
def verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put trial verbs in the place of the real ones."""
    module = ModuleType("trial_verbs")
    module.__dict__.update(try_it=try_it, give_policy=give_policy, give_policies=give_policies)
    loading = ModuleType("policies.loading")
    loading.__dict__["load_policy"] = lambda name: f"loaded {name}"
    monkeypatch.setitem(sys.modules, "policies.loading", loading)
    monkeypatch.setitem(sys.modules, "trial_verbs", module)
    table = (
        Verb("try", "trial_verbs:try_it", "a trial", positional="task"),
        Verb("job", "trial_verbs:try_it", "a trial with a job file", job=True),
        Verb("roll", "trial_verbs:give_policy", "a trial with a policy", job=True),
        Verb("judge", "trial_verbs:give_policies", "a trial with policies", positional="policy"),
    )
    monkeypatch.setattr(demomill, "VERBS", table)


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, demomill; demomill.main(['--help']);"
        "heavy = {'numpy', 'torch', 'mujoco', 'tyro', 'rich', 'mani_skill', 'tensorflow'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.3
    for verb in demomill.VERBS:
        assert verb.name in done.stdout


@pytest.mark.parametrize("verb", demomill.VERBS, ids=lambda verb: verb.name)
def test_every_verb_explains_its_options(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb.name, "--help"])
    assert ended.value.code == 0
    assert f"usage: demomill {verb.name}" in capsys.readouterr().out


def test_no_verb_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: demomill VERB" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == demomill.__version__


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generat"]) == 2
    told = capsys.readouterr().err
    assert "Did you mean 'generate'?" in told
    assert "Traceback" not in told


@pytest.mark.usefixtures("verbs")
class TestParsing:
    """Options come from the dataclass."""

    def result(self, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
        assert main([*words, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    def test_positional_and_options_in_any_order(self, capsys: pytest.CaptureFixture[str]) -> None:
        wanted = {"task": "lift", "seconds": 3.0, "fast": True, "limit": None, "inner": {"times": 4}}
        options = ["--seconds", "3", "--fast", "--inner.times", "4"]
        assert self.result(capsys, "try", "lift", *options)["config"] == wanted
        assert self.result(capsys, "try", *options, "lift")["config"] == wanted

    def test_json_has_plain_values_only(self, capsys: pytest.CaptureFixture[str]) -> None:
        answer = self.result(capsys, "try", "lift")
        assert answer["path"] == "out/page.html"
        assert answer["rate"] is None

    def test_comments_are_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["try", "--help"])
        told = capsys.readouterr().out
        assert "How long, s." in told
        assert "Which task to try." in told
        assert "How many times." in told

    def test_the_help_shows_what_may_be_unset_as_what_it_is(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(["job", "--help"])
        told = capsys.readouterr().out
        assert re.search(r"--limit INT\s", told)
        assert "{None}" not in told
        assert "(default: unset)" in told
        assert "--json prints" in told
        job = tmp_path / "job.toml"
        job.write_text('task = "lift"\nlimit = 7\n')
        with pytest.raises(SystemExit):
            main(["job", str(job), "--help"])
        assert "(default: unset)" not in capsys.readouterr().out
        assert self.result(capsys, "job", str(job))["config"]["limit"] == 7
        assert self.result(capsys, "job", str(job), "--limit", "None")["config"]["limit"] is None

    def test_job_file_and_overrides(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        job = tmp_path / "job.toml"
        job.write_text('task = "lift"\nseconds = 9\n[inner]\ntimes = 7\n')
        assert self.result(capsys, "job", str(job))["config"] == {
            "task": "lift",
            "seconds": 9.0,
            "fast": False,
            "limit": None,
            "inner": {"times": 7},
        }
        changed = self.result(capsys, "job", "--inner.times", "8", "--fast", str(job))["config"]
        assert changed == {"task": "lift", "seconds": 9.0, "fast": True, "limit": None, "inner": {"times": 8}}

    def test_unknown_key_in_the_job_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        job = tmp_path / "job.toml"
        job.write_text('task = "lift"\nsecond = 9\n')
        assert main(["job", str(job)]) == 2
        assert "unknown key 'second'. Did you mean 'seconds'?" in capsys.readouterr().err

    def test_job_file_is_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["job"]) == 2
        assert "demomill job JOB.toml" in capsys.readouterr().err
        assert main(["job", "absent.toml"]) == 2
        assert "does not exist" in capsys.readouterr().err

    def test_wrong_option_ends_with_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["try", "lift", "--secnds", "3"])
        assert ended.value.code == 2

    def test_policy_is_loaded_and_handed_over(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        job = tmp_path / "job.toml"
        job.write_text('policy = "expert:lift"\n[[parts]]\ntimes = 5\n[inner]\n')
        answer = self.result(capsys, "roll", str(job))["config"]
        assert (answer["task"], answer["inner"]["times"]) == ("loaded expert:lift", 5)
        changed = self.result(capsys, "roll", str(job), "--policy", "random", "--parts.0.times", "6")["config"]
        assert (changed["task"], changed["inner"]["times"]) == ("loaded random", 6)

    def test_several_policies_are_handed_over(self, capsys: pytest.CaptureFixture[str]) -> None:
        answer = self.result(capsys, "judge", "--task", "lift", "one", "two", "--seconds", "2")
        assert answer["config"]["task"] == "one: loaded one + two: loaded two"

    @pytest.mark.parametrize("verb", ["try", "job", "roll", "judge"])
    def test_help_needs_no_job_file(self, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
        assert "required" in capsys.readouterr().out


@pytest.mark.usefixtures("verbs")
class TestFaults:
    """One paragraph and an exit status; a traceback only for faults of ours."""

    @pytest.mark.parametrize(
        ("task", "status", "told"),
        [
            ("wrong", 2, "The task is wrong. Allowed: right."),
            ("stop", 130, "run the same command again to resume"),
            ("full", 2, "the disk is full"),
            ("torchless", 2, "pip install 'demomill[vla]'"),
        ],
    )
    def test_told_without_a_traceback(
        self, task: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["try", task]) == status
        out, err = capsys.readouterr()
        assert told in err
        assert "Traceback" not in err
        assert not out

    def test_our_own_faults_are_not_hidden(self) -> None:
        with pytest.raises(ValueError, match="our own fault"):
            main(["try", "broken"])

    def test_a_result_that_is_not_ok_ends_with_2(self) -> None:
        assert main(["try", "negative"]) == 2

    def test_a_result_without_json_is_one_line_per_field(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["try", "lift"]) == 0
        assert "path    out/page.html" in capsys.readouterr().out
