import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from datagen.mixture import MixConfig, SourceConfig
from policies.loading import load_policy
from policies.pretrained.action_tokens import ActionTokens, action_tokens, overlapping
from policies.pretrained.base import load_base
from policies.pretrained.checkpoint import load_checkpoint
from policies.pretrained.families import FamilyOptions, Seen, family, normalized, prompted, restored
from policies.pretrained.finetune import finetune
from policies.pretrained.settings import PROMPT, FinetuneConfig, Lora
from policies.pretrained.trainable import make_trainable, trained
from sim.conventions import POSITION_LIMIT, ROTATION_LIMIT
from sim.errors import UserError
from tests.policy_servers import running
from tests.small_data import write_dataset
from tests.test_vla_policy import observation
from tests.tiny_models import tokenizer, write_llava


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_llava(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    first = write_dataset(out, name="synthetic")
    second = write_dataset(out, name="other", lengths=(8, 8), val_lengths=(), seed=1, source="stand-in for real data")
    return MixConfig(sources=(SourceConfig(first, 90), SourceConfig(second, 10)))


def config(base, data, out, **changes):
    chosen = {"chunk": 2, "batch": 4, "steps": 2, "lora": Lora(rank=4, alpha=4), "image_size": 64, "shift": 1}
    return FinetuneConfig(
        data=data, base=str(base), out=out, threads=1, validations=0, validation_samples=3, device="cpu",
        **(chosen | changes),
    )  # fmt: skip


@pytest.fixture(scope="module")
def straight(base, data, tmp_path_factory):
    return finetune(config(base, data, tmp_path_factory.mktemp("straight"), read_state=True))


@pytest.fixture
def copy(straight, tmp_path):
    return shutil.copytree(straight.folder, tmp_path / "copy")


def stop_at(step):
    def on_step(done):
        if done == step:
            signal.raise_signal(signal.SIGINT)

    return on_step


TOKENS = ActionTokens(tuple(range(999, 999 - 256, -1)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=20))
def test_actions_go_through_tokens_within_half_a_bin(values):
    numbers = np.array(values, np.float32)
    back = TOKENS.decode(TOKENS.encode(numbers))
    assert np.abs(back - np.clip(numbers, -1, 1)).max() <= 1 / 255 + 1e-6
    assert (TOKENS.encode(back) == np.maximum(TOKENS.encode(numbers), TOKENS.ids[254])).all()


def test_tokens_lie_as_openvla_lays_them():
    # OpenVLA: token = vocabulary - np.digitize(action, np.linspace(-1, 1, 256)); decoded through the bins' centres.
    edges = np.linspace(-1, 1, 256)
    values = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32)
    assert (TOKENS.encode(values) == 1000 - np.digitize(values, edges)).all()
    assert TOKENS.encode(np.array([-1.0, 1.0], np.float32)).tolist() == [999, 744]
    centers = (edges[:-1] + edges[1:]) / 2
    assert TOKENS.decode(np.array([999, 745, 744])) == pytest.approx([centers[0], centers[254], centers[254]])


def test_the_tail_of_a_vocabulary_leaves_special_tokens_and_prompts_alone():
    text = tokenizer()
    tokens = action_tokens(text, outputs=len(text))
    assert max(tokens.ids) == text.vocab_size - 1
    assert not set(tokens.ids) & set(text.all_special_ids)
    assert overlapping(tokens, [text(prompted(PROMPT, "Move to the red square.", mark=""))["input_ids"]]) == 0
    with pytest.raises(UserError, match="cannot stand for actions"):
        action_tokens(text, outputs=500)


def test_the_prompt_is_openvlas():
    assert prompted(PROMPT, "Lift the Red cube. ", mark="<image>") == (
        "<image>In: What action should the robot take to lift the red cube?\nOut:"
    )
    assert prompted("{sentence}", " Lift it. ", mark="") == "Lift it."


def test_actions_are_unnormalized_by_the_mixtures_percentiles(straight):
    statistics = load_checkpoint(straight.folder, device="cpu").statistics
    assert statistics.method == "quantiles"
    low = np.array(statistics.arm_mean) - statistics.arm_std
    actions = np.concatenate([low, [0.0]]).astype(np.float32)
    said = normalized(actions, statistics)
    assert said == pytest.approx([-1] * 7, abs=1e-5)
    assert restored(TOKENS.decode(TOKENS.encode(said)), statistics)[:6] == pytest.approx(low, abs=2e-4)
    assert restored(normalized(np.float32([0, 0, 0, 0, 0, 0, 1]), statistics), statistics)[6] == 1.0


def test_two_steps_resumed_equal_two_straight_and_another_training_is_refused(base, data, straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        finetune(config(base, data, tmp_path, read_state=True), on_step=stop_at(1))
    with pytest.raises(UserError, match="other settings"):
        finetune(config(base, data, tmp_path, read_state=True, seed=5))
    resumed = finetune(config(base, data, tmp_path, read_state=True))
    assert resumed.digest == straight.digest
    assert not (tmp_path / "resume.safetensors").exists()
    assert finetune(config(base, data, tmp_path, read_state=True)) == resumed
    with pytest.raises(UserError, match="not overwritten"):
        finetune(config(base, data, tmp_path))


def test_the_result_and_the_record_say_what_was_trained(straight, base):
    assert set(straight.metrics) == {"synthetic"}
    assert set(straight.metrics["synthetic"]) == {"loss", "position_error", "gripper_accuracy", "samples"}
    assert all(np.isfinite(value) for value in straight.metrics["synthetic"].values())
    assert 0 < straight.trained < straight.parameters / 2
    record = json.loads((straight.folder / "checkpoint.json").read_text())
    assert record["base"]["model_type"] == "llava"
    assert record["lora"]["rank"] == 4
    assert {"transformers", "peft"} < set(record["code"])
    assert not {path.suffix for path in straight.folder.iterdir()} & {".bin", ".pt", ".pkl"}
    table = straight.__rich__()
    assert table.row_count == 2


def test_the_adapters_are_pefts_own_and_change_what_the_model_says(straight, base):
    alone = AutoModelForImageTextToText.from_pretrained(base).eval()
    ours = load_checkpoint(straight.folder, device="cpu")
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 28, 28)).astype(np.float32))
    ids = torch.tensor([[701] * 4 + [300, 301]]).clamp(max=alone.config.image_token_index)
    with torch.no_grad():
        before = alone(input_ids=ids, pixel_values=pixels).logits
        said = ours.family.anatomy.model(input_ids=ids, pixel_values=pixels).logits
        theirs = (
            peft.PeftModel.from_pretrained(alone, straight.folder).eval()(input_ids=ids, pixel_values=pixels).logits
        )
    assert (said == theirs).all()
    assert (said != before).any()


def test_a_reloaded_policy_says_the_same_and_worlds_do_not_mix(straight):
    policy = load_policy(str(straight.folder))
    assert policy.spec.inputs == {"image", "state", "instruction"}
    assert (policy.spec.chunk, policy.spec.execute) == (2, 1)
    whole = policy.act(observation(range(3)))
    assert whole.shape == (3, 2, 7)
    assert np.abs(whole[..., :3]).max() <= POSITION_LIMIT
    assert np.abs(whole[..., 3:6]).max() <= ROTATION_LIMIT
    assert np.isin(whole[..., 6], (0, 1)).all()
    again = load_policy(str(straight.folder))
    assert (again.act(observation([2])) == whole[2:]).all()
    assert (again.act(observation([1, 0])) == whole[[1, 0]]).all()


def test_options_of_a_policy_reach_a_finetuned_model(straight):
    for text in ("?execute=2", "?ensemble=0.1", "?dtype=int8", "?dtype=bf16"):
        policy = load_policy(f"{straight.folder}{text}")
        assert policy.act(observation([0])).shape[-1] == 7
    blank = load_policy(str(straight.folder), instruction="")
    assert blank.instruction == ""
    with pytest.raises(UserError, match="execute = 3"):
        load_policy(f"{straight.folder}?execute=3")
    with pytest.raises(UserError, match="no timeout"):
        load_policy(f"{straight.folder}?timeout=3")


def test_a_finetuned_model_is_served_and_the_openpi_client_gets_the_same_actions(straight):
    policy = load_policy(str(straight.folder))
    seen = observation([0])
    expected = policy.act(seen)[0]
    with running(policy) as (address, _):
        answer = WebsocketClientPolicy(address).infer(
            {
                "observation/image": seen.render("image")[0],
                "observation/state": seen.state[0],
                "prompt": seen.instructions[0],
            }
        )
    assert (answer["actions"] == expected).all()


MODES = {
    "lora": lambda name: "lora_" in name,
    "head": lambda name: name.startswith(("lm_head", "model.language_model.norm")),
    "last": lambda name: name.startswith(("lm_head", "model.language_model.norm", "model.language_model.layers.1.")),
    "language": lambda name: not name.startswith("model.vision_tower"),
    "all": lambda name: True,
}


@pytest.mark.parametrize("train", MODES)
def test_only_what_was_chosen_is_trained_and_comes_back(base, data, tmp_path, train):
    result = finetune(config(base, data, tmp_path, train=train, last_layers=1, steps=1, chunk=1))
    loaded = load_checkpoint(result.folder, device="cpu")
    start = load_base(str(base), device="cpu")
    before = dict(start.model.state_dict())
    after = loaded.family.anatomy.model.state_dict()
    parts = family(start, FamilyOptions(1, False, "", 64)).anatomy
    make_trainable(parts, train=train, lora=Lora(rank=4, alpha=4), last_layers=1, seed=0)
    names = set(trained(parts.model))
    assert names
    assert all(MODES[train](name) for name in names)
    plain = {name.replace(".base_layer", ""): tensor for name, tensor in after.items()}
    changed = {name for name, tensor in plain.items() if name in before and not torch.equal(tensor, before[name])}
    assert changed <= names
    assert changed if train != "lora" else not changed
    assert any(name.startswith("model.vision_tower") for name in changed) == (train == "all")


def test_adapters_go_where_the_targets_say(base):
    def names(**changes):
        parts = family(load_base(str(base), device="cpu"), FamilyOptions(1, False, "", 64)).anatomy
        make_trainable(parts, train="lora", lora=Lora(**changes), last_layers=1, seed=0)
        return set(trained(parts.model))

    everywhere = names(rank=2)
    assert any("vision_tower" in name for name in everywhere)
    assert not any("lm_head" in name for name in everywhere)
    assert not any("vision_tower" in name for name in names(rank=2, skip_vision=True))
    chosen = names(rank=2, targets=("q_proj", "v_proj"))
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in chosen} == {"q_proj", "v_proj"}
    with pytest.raises(UserError, match="q_proj"):
        names(rank=2, targets=("qq_proj",))


def test_parts_of_a_batch_add_up_to_the_batch(base, data, tmp_path):
    curves = []
    for parts in (1, 2, 4):
        out = tmp_path / str(parts)
        again = parts == 4  # Recomputed activations change nothing either.
        finetune(config(base, data, out, accumulate=parts, train="last", chunk=1, gradient_checkpointing=again))
        curves.append(load_file(out / "trained.safetensors")["lm_head.weight"])
    assert torch.allclose(curves[0], curves[1], atol=1e-5)
    assert torch.allclose(curves[0], curves[2], atol=1e-5)


@pytest.mark.parametrize("train", ["lora", "last"])
def test_frozen_weights_in_bfloat16_train_and_act_while_what_is_trained_stays_in_float32(base, data, tmp_path, train):
    result = finetune(config(base, data, tmp_path, dtype="bf16", train=train, last_layers=1, steps=1, chunk=1))
    model = load_checkpoint(result.folder, device="cpu").family.anatomy.model
    stored = load_file(result.folder / ("adapter_model.safetensors" if train == "lora" else "trained.safetensors"))
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert torch.bfloat16 in {parameter.dtype for parameter in model.parameters()}
    assert np.isfinite(load_policy(str(result.folder)).act(observation([0, 1]))).all()


def test_a_model_learns_the_actions_that_it_is_shown(base):
    loaded = load_base(str(base), device="cpu")
    model = family(loaded, FamilyOptions(1, False, "", 64))
    make_trainable(model.anatomy, train="all", lora=Lora(), last_layers=1, seed=0)
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[1] = 255
    seen = Seen(images, ("Move to the red square.",) * 2, np.zeros((2, 8), np.float32))
    actions = np.array([[[0.5, -0.5, 0.1, 0, 0.9, -0.9, 1]], [[-0.5, 0.5, -0.1, 0.3, 0, 0.2, -1]]], np.float32)
    optimizer = torch.optim.AdamW(model.anatomy.model.parameters(), 5e-3)
    for step in range(60):
        optimizer.zero_grad()
        model.loss(seen, actions, np.ones((2, 1), bool), seed=step).backward()
        optimizer.step()
    assert np.abs(model.act(seen) - actions).max() < 0.01


def test_actions_past_the_end_of_an_episode_do_not_count(base):
    model = family(load_base(str(base), device="cpu"), FamilyOptions(2, False, "", 64))
    seen = Seen(np.zeros((1, 64, 64, 3), np.uint8), ("Go.",), np.zeros((1, 8), np.float32))
    mask = np.array([[True, False]])
    one, other = np.zeros((1, 2, 7), np.float32), np.zeros((1, 2, 7), np.float32)
    other[:, 1] = 0.7
    with torch.no_grad():
        assert model.loss(seen, one, mask, seed=0) == model.loss(seen, other, mask, seed=0)
        assert model.loss(seen, one, np.ones((1, 2), bool), seed=0) != model.loss(seen, one, mask, seed=0)


def test_damaged_checkpoints_and_other_bases_are_refused(copy, base, tmp_path):
    path = copy / "adapter_model.safetensors"
    record = copy / "checkpoint.json"
    said = json.loads(record.read_text())
    other = write_llava(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="files of digest"):
        load_checkpoint(copy, base=str(other), device="cpu")
    moved = shutil.copytree(base, tmp_path / "moved")
    assert load_policy(f"{copy}?base={moved}").spec.digest == said["sha256"]
    record.write_text(json.dumps(said | {"statistics": said["statistics"] | {"arm_std": [1.0] * 6}}))
    with pytest.raises(UserError, match="altered"):
        load_checkpoint(copy, device="cpu")
    record.write_text(json.dumps(said))
    tensors = load_file(path)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, path)
    with pytest.raises(UserError, match="not the file that its record describes"):
        load_checkpoint(copy, device="cpu")
    path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(copy, device="cpu")
    record.write_text(json.dumps(said | {"base": said["base"] | {"remote_code": True}}))
    with pytest.raises(UserError, match="remote_code=true"):
        load_checkpoint(copy, device="cpu")


def test_models_that_cannot_be_had_or_trusted_are_refused_in_words(base, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="neither here nor could it be fetched"):
        load_base("nobody/no-such-model")
    with pytest.raises(UserError, match="no folder and no id"):
        load_base("./nothing/here")
    foreign = shutil.copytree(base, tmp_path / "foreign")
    said = json.loads((foreign / "config.json").read_text())
    code = {"model_type": "openvla", "auto_map": {"AutoConfig": "configuration_prismatic.OpenVLAConfig"}}
    (foreign / "config.json").write_text(json.dumps(said | code))
    (foreign / "configuration_prismatic.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(UserError, match=r"configuration_prismatic.OpenVLAConfig.*remote_code = true"):
        load_base(str(foreign))
    pickled = shutil.copytree(base, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="Pickled weights"):
        load_base(str(pickled))
    (pickled / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json"):
        load_base(str(pickled))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"prompt": "Do it."}, "instruction"),
        ({"batch": 3, "accumulate": 2}, "equal parts"),
        ({"steps": 0}, "steps = 0"),
        ({"steps": None}, "needs an end"),
        ({"train": "last", "last_layers": 9}, "last_layers = 9"),
        ({"device": "cuda:99"}, "cannot be used"),
    ],
)
def test_impossible_settings_are_refused_in_words(base, data, tmp_path, changes, word):
    with pytest.raises(UserError, match=word):
        finetune(replace(config(base, data, tmp_path), **changes))
    with pytest.raises(UserError, match="rank"):
        Lora(rank=0)
