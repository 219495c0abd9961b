"""Held-out bits per byte against the sum written out: every token of a document, its end included, over its bytes."""

from __future__ import annotations

import math

import pytest
import torch

from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.metrics.bits import bits_per_byte
from lavra.pipeline.heldout import sample_documents, score_documents
from tests.data.fakes import BOS, EOS, EOT, ByteTokenizer
from tests.train.tiny import tiny_model

TEXTS = ["a", "não há pão", "one two", "🍎", "the end of it", "x y z"]  # shorter than the context of 64


@pytest.fixture
def model():
    """With logits far from equal, so that each token counts."""
    model = tiny_model().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
    return model


@torch.no_grad()
def nats(model, ids):
    """Of every token but the first, one at a time."""
    total = 0.0
    for place in range(1, len(ids)):
        logits = model(torch.tensor([ids[:place]]))[0, -1].double()
        total += float(logits.logsumexp(-1) - logits[ids[place]])
    return total


@pytest.mark.parametrize(
    ("bos", "eos", "end"),
    [
        pytest.param(EOT, EOT, EOT, id="the next document's start is the end"),
        pytest.param(BOS, EOS, EOS, id="a start and an end"),
    ],
)
@pytest.mark.parametrize("chosen", [range(len(TEXTS)), [1, 3, 4]], ids=["all", "some"])
def test_nats_and_bytes_are_those_of_the_chosen_documents_ends_included(model, tmp_path, bos, eos, end, chosen):
    documents = [Document(id=text, text=text) for text in TEXTS]
    data = write_tokens(tmp_path / "t", documents, ByteTokenizer(bos_id=bos, eos_id=eos))
    found = score_documents(model, data, chosen)
    texts = [TEXTS[index].encode() for index in chosen]
    expected = sum(nats(model, [bos, *text, end]) for text in texts)
    assert found.nll == pytest.approx(expected, rel=1e-5)
    assert found.num_tokens == sum(len(text) + 1 for text in texts)
    assert found.num_bytes == sum(map(len, texts))
    figure = bits_per_byte(found.nll, found.num_bytes)
    assert figure == pytest.approx(expected / math.log(2) / sum(map(len, texts)), rel=1e-5)


def test_a_sample_of_documents_is_spread_and_about_as_long_as_asked(tmp_path):
    documents = [Document(id=str(number), text="word " * 10) for number in range(40)]
    data = write_tokens(tmp_path / "t", documents, ByteTokenizer())
    chosen = sample_documents(data, 510)  # 51 tokens each
    assert 9 <= len(set(chosen)) == len(chosen) <= 10
    assert chosen != sorted(chosen)
    assert chosen == sample_documents(data, 510)
    assert len(sample_documents(data, 1)) == 1
