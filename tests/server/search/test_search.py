"""Search over HTTP: passages, conditions, documents by id, and access."""

import httpx2
import pytest

from lavra.base.retrieval import Condition, Operator
from lavra.server.search.access import is_local
from lavra.server.search.where import read_where
from tests.server.conftest import running, served
from tests.server.search.toy_index import HOSTILE, LONG, TEXTS, toy_index

HTTP = httpx2.Client(timeout=10)
KEYS = {"crew-key": ("crew",), "plain-key": (), "owner-key": ("*",), "both-key": ("crew", "press")}


@pytest.fixture(scope="module")
def open_url():
    with running(
        [served("writer")], indexes=[toy_index(), toy_index("second", {"a.txt": "Only this oak text."})]
    ) as url:
        yield url


@pytest.fixture(scope="module")
def keyed_url():
    with running([], indexes=[toy_index()], api_keys=tuple(KEYS), key_groups=KEYS) as url:
        yield url


def post(url, body, key=None, **headers):
    given = {**headers, **({"Authorization": f"Bearer {key}"} if key else {})}
    return HTTP.post(f"{url}/v1/search", json=body, headers=given)


def get(url, path, key=None, **params):
    return HTTP.get(url + path, params=params, headers={"Authorization": f"Bearer {key}"} if key else {})


def error(answer):
    return answer.json()["error"]["message"]


def test_passages_are_exact_slices_with_their_places_and_scores(open_url):
    found = post(open_url, {"query": "How long lives an oak tree?", "k": 3}).json()
    assert found["model"] == "docs"
    assert found["data"][0]["document"] == "garden/trees.txt"
    for one in found["data"]:
        assert TEXTS[one["document"]][one["start"] : one["end"]] == one["text"]
        assert one["line"] == TEXTS[one["document"]].count("\n", 0, one["start"]) + 1
        assert set(one["scores"]) == {"bm25", "dense"}
    assert found["data"][0]["headings"] == ["Trees"]
    assert found["data"][0]["meta"]["year"] == 2021


def test_the_index_is_chosen_by_name_and_a_model_is_none(open_url):
    assert [one["document"] for one in post(open_url, {"query": "oak", "model": "second"}).json()["data"]] == ["a.txt"]
    told = post(open_url, {"query": "oak", "model": "writer"})
    assert told.status_code == 400
    assert "the indexes here are docs, second" in error(told)
    assert post(open_url, {"query": "oak", "model": "dosc"}).status_code == 404
    embedding = HTTP.post(f"{open_url}/v1/embeddings", json={"model": "docs", "input": "x"})
    assert embedding.status_code == 400
    assert "docs is an index and no model" in error(embedding)


def test_models_list_indexes_too(open_url):
    listed = {one["id"]: one for one in get(open_url, "/v1/models").json()["data"]}
    assert [listed[name]["retrieves"] for name in ("writer", "docs", "second")] == [False, True, True]
    assert get(open_url, "/v1/models/docs").json()["chats"] is True


def test_conditions_reach_the_retriever_before_anything_is_ranked(open_url):
    found = post(open_url, {"query": "rain tree rio", "where": {"year": {"gte": 2021, "lt": 2022}}}).json()["data"]
    assert {one["document"] for one in found} == {"garden/trees.txt"}
    assert post(open_url, {"query": "oak", "where": {"language": "pt"}}).json()["data"] == []


def test_an_unknown_field_names_those_there_are(open_url):
    told = post(open_url, {"query": "oak", "where": {"langauge": "pt"}})
    assert told.status_code == 400
    assert "langauge" in error(told)
    assert "language" in error(told)
    assert "year" in error(told)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"a": "pt"}, [("a", "eq", "pt")]),
        ({"a": {"gte": 1, "lt": 3}}, [("a", "gte", 1), ("a", "lt", 3)]),
        ({"a": {"in": ["x", 2]}, "b": True}, [("a", "in", ("x", 2)), ("b", "eq", True)]),
        ({"a": {"any": ["x"]}}, [("a", "any", ("x",))]),
    ],
)
def test_conditions_as_requests_write_them(where, expected):
    wanted = tuple(Condition(field=field, operator=Operator(name), value=value) for field, name, value in expected)
    assert read_where(where) == wanted


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"a": ["x"]}, '{"in": '),
        ({"a": None}, "a string, a number"),
        ({"a": {}}, "empty object"),
        ({"a": {"get": 3}}, "did you mean"),
        ({"a": {"in": "x"}}, "a list of strings"),
        ({"a": {"gte": [1]}}, "a string, a number"),
        ({"a": {"in": ["x"] * 1001}}, "1000 at most"),
    ],
)
def test_conditions_that_mean_nothing_are_refused(open_url, where, said):
    told = post(open_url, {"query": "oak", "where": where})
    assert told.status_code == 400
    assert said in error(told)


def test_bad_requests_and_unknown_fields(open_url):
    assert post(open_url, {"query": ""}).status_code == 400
    assert post(open_url, {"query": "  "}).status_code == 400
    assert post(open_url, {"query": "oak", "k": 0}).status_code == 400
    assert post(open_url, {}).status_code == 400
    assert any("unknown field top" in one for one in post(open_url, {"query": "oak", "top": 3}).json()["warnings"])


def test_a_document_by_its_id_whole_and_in_part(open_url):
    one = post(open_url, {"query": "heaviest rain measured"}).json()["data"][0]
    text = TEXTS["weather/rain.txt"]
    path = f"/v1/search/documents/{one['document_id']}"
    whole = get(open_url, path).json()
    assert whole["text"] == text[: whole["end"]]
    assert whole["total"] == len(text)
    part = get(open_url, path, start=one["start"], end=one["end"]).json()
    assert part["text"] == one["text"]
    assert part["line"] == one["line"]
    beyond = get(open_url, path, start=10**9, end=3).json()
    assert (beyond["start"], beyond["end"], beyond["text"]) == (len(text), len(text), "")


def test_an_id_says_nothing_of_the_disk_and_a_path_is_no_id(open_url):
    identity = post(open_url, {"query": "bees honey"}).json()["data"][0]["document_id"]
    assert set(identity) <= set("0123456789abcdef")
    for wrong in ("garden%2Fbees.html", "..%2F..%2Fetc%2Fpasswd", "0" * 24, "%00"):
        told = get(open_url, f"/v1/search/documents/{wrong}")
        assert told.status_code == 404, wrong


def test_documents_are_listed_with_their_facts(open_url):
    listed = get(open_url, "/v1/search/documents", contains="GARDEN").json()
    assert [one["document"] for one in listed["data"]] == ["garden/bees.html", "garden/trees.txt"]
    assert get(open_url, "/v1/search/documents", limit=1).json()["total"] == len(TEXTS)
    docs, second = get(open_url, "/v1/search").json()["data"]
    assert docs["documents"] == len(TEXTS)
    assert docs["fields"]["language"]["values"] == ["en", "pt"]
    assert "access" not in docs["fields"]
    assert second["documents"] == 1


def test_a_deleted_document_is_a_404_that_says_so(open_url):
    index = toy_index(texts={"a.txt": "An oak."})
    identity = index.document_id("b.txt")
    with running([], indexes=[index]) as url:
        told = get(url, f"/v1/search/documents/{identity}")
    assert told.status_code == 404
    assert "deleted after it was indexed" in error(told)


@pytest.mark.parametrize(
    ("key", "sees"), [("crew-key", True), ("both-key", True), ("owner-key", True), ("plain-key", False)]
)
def test_a_key_reads_the_documents_of_its_groups_and_no_others(keyed_url, key, sees):
    secret = toy_index().document_id("plans/secret.txt")
    found = post(keyed_url, {"query": "launch code swordfish rocket"}, key).json()["data"]
    assert ("plans/secret.txt" in {one["document"] for one in found}) is sees
    assert (get(keyed_url, f"/v1/search/documents/{secret}", key).status_code == 200) is sees
    assert (get(keyed_url, "/v1/search/documents", key, contains="secret").json()["total"] == 1) is sees
    assert (get(keyed_url, "/v1/search", key).json()["data"][0]["documents"] == len(TEXTS)) is sees
    body = {"model": "docs", "messages": [{"role": "user", "content": "What is the launch code of the rocket?"}]}
    answer = HTTP.post(f"{keyed_url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
    assert ("swordfish" in answer.text) is sees


def test_a_forbidden_document_and_one_that_is_not_there_answer_alike(keyed_url):
    secret = toy_index().document_id("plans/secret.txt")
    there, nowhere = (get(keyed_url, f"/v1/search/documents/{one}", "plain-key") for one in (secret, "0" * 24))
    assert there.status_code == nowhere.status_code == 404
    assert error(there).replace(secret, "") == error(nowhere).replace("0" * 24, "")


def test_groups_can_be_narrowed_and_never_widened(keyed_url):
    body = {"query": "launch code swordfish"}
    assert post(keyed_url, {**body, "groups": []}, "crew-key").json()["data"] == []
    assert post(keyed_url, {**body, "groups": ["crew"]}, "both-key").json()["data"]
    assert post(keyed_url, {**body, "groups": ["press"]}, "owner-key").json()["data"] == []
    wider = post(keyed_url, {**body, "groups": ["crew"]}, "plain-key")
    assert wider.status_code == 403
    assert "does not belong to crew" in error(wider)
    assert post(keyed_url, {**body, "groups": ["*"]}, "plain-key").json()["data"] == []
    chat = {"model": "docs", "messages": [{"role": "user", "content": "x"}], "retrieval": {"groups": ["crew"]}}
    headers = {"Authorization": "Bearer plain-key"}
    assert HTTP.post(f"{keyed_url}/v1/chat/completions", json=chat, headers=headers).status_code == 403


def test_no_key_no_entry_but_the_page_itself(keyed_url):
    assert post(keyed_url, {"query": "oak"}).status_code == 401
    assert get(keyed_url, "/v1/search/documents/x").status_code == 401
    page = get(keyed_url, "/search")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for one in ("search.js", "search.css"):
        assert get(keyed_url, f"/search/{one}").status_code == 200


def test_without_keys_this_machine_is_the_owner_by_its_own_name_alone(open_url):
    assert post(open_url, {"query": "swordfish"}).json()["data"]
    rebound = post(open_url, {"query": "swordfish"}, Host="evil.example:80")
    assert rebound.status_code == 403
    assert "evil.example" in error(rebound)


def test_without_keys_a_network_reads_what_everyone_may():
    with running([], indexes=[toy_index()], host="0.0.0.0") as url:
        local = url.replace("0.0.0.0", "127.0.0.1")
        assert post(local, {"query": "launch swordfish"}).json()["data"] == []
        assert post(local, {"query": "oak"}).json()["data"]
        assert post(local, {"query": "swordfish", "groups": ["crew"]}).status_code == 403


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("a.localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.example", False)],
)  # fmt: skip
def test_which_names_are_this_machine(host, local):
    assert is_local(host) is local


def test_without_an_index_search_says_how_to_get_one():
    with running([served("writer")]) as url:
        assert "--index" in error(post(url, {"query": "x"}))
        assert get(url, "/search").status_code == 404
        assert get(url, "/v1/search").json()["data"] == []


def test_an_index_alone_opens_its_page_at_the_root(keyed_url):
    assert get(keyed_url, "/").headers["location"] == "/search"


def test_hostile_text_comes_as_it_is(open_url):
    identity = toy_index().document_id("garden/bees.html")
    answer = get(open_url, f"/v1/search/documents/{identity}")
    assert answer.json()["text"] == HOSTILE
    assert answer.headers["content-type"] == "application/json"
    assert len(LONG) > 100_000
