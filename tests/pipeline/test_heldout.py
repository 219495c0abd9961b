"""Held-out bits per byte against an explicit sum: every token of a document and its end, divided by its bytes."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch

from lavra.base.types import Document
from lavra.data.pretraining.dataset import write_tokens
from lavra.metrics.bits import bits_per_byte
from lavra.pipeline.heldout import HeldoutSample, score_documents
from tests.data.fakes import BOS, EOS, EOT, ByteTokenizer
from tests.train.tiny import tiny_model

TEXTS = ["a", "não há pão", "one two", "🍎", "the end of it", "x y z"]  # shorter than the context of 64


@pytest.fixture
def model():
    """A model whose logits are far from equal, so that each token counts."""
    model = tiny_model().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
    return model


@torch.no_grad()
def nats(model, ids):
    """Nats of every token but the first, one at a time."""
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


def documents_of_all_lengths(draw) -> list[Document]:
    """Short documents, and long ones whose second half is another text, which a sample of beginnings would miss."""
    texts = ["".join(draw.choices("ab ", k=draw.randrange(1, 90))) for _ in range(20)]
    texts += ["".join(draw.choices("ab ", k=400)) + "".join(draw.choices("wxyz é", k=400)) for _ in range(5)]
    return [Document(id=str(number), text=text) for number, text in enumerate(texts)]


@pytest.mark.parametrize(("bos", "eos"), [(EOT, EOT), (BOS, EOS), (None, None)])
def test_a_sample_of_everything_is_the_final_figure(model, tmp_path, bos, eos):
    data = write_tokens(
        tmp_path / "t", documents_of_all_lengths(random.Random(0)), ByteTokenizer(bos_id=bos, eos_id=eos)
    )
    whole = score_documents(model, data, range(data.num_documents))
    sample = HeldoutSample(data, model.config.max_positions, data.num_tokens)
    found = sample.score(model)
    assert sample.is_everything
    assert found.error == 0
    assert found.bits_per_byte == pytest.approx(bits_per_byte(whole.nll, whole.num_bytes), rel=1e-6)


def test_a_sample_estimates_the_final_figure_within_its_error(model, tmp_path):
    """Over ten held-out sides: the estimate has no bias, and its error is as large as reported."""
    off, said = [], []
    for seed in range(10):
        data = write_tokens(tmp_path / f"{seed}", documents_of_all_lengths(random.Random(seed)), ByteTokenizer())
        whole = score_documents(model, data, range(data.num_documents))
        sample = HeldoutSample(data, model.config.max_positions, 1500)
        found = sample.score(model)
        assert not sample.is_everything
        off.append(found.bits_per_byte - bits_per_byte(whole.nll, whole.num_bytes))
        said.append(found.error)
    assert abs(statistics.mean(off)) < 3 * statistics.mean(said) / math.sqrt(10)
    assert statistics.pstdev(off) < 2 * statistics.mean(said)
    assert statistics.mean(said) < 0.1 * whole.nll / math.log(2) / whole.num_bytes
