import json

import numpy as np
import pytest

from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig, mix
from policies.vla.checkpoint import load_checkpoint
from policies.vla.normalization import Statistics, _quantiles, mixture_statistics, statistics_from_json
from policies.vla.settings import TrainVlaConfig
from policies.vla.train import train_vla
from sim.errors import UserError
from sim.files import digest_json
from tests.small_data import write_dataset


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    one = write_dataset(out, name="one", lengths=(12, 9, 15))
    two = write_dataset(out, name="two", lengths=(8, 8), seed=1)
    return MixConfig(sources=(SourceConfig(one, 90), SourceConfig(two, 10)), normalization="quantiles")


def test_quantiles_of_a_mixture_weigh_each_source_by_its_share():
    stream = np.random.default_rng(0)
    parts = [stream.normal(size=(400, 2)).astype(np.float32), stream.normal(5, 1, size=(100, 2)).astype(np.float32)]
    middle, half = _quantiles(parts, (0.5, 0.5))
    repeated = np.concatenate([parts[0], *[parts[1]] * 4])
    low, high = np.quantile(repeated, [0.01, 0.99], axis=0, method="inverted_cdf")
    assert np.allclose(middle - half, low)
    assert np.allclose(middle + half, high)


def test_the_1st_and_99th_percentile_become_minus_one_and_one(config):
    data = load_mixture(config, LoadOptions(image_size=32, threads=1))
    statistics = mixture_statistics(data)
    arm = np.concatenate([arrays.action[:, :6] for arrays in data.train])
    normalized = statistics.normalize_arm(arm)
    inside = (np.abs(normalized[:, :2]) <= 1 + 1e-5).mean()
    assert inside >= 0.95
    assert normalized[:, 0].max() >= 1 - 1e-5
    assert np.allclose(statistics.restore_arm(normalized), arm, atol=1e-6)


def test_the_method_is_part_of_the_fingerprint_and_of_the_mixtures_digest(config):
    figures = ((0.0,) * 8, (1.0,) * 8, (0.0,) * 6, (1.0,) * 6)
    plain, other = Statistics(*figures), Statistics(*figures, method="quantiles")
    assert plain.fingerprint != other.fingerprint
    names = ("state_mean", "state_std", "arm_mean", "arm_std")
    assert plain.fingerprint == digest_json(dict(zip(names, map(list, figures), strict=True)))
    from dataclasses import replace

    assert mix(config).digest != mix(replace(config, normalization="mean_std")).digest


def test_a_checkpoint_carries_its_method_and_refuses_another(config, tmp_path):
    folder = train_vla(
        TrainVlaConfig(data=config, out=tmp_path / "checkpoint", preset="debug", steps=2, threads=1)
    ).folder
    assert load_checkpoint(folder).statistics.method == "quantiles"
    record = json.loads((folder / "checkpoint.json").read_text())
    for method, word in (("mean_std", "were altered"), ("minmax", "not complete")):
        changed = dict(record["statistics"]) | {"method": method}
        with pytest.raises(UserError, match=word):
            statistics_from_json(changed, fingerprint=record["statistics_fingerprint"], source="x")
