"""Samples for measuring a model: every token once, and the same text for every model."""

import pytest
import tokenizers as tokenizers_library
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.compression.samples import sample_text
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.model.score import score_sequences
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

SHAPE = {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "max_positions": 24}


@pytest.fixture(scope="module")
def tokenizers(story):
    kinds = {"llama": "bpe", "bert": "wordpiece", "t5": "unigram"}
    return {
        family: train_tokenizer([story] * 3, TokenizerConfig(kind=kind, vocab_size=420, num_sentinels=20))
        for family, kind in kinds.items()
    }


def model_for(family, tokenizer):
    torch.manual_seed(0)
    return build_model(preset(family, vocab_size=max(tokenizer.vocab_size, 512), **SHAPE)).eval()


@given(starts=st.lists(st.integers(0, 300), min_size=1, max_size=4), length=st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_a_decoder_is_asked_for_every_token_once_with_the_likelihood_of_the_scorer(tokenizers, story, starts, length):
    tokenizer = tokenizers["llama"]
    model = model_for("llama", tokenizer)
    texts = [story[start : start + length] for start in starts]
    sample = sample_text(model, tokenizer, texts, max_tokens=10**6)
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts]
    assert sample.num_tokens == sum(len(one) - 1 for one in ids)
    assert sample.num_bytes == sum(len(text.encode()) for text in texts)
    with torch.no_grad():
        nll = 0.0
        for batch in sample.batches:
            logprobs = model.logits(batch.hidden(model)[batch.scored]).log_softmax(-1)
            nll -= float(logprobs.gather(1, batch.labels[:, None]).sum())
    expected = sum(float(one.sum()) for one in score_sequences(model, ids, window=24, stride=12))
    assert nll == pytest.approx(expected, rel=1e-4)


def test_without_a_token_in_front_the_first_token_is_never_asked_for_nor_its_bytes_counted(story, tmp_path):
    tokenizer = unframed_tokenizer(story, tmp_path)
    assert (tokenizer.bos_id, tokenizer.eos_id) == (None, None)
    texts = [f"{story[start : start + 150]} é" for start in (0, 23, 57)]
    ids = [tokenizer.encode(text) for text in texts]
    firsts = [tokenizer.decode(one[:1]) for one in ids]
    assert min(map(len, firsts)) > 1
    sample = sample_text(model_for("llama", tokenizer), tokenizer, texts, max_tokens=10**6)
    assert sample.num_tokens == sum(len(one) - 1 for one in ids)
    assert sample.num_bytes == sum(
        len(text.removeprefix(first).encode()) for text, first in zip(texts, firsts, strict=True)
    )
    asked = sorted(label for batch in sample.batches for label in batch.labels.tolist())
    assert asked == sorted(label for one in ids for label in one[1:])


def unframed_tokenizer(story, folder):
    """Byte-level BPE from another library, without any special token."""
    backend = tokenizers_library.Tokenizer(tokenizers_library.models.BPE())
    backend.pre_tokenizer = tokenizers_library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers_library.decoders.ByteLevel()
    alphabet = tokenizers_library.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers_library.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([story] * 3, trainer)
    backend.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder / "tokenizer.json")


def test_tokens_stop_where_they_should(tokenizers, story):
    model = model_for("llama", tokenizers["llama"])
    asked = iter([story, story, story])
    sample = sample_text(model, tokenizers["llama"], asked, max_tokens=30)
    assert sample.num_tokens == 30
    assert len(list(asked)) == 2, "documents after the last one needed are not read"


def test_an_encoder_is_asked_for_what_was_hidden(tokenizers, story):
    tokenizer = tokenizers["bert"]
    model = model_for("bert", tokenizer)
    sample = sample_text(model, tokenizer, [story] * 20, max_tokens=10**6)
    read = torch.cat([batch.input_ids.flatten() for batch in sample.batches])
    hidden = int((read == tokenizer.mask_id).sum())
    assert hidden == sample.num_tokens
    assert 0.10 < hidden / len(read) < 0.20
    for batch in sample.batches:
        assert bool((batch.input_ids[batch.scored] == tokenizer.mask_id).all())
        assert bool((batch.input_ids[:, 0] == tokenizer.cls_id).all())
        assert bool((batch.input_ids[:, -1] == tokenizer.sep_id).all())
    again = sample_text(model, tokenizer, [story] * 20, max_tokens=10**6)
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(sample.batches, again.batches, strict=True))


def test_source_and_target_rebuild_the_text(tokenizers, story):
    tokenizer = tokenizers["t5"]
    model = model_for("t5", tokenizer)
    sample = sample_text(model, tokenizer, [story], max_tokens=10**6)
    pieces = set()
    for batch in sample.batches:
        targets = batch.labels.view(len(batch.input_ids), -1).tolist()
        for source, said, target in zip(
            batch.input_ids.tolist(), batch.decoder_input_ids.tolist(), targets, strict=True
        ):
            assert said[1:] == target[:-1]
            pieces.add(tuple(rebuilt(source[:-1], target[:-1], tokenizer.sentinel_ids)))
    ids = tokenizer.encode(story)
    longest = max(map(len, pieces))
    expected = {tuple(ids[start : start + longest]) for start in range(0, len(ids), longest)}
    assert {piece for piece in expected if len(piece) > 1} == pieces


def rebuilt(source, target, sentinels):
    spans, current = {}, None
    for token in target:
        if token in sentinels:
            current = token
            spans[current] = []
        else:
            spans[current].append(token)
    out = []
    for token in source:
        out.extend(spans[token] if token in sentinels else [token])
    return out


def test_a_text_without_samples_is_refused(tokenizers, story):
    model = model_for("llama", tokenizers["llama"])
    with pytest.raises(InputError, match="too few"):
        sample_text(model, tokenizers["llama"], [""], max_tokens=100)
    with pytest.raises(ConfigError, match="mask"):
        sample_text(model_for("bert", tokenizers["llama"]), tokenizers["llama"], [story], max_tokens=100)
