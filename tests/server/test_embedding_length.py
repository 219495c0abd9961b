"""Texts that are too long to embed: refused with a working remedy, or cut as the model itself cuts, with a warning."""

import numpy as np
import pytest

from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.api.embed import TorchEmbedder
from tests.generate.tiny import tiny_in_process

LONG = "Once upon a time there was a little girl named Lily. " * 9


@pytest.fixture(scope="module")
def embedder():
    model = tiny_in_process("bert", max_positions=64)
    return TorchEmbedder(model.model, model.encoding, EmbeddingConfig())


def asked(http, **body):
    return http.post("/v1/embeddings", json={"model": "embedder", **body})


def test_the_remedy_of_the_refusal_works(http, embedder):
    tokens = len(tiny_in_process("bert").tokenizer.encode(LONG, add_special_tokens=True))
    refused = asked(http, input=["She", LONG])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    said = refused.json()["error"]["message"]
    assert f"input 1 has {tokens} tokens and embedder embeds at most 64" in said
    assert "send truncate: true" in said
    answer = asked(http, input=["She", LONG], truncate=True).json()
    assert answer["warnings"] == [f"input 1 has {tokens} tokens; its first 64 were embedded"]
    assert answer["usage"]["prompt_tokens"] == embedder.lengths(["She"])[0] + 64
    expected = embedder.embed(["She", LONG], truncate=True)
    np.testing.assert_allclose([one["embedding"] for one in answer["data"]], expected, atol=1e-5)


def test_fitting_texts_give_no_warning(http, embedder):
    plain, allowed = asked(http, input="She").json(), asked(http, input="She", truncate=True).json()
    assert plain == allowed
    assert plain["warnings"] == []
    assert plain["usage"]["prompt_tokens"] == embedder.lengths(["She"])[0]


def test_the_model_says_how_much_it_reads(http):
    assert http.get("/v1/models/embedder").json()["max_model_len"] == 64


def test_a_prompt_counts(embedder):
    model = tiny_in_process("bert", max_positions=64)
    config = EmbeddingConfig(prompts={"query": "query: "}, default_prompt="query")
    prompted = TorchEmbedder(model.model, model.encoding, config)
    assert prompted.lengths(["She"]) == embedder.lengths(["query: She"])
