"""The API of the rating page: each annotator's items, refusals, and data that an annotator never gets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.evaluation.human.answers import ModelAnswer
from lavra.evaluation.human.items import ItemKind
from lavra.evaluation.human.votes import Winner
from tests.evaluation.human.small_study import new_store
from tests.server.rating.serving import serving

ANSWERS = [
    ModelAnswer(model=model, question_id=f"q{number}", prompt=f"P{number}", answer=f"{'x' * length} {number}")
    for model, length in (("secret-model-one", 3), ("secret-model-two", 5))
    for number in range(4)
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    store, tokens = new_store(tmp_path_factory.mktemp("study") / "a.study", ANSWERS)
    with serving(store) as url:
        yield store, tokens, httpx2.Client(base_url=url)


@pytest.fixture
def ask(study):
    """Send a request as an annotator."""
    _, tokens, client = study

    def send(method, path, body=None, annotator=1, **more):
        return client.request(method, path, json=body, headers={"Authorization": f"Bearer {tokens[annotator]}"}, **more)

    return send


def place_of(store, annotator, kind):
    return next(
        place
        for place in range(1, store.num_assigned(annotator) + 1)
        if store.items[store.assignment(annotator, place).item].kind is kind
    )


def test_nothing_without_a_token(study) -> None:
    _, tokens, client = study
    for token in ("", "Basic", "x", tokens[1][:-1], tokens[1].lower()):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for method, path in [("GET", "study"), ("GET", "items/1"), ("PUT", "items/1"), ("POST", "undo")]:
            body = {} if method == "PUT" else None
            answer = client.request(method, f"/api/{path}", json=body, headers=headers)
            assert answer.status_code == 401
            assert "not valid" in answer.json()["error"]["message"]
    assert client.get("/api/study", headers={"Cookie": f"token={tokens[1]}"}).status_code == 401
    assert client.get(f"/api/study?token={tokens[1]}").status_code == 401


def test_an_annotator_sees_no_model_and_no_check(study, ask) -> None:
    store, _, _ = study
    shapes = set()
    for place in range(1, store.num_assigned(1) + 1):
        text = ask("GET", f"/api/items/{place}").text
        assert "secret" not in text
        assert "attention" not in text
        shapes.add((json.loads(text)["kind"], *json.loads(text)))
    assert len(shapes) == 2  # checks look like the others
    assert "secret" not in ask("GET", "/api/study").text


def test_a_choice_of_sides_becomes_a_vote_for_a_model(study, ask) -> None:
    store, _, _ = study
    for place in range(1, store.num_assigned(1) + 1):
        at = store.assignment(1, place)
        if store.items[at.item].kind is not ItemKind.PAIR:
            continue
        shown = ask("GET", f"/api/items/{place}").json()["answers"]
        item = store.items[at.item]
        assert shown == ([item.answer_b, item.answer_a] if at.swapped else [item.answer_a, item.answer_b])
        for side, text in zip(("first", "second"), shown, strict=True):
            saved = ask("PUT", f"/api/items/{place}", {"choice": side, "done": True})
            assert place in saved.json()["done"]
            winner = store.judgement(1, at.item).winner
            assert (item.answer_a if winner is Winner.MODEL_A else item.answer_b) == text
            assert ask("GET", f"/api/items/{place}").json()["judgement"]["choice"] == side


def test_annotators_do_not_see_one_anothers_judgements(study, ask) -> None:
    store, _, _ = study
    place = place_of(store, 1, ItemKind.RATING)
    item = store.assignment(1, place).item
    ask("PUT", f"/api/items/{place}", {"ratings": {"fluency": 5}, "comment": "mine"})
    others = [ask("GET", f"/api/items/{at}", annotator=2).json() for at in range(1, store.num_assigned(2) + 1)]
    assert [one["judgement"] for one in others] == [None] * len(others)
    assert store.judgement(2, item) is None


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"ratings": {"fluency": 6}}, 400, "at most 5"),
        ({"ratings": {"fluency": "good"}}, 400, "fluency"),
        ({"ratings": {"beauty": 1}}, 400, "'beauty' is not asked"),
        ({"done": True}, 400, "is not rated"),
        ({"choice": "left"}, 400, "choice"),
        ({"winner": "model_a"}, 400, "winner"),
        ({"seconds": -1}, 400, "seconds"),
        ({"comment": "x" * 5001}, 400, "comment"),
        ({"comment": "x" * 100_000}, 413, "64000 bytes"),
        ([], 400, ""),
    ],
)
def test_requests_unlike_the_pages_are_refused(study, ask, body, status, message) -> None:
    answer = ask("PUT", f"/api/items/{place_of(study[0], 1, ItemKind.RATING)}", body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
fields = st.sampled_from(["ratings", "choice", "skipped", "comment", "seconds", "done", "fluency", "first"])
bodies = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=6))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, place=st.integers(1, 8))
def test_no_body_becomes_a_fault_of_ours(study, body, place) -> None:
    _, tokens, client = study
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    headers = {"Authorization": f"Bearer {tokens[2]}", "Content-Type": "application/json"}
    answer = client.put(f"/api/items/{place}", content=content, headers=headers)
    assert answer.status_code in (200, 400), answer.text
    client.post("/api/undo", headers=headers)


def test_many_at_once_lose_nothing(study) -> None:
    """Drafts of one item and undos of another from eight threads: each is answered, and the last state is complete."""
    store, tokens, client = study
    place = place_of(store, 1, ItemKind.RATING)

    def send(number):
        body = {"ratings": dict.fromkeys(store.config.scales, 1 + number % 5), "done": True, "comment": str(number)}
        headers = {"Authorization": f"Bearer {tokens[1]}"}
        client.post("/api/undo", headers=headers)
        return client.put(f"/api/items/{place}", json=body, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(40))) == {200}
    said = store.judgement(1, store.assignment(1, place).item)
    assert set(said.ratings.values()) == {1 + int(said.comment) % 5}


@pytest.mark.parametrize("place", ["0", "-1", "99", str(2**70), "x", "1/2", "%00"])
def test_places_that_are_not_there(ask, place) -> None:
    answer = ask("GET", f"/api/items/{place}")
    assert answer.status_code in (400, 404)


def test_undo_is_of_the_annotators_own_last(study, ask) -> None:
    store, _, _ = study
    place = place_of(store, 2, ItemKind.RATING)
    ratings = dict.fromkeys(store.config.scales, 2)
    ask("PUT", f"/api/items/{place}", {"ratings": ratings, "done": True}, annotator=2)
    assert ask("POST", "/api/undo", annotator=2).json() == {"done": [], "place": place}
    assert ask("POST", "/api/undo", annotator=2).json() == {"done": [], "place": None}


def test_a_closed_study_says_so(study, ask) -> None:
    store, _, _ = study
    store.set_closed(True)
    try:
        answer = ask("PUT", "/api/items/1", {"comment": "late"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "study_closed")
        assert ask("GET", "/api/study").json()["closed"] is True
    finally:
        store.set_closed(False)


def test_every_answer_has_the_security_headers(study, ask) -> None:
    _, _, client = study
    answers = [client.get("/"), client.get("/rating.js"), client.get("/api/study"), client.get("/nowhere")]
    answers.append(ask("PUT", "/api/items/1", {"comment": "x" * 100_000}))
    for answer in answers:
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "access-control-allow-origin" not in answers[0].headers
    page = client.get("/").text
    assert "<style" not in page
    assert " style=" not in page
    assert "<script>" not in page
