import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from datagen.mixture import MixConfig, SourceConfig
from policies.expert_settings import TrainExpertConfig
from policies.train_expert import train_expert
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.errors import UserError
from sim.locks import alone_in
from tests.small_data import write_dataset

HOLD = "import sys, time, pathlib; from sim.locks import alone_in\n"
HOLD += "with alone_in(pathlib.Path(sys.argv[1]), doing='training'):\n    print('held', flush=True); time.sleep(600)"


def test_a_folder_is_held_by_one_process_and_free_when_that_is_killed(tmp_path):
    folder = tmp_path / "runs" / "vla"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    told = f"Another process is training in {folder} right now"
    with pytest.raises(UserError, match=told), alone_in(folder, doing="training"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with alone_in(folder, doing="training"):
        (folder / "checkpoint.json").write_text("{}")
    assert [path.name for path in folder.iterdir()] == ["checkpoint.json"]


def test_what_was_made_for_nothing_goes_again_and_what_was_there_stays(tmp_path):
    (tmp_path / "old").mkdir()
    for name in ("new", "old"):
        with pytest.raises(UserError, match="no such preset"), alone_in(tmp_path / name, doing="training"):
            raise UserError("no such preset")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_in_which_something_is_being_trained_is_refused(tmp_path):
    data = MixConfig(sources=(SourceConfig(write_dataset(tmp_path)),))
    config = TrainVlaConfig(data=data, out=tmp_path / "vla", preset="debug", steps=1, threads=1)
    expert = TrainExpertConfig("lift_cube", out=config.out, worlds=128, max_steps=2048, episodes=8)
    with alone_in(config.out, doing="training"):
        for train in (lambda: train_vla(config), lambda: train_expert(expert)):
            with pytest.raises(UserError, match="Another process is training"):
                train()
        train_vla(replace(config, out=tmp_path / "other"))
    assert train_vla(config).steps == 1
