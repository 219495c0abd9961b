"""LoRA and IA3 between PEFT and lavra, in both directions, with equal logits."""

import json

import peft
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from lavra.adapt.inject import activate, adapter_modules, add_adapter, eject
from lavra.adapt.methods.ia3 import IA3Config
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError, ConfigError
from tests.adapt.peers import (
    FAMILIES,
    TARGETS,
    adapted_by_peft,
    base_folder,
    family_of,
    ids_for,
    logits,
    ours,
    randomize,
    their_model,
)

KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}

    def base(name):
        if name not in made:
            made[name] = base_folder(name, tmp_path_factory.mktemp(name))
        return made[name]

    return base


def equal(found, expected, plain):
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())
    assert (plain - expected).abs().max() > 0.05, "the adapter changed nothing, so equality would prove nothing"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_lora_of_peft_is_opened_with_equal_logits(name, kind, bases, tmp_path):
    targets = TARGETS[family_of(name)]
    patterns = {"rank_pattern": {targets[0]: 3}, "alpha_pattern": {targets[-1]: 5}}
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=targets, **patterns, **KINDS[kind])
    peer = adapted_by_peft(bases(name), name, config, tmp_path / "adapter")
    model = ours(bases(name))
    ids = ids_for(model)
    plain = logits(model, ids)
    assert load_adapter(model, tmp_path / "adapter") == "adapter"
    equal(logits(model, ids), logits(peer, ids), plain)
    activate(model)
    assert torch.equal(logits(model, ids), plain)
    eject(model)
    assert torch.equal(logits(model, ids), plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_lora_of_ours_is_opened_by_peft_with_equal_logits(name, kind, bases, tmp_path):
    flags = {one.removeprefix("use_"): True for one in KINDS[kind]}
    config = LoraConfig(rank=4, alpha=6, targets=("query", "value", "down"), rank_pattern={"value": 2}, **flags)
    model = ours(bases(name))
    ids = ids_for(model)
    plain = logits(model, ids)
    add_adapter(model, "mine", config)
    randomize(model)
    save_adapter(model, "mine", tmp_path, base=str(bases(name)))
    peer = peft.PeftModel.from_pretrained(their_model(bases(name), name), tmp_path).eval()
    expected = logits(model, ids)
    equal(logits(peer, ids), expected, plain)
    again = ours(bases(name))
    load_adapter(again, tmp_path, "mine")
    equal(logits(again, ids), expected, plain)
    ranks = {place: part.rank for place, part in adapter_modules(model, "mine").items()}
    assert {place: part.rank for place, part in adapter_modules(again, "mine").items()} == ranks


@pytest.mark.parametrize("name", ["gpt2", "falcon-new"])
def test_a_shared_a_is_written_back_as_it_was(name, bases, tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=TARGETS[family_of(name)][:1])
    adapted_by_peft(bases(name), name, config, tmp_path / "theirs")
    model = ours(bases(name))
    load_adapter(model, tmp_path / "theirs", "x")
    save_adapter(model, "x", tmp_path / "again")
    first, again = (load_file(tmp_path / one / "adapter_model.safetensors") for one in ("theirs", "again"))
    assert set(first) == set(again)
    assert all(torch.equal(first[key], again[key]) for key in first)
    settings = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["target_modules"]) == (4, 6, config_targets(name))


def config_targets(name):
    return TARGETS[family_of(name)][:1]


@torch.no_grad()
def test_a_bare_encoder_has_names_without_a_prefix(bases, tmp_path):
    """`BertModel` names its layers without `bert.`; its adapters open over either model, and ours over `AutoModel`."""
    bare = hf.AutoModel.from_pretrained(bases("bert"), add_pooling_layer=False).eval()
    bare.save_pretrained(tmp_path / "bare")
    model = ours(tmp_path / "bare")
    ids = ids_for(model)["input_ids"]
    assert model.head is None
    plain = model.hidden(ids)
    peer = peft.get_peft_model(bare, peft.LoraConfig(r=3, target_modules=["query", "output.dense"])).eval()
    randomize(peer)
    peer.save_pretrained(tmp_path / "theirs")
    load_adapter(model, tmp_path / "theirs", "x")
    expected = peer(ids).last_hidden_state
    equal(model.hidden(ids), expected, plain)
    whole = ours(bases("bert"))
    load_adapter(whole, tmp_path / "theirs", "x")
    equal(whole.hidden(ids), expected, plain)
    save_adapter(model, "x", tmp_path / "again")
    fresh = hf.AutoModel.from_pretrained(tmp_path / "bare", add_pooling_layer=False)
    again = peft.PeftModel.from_pretrained(fresh, tmp_path / "again").eval()
    equal(again(ids).last_hidden_state, expected, plain)


IA3_TARGETS = {
    "llama": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "qwen2": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"]),
    "falcon": (["query_key_value", "dense_4h_to_h"], ["dense_4h_to_h"]),
    "bert": (["key", "value", "intermediate.dense"], []),
    "roberta": (["key", "value", "intermediate.dense"], ["intermediate.dense"]),
    "t5": (["k", "v", "wo"], ["wo"]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_ia3_both_ways(name, bases, tmp_path):
    targets, inner = IA3_TARGETS[family_of(name)]
    config = peft.IA3Config(target_modules=targets, feedforward_modules=inner)
    peer = adapted_by_peft(bases(name), name, config, tmp_path / "theirs")
    model = ours(bases(name))
    ids = ids_for(model)
    plain = logits(model, ids)
    load_adapter(model, tmp_path / "theirs", "x")
    equal(logits(model, ids), logits(peer, ids), plain)
    eject(model)
    add_adapter(model, "mine", IA3Config())
    assert torch.equal(logits(model, ids), plain)
    randomize(model)
    save_adapter(model, "mine", tmp_path / "mine")
    again = peft.PeftModel.from_pretrained(their_model(bases(name), name), tmp_path / "mine").eval()
    equal(logits(again, ids), logits(model, ids), plain)


@pytest.fixture
def theirs(bases, tmp_path):
    config = peft.LoraConfig(r=2, target_modules=["q_proj"])
    adapted_by_peft(bases("llama-grouped"), "llama-grouped", config, tmp_path / "theirs")
    return tmp_path / "theirs"


def edited(folder, **settings):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bias": "lora_only"}, "bias is 'lora_only'"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"init_lora_weights": "pissa"}, "path_initial_model_for_weight_conversion"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"from_the_future": 1}, "from_the_future=1"),
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"r": 3}, "has rank 3 there and 2"),
        ({"r": "two"}, "r is 'two'"),
        ({"rank_pattern": ["q_proj"]}, "a number to each pattern"),
        ({"alpha_pattern": {"q_proj": "4"}}, "a number to each pattern"),
        ({"modules_to_save": "classifier"}, "must be a list of names"),
    ],
)
def test_unsupported_peft_settings_are_refused_by_name(settings, said, theirs, bases):
    model = ours(bases("llama-grouped"))
    before = {name: id(module) for name, module in model.named_modules()}
    with pytest.raises(CheckpointError, match=said):
        load_adapter(model, edited(theirs, **settings))
    assert {name: id(module) for name, module in model.named_modules()} == before


def test_damaged_foreign_and_pickled_folders(theirs, bases, tmp_path):
    model = ours(bases("llama-grouped"))
    with pytest.raises(CheckpointError, match=r"no adapter_config\.json"):
        load_adapter(model, tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"changes .*q_proj.*the model it was made for"):
        load_adapter(ours(bases("gpt2")), theirs)
    path = theirs / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: one[..., :1].contiguous() for name, one in tensors.items()}, path)
    with pytest.raises(CheckpointError, match="made for another model"):
        load_adapter(model, theirs)
    save_file({name: one for name, one in tensors.items() if "lora_A" in name}, path)
    with pytest.raises(CheckpointError, match=r"LoRA needs lora_A.weight, lora_B.weight"):
        load_adapter(model, theirs)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        load_adapter(model, theirs)
    path.rename(theirs / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"pickled files.*PEFT"):
        load_adapter(model, theirs)


def test_a_name_is_taken_once(theirs, bases):
    model = ours(bases("llama-grouped"))
    load_adapter(model, theirs)
    with pytest.raises(ConfigError, match="already"):
        load_adapter(model, theirs)
