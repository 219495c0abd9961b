"""A remote reranker: the port's suite against lavra's server; a double that answers as other servers do, or wrongly."""

import json

import httpx2
import pytest

import lavra
from lavra.base.errors import InputError
from lavra.remote.config import RemoteConfig
from lavra.remote.connection import RemoteError
from lavra.remote.reranking import RemoteReranker
from lavra.testing.reranker import RerankerConformance
from lavra.verbs import serving
from tests.server.conftest import running
from tests.tasks.heads import head_folder

TEXTS = ["Basalt is a rock.", "Lava cools quickly.", "The museum opened in 1902"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return head_folder("rerank", tmp_path_factory.mktemp("rerank"))


@pytest.fixture(scope="module")
def url(folder):
    with running([serving.open_model(f"rank={folder}", serving.ServeSettings())]) as url:
        yield url


@pytest.mark.parametrize("door", ["/v1", "/v2"])
class TestReranker(RerankerConformance):
    @pytest.fixture(autouse=True)
    def _reranker(self, url, door):
        with RemoteReranker(RemoteConfig(url=url + door, model="rank")) as self.reranker:
            yield

    def make_reranker(self):
        return self.reranker


def test_it_ranks_as_the_model_does(url, folder):
    with RemoteReranker(RemoteConfig(url=f"{url}/v1")) as reranker:
        found = reranker.rerank("basalt", [*TEXTS, "word " * 300])
    expected = lavra.load(folder).rerank("basalt", [*TEXTS, "word " * 300], truncate=True)
    assert [one.index for one in found] == [one.index for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)


def double(answer, asked):
    def handle(request):
        asked.append((request.url.path, json.loads(request.content)))
        return httpx2.Response(200, json=answer)

    return httpx2.MockTransport(handle)


def test_it_asks_each_protocol_in_its_own_words():
    asked = []
    answer = {"results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}]}
    for door in ("/v1", "/v2"):
        config = RemoteConfig(url=f"http://x{door}", model="m")
        found = RemoteReranker(config, transport=double(answer, asked)).rerank("q", ["a", "b"])
        assert [(one.index, one.score) for one in found] == [(1, 0.5), (0, 0.25)]
    body = {"model": "m", "query": "q", "documents": ["a", "b"]}
    assert asked == [("/v1/rerank", {**body, "truncate": True}), ("/v2/rerank", body)]


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []},
        {"results": [{"index": 0, "relevance_score": 0.5}]},
        {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 7.5}]},
        {"results": [{"index": 0}, {"index": 1}]},
    ],
)
def test_unusable_answers_are_reported(answer):
    reranker = RemoteReranker(RemoteConfig(url="http://x/v1"), transport=double(answer, []))
    with pytest.raises(RemoteError):
        reranker.rerank("q", ["a", "b"])


def test_a_blank_query_is_refused():
    with pytest.raises(InputError, match="blank"):
        RemoteReranker(RemoteConfig(url="http://x/v1")).rerank(" ", ["a"])
