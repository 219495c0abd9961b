"""Texts of many callers computed together, against the same texts alone."""

import threading
import time

import numpy as np
import pytest

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.embed import TorchEmbedder
from lavra.api.torch_fill import TorchMaskFiller
from lavra.base.errors import ContextLengthError, LavraError, OverloadedError
from lavra.base.ports import MaskFiller
from lavra.base.types import FillRequest
from lavra.engine.batching import BatchingEmbedder, BatchingMaskFiller
from lavra.testing.embedder import EmbedderConformance
from lavra.testing.mask_filler import MaskFillerConformance
from tests.generate.tiny import tiny_in_process, tiny_tokenizer


def real():
    model = tiny_in_process("bert")
    return TorchEmbedder(model.model, model.encoding, EmbeddingConfig())


class Gated:
    """Returns lengths as vectors after its gate opens."""

    def __init__(self):
        self.gate, self.batches = threading.Event(), []

    def embed(self, texts, *, truncate=False):
        self.gate.wait()
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ContextLengthError("a bad text")
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def together(embedder, requests):
    """Send all requests at once from separate threads; returns each result or error."""
    found = [None] * len(requests)

    def ask(number):
        try:
            found[number] = getattr(embedder, "embed", embedder.answers)(requests[number])
        except LavraError as error:
            found[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    return found, threads


class TestEmbedder(EmbedderConformance):
    def make_embedder(self):
        return self.worker

    @pytest.fixture(autouse=True)
    def _worker(self):
        self.worker = BatchingEmbedder(real())
        yield
        self.worker.close()


class TestMaskFiller(MaskFillerConformance):
    num_tokens = tiny_tokenizer("bert").vocab_size
    words = tuple((word, tiny_tokenizer("bert").id(word)) for word in ("a", "b"))

    def make_filler(self):
        return self.worker

    @pytest.fixture(autouse=True)
    def _worker(self):
        self.worker = BatchingMaskFiller(TorchMaskFiller(tiny_in_process("bert")))
        yield
        self.worker.close()


def test_company_does_not_matter():
    alone, requests = real(), [["She loved"], ["Once upon a time", "a"], ["def add(a, b):", "Lily", "x"]] * 3
    embedder = BatchingEmbedder(alone)
    found, threads = together(embedder, requests)
    for thread in threads:
        thread.join()
    embedder.close()
    for request, vectors in zip(requests, found, strict=True):
        assert np.allclose(vectors, alone.embed(request), atol=1e-5)
    assert embedder.num_batches <= len(requests)


def test_company_does_not_matter_to_gaps():
    alone = TorchMaskFiller(tiny_in_process("bert"))
    texts = ["She [MASK]", "Once upon a [MASK] there was a little [MASK] named Lily", "[MASK]", "def [MASK](a, b):"]
    requests = [[FillRequest(text=text, top_k=top_k)] for text in texts for top_k in (1, 3, 7)]
    filler = BatchingMaskFiller(alone)
    assert isinstance(filler, MaskFiller)
    found, threads = together(filler, requests)
    for thread in threads:
        thread.join()
    filler.close()
    for request, (gaps,) in zip(requests, found, strict=True):
        (expected,) = alone.fill(request)
        assert [[token for token, _ in gap] for gap in gaps] == [[token for token, _ in gap] for gap in expected]
        assert np.allclose([p for gap in gaps for _, p in gap], [p for gap in expected for _, p in gap], atol=1e-5)


def test_texts_that_arrive_meanwhile_are_one_batch_of_bounded_size():
    gated = Gated()
    embedder = BatchingEmbedder(gated, most_texts=4)
    requests = [["a"], ["bb"], ["cc", "ccc"], ["d"], ["e"] * 6, ["f"]]
    first, threads = together(embedder, requests[:1])
    while embedder._waiting:  # until it is under way
        time.sleep(0.001)
    others, more = together(embedder, requests[1:])
    while len(embedder._waiting) < 5:
        time.sleep(0.001)
    gated.gate.set()
    for thread in (*threads, *more):
        thread.join()
    embedder.close()
    for request, vectors in zip(requests, [*first, *others], strict=True):
        assert vectors[:, 0].tolist() == [len(text) for text in request]
    assert len(gated.batches) < len(requests)
    assert all(len(batch) <= 4 or batch == ["e"] * 6 for batch in gated.batches)


def test_a_bad_request_fails_alone():
    gated = Gated()
    embedder = BatchingEmbedder(gated)
    found, threads = together(embedder, [["a"], ["bad"], ["b", "c"], ["d"]])
    gated.gate.set()
    for thread in threads:
        thread.join()
    embedder.close()
    assert isinstance(found[1], ContextLengthError)
    assert [vectors[:, 0].tolist() for vectors in (found[0], found[2], found[3])] == [[1], [1, 1], [1]]


def test_the_queue_is_bounded_and_a_closed_one_refuses():
    gated = Gated()
    embedder = BatchingEmbedder(gated, max_queue=2)
    found, threads = together(embedder, [["a"]])
    while embedder._waiting or not embedder._thread:
        time.sleep(0.001)
    more, others = together(embedder, [["b"], ["c"]])
    while len(embedder._waiting) < 2:
        time.sleep(0.001)
    with pytest.raises(OverloadedError, match="the queue is full: 2 of at most"):
        embedder.embed(["d"])
    gated.gate.set()
    for thread in (*threads, *others):
        thread.join()
    embedder.close()
    embedder.close()
    assert [vectors[0, 0] for vectors in (*found, *more)] == [1, 1, 1]
    with pytest.raises(LavraError, match="closed"):
        embedder.embed(["e"])
