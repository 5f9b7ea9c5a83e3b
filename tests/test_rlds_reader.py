import json
import shutil

import numpy as np
import pytest

from datagen import features, schema
from datagen.generate import GenerateConfig, generate
from datagen.progress import silent
from datagen.rlds_reader import decode_image, open_dataset
from datagen.rlds_writer import EpisodeRecord, encode_jpeg, serialize, step_columns
from sim.errors import UserError
from tests.datagen_doubles import RENDERER, ToyEnv, ToyPolicy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    config = GenerateConfig(
        task="lift_cube",
        out=out,
        episodes=5,
        image_size=32,
        cameras=("image", "wrist_image"),
        shard_episodes=2,
        unit_episodes=8,
        workers=0,
    )
    return generate(config, policy=ToyPolicy(), progress=silent, worlds=lambda: ToyEnv(8), renderer=RENDERER).path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "toy" / "1.0.0")


def test_version_name_and_parent_folders_open(folder):
    names = {open_dataset(path).path for path in (folder, folder.parent, folder.parent.parent)}
    assert names == {folder}
    dataset = open_dataset(folder)
    assert (dataset.name, dataset.version) == ("lift_cube_v1", "1.0.0")
    assert dataset.splits == {"train": (2, 2, 1)}
    assert "observation/wrist_image" in dataset.keys


def test_several_datasets_are_ambiguous(folder, copy):
    shutil.copytree(copy, copy.parent / "1.1.0")
    with pytest.raises(UserError, match=r"holds 2 datasets.*1\.0\.0.*1\.1\.0"):
        open_dataset(copy.parent)
    assert open_dataset(copy.parent / "1.1.0").path == copy.parent / "1.1.0"


def test_shards_can_be_chosen(folder):
    dataset = open_dataset(folder)
    every = [e.metadata["seed"] for e in dataset.episodes("train")]
    assert [e.metadata["seed"] for e in dataset.episodes("train", shards=[2, 0])] == [every[4], *every[:2]]
    with pytest.raises(UserError, match="no shard 3"):
        list(dataset.episodes("train", shards=[3]))
    with pytest.raises(UserError, match=r"Unknown split 'trian'. Did you mean 'train'"):
        list(dataset.episodes("trian"))


def test_a_truncated_shard_names_the_file_and_destroys_nothing(copy):
    dataset = open_dataset(copy)
    path = dataset.shard_path("train", 1)
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(UserError, match="00001-of-00003 is damaged: record 1"):
        list(dataset.episodes("train"))
    assert path.read_bytes() == data[:-100]
    first = int.from_bytes(data[:8], "little") + 16
    path.write_bytes(data[:first])
    with pytest.raises(UserError, match=r"holds 1 episodes and dataset_info.json promises 2"):
        list(dataset.episodes("train"))
    path.unlink()
    with pytest.raises(UserError, match="00001-of-00003 does not exist"):
        list(dataset.episodes("train"))


def test_what_is_no_dataset_is_told(tmp_path, copy):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no RLDS dataset"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(UserError, match="is no folder"):
        open_dataset(tmp_path / "nothing")
    (copy / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        open_dataset(copy)


def test_other_file_formats_are_refused(copy):
    info = json.loads((copy / "dataset_info.json").read_text())
    (copy / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "array_record"}))
    with pytest.raises(UserError, match=r"'array_record'. Readable: 'tfrecord'"):
        open_dataset(copy)


def test_wrong_columns_are_told_with_those_that_exist(folder):
    episode = next(open_dataset(folder).episodes("train"))
    with pytest.raises(UserError, match="Did you mean 'observation/image'"):
        episode.images("observation/imag")
    with pytest.raises(UserError, match="Unknown image 'action'"):
        episode.images("action")


def test_features_are_written_as_tensorflow_datasets_writes_them(folder):
    top = pytest.importorskip("tensorflow_datasets.core.features.top_level_feature").TopLevelFeature
    for cameras in (("image",), ("image", "wrist_image")):
        leaves = schema.rlds_features(image_size=256, cameras=cameras)
        ours = features.to_json(leaves)
        path = folder.parent.parent / "features"
        path.mkdir(exist_ok=True)
        (path / "features.json").write_text(json.dumps(ours))
        theirs = top.from_config(str(path))
        theirs.save_config(str(path))
        assert json.loads((path / "features.json").read_text()) == ours
        assert set(features.read_features(path)) == set(leaves)
        shutil.rmtree(path)


def test_tensorflow_datasets_knows_the_dataset(folder):
    tfds = pytest.importorskip("tensorflow_datasets")
    info = tfds.builder_from_directory(str(folder)).info
    assert info.splits["train"].num_examples == 5
    assert info.splits["train"].shard_lengths == [2, 2, 1]
    assert info.splits["train"].num_bytes == sum(p.stat().st_size for p in folder.glob("*.tfrecord*"))
    assert [p.name for p in info.splits["train"].filepaths] == sorted(p.name for p in folder.glob("*.tfrecord*"))


def test_foreign_features_are_read_or_refused_by_name(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    f = tfds.features

    def written(**extra):
        steps = f.Dataset({"action": f.Tensor(shape=(2,), dtype=np.float64, encoding="zlib"), **extra})
        tree = f.FeaturesDict({"steps": steps, "label": f.ClassLabel(num_classes=2), "name": f.Scalar(dtype=np.str_)})
        tree.save_config(str(tmp_path))
        return {leaf.key: leaf for leaf in features.read_features(tmp_path)}

    leaves = written(depth=f.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png"))
    assert leaves["steps/action"].encoding == "zlib"
    assert leaves["steps/depth"].shape == (None, None, 1)
    assert leaves["name"].kind == "text"
    assert leaves["label"].dtype == "int64"
    with pytest.raises(UserError, match="'steps/many' is a Sequence, which is not read"):
        written(many=f.Sequence(f.Scalar(dtype=np.int32)))
    f.FeaturesDict({"x": f.Image()}).save_config(str(tmp_path))
    with pytest.raises(UserError, match="no RLDS dataset"):
        features.read_features(tmp_path)


def test_columns_that_do_not_fit_are_refused():
    leaves = schema.rlds_features(image_size=8)
    steps = step_columns(
        states=np.zeros((3, 8), np.float32),
        joints=np.zeros((3, 7), np.float32),
        actions=np.zeros((3, 7), np.float32),
        rewards=np.zeros(3, np.float32),
        terminated=True,
        instruction="x",
        frames={"image": [encode_jpeg(np.zeros((8, 8, 3), np.uint8))] * 3},
    )
    assert steps["is_terminal"].tolist() == [False, False, True]
    assert steps["discount"].tolist() == [1.0, 1.0, 0.0]
    texts = dict.fromkeys(schema.METADATA_TEXTS, "")
    metadata = {**texts, "seed": 1, "success": True, "success_once": True, "perturbed": False}
    assert serialize(EpisodeRecord(steps, metadata), leaves=leaves)
    bad = {"action": np.zeros((3, 6), np.float32), "reward": np.full(3, np.nan, np.float32), "observation/image": [b""]}
    for name, column in bad.items():
        with pytest.raises(ValueError, match=name):
            serialize(EpisodeRecord({**steps, name: column}, metadata), leaves=leaves)
    with pytest.raises(ValueError, match="steps/extra"):
        serialize(EpisodeRecord({**steps, "extra": np.zeros(3)}, metadata), leaves=leaves)


def test_jpeg_of_quality_95_stays_close():
    y, x = np.mgrid[:64, :64]
    frame = np.stack([x * 4, y * 4, 255 - x * 2], axis=-1).astype(np.uint8)
    assert np.abs(decode_image(encode_jpeg(frame)).astype(int) - frame).mean() <= 2
    assert encode_jpeg(frame) == encode_jpeg(frame)
