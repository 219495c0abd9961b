"""Soft prompts: PEFT's logits, several prompts in one batch, unchanged caches, refused ids."""

import peft
import pytest
import torch

from lavra.adapt.inject import adapters_of, add_adapter, eject, remove_adapter, virtual_ids
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.methods.prefix import PrefixConfig
from lavra.adapt.methods.prompt import PromptConfig, PromptInit
from lavra.adapt.peft_read import load_adapter
from lavra.adapt.peft_write import save_adapter
from lavra.base.errors import CheckpointError, ConfigError, InputError
from lavra.model.build import build_model
from lavra.model.families.table import preset
from tests.adapt.peers import (
    FAMILIES,
    TASKS,
    VARIANTS,
    adapted_by_peft,
    base_folder,
    family_of,
    ids_for,
    logits,
    ours,
    randomize,
    their_model,
)
from tests.generate.tiny import tiny_tokenizer


def decoder(family="llama", seed=0):
    torch.manual_seed(seed)
    return build_model(preset(family, vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, max_positions=64))


def prompted(ids, virtual):
    """A prompt's tokens before a text's tokens."""
    front = torch.tensor(virtual)[None].expand(len(ids["input_ids"]), -1)
    return {**ids, "input_ids": torch.cat((front, ids["input_ids"]), dim=1)}


def behind(found, expected):
    """Logits of the text's own tokens, after the prompt."""
    return found[:, found.shape[1] - expected.shape[1] :] if found.shape[1] != expected.shape[1] else found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_both_ways(name, tmp_path):
    base = base_folder(name, tmp_path / "base")
    task = TASKS.get(family_of(name), "CAUSAL_LM")
    config = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=3)
    peer = adapted_by_peft(base, name, config, tmp_path / "theirs")
    model = ours(base)
    ids = ids_for(model)
    plain = logits(model, ids)
    load_adapter(model, tmp_path / "theirs", "x")
    found, expected = logits(model, prompted(ids, virtual_ids(model, "x"))), logits(peer, ids)
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())
    assert (behind(found, plain) - plain).abs().max() > 0.05
    assert torch.equal(logits(model, ids), plain), "a text without a prompt is the model's own"
    save_adapter(model, "x", tmp_path / "again")
    again = peft.PeftModel.from_pretrained(their_model(base, name), tmp_path / "again").eval()
    assert (logits(again, ids) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["llama-grouped", "qwen2", "gpt2", "falcon-alibi", "mistral"])
def test_a_prefix_both_ways(name, tmp_path):
    base = base_folder(name, tmp_path / "base")
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peer = adapted_by_peft(base, name, config, tmp_path / "theirs")
    model = ours(base)
    ids = ids_for(model)
    plain = logits(model, ids)
    load_adapter(model, tmp_path / "theirs", "x")
    found, expected = logits(model, prompted(ids, virtual_ids(model, "x")))[:, 3:], logits(peer, ids)
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())
    assert (found - plain).abs().max() > 0.05
    assert torch.equal(logits(model, ids), plain)
    save_adapter(model, "x", tmp_path / "again")
    again = peft.PeftModel.from_pretrained(their_model(base, name), tmp_path / "again").eval()
    assert (logits(again, ids) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["falcon-new", "falcon-new-one-norm", "falcon-7b"])
def test_a_prefix_where_heads_share_keys(name, tmp_path):
    """PEFT opens our folder and so do we; PEFT's own, with a key for every head, is refused."""
    base = base_folder(name, tmp_path / "base")
    model = ours(base)
    ids = ids_for(model)
    plain = logits(model, ids)
    add_adapter(model, "x", PrefixConfig(num_tokens=3))
    randomize(model)
    expected = logits(model, prompted(ids, virtual_ids(model, "x")))[:, 3:]
    assert (expected - plain).abs().max() > 0.05
    save_adapter(model, "x", tmp_path / "mine")
    peer = peft.PeftModel.from_pretrained(their_model(base, name), tmp_path / "mine").eval()
    assert (logits(peer, ids) - expected).abs().max() < 1e-4
    load_adapter(model, tmp_path / "mine", "y")
    assert torch.equal(logits(model, prompted(ids, virtual_ids(model, "y")))[:, 3:], expected)
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peft.get_peft_model(their_model(base, name), config).save_pretrained(tmp_path / "theirs")
    with pytest.raises(CheckpointError, match="a key for each of 4 heads" if "new" in name else "for another model"):
        load_adapter(model, tmp_path / "theirs", "z")


def test_a_prefix_with_an_mlp_is_read_as_what_it_gives(tmp_path):
    base = base_folder("gpt2", tmp_path / "base")
    config = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=16
    )
    peer = adapted_by_peft(base, "gpt2", config, tmp_path / "theirs")
    model = ours(base)
    load_adapter(model, tmp_path / "theirs", "x")
    ids = ids_for(model)
    found, expected = logits(model, prompted(ids, virtual_ids(model, "x")))[:, 3:], logits(peer, ids)
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())


def test_a_prefix_of_t5_is_its_decoders(tmp_path):
    name = "t5-v1.1"
    variant = VARIANTS[name]
    peer_config = variant.config()
    peer_config.d_kv = 16  # PEFT takes d_model / num_heads for it
    torch.manual_seed(0)
    made = variant.model(peer_config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.3)
    made.save_pretrained(tmp_path / "base")
    config = peft.PrefixTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=3)
    peer = adapted_by_peft(tmp_path / "base", name, config, tmp_path / "theirs")
    model = ours(tmp_path / "base")
    ids = ids_for(model)
    plain = logits(model, ids)
    load_adapter(model, tmp_path / "theirs", "x")
    virtual = torch.tensor(virtual_ids(model, "x"))[None].expand(len(plain), -1)
    given = {**ids, "decoder_input_ids": torch.cat((virtual, ids["decoder_input_ids"]), dim=1)}
    found, expected = logits(model, given)[:, 3:], logits(peer, ids)
    assert (found - expected).abs().max() < 1e-4 * max(1.0, expected.abs().max().item())
    assert (found - plain).abs().max() > 0.05
    with pytest.raises(InputError, match=r"in the source.*decoder_input_ids"):
        logits(model, prompted(ids, virtual_ids(model, "x")))
    save_adapter(model, "x", tmp_path / "again")
    again = peft.PeftModel.from_pretrained(their_model(tmp_path / "base", name), tmp_path / "again").eval()
    assert (logits(again, ids) - expected).abs().max() < 1e-4
    eject(model)
    assert torch.equal(logits(model, ids), plain)


@torch.no_grad()
def test_rows_of_a_batch_begin_with_different_prompts_and_caches_need_not_know():
    model = decoder().eval()
    add_adapter(model, "a", PromptConfig(num_tokens=3))
    add_adapter(model, "b", PrefixConfig(num_tokens=3, init_std=1.0))
    add_adapter(model, "c", PrefixConfig(num_tokens=3, init_std=1.0))
    text = torch.arange(8)[None]
    rows = [torch.cat((torch.tensor(virtual_ids(model, name))[None], text), dim=1) for name in "abc"]
    together = model(torch.cat(rows))
    for number, row in enumerate(rows):
        alone = model(row)
        assert (together[number] - alone[0]).abs().max() < 1e-5
        cache = model.new_cache(1, 16)
        parts = [model(row[:, :2], cache=cache)] + [model(row[:, t : t + 1], cache=cache) for t in range(2, 11)]
        assert (torch.cat(parts, dim=1) - alone).abs().max() < 1e-5
    assert (together[1] - together[2]).abs().max() > 0.01
    packed = torch.cat((rows[0], rows[1]), dim=1)
    segments = torch.tensor([[1] * 11 + [2] * 11])
    assert (model(packed, segments=segments)[0, 11:] - together[1]).abs().max() < 1e-5


def test_gradients_reach_the_virtual_tokens_that_are_there_and_nothing_else():
    model = decoder()
    add_adapter(model, "a", PromptConfig(num_tokens=2))
    add_adapter(model, "b", PrefixConfig(num_tokens=2))
    ids = torch.cat((torch.tensor([virtual_ids(model, "b")]), torch.arange(6)[None]), dim=1)
    model(ids)[:, 2:].square().sum().backward()
    found = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert found == {"embedding.token.adapters.b.pairs"}
    (parameter,) = [one for one in model.parameters() if one.grad is not None]
    assert bool((parameter.grad != 0).flatten(2).any(dim=2).all()), "every layer's keys and values learn"


def test_a_prompt_starts_from_given_or_drawn_tokens():
    model = decoder()
    table = model.embedding.token.weight
    add_adapter(model, "text", PromptConfig(num_tokens=5, init_ids=(7, 9)))
    rows = model.get_submodule("embedding.token.adapters.text").rows
    assert torch.equal(rows, table[[7, 9, 7, 9, 7]].float())
    add_adapter(model, "words", PromptConfig(num_tokens=4))
    words = model.get_submodule("embedding.token.adapters.words").rows
    assert all(bool((table == row).all(dim=1).any()) for row in words)
    add_adapter(model, "noise", PromptConfig(num_tokens=4, init=PromptInit.RANDOM))
    with pytest.raises(InputError, match=r"outside 0\.\.49"):
        add_adapter(model, "other", PromptConfig(init_ids=(50,)))
    with pytest.raises(ConfigError, match="set num_tokens to 3"):
        PromptConfig(num_tokens=2, init_ids=(1, 2, 3))


def test_a_prompt_starts_as_a_text():
    tokenizer = tiny_tokenizer()
    config = PromptConfig(text="is this review good", num_tokens=1).with_tokenizer(tokenizer)
    assert config.init_ids == tuple(tokenizer.encode("is this review good"))
    assert config.num_tokens == len(config.init_ids) > 1
    assert PromptConfig(text="good", num_tokens=30).with_tokenizer(tokenizer).num_tokens == 30
    with pytest.raises(ConfigError, match="has no tokens"):
        PromptConfig(text="").with_tokenizer(tokenizer)
    with pytest.raises(ConfigError, match="one of the two"):
        PromptConfig(text="good", init_ids=(1,))
    with pytest.raises(ConfigError, match="`with_tokenizer` makes tokens of it"):
        add_adapter(decoder(), "early", PromptConfig(text="good"))


def test_ids_are_given_out_once_and_unknown_ones_are_refused():
    model = decoder()
    add_adapter(model, "a", PromptConfig(num_tokens=3))
    add_adapter(model, "b", PromptConfig(num_tokens=2))
    add_adapter(model, "lora", LoraConfig())
    assert virtual_ids(model, "a") == (50, 51, 52)
    assert virtual_ids(model, "b") == (53, 54)
    remove_adapter(model, "a")
    remove_adapter(model, "b")
    add_adapter(model, "c", PromptConfig(num_tokens=1))
    assert virtual_ids(model, "c") == (55,)
    for token in (51, 54, 56):
        with pytest.raises(InputError, match=f"token {token} is neither"):
            model(torch.tensor([[token, 1]]))
    with pytest.raises(InputError, match="has no virtual tokens"):
        virtual_ids(model, "lora")
    assert adapters_of(model).configs.keys() == {"c", "lora"}


def test_an_encoder_keeps_no_keys_and_values():
    with pytest.raises(ConfigError, match="prompt tuning, LoRA or a bottleneck"):
        add_adapter(decoder("bert"), "x", PrefixConfig())


def test_a_saved_prompt_is_opened_again(tmp_path):
    model, ids = decoder().eval(), torch.arange(6)[None]
    for name, config in {"p": PromptConfig(num_tokens=2), "q": PrefixConfig(num_tokens=2)}.items():
        add_adapter(model, name, config)
        randomize(model)
        save_adapter(model, name, tmp_path / name)
        load_adapter(model, tmp_path / name, f"{name}-again")
        first, again = (torch.tensor([virtual_ids(model, one)]) for one in (name, f"{name}-again"))
        with torch.no_grad():
            found = [model(torch.cat((virtual, ids), dim=1)) for virtual in (first, again)]
        assert torch.equal(*found)
