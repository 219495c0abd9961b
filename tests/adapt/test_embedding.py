"""Sentence encoders: the vectors are those of the backbone pooled by hand, padding changes nothing, folders reopen."""

import copy

import numpy as np
import pytest
import torch

from lavra.adapt.embedding import EmbeddingModel
from lavra.base.errors import ConfigError
from lavra.model.pooling import Pooling
from lavra.model.transformer import Encoder, EncoderDecoder
from tests.generate.tiny import tiny_model

LENGTHS = (7, 3, 1)
FAMILIES = ("bert", "gpt2", "llama", "t5")
DECODERS = ("gpt2", "llama")
CASES = [
    (family, pooling)
    for family in FAMILIES
    for pooling in Pooling
    if family not in DECODERS or pooling is not Pooling.CLS
]


def fresh(family):
    return copy.deepcopy(tiny_model(family))


def texts(vocab_size):
    """(3, 7) ids of different lengths, padded on the right, and the mask of real tokens."""
    torch.manual_seed(0)
    ids = torch.randint(5, vocab_size, (3, 7))
    mask = torch.arange(7)[None] < torch.tensor(LENGTHS)[:, None]
    return ids.masked_fill(~mask, 0), mask


def alone(model, ids):
    """(T, D) hidden states of one text alone."""
    states = model.encode(ids[None]) if isinstance(model, EncoderDecoder) else model.hidden(ids[None])
    return states[0].detach().numpy()


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(("family", "pooling"), CASES)
def test_a_vector_is_the_pooled_text_in_any_company(family, pooling, normalize):
    backbone = fresh(family)
    ids, mask = texts(backbone.config.vocab_size)
    model = EmbeddingModel(backbone, pooling=pooling, normalize=normalize).eval()
    found = model(ids, attention_mask=mask).detach().numpy()
    assert found.shape == (3, 64)
    for row, length, vector in zip(ids, LENGTHS, found, strict=True):
        states = alone(backbone, row[:length])
        expected = {Pooling.MEAN: states.mean(0), Pooling.CLS: states[0], Pooling.LAST: states[-1]}[pooling]
        expected = expected / np.linalg.norm(expected) if normalize else expected
        np.testing.assert_allclose(vector, expected, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_the_modules_of_the_vector_learn(family):
    """Each parameter with `requires_grad` gets a gradient: distributed training and the optimizer rely on it."""
    model = EmbeddingModel(fresh(family), normalize=False)
    ids, mask = texts(model.config.vocab_size)
    model(ids, attention_mask=mask).pow(2).sum().backward()
    for name, part in model.named_parameters():
        useless = name.split(".")[1] == "head" or (family == "t5" and name.split(".")[1] == "decoder")
        assert part.requires_grad is not useless, name
        assert (part.grad is None) is useless, name


@pytest.mark.parametrize("family", DECODERS)
def test_the_first_token_of_a_decoder_is_no_vector_of_a_text(family):
    with pytest.raises(ConfigError, match="in a decoder the first token reads no other token"):
        EmbeddingModel(fresh(family), pooling=Pooling.CLS)


def test_an_encoder_loses_its_head_and_says_so_and_keeps_its_pooler():
    backbone = fresh("bert")
    backbone.pooler = torch.nn.Linear(64, 64)
    model = EmbeddingModel(backbone)
    assert isinstance(model.backbone, Encoder)
    assert model.backbone.head is None
    assert not model.config.has_head
    assert not any(part.requires_grad for part in model.backbone.pooler.parameters())


def test_token_types_are_read_and_half_precision_gives_float32():
    model = EmbeddingModel(fresh("bert")).eval()
    ids, mask = texts(model.config.vocab_size)
    plain = model(ids, attention_mask=mask)
    torch.testing.assert_close(model(ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)), plain)
    assert not torch.allclose(model(ids, attention_mask=mask, token_type_ids=torch.ones_like(ids)), plain, atol=1e-3)
    assert model.to(torch.bfloat16)(ids, attention_mask=mask).dtype == torch.float32
