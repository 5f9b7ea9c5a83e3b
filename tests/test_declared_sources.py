"""Foreign datasets under a declaration: what is true is taken, what the data contradicts is refused."""

from dataclasses import replace

import numpy as np
import pytest

from datagen.canonical import action_from_canonical
from datagen.declaration import Declaration, find_declaration
from datagen.declared_source import DeclaredDataset
from datagen.frames import to_canonical_frame
from datagen.loader import LoadOptions, load_mixture
from datagen.mixture import MixConfig, SourceConfig, mix
from datagen.rlds_reader import decode_image, open_dataset
from datagen.source_check import examine
from sim.conventions import CANONICAL
from sim.errors import UserError
from tests.foreign_data import motion, with_action, with_state, write_foreign
from tests.small_data import write_dataset

LIBERO = find_declaration("libero")
SMALL = replace(LIBERO, frame=replace(LIBERO.frame, height=32, width=32))


def looked_at(folder, declared, **options):
    return examine(DeclaredDataset(open_dataset(folder), declared, 32, **options))


@pytest.mark.parametrize("name", ["bridge", "fractal", "droid", "libero"])
def test_a_dataset_that_is_as_a_shipped_declaration_says_becomes_canonical(name, tmp_path):
    folder = write_foreign(tmp_path, name)
    resampled = find_declaration(name).rate != CANONICAL.rate
    config = MixConfig(sources=(SourceConfig(folder, declaration=name, resample=resampled),), samples=10)
    report = mix(config).sources[0]
    assert report.label == find_declaration(name).label
    assert "agreement with the commands of motion 1.00, of turning 1.00, of the gripper" in report.note
    loaded = load_mixture(config, LoadOptions(image_size=32, threads=1))
    declared, skip = find_declaration(name), find_declaration(name).skip_first
    states, actions = motion(0, rate=declared.rate)
    rows = loaded.train[0]
    steps = round((40 - skip) * 20 / declared.rate)
    assert len(rows.action) == 4 * steps
    wanted = actions[skip:, :3].sum(axis=0)
    assert np.allclose(rows.action[:steps, :3].sum(axis=0), wanted, atol=1e-4)
    assert np.allclose(rows.state[0], states[skip], atol=1e-5)
    assert set(np.unique(rows.action[:, 6])) == {0.0, 1.0}


def test_frames_of_a_declared_source_are_those_of_its_declaration(tmp_path):
    folder = write_foreign(tmp_path, "libero")
    config = MixConfig(sources=(SourceConfig(folder, declaration="libero"),))
    loaded = load_mixture(config, LoadOptions(image_size=256, threads=1))
    stored = next(open_dataset(folder).episodes("train")).steps["observation/image"][0]
    assert (loaded.train[0].image[0] == decode_image(stored)[:, ::-1]).all()
    assert (loaded.train[0].image[0] == to_canonical_frame(decode_image(stored), LIBERO.frame, size=256)).all()


def test_another_rate_is_refused_unless_it_may_be_resampled(tmp_path):
    folder = write_foreign(tmp_path, "bridge")
    with pytest.raises(UserError, match="5 Hz and the canonical rate is 20 Hz"):
        mix(MixConfig(sources=(SourceConfig(folder, declaration="bridge"),)))


def test_a_declared_source_mixes_with_ours_where_the_job_accepts_the_difference(tmp_path):
    ours = write_dataset(tmp_path, name="ours")
    theirs = write_foreign(tmp_path, "libero")
    sources = (SourceConfig(ours, 90), SourceConfig(theirs, 10, declaration="libero"))
    with pytest.raises(UserError, match="base_frame: ours") as caught:
        mix(MixConfig(sources=sources))
    assert "accept = [...]" in str(caught.value)
    accepted = (sources[0], replace(sources[1], accept=("base_frame", "tcp")))
    report = mix(MixConfig(sources=accepted, samples=1000))
    assert [row.drawn for row in report.sources] == [900, 100]
    loaded = load_mixture(MixConfig(sources=accepted), LoadOptions(image_size=32, threads=1))
    assert loaded.convention.image_size == 64
    assert {array.image.shape[1:] for array in loaded.train} == {(32, 32, 3)}
    with pytest.raises(UserError, match="Unknown field to accept 'rate'"):
        mix(MixConfig(sources=(sources[0], replace(sources[1], accept=("rate",)))))


def test_the_digest_follows_the_declaration(tmp_path):
    folder = write_foreign(tmp_path, SMALL)
    file = tmp_path / "mine.toml"
    from datagen.declaration import SHIPPED

    text = (SHIPPED / "libero.toml").read_text().replace("256", "32")
    digests = set()
    for said in (text, text.replace("grip site", "flange")):
        file.write_text(said)
        digests.add(mix(MixConfig(sources=(SourceConfig(folder, declaration=str(file)),))).digest)
    assert len(digests) == 2


def scaled(states=1.0, actions=1.0):
    return lambda s, a: (s * states, a * actions)


def edit(*, state=None, action=None):
    def change(states, actions):
        states, actions = states.copy(), actions.copy()
        if state:
            state(states)
        if action:
            action(actions)
        return states, actions

    return change


def flip_gripper(values):
    values[:, -1] = values[:, -1].max() + values[:, -1].min() - values[:, -1]


QUATERNION = with_state(SMALL, rotation="quaternion wxyz")
DEGREES = with_state(SMALL, rotation="euler xyz extrinsic")
ABSOLUTE = with_action(SMALL, pose="absolute", position_unit=1.0, rotation_unit=1.0)
SIX = with_state(SMALL, rotation="6d rows")


@pytest.mark.parametrize(
    ("declared", "change", "word"),
    [
        (SMALL, edit(action=lambda a: a.__setitem__((slice(None), -1), 1.0)), "never more than half open"),
        (SMALL, edit(action=lambda a: a.__setitem__((slice(None), -1), -1.0)), "never more than half closed"),
        (SMALL, edit(action=lambda a: np.multiply(a[:, -1], 255, out=a[:, -1])), "ranges from -255 to 255"),
        (SMALL, edit(state=lambda s: np.multiply(s[:, -1], 0.4, out=s[:, -1])), "never more than half open"),
        (SMALL, edit(state=lambda s: np.multiply(s[:, -1], 1e3, out=s[:, -1])), "ranges from 0 to 40"),
        (SMALL, edit(action=flip_gripper), "opens when it is told to close"),
        (SMALL, edit(action=lambda a: np.multiply(a[:, :3], 20, out=a[:, :3])), "m per step"),
        (SMALL, edit(action=lambda a: np.multiply(a[:, 3:6], 40, out=a[:, 3:6])), "rad per step"),
        (SMALL, edit(action=lambda a: np.negative(a[:, :3], out=a[:, :3])), "against its commands"),
        (SMALL, edit(state=lambda s: np.multiply(s[:, :3], 1000, out=s[:, :3])), "m from the base"),
        (SMALL, edit(state=lambda s: s.__setitem__((3, 0), np.nan)), "NaN or infinity"),
        (QUATERNION, edit(state=lambda s: np.multiply(s[:, 3:7], 1.1, out=s[:, 3:7])), "not unit: off by 0.1"),
        (SIX, edit(state=lambda s: np.multiply(s[:, 3:9], 2, out=s[:, 3:9])), "not unit"),
        (DEGREES, edit(state=lambda s: np.degrees(s[:, 3:6], out=s[:, 3:6])), "beyond 3.14: degrees"),
        (ABSOLUTE, edit(action=lambda a: np.subtract(a[:, :3], [1.0, 0, 0], out=a[:, :3])), "no absolute poses"),
    ],
)
def test_what_the_data_contradicts_is_refused_with_both_conventions(declared, change, word, tmp_path):
    state = declared.state
    if declared is not SMALL and state.numbers:
        declared = with_state(declared, numbers=())
    folder = write_foreign(tmp_path, declared, change=change)
    with pytest.raises(UserError, match=word) as caught:
        looked_at(folder, declared)
    text = str(caught.value)
    assert "is not what its declaration says, in 160 steps of 4 episodes" in text
    assert "gripper    declared: absolute, -1 = open, 1 = closed" in text
    assert "canonical: absolute, 1 = open, 0 = closed" in text


def test_deltas_that_are_really_absolute_poses_are_refused(tmp_path):
    folder = write_foreign(tmp_path, ABSOLUTE)
    wrong = with_action(ABSOLUTE, pose="delta")
    with pytest.raises(UserError, match="or absolute poses"):
        looked_at(folder, wrong)


def test_a_unit_that_was_forgotten_is_refused(tmp_path):
    folder = write_foreign(tmp_path, SMALL)
    with pytest.raises(UserError, match="another position_unit"):
        looked_at(folder, with_action(SMALL, position_unit=1.0, rotation_unit=1.0))


def test_frames_of_another_size_are_refused(tmp_path):
    folder = write_foreign(tmp_path, SMALL)
    with pytest.raises(UserError, match=r"frames have 32 x 32 pixels .* declared are 256 x 256"):
        looked_at(folder, LIBERO)


def test_a_relative_gripper_that_is_told_nothing_is_refused(tmp_path):
    relative = with_action(SMALL, gripper="relative")
    folder = write_foreign(tmp_path, relative, change=edit(action=lambda a: a.__setitem__((slice(None), -1), 0.0)))
    with pytest.raises(UserError, match="is told nothing"):
        looked_at(folder, relative)


def test_a_gripper_that_rests_may_be_declared_so(tmp_path):
    still = with_action(SMALL, gripper_moves=False)

    def rest(states, actions):
        actions[:, -1], states[:, -1] = 1.0, 0.0
        return states, actions

    folder = write_foreign(tmp_path, SMALL, change=rest)
    assert looked_at(folder, still).gripper_agreement is None
    with pytest.raises(UserError, match="never more than half open"):
        looked_at(folder, SMALL)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: replace(d, keys=replace(d.keys, image="observation/imag")), "Did you mean 'observation/image'"),
        (lambda d: replace(d, keys=replace(d.keys, action=("observation/state",))), "8 numbers per step"),
        (lambda d: replace(d, keys=replace(d.keys, action=("language_instruction",))), "holds no numbers"),
        (lambda d: replace(d, keys=replace(d.keys, instruction="action")), "must be an image and"),
        (lambda d: with_state(d, numbers=(0, 1, 2, 3, 4, 5, 60)), "the columns hold 8 numbers"),
        (lambda d: with_action(d, rotation="quaternion xyzw"), "position 3, rotation 4, gripper 1"),
    ],
)
def test_columns_that_are_not_there_or_do_not_fit_are_refused(change, word, tmp_path):
    folder = write_foreign(tmp_path, SMALL)
    with pytest.raises(UserError, match=word):
        looked_at(folder, change(SMALL))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: with_action(d, gripper_open=1.0), "are both 1"),
        (lambda d: with_state(d, rotation="euler xyz"), "Did you mean 'euler xyz"),
        (lambda d: with_state(d, rotation="none"), "needs the orientation"),
        (lambda d: with_action(d, position_unit=0.0), "position_unit = 0"),
        (lambda d: replace(d, rate=0.0), "rate = 0"),
    ],
)
def test_impossible_declarations_are_refused(change, word):
    with pytest.raises(UserError, match=word):
        change(LIBERO)


def test_a_declaration_is_named_or_written_in_a_file(tmp_path):
    assert isinstance(find_declaration("droid"), Declaration)
    with pytest.raises(UserError, match="Did you mean 'bridge'"):
        find_declaration("bridg")
    (tmp_path / "mine.toml").write_text("rat = 5.0\n")
    with pytest.raises(UserError, match="Did you mean 'rate'"):
        find_declaration(str(tmp_path / "mine.toml"))


def test_a_dataset_that_says_itself_what_it_means_takes_no_declaration(tmp_path):
    ours, theirs = write_dataset(tmp_path), write_foreign(tmp_path, "libero")
    with pytest.raises(UserError, match="says itself what it means"):
        mix(MixConfig(sources=(SourceConfig(ours, declaration="libero"),)))
    with pytest.raises(UserError, match="resample = true is for"):
        mix(MixConfig(sources=(SourceConfig(ours, resample=True),)))
    with pytest.raises(UserError, match="is vouched for"):
        mix(MixConfig(sources=(SourceConfig(theirs, declaration="libero", assume_canonical=True),)))
    with pytest.raises(UserError, match=r"declaration = 'mine\.toml'"):
        mix(MixConfig(sources=(SourceConfig(theirs),)))


def test_an_absolute_action_at_the_hand_itself_is_no_motion():
    states, _ = motion(1, steps=3)
    written = action_from_canonical(np.zeros((3, 7)), states, ABSOLUTE)
    assert np.allclose(written[:, :3], states[:, :3])
