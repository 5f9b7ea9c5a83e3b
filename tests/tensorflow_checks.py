"""Our datasets through tensorflow_datasets with TensorFlow, and its datasets through our reader: equal contents.

test_rlds_tensorflow.py runs this file in a process of its own.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from datagen.generate import GenerateConfig, generate
from datagen.loaders import snippets
from datagen.progress import silent
from datagen.rlds_reader import open_dataset
from datagen.schema import ANNOTATIONS
from tests.datagen_doubles import ANNOTATOR, RENDERER, ToyEnv, ToyPolicy
from tests.foreign_layouts import LAYOUTS, write_foreign


def flat(step, prefix=""):
    """Return nested values as one level, keys joined by "/"."""
    found = {}
    for key, value in step.items():
        found |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def assert_equal_episodes(ours, theirs):
    steps = [flat(step) for step in theirs["steps"].as_numpy_iterator()]
    assert len(steps) == ours.length
    assert set(steps[0]) == set(ours.steps)
    for key, column in ours.steps.items():
        values = column
        if isinstance(column, list) and steps[0][key].__class__ is not bytes:
            values = ours.images(key)
        for t, step in enumerate(steps):
            np.testing.assert_array_equal(values[t], step[key], err_msg=f"{key} at step {t}")
            if isinstance(step[key], np.ndarray | np.generic):
                assert values[t].dtype == step[key].dtype, key
    metadata = {k: v.numpy() for k, v in flat({k: v for k, v in theirs.items() if k != "steps"}).items()}
    assert {k.removeprefix("episode_metadata/") for k in metadata} == set(ours.metadata)
    for key, value in metadata.items():
        mine = ours.metadata[key.removeprefix("episode_metadata/")]
        assert (mine.encode() if isinstance(mine, str) else mine) == value, key


@pytest.mark.parametrize("annotations", [(), ANNOTATIONS])
def test_tensorflow_reads_our_dataset_with_equal_content(tmp_path, annotations):
    config = GenerateConfig(
        task="lift_cube",
        out=tmp_path,
        episodes=7,
        val_episodes=2,
        image_size=64,
        cameras=("image", "wrist_image"),
        shard_episodes=3,
        unit_episodes=8,
        workers=0,
        perturb_share=0.5,
        perturb_std=0.2,
        annotations=annotations,
    )
    path = generate(config, policy=ToyPolicy(), progress=silent, worlds=lambda: ToyEnv(8), renderer=ANNOTATOR).path
    builder = tfds.builder_from_directory(str(path))
    for split, count in (("train", 7), ("val", 2)):
        theirs = list(builder.as_dataset(split=split, shuffle_files=False))
        ours = list(open_dataset(path).episodes(split))
        assert len(ours) == len(theirs) == count
        for a, b in zip(ours, theirs, strict=True):
            assert_equal_episodes(a, b)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layouts_of_others_are_what_tensorflow_datasets_reads(tmp_path, name):
    folder = write_foreign(tmp_path, name)
    theirs = list(tfds.builder_from_directory(str(folder)).as_dataset(split="train", shuffle_files=False))
    ours = list(open_dataset(folder).episodes("train"))
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        assert_equal_episodes(a, b)


@pytest.mark.parametrize("cameras", [("image",), ("image", "wrist_image")])
def test_the_code_on_the_card_loads_the_dataset(tmp_path, monkeypatch, cameras):
    """Run the card's own code: the reading loops, and the entries of OpenVLA and Octo on a batched trajectory."""
    config = GenerateConfig(
        task="lift_cube", out=tmp_path, episodes=3, image_size=32, cameras=cameras, unit_episodes=8, workers=0
    )
    path = generate(config, policy=ToyPolicy(), progress=silent, worlds=lambda: ToyEnv(8), renderer=RENDERER).path
    code = {each.title: each.code for each in snippets(open_dataset(path).description)}
    monkeypatch.chdir(tmp_path)
    for title in ("tensorflow-datasets", "demomill"):
        seen = {}
        exec(compile(code[title], title, "exec"), seen)
        assert seen.get("actions", seen.get("action")).shape[-1] == 7
    registries = ("OXE_DATASET_CONFIGS", "OXE_STANDARDIZATION_TRANSFORMS", "OXE_NAMED_MIXTURES")
    names = SimpleNamespace(POS_QUAT="POS_QUAT", EEF_POS="EEF_POS")
    encodings = dict.fromkeys(("StateEncoding", "ActionEncoding", "ProprioEncoding"), names)
    for title in ("OpenVLA", "Octo"):
        space = {**{name: {} for name in registries}, **encodings}
        exec(compile(code[title], title, "exec"), space)
        entry = space["OXE_DATASET_CONFIGS"]["lift_cube_v1"]
        assert entry["image_obs_keys"] == {
            "primary": "image", "secondary": None, "wrist": "wrist_image" if len(cameras) > 1 else None
        }  # fmt: skip
        episode = next(iter(tfds.builder_from_directory(str(path)).as_dataset(split="train")))
        batched = next(iter(episode["steps"].batch(1000)))
        done = space["OXE_STANDARDIZATION_TRANSFORMS"]["lift_cube_v1"](batched)
        key = "proprio" if title == "Octo" else entry["state_obs_keys"][0]
        assert done["observation"][key].shape[-1] == 8
        assert done["action"].shape[-1] == 7
        assert done["language_instruction"].dtype.name == "string"


def _foreign_builder(folder):
    f = tfds.features

    class ForeignRobot(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.3")

        def _info(self):
            observation = {
                "image": f.Image(shape=(16, 24, 3), encoding_format="png"),
                "state": f.Tensor(shape=(5,), dtype=np.float64),
            }
            steps = {
                "observation": observation,
                "action": f.Tensor(shape=(2, 3), dtype=np.float32),
                "code": f.Tensor(shape=(4,), dtype=np.int32, encoding="zlib"),
                "is_first": f.Scalar(dtype=np.bool_),
                "language_instruction": f.Text(),
            }
            metadata = {
                "file_path": f.Text(),
                "label": f.ClassLabel(names=["a", "b"]),
                "pose": f.Tensor(shape=(2,), dtype=np.float32),
            }
            return self.dataset_info_from_configs(
                features=f.FeaturesDict({"steps": f.Dataset(steps), "episode_metadata": metadata}),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(9), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            rng = np.random.default_rng(count)
            for number in range(count):
                steps = [
                    {
                        "observation": {
                            "image": rng.integers(0, 255, (16, 24, 3), dtype=np.uint8),
                            "state": rng.random(5),
                        },
                        "action": rng.random((2, 3)).astype(np.float32),
                        "code": rng.integers(0, 9, 4).astype(np.int32),
                        "is_first": t == 0,
                        "language_instruction": f"do {number}",
                    }
                    for t in range(3 + number)
                ]
                metadata = {"file_path": f"/{number}", "label": number % 2, "pose": np.array([number, 1], np.float32)}
                yield number, {"steps": steps, "episode_metadata": metadata}

    builder = ForeignRobot(data_dir=str(folder))
    builder.download_and_prepare()
    return builder


def test_our_reader_reads_what_tensorflow_datasets_wrote(tmp_path):
    builder = _foreign_builder(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.version) == ("foreign_robot", "1.2.3")
    assert dataset.statistics is None
    for split in ("train", "test"):
        theirs = list(builder.as_dataset(split=split, shuffle_files=False))
        ours = list(dataset.episodes(split))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.metadata.pop("pose"), b["episode_metadata"].pop("pose"))
            assert_equal_episodes(a, b)
