"""A response from an index, against the same question to the index in a chat."""

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.server.conftest import running, served
from tests.server.responses.paced import client_of
from tests.server.search.toy_index import META, toy_index

QUESTION = "How long lives an oak tree, and how much rain fell?"
EVENT = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def index():
    return toy_index(at_once=1)


@pytest.fixture(scope="module")
def client(index):
    with running([served("writer")], indexes=[index]) as url, client_of(url) as client:
        yield client


def test_an_answer_is_a_chats_answer(client):
    chat = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}])
    answer = client.responses.create(model="docs", input=QUESTION, max_output_tokens=5)
    Response.model_validate(answer.to_dict(), strict=True)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.status == "completed"
    assert answer.model_extra["retrieval"] == chat.model_extra["retrieval"]
    assert answer.model_extra["citations"] == chat.choices[0].message.model_extra["citations"]
    cited = [one.to_dict() for one in answer.output[0].content[0].annotations]
    assert [one["type"] for one in cited] == ["file_citation", "file_citation"]
    named = [(one["document"], one["document_id"]) for one in answer.model_extra["citations"]]
    assert [(one["filename"], one["file_id"]) for one in cited] == named
    assert [answer.output_text[one["index"] :][:3] for one in cited] == ["[1]", "[2]"]
    assert any("max_output_tokens has no effect" in one for one in answer.model_extra["warnings"])


def test_a_page_of_the_web_is_cited_by_its_address(monkeypatch):
    page, copy = "https://example.org/oaks", "https://example.org/willows"
    texts = {
        page: "An oak tree lives for centuries.",
        "willows.txt": "A willow tree drinks water.",
        "script.txt": "A poplar tree is tall.",
    }
    monkeypatch.setitem(META, "willows.txt", {"url": copy})
    monkeypatch.setitem(META, "script.txt", {"url": "javascript:alert(1)"})
    with running([], indexes=[toy_index(texts=texts)]) as url, client_of(url) as client:
        answers = [client.responses.create(model="docs", input=f"{one} tree") for one in ("oak", "willow", "poplar")]
    cited = [answer.output[0].content[0].annotations[0] for answer in answers]
    assert [one.type for one in cited] == ["url_citation", "url_citation", "file_citation"]
    assert [(one.url, one.title) for one in cited[:2]] == [(page, page), (copy, "willows.txt")]
    marks = [answers[n].output_text[cited[n].start_index : cited[n].end_index] for n in range(2)]
    assert marks == ["[1]", "[1]"]


def test_a_stream_is_the_same_answer(client):
    whole = client.responses.create(model="docs", input=QUESTION)
    events = [event.to_dict() for event in client.responses.create(model="docs", input=QUESTION, stream=True)]
    for number, event in enumerate(events):
        EVENT.validate_python(event)
        assert event["sequence_number"] == number
    last = events[-1]["response"]
    part = whole.output[0].content[0].to_dict()
    assert last["output"][0]["content"] == [part]
    assert (last["retrieval"], last["citations"]) == (whole.model_extra["retrieval"], whole.model_extra["citations"])
    marks = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [mark["annotation"] for mark in marks] == part["annotations"]
    assert [mark["annotation_index"] for mark in marks] == [0, 1]
    assert sum(event["type"] == "response.output_text.delta" for event in events) > 1


def test_a_conversation_and_the_background(client, index):
    first = client.responses.create(model="docs", input="How long lives an oak tree?")
    begun = client.responses.create(
        model="docs", input="And how much rain fell?", previous_response_id=first.id, background=True,
        extra_body={"retrieval": {"k": 3}},
    )  # fmt: skip
    *_, last = client.responses.retrieve(begun.id, stream=True)
    assert last.response.status == "completed"
    assert len(last.response.model_extra["retrieval"]["passages"]) == 3
    asked = index.answerer.questions[-1]
    assert [(turn.question, turn.answer) for turn in asked.history] == [
        ("How long lives an oak tree?", first.output_text)
    ]
    assert asked.text == "And how much rain fell?"


def test_a_client_that_leaves_gives_its_place_back(client, index):
    for _ in range(3):
        client.responses.create(model="docs", input=QUESTION, stream=True).close()
    assert client.responses.create(model="docs", input=QUESTION).status == "completed"
    assert index.answerer.closed == len(index.answerer.questions)
