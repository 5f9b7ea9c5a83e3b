"""A generation watched from outside: status, log and summary, however it ends."""

import multiprocessing
import os
import signal

import pytest

from datagen.diagnosis import AcceptanceCollapsed
from datagen.generate import generate
from datagen.layout import Place
from datagen.progress import Progress, silent
from datagen.status import Watch, watch_folder
from sim.errors import UserError
from sim.files import read_json
from tests.datagen_doubles import RENDERER, TASK, ToyEnv, ToyPolicy
from tests.test_datagen_generate import config, run


def told(out):
    folder = watch_folder(config(out).place(TASK))
    return read_json(folder / "status.json"), (folder / "log.txt").read_text()


def test_a_finished_generation_leaves_status_log_and_summary(tmp_path):
    made = run(config(tmp_path))
    status, log = told(tmp_path)
    assert status["state"] == "finished"
    assert status["progress"]["written"] == status["progress"]["wanted"] == 24
    assert 0 < status["acceptance"] < 1
    assert status["disk_free"] > 0
    assert status["estimate"]["bytes"] > 0
    summary = (watch_folder(config(tmp_path).place(TASK)) / "summary.txt").read_text()
    assert f"{made.path}: 24 episodes, {made.steps} steps" in summary
    assert "train: kept" in summary
    assert "estimate: 0:0" in log
    assert log.count("finished:") == 1


@pytest.mark.parametrize("case", ["keyboard", "worker", "collapse", "fault"])
def test_every_pause_is_explained(tmp_path, case):
    def interrupt(progress):
        if case == "keyboard" and progress.written:
            raise KeyboardInterrupt
        if case == "worker":
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
        if case == "fault" and progress.written:
            raise RuntimeError("a fault of ours")

    expected = {
        "keyboard": (KeyboardInterrupt, "paused", "interrupted from the keyboard"),
        "worker": (UserError, "paused", "worker process that renders frames died"),
        "collapse": (AcceptanceCollapsed, "stopped", "Hardly any episode passes"),
        "fault": (RuntimeError, "paused", "RuntimeError: a fault of ours"),
    }
    kind, state, why = expected[case]
    job = config(tmp_path, workers=1 if case == "worker" else 0)
    with pytest.raises(kind):
        generate(
            job,
            policy=ToyPolicy(),
            progress=interrupt,
            worlds=lambda: ToyEnv(8, failures=1.1 if case == "collapse" else 0.3),
            renderer=RENDERER,
        )
    status, log = told(tmp_path)
    assert status["state"] == state
    assert why in status["message"]
    assert f"{state}: " in log
    assert why in log
    if case != "collapse":
        found = len(list(tmp_path.rglob("work/shards/*.json")))
        run(config(tmp_path))
        summary = (watch_folder(job.place(TASK)) / "summary.txt").read_text()
        assert f", {24 - 4 * found} episodes," in summary
        assert told(tmp_path)[0]["state"] == "finished"
        assert told(tmp_path)[1].count("started:") == 2


def test_the_rate_is_that_of_the_last_minutes_and_writing_never_stops_the_work(tmp_path):
    now = [0.0]
    watch = Watch(Place(tmp_path, "some"), silent, clock=lambda: now[0])
    for written in (0, 10, 20, 400):
        watch(Progress(wanted=1000, kept=500, candidates=800, accepted=500, written=written, size=1))
        now[0] += 200.0
    status = read_json(watch.folder / "status.json")
    assert watch.rate() == pytest.approx((400 - 20) / 200)
    assert status["seconds_left"] == pytest.approx(600 / watch.rate(), rel=0.01)
    blocked = Place(tmp_path / "file" / "below", "some")
    (tmp_path / "file").write_text("no folder")
    Watch(blocked, silent)(Progress(wanted=1, kept=0, candidates=0, accepted=0, written=0, size=0))
    assert not (tmp_path / "file").is_dir()
