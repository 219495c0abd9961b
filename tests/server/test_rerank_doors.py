"""Reranking and embedding in other servers' protocols, also with Cohere's real client, against the same models."""

import cohere
import httpx2
import numpy as np
import pytest
from cohere.core.api_error import ApiError

import lavra
from lavra.verbs import serving
from tests.server.conftest import running, served
from tests.tasks.heads import head_folder

TEXTS = ["She loved to play outside.", "def add(a, b):", "Once upon a time there was a little girl named Lily."]
LONG = "a " * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return head_folder("rerank", tmp_path_factory.mktemp("rerank"))


@pytest.fixture(scope="module")
def url(folder):
    with running([serving.open_model(f"rank={folder}", serving.ServeSettings()), served("embedder", "bert")]) as url:
        yield url


@pytest.fixture(scope="module")
def http(url):
    with httpx2.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def best(folder):
    """Number and score of each text, the best first."""
    return [(one.index, pytest.approx(one.score, abs=1e-5)) for one in lavra.load(folder).rerank("who", TEXTS)]


def test_coheres_clients_of_both_versions_rerank(url, best):
    for client, more in ((cohere.ClientV2, {}), (cohere.Client, {"return_documents": True})):
        asking = client(api_key="unused", base_url=url)
        answer = asking.rerank(model="rank", query="who", documents=TEXTS, top_n=2, **more)
        assert [(one.index, one.relevance_score) for one in answer.results] == best[:2]
        assert answer.id
        assert answer.meta.tokens.input_tokens > 0
        if more:
            assert [one.document.text for one in answer.results] == [TEXTS[index] for index, _ in best[:2]]


def test_coheres_second_api_reads_the_beginning_of_a_long_document_and_says_so(url, http):
    asking = cohere.ClientV2(api_key="unused", base_url=url)
    answer = asking.rerank(model="rank", query="who", documents=[LONG, TEXTS[0]])
    assert any("document 0" in one or "text 0" in one or "cut" in one for one in answer.meta.warnings)
    body = {"model": "rank", "query": "who", "documents": [LONG, TEXTS[0]], "truncate": False}
    refused = http.post("/v2/rerank", json=body)
    assert refused.status_code == 400
    assert "set truncate" in refused.json()["message"]


def test_a_bound_of_tokens_a_document(http):
    body = {"model": "rank", "query": "who", "top_n": 1}
    bound = http.post("/v2/rerank", json={**body, "documents": [TEXTS[2]], "max_tokens_per_doc": 5}).json()
    (told,) = bound["meta"]["warnings"]
    assert told.startswith("document 0 has ")
    assert told.endswith("its first 5 were read")
    tokens = int(told.split()[3])
    whole = http.post("/v2/rerank", json={**body, "documents": [TEXTS[2]]}).json()
    assert whole["usage"]["prompt_tokens"] - bound["usage"]["prompt_tokens"] == tokens - 5


def test_doors_without_a_version(http, best):
    body = {"model": "rank", "query": "who"}
    answer = http.post("/rerank", json={**body, "documents": TEXTS}).json()
    assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == best
    bare = http.post("/rerank", json={**body, "texts": TEXTS, "return_text": True}).json()
    assert [(one["index"], one["score"], one["text"]) for one in bare] == [(i, s, TEXTS[i]) for i, s in best]
    for wrong, says in (({}, "give documents"), ({"texts": TEXTS, "raw_scores": True}, "raw_scores")):
        refused = http.post("/rerank", json={**body, **wrong})
        assert (refused.status_code, says in refused.json()["error"]["message"]) == (400, True)


def test_coheres_client_embeds_and_its_truncate_is_obeyed(url, http):
    asking = cohere.ClientV2(api_key="unused", base_url=url)
    usual = {"model": "embedder", "input_type": "search_document", "embedding_types": ["float"]}
    answer = asking.embed(texts=["She", LONG], **usual)
    ours = http.post("/v1/embeddings", json={"model": "embedder", "input": ["She", LONG], "truncate": True}).json()
    np.testing.assert_allclose(answer.embeddings.float_, [one["embedding"] for one in ours["data"]], atol=1e-5)
    assert answer.meta.tokens.input_tokens == ours["usage"]["prompt_tokens"]
    assert set(ours["warnings"]) < set(answer.meta.warnings)
    with pytest.raises(ApiError, match=r'send truncate: \\?"END\\?"') as refused:
        asking.embed(texts=["She", LONG], truncate="NONE", **usual)
    assert refused.value.status_code == 400


def test_text_embeddings_inference_embeds(http):
    ours = http.post("/v1/embeddings", json={"model": "embedder", "input": ["She", LONG], "truncate": True}).json()
    bare = http.post("/embed", json={"model": "embedder", "inputs": ["She", LONG], "truncate": True}).json()
    assert bare == [one["embedding"] for one in ours["data"]]
    assert http.post("/embed", json={"model": "embedder", "inputs": LONG}).status_code == 400
