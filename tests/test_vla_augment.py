"""Random variations: the same for whoever computes them, and each leaves true what the sample says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.loader import LoadOptions, load_mixture, sample_numbers
from datagen.mixture import MixConfig, SourceConfig
from datagen.paraphrases import told_otherwise
from policies.vla.ahead import Ahead
from policies.vla.augment import draw
from policies.vla.feed import Feed
from policies.vla.mirror import mirror_actions, mirror_points, mirror_sentence, mirror_state
from policies.vla.normalization import mixture_statistics
from policies.vla.pixels import blur, crop, erase, grain
from policies.vla.presets import PRESETS, Augment
from sim.engine import make_engine
from sim.streams import episode_seed
from tasks.catalogue import TASKS, load_task
from tasks.env import canonical_state
from tasks.grammar import denoted, read
from tests.small_data import write_dataset

NOTHING = Augment(shift=0, jitter=0.0, state_noise=0.0)
ALL = Augment(
    crop=0.1, blur=1.0, noise=0.05, erase=0.5, paraphrase=0.5, action_noise=0.1, skip=2, mirror=0.5
)  # with shift, jitter and noise on the state as they are


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    both = ("image", "wrist_image")
    folder = write_dataset(tmp_path_factory.mktemp("data"), lengths=(12, 9, 15, 11), cameras=both)
    options = LoadOptions(image_size=32, wrist_size=16, paraphrase=True)
    return load_mixture(MixConfig(sources=(SourceConfig(folder),)), options)


def feed(data, augment, **changes):
    preset = replace(PRESETS["debug"], augment=augment, wrist_size=16, **changes)
    return Feed(data, mixture_statistics(data), preset, seed=5)


def rows(inputs):
    """Everything that a batch of inputs holds, by name."""
    return {k: v for k, v in vars(inputs).items() if k != "wanted"} | vars(inputs.wanted)


def same(one, two):
    return all(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in zip(one, two, strict=True))


def test_a_sample_is_the_same_in_whatever_batch_process_or_pass_it_comes(data):
    numbers = np.arange(16)
    whole = rows(feed(data, ALL).samples(numbers))
    for part in (numbers[:5], numbers[5:6], numbers[6:]):
        piece = rows(feed(data, ALL).samples(part))
        assert same([piece[name] for name in whole], [whole[name][part] for name in whole])
    passes = feed(data, ALL, batch=16, accumulate=4).training(0)
    assert same([torch.cat([rows(p)[name] for p in passes]) for name in whole], list(whole.values()))
    ranks = [feed(data, ALL, batch=16).training(0, rank=k, ranks=2)[0] for k in (0, 1)]
    order = np.concatenate([sample_numbers(0, 16, rank=k, ranks=2) for k in (0, 1)])
    assert same([torch.cat([rows(r)[name] for r in ranks]) for name in whole], [whole[n][order] for n in whole])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_batches_made_ahead_are_the_same_for_any_number_of_threads(data, count):
    made = feed(data, ALL)
    ahead = Ahead(made.training, first=3, count=count)
    found = [next(ahead)[0] for _ in range(4)]
    ahead.close()
    for step, inputs in enumerate(found, start=3):
        alone = feed(data, ALL).training(step)[0]
        assert same(list(rows(inputs).values()), list(rows(alone).values()))


def test_what_fails_in_a_thread_fails_in_the_loop(data):
    def make(step):
        raise OSError(f"step {step}")

    ahead = Ahead(make, first=7, count=2)
    with pytest.raises(OSError, match="step 7"):
        next(ahead)
    ahead.close()


def test_without_variations_a_sample_is_what_the_dataset_holds(data):
    numbers = np.arange(12)
    varied, plain = feed(data, NOTHING).samples(numbers), feed(data, NOTHING).plain(data.batch(numbers))
    for name in ("pixels", "near", "words", "state"):
        assert torch.equal(getattr(varied, name), getattr(plain, name))
    assert same(list(vars(varied.wanted).values()), list(vars(plain.wanted).values()))


@pytest.mark.parametrize("name", ["crop", "blur", "noise", "erase", "action_noise", "skip", "mirror"])
def test_each_variation_changes_only_what_it_is_about(data, name):
    numbers = np.arange(24)
    plain = rows(feed(data, NOTHING).samples(numbers))
    other = rows(feed(data, replace(NOTHING, **{name: 2 if name == "skip" else 0.4})).samples(numbers))
    changed = {key for key in plain if not same([plain[key]], [other[key]])}
    seen = {"pixels", "points", "near", "wrist_points"}
    allowed = {"action_noise": {"arm"}, "mirror": {*seen, "words", "state", "arm", "keyframe"}}
    assert changed <= allowed.get(name, seen)
    assert ({"arm"} if name == "action_noise" else {"pixels", "near"}) <= changed


def test_an_older_frame_is_of_the_same_episode(data):
    numbers = np.arange(36)
    lag = np.full(36, 3)
    now, older = data.batch(numbers), data.batch(numbers, lag=lag)
    where = data.mixture.locate(numbers)
    arrays = data.train[0]
    for k, row in enumerate(where.row):
        first = arrays.start[row]
        assert (older.image[k] == arrays.image[max(row - 3, first)]).all()
        assert (older.actions[k] == now.actions[k]).all()
        assert (older.state[k] == now.state[k]).all()


def bright(size, x, y):
    """A frame with one bright pixel, as a network reads it."""
    pixels = torch.full((1, 3, size, size), -1.0)
    pixels[0, :, y, x] = 1.0
    return pixels


@settings(max_examples=30, deadline=None)
@given(st.floats(0.85, 1.15), st.floats(-0.07, 0.07), st.floats(-0.07, 0.07), st.integers(12, 51), st.integers(12, 51))
def test_points_move_with_the_crop(side, right, down, x, y):
    moved = crop(bright(64, x, y), np.array([side], np.float32), np.array([[right, down]], np.float32))[0, 0] + 1
    place = np.array([x + 0.5, y + 0.5]) / 64
    expected = (place - 0.5 - [right, down]) / side + 0.5
    weight = moved / moved.sum()
    centers = (torch.arange(64) + 0.5) / 64
    found = [(weight.sum(dim=0) * centers).sum(), (weight.sum(dim=1) * centers).sum()]
    assert np.allclose(found, expected, atol=1.0 / 64)


def test_blur_keeps_the_light_and_spreads_it_and_none_spreads_nothing():
    frames = torch.cat([bright(32, 16, 16), bright(32, 16, 16)]).contiguous(memory_format=torch.channels_last)
    soft = blur(frames.clone(), np.array([0.0, 1.5], np.float32), most=1.5) + 1
    assert torch.allclose(soft[0], frames[0] + 1, atol=1e-4)
    assert soft[1].sum() == pytest.approx(float((frames[1] + 1).sum()), rel=1e-3)
    assert soft[1].max() < 0.4
    assert soft[1, 0, 16, 14] == pytest.approx(float(soft[1, 0, 14, 16]))


def test_grain_is_as_strong_as_it_is_said_to_be():
    frames = grain(torch.zeros(2, 3, 64, 64), np.array([0.0, 0.1]), np.array([[0.2, 0.3], [0.9, 0.1]]))
    assert (frames[0] == 0).all()
    assert frames[1].std() == pytest.approx(0.2, rel=0.05)
    assert abs(float(frames[1].mean())) < 0.01


def test_erasing_fills_one_rectangle_with_one_colour():
    frames = torch.zeros(2, 3, 16, 16)
    corner, sides = np.array([[0.125, 0.5]] * 2), np.array([[0.25, 0.375]] * 2)
    erased = erase(frames, np.array([True, False]), corner, sides, np.array([[1, 0.5, -1]] * 2))
    assert (erased[1] == 0).all()
    assert (erased[0, :, 2:6, 8:14] == torch.tensor([1, 0.5, -1])[:, None, None]).all()
    assert (erased[0] != 0).sum() == 3 * 4 * 6


def test_what_is_drawn_is_uniform_and_of_no_other_sample():
    drawn = draw(3, np.arange(4000), chunk=8)
    assert np.abs(np.quantile(drawn.uniform, [0.25, 0.5, 0.75], axis=0) - [[0.25], [0.5], [0.75]]).max() < 0.04
    assert np.abs(np.corrcoef(drawn.uniform, rowvar=False) - np.eye(drawn.uniform.shape[1])).max() < 0.08
    assert abs(drawn.state.std() - 1) < 0.02
    assert (draw(4, np.arange(10), chunk=8).uniform != drawn.uniform[:10]).all()


def test_a_mirrored_world_moves_and_looks_as_the_mirror_says():
    """Two worlds of our engine, one the mirror image of the other: states under mirrored actions, and frames."""
    task = load_task("lift_cube-v1")
    nominal = task.scene.nominal()
    q = np.array(nominal["robot.q"]) + [0.3, 0.1, -0.2, 0.1, 0.15, -0.1, 0.25]
    other = q * [-1, 1, -1, 1, -1, 1, -1] + [0, 0, 0, 0, 0, 0, np.pi / 2]
    place, light = nominal["cube.position"], nominal["light.direction"]
    looks = [
        {**nominal, "robot.q": tuple(joints), "cube.position": (place[0], sign * 0.12), "cube.yaw": sign * 0.4}
        | {"light.direction": (light[0], sign * light[1], light[2])}
        for joints, sign in ((q, 1), (other, -1))
    ]
    engine = make_engine("mujoco", task.scene, n=2)
    engine.reset(np.arange(2), looks)
    stream = np.random.default_rng(0)
    for _ in range(12):
        action = np.array([*stream.uniform(-0.03, 0.03, 3), *stream.uniform(-0.15, 0.15, 3), stream.integers(2)])
        both = np.stack([action, mirror_actions(action)])
        state = canonical_state(engine.step(both))
        assert np.allclose(mirror_state(state[:1]), state[1:], atol=6e-3)  # The arm's links are not quite symmetric.
    assert np.abs(state[0] - state[1]).max() > 0.05
    positions = engine.positions()
    engine.close()
    from sim.renderer import Renderer

    with Renderer(task.scene, size=128) as renderer:
        seen, near = [], []
        for row, look in zip(positions, looks, strict=True):
            for camera, shown in (("image", seen), ("wrist_image", near)):
                frame = renderer.render(row, look, camera=camera).astype(int)
                shown.append((frame, renderer.project(np.array([row[9:12]]), camera=camera)))
    (frame, cube), (twin, twin_cube) = near
    assert np.allclose(mirror_points(cube), twin_cube, atol=5e-3)
    mirrored, unlike = np.abs(frame[:, ::-1] - twin), np.abs(frame - twin)
    assert unlike.mean() > 5 * mirrored.mean()
    (frame, cube), (twin, twin_cube) = seen
    assert np.allclose(mirror_points(cube), twin_cube, atol=2e-3)
    mirrored, unlike = np.abs(frame[:, ::-1] - twin), np.abs(frame - twin)
    assert mirrored[56:].mean() < 0.05  # The table with the cube; above it, the arm's two sides are not alike.
    assert unlike[56:].mean() > 10 * mirrored[56:].mean()
    assert mirrored.mean() < 0.6 * unlike.mean()


@given(st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8))
def test_a_mirror_in_a_mirror_is_the_thing_itself(values):
    state = np.array([values], np.float32)
    state[0, 3:7] = [0.1, 0.9, -0.3, 0.2]
    assert np.allclose(mirror_state(mirror_state(state)), state, atol=1e-6)
    assert mirror_state(state)[0, 3 + np.abs(state[0, 3:7]).argmax()] > 0
    assert mirror_sentence(mirror_sentence("the leftmost cube")) == "the leftmost cube"


def test_sides_are_exchanged_in_words_and_in_words_only():
    assert mirror_sentence("Left of the rightmost cube, upright") == "Right of the leftmost cube, upright"
    assert mirror_sentence("stand the peg upright") == "stand the peg upright"


@pytest.mark.parametrize("name", [name for name in sorted(TASKS) if load_task(name).semantics is not None])
def test_a_mirrored_sentence_means_the_same_thing_in_the_mirrored_scene(name):
    task, told = load_task(name), 0
    for k in range(120):
        seed = episode_seed("train", 0, k)
        sentence, meaning = task.sentence(seed)[0], task.meaning(seed)
        twins = [replace(thing, place=(thing.place[0], -thing.place[1])) for thing in meaning.things]
        mirrored = mirror_sentence(sentence)
        told += mirrored != sentence
        found = read(mirrored, task.semantics.templates)
        assert found is not None
        for role, phrase in found[1].items():
            assert denoted(phrase, twins) == (role,)
    assert told or not task.semantics.roles


@pytest.mark.parametrize("name", sorted(TASKS))
def test_paraphrases_are_sentences_of_training_that_mean_the_same(name):
    task = load_task(name)
    several = 0
    for k in range(40):
        seed = episode_seed("train", 0, k)
        sentence = task.sentence(seed)[0]
        others = told_otherwise(task, sentence, seed=seed, drawn=task.draw(seed))
        several += len(others) > 3
        assert len(set(others)) == len(others)
        if task.semantics is None:
            color = task.draw_one(f"{task.target}.color", seed)
            held_out = [t.format(color=color) for n, t in task.templates.items() if n.startswith("held_out")]
            assert set(others).isdisjoint(held_out)
            continue
        trained = {n: t for n, t in task.semantics.templates.items() if not n.startswith("held_out")}
        for text in others:
            found = read(text, trained)
            assert found is not None
            for role, phrase in found[1].items():
                assert denoted(phrase, task.meaning(seed).things) == (role,)
    assert several == 40


def test_a_sentence_that_is_none_of_the_tasks_has_no_paraphrase():
    task = load_task("lift_cube-v2")
    assert told_otherwise(task, "make me a sandwich", seed=1, drawn={}) == ()
