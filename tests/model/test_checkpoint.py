"""Folders between lavra and `transformers` in both directions, bit by bit."""

import dataclasses
import json
import logging
import stat

import pytest
import torch
import transformers as hf
from safetensors import safe_open

from lavra.base.errors import InputError
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.config import Dropout, Layout, Norm
from lavra.model.config_files import load_config
from lavra.model.families.table import FAMILIES, family, preset
from tests.model.variants import ALL, DECODERS, ENCODERS, inputs, ours_of, save_theirs, theirs

LLAMA = next(variant for variant in DECODERS if variant.name == "llama-grouped")


def stored(folder):
    names = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}
            names |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return names


@pytest.mark.parametrize("variant", ALL, ids=str)
@torch.no_grad()
def test_transformers_to_lavra_and_back(variant, tmp_path, caplog):
    """The written tensors equal the read ones, and both libraries reopen them with the same logits."""
    peer = theirs(variant)
    with caplog.at_level(logging.WARNING, logger="lavra"):
        model = ours_of(peer, tmp_path / "theirs")
        save_checkpoint(model, tmp_path / "ours")
        again, config = load_checkpoint(tmp_path / "ours")
    untied_v11 = variant.name == "t5-v1.1"  # transformers 5 writes `tie_word_embeddings: true` for it
    warnings = [record.message for record in caplog.records if record.name.startswith("lavra")]
    assert [message for message in warnings if not (untied_v11 and "not tied" in message)] == []
    before, after = stored(tmp_path / "theirs"), stored(tmp_path / "ours")
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    ids = inputs(model)
    assert torch.equal(again(**ids), model(**ids))
    assert config_without_files(config) == config_without_files(model.config)
    reopened = variant.model.from_pretrained(tmp_path / "ours").eval()
    expected = peer.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in reopened.state_dict().items())
    same(reopened(**ids).logits, peer(**ids).logits)


def same(found, expected):
    """Equal except for the effect of a mapped file's alignment on `transformers`' matrix products."""
    assert (found - expected).abs().max() <= 1e-5 * expected.std()


def config_without_files(config):
    return {name: value for name, value in vars(config).items() if name not in ("source", "generation")}


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_a_saved_config_means_the_same_to_transformers(variant, tmp_path):
    """Field by field, `transformers` reads from our config the same values as from its own."""
    peer = theirs(variant)
    save_checkpoint(ours_of(peer, tmp_path / "theirs"), tmp_path / "ours")
    before = peer.config.__class__.from_pretrained(tmp_path / "theirs").to_dict()
    after = peer.config.__class__.from_pretrained(tmp_path / "ours").to_dict()
    derived = {"_name_or_path", "transformers_version"}
    if variant.name == "t5-v1.1":
        derived.add("tie_word_embeddings")
    differences = {
        name: (before.get(name), after.get(name))
        for name in {*before, *after} - derived
        if before.get(name) != after.get(name)
    }
    allowed = {"n_inner", "n_positions", "num_kv_heads", "layer_types", "num_ln_in_parallel_attn", "head_dim"}
    allowed |= {"use_sliding_window", "sliding_window", "max_window_layers"} if variant.name == "qwen2" else set()
    assert set(differences) <= allowed, differences


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_fresh_models_open_in_transformers(name, tmp_path):
    torch.manual_seed(0)
    config = preset(name, vocab_size=96, hidden_size=64, num_layers=2, num_heads=4, max_positions=32)
    model = build_model(config).eval()
    save_checkpoint(model, tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    peer = getattr(hf, raw["architectures"][0]).from_pretrained(tmp_path).eval()
    ids = inputs(model)
    assert (model(**ids) - peer(**ids).logits).abs().max() <= 1e-4 * model(**ids).std()
    again, reopened = load_checkpoint(tmp_path)
    assert torch.equal(again(**ids), model(**ids))
    assert config_without_files(reopened) == {**config_without_files(config), "init": reopened.init}
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o644


@torch.no_grad()
def test_shards_both_ways(tmp_path):
    peer = theirs(LLAMA)
    save_theirs(peer, tmp_path / "theirs", max_shard_size="60KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 2
    model, _ = load_checkpoint(tmp_path / "theirs")
    ids = inputs(model)
    assert torch.equal(model(**ids), ours_of(peer, tmp_path / "single")(**ids))
    save_checkpoint(model, tmp_path / "ours", max_shard_bytes=60_000)
    assert len(list((tmp_path / "ours").glob("model-*.safetensors"))) > 2
    same(hf.LlamaForCausalLM.from_pretrained(tmp_path / "ours")(**ids).logits, peer(**ids).logits)
    save_checkpoint(model, tmp_path / "ours")
    assert [path.name for path in sorted((tmp_path / "ours").glob("*.safetensors*"))] == ["model.safetensors"]
    assert torch.equal(load_checkpoint(tmp_path / "ours")[0](**ids), model(**ids))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_types_are_kept_or_asked_for(dtype, tmp_path):
    peer = theirs(LLAMA).to(dtype)
    model = ours_of(peer, tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert model.config.dtype == str(dtype).removeprefix("torch.")
    wide, _ = load_checkpoint(tmp_path, dtype=torch.float32)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}
    save_checkpoint(wide, tmp_path / "wide")
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["dtype"] == "float32"


def test_a_missing_type_is_the_files_and_a_narrower_one_is_warned_about(tmp_path, caplog):
    ours_of(theirs(LLAMA).bfloat16(), tmp_path)
    path = tmp_path / "config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in raw.items() if name != "dtype"}))
    assert load_checkpoint(tmp_path)[1].dtype == "bfloat16"
    path.write_text(json.dumps({**raw, "dtype": "float16"}))
    with caplog.at_level(logging.WARNING, logger="lavra"):
        load_checkpoint(tmp_path)
    assert "weights stored as bfloat16 are opened as float16" in caplog.text


def test_parameters_are_owned_aligned_and_trainable(tmp_path):
    model = ours_of(theirs(LLAMA), tmp_path)
    for parameter in model.parameters():
        assert parameter.is_contiguous()
        assert parameter.data_ptr() % 64 == 0
        assert parameter.requires_grad
        assert not parameter.is_meta
    assert not model.training


def test_the_head_is_stored_once(tmp_path):
    tied = next(variant for variant in DECODERS if variant.name == "llama-multi-query-tied")
    model = ours_of(theirs(tied), tmp_path / "theirs")
    assert model.head_weight is model.embedding.token.weight
    save_checkpoint(model, tmp_path / "ours")
    assert "lm_head.weight" not in stored(tmp_path / "ours")


@pytest.mark.parametrize("variant", ENCODERS[::2], ids=str)
@torch.no_grad()
def test_encoders_without_a_head(variant, tmp_path):
    """`BertModel` and `RobertaModel` folders: names without prefix, a pooler, no logits."""
    body = {"bert": hf.BertModel, "roberta": hf.RobertaModel}[variant.name]
    torch.manual_seed(0)
    peer = body(variant.config()).eval()
    model = ours_of(peer, tmp_path / "theirs")
    ids = inputs(model)
    assert (model.hidden(**ids) - peer(**ids).last_hidden_state).abs().max() <= 1e-4
    assert (model.pooled(model.hidden(**ids)) - peer(**ids).pooler_output).abs().max() <= 1e-4
    with pytest.raises(InputError, match="no language-model head"):
        model(**ids)
    save_checkpoint(model, tmp_path / "ours")
    same(body.from_pretrained(tmp_path / "ours")(**ids).pooler_output, peer(**ids).pooler_output)
    headed = ours_of(theirs(variant), tmp_path / "headed")
    with pytest.raises(InputError, match="no pooler"):
        headed.pooled(headed.hidden(**ids))


@torch.no_grad()
def test_pretraining_bert_drops_the_next_sentence_head_and_says_so(tmp_path, caplog):
    torch.manual_seed(0)
    peer = hf.BertForPreTraining(ENCODERS[0].config()).eval()
    with caplog.at_level(logging.WARNING, logger="lavra"):
        model = ours_of(peer, tmp_path)
    assert "cls.seq_relationship" in caplog.text
    ids = inputs(model)
    assert (model(**ids) - peer(**ids).prediction_logits).abs().max() <= 1e-4


def rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = change(stored(folder))
    from safetensors.torch import save_file

    save_file(tensors, path, metadata={"format": "pt"})


@torch.no_grad()
def test_old_names_are_understood(tmp_path):
    """Names without the base model's prefix, gamma and beta, buffers of old versions, a head stored twice."""
    gpt2 = next(variant for variant in DECODERS if variant.name == "gpt2")
    model = ours_of(theirs(gpt2), tmp_path / "gpt2")
    ids = inputs(model)
    rewrite(
        tmp_path / "gpt2",
        lambda tensors: {
            **{name.removeprefix("transformer."): tensor for name, tensor in tensors.items()},
            "h.0.attn.bias": torch.ones(1, 1, 64, 64),
            "h.1.attn.masked_bias": torch.tensor(-1e4),
            "lm_head.weight": tensors["transformer.wte.weight"].clone(),
        },
    )
    assert torch.equal(load_checkpoint(tmp_path / "gpt2")[0](**ids), model(**ids))
    bert = ours_of(theirs(ENCODERS[0]), tmp_path / "bert")
    rewrite(
        tmp_path / "bert",
        lambda tensors: {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in tensors.items()
        },
    )
    assert torch.equal(load_checkpoint(tmp_path / "bert")[0](**ids), bert(**ids))


@torch.no_grad()
def test_a_head_of_its_own_under_a_tied_config_is_kept_with_a_warning(tmp_path, caplog):
    tied = next(variant for variant in DECODERS if variant.name == "llama-multi-query-tied")
    ours_of(theirs(tied), tmp_path)
    rewrite(tmp_path, lambda tensors: {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"] * 2})
    with caplog.at_level(logging.WARNING, logger="lavra"):
        model, config = load_checkpoint(tmp_path)
    assert "not tied" in caplog.text
    assert not config.tie_embeddings
    peer = hf.LlamaForCausalLM.from_pretrained(tmp_path).eval()
    ids = inputs(model)
    assert (model(**ids) - peer(**ids).logits).abs().max() <= 1e-4


def test_special_ids_come_from_the_generation_config(tmp_path):
    ours_of(theirs(LLAMA), tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 9], "top_k": 7}))
    model, config = load_checkpoint(tmp_path)
    assert (config.bos_id, config.eos_ids, config.pad_id) == (2, (3, 9), 1)
    save_checkpoint(model, tmp_path / "ours")
    saved = hf.GenerationConfig.from_pretrained(tmp_path / "ours")
    assert (saved.eos_token_id, saved.top_k) == ([3, 9], 7)


def test_unknown_settings_are_warned_about_and_kept(tmp_path, caplog):
    ours_of(theirs(LLAMA), tmp_path)
    path = tmp_path / "config.json"
    off = {"rope_interleaved": False, "_unsloth_fixed": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "logit_softcap": 30.0, "use_mrope": True, **off}))
    with caplog.at_level(logging.WARNING, logger="lavra"):
        model, _ = load_checkpoint(tmp_path)
    assert "ignored settings lavra does not know: logit_softcap, use_mrope\n" in caplog.text
    save_checkpoint(model, tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["logit_softcap"] == 30.0


def test_the_configuration_alone_reads_headers_only(tmp_path):
    model = ours_of(theirs(LLAMA), tmp_path)
    assert load_config(tmp_path) == model.config
    assert family("llama").architecture(model.config) == "LlamaForCausalLM"


@pytest.mark.parametrize(
    ("name", "change", "pattern"),
    [
        ("llama", {"layout": Layout.PARALLEL}, "layout .*PARALLEL"),
        ("llama", {"windows": (4, 4)}, "windows"),
        ("gpt2", {"norm": Norm.RMS}, "norm"),
        ("falcon", {"layout": Layout.PRE_NORM, "num_kv_heads": 2}, "cannot say"),
        ("t5", {"attention_scale": None}, "attention_scale None"),
        ("bert", {"dropout": Dropout(embedding=0.3)}, "dropout"),
    ],
)
def test_a_model_its_family_cannot_describe_is_not_saved(name, change, pattern, tmp_path):
    config = preset(name, vocab_size=96, hidden_size=64, num_layers=2, num_heads=4, max_positions=32)
    model = build_model(dataclasses.replace(config, **change))
    with pytest.raises(InputError, match=pattern):
        save_checkpoint(model, tmp_path)
    assert list(tmp_path.iterdir()) == []
