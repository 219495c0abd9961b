"""The chat model name that answers from an index, through the real `openai` client."""

import asyncio
import time

import httpx2
import openai
import pytest

from lavra.base.retrieval import AnswerMode, Unsupported
from lavra.server.search.objects import marks
from tests.server.conftest import running, served
from tests.server.search.toy_index import HOSTILE, TEXTS, Quoting, toy_index

QUESTION = "How long lives an oak tree, and how much rain fell?"
ASKED = [{"role": "user", "content": QUESTION}]
HTTP = httpx2.Client(timeout=10)


@pytest.fixture(scope="module")
def index():
    return toy_index()


@pytest.fixture(scope="module")
def url(index):
    with running([served("writer")], indexes=[index]) as url:
        yield url


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_an_answer_cites_exact_slices(client, url):
    answer = client.chat.completions.create(model="docs", messages=ASKED)
    message = answer.choices[0].message
    assert answer.model == "docs"
    assert answer.choices[0].finish_reason == "stop"
    assert "[1]" in message.content
    citations = message.model_extra["citations"]
    assert [one["number"] for one in citations] == [1, 2]
    for one in citations:
        assert TEXTS[one["document"]][one["start"] : one["end"]] == one["text"]
    for number, annotation in enumerate(message.annotations, start=1):
        cited = annotation.url_citation
        assert message.content[cited.start_index : cited.end_index] == f"[{number}]"
        assert cited.title == citations[number - 1]["document"]
        assert cited.url == url + citations[number - 1]["url"]
    told = answer.model_extra["retrieval"]
    assert (told["mode"], told["abstained"]) == ("extractive", False)
    assert [one["supported"] for one in told["sentences"]] == [True, False]
    assert [one["citations"] for one in told["sentences"]] == [[1], [2]]
    short = told["short"]
    assert TEXTS[short["document"]][short["start"] : short["end"]] == short["text"] == "centuries"
    assert len(told["passages"]) == 8
    assert len(told["left_out"]) == 6
    assert answer.usage.total_tokens == 0  # nothing was written by a model


def test_a_streamed_answer_is_the_same(client):
    whole = client.chat.completions.create(model="docs", messages=ASKED)
    chunks = list(
        client.chat.completions.create(
            model="docs", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    early = [one["number"] for delta in deltas[:-1] for one in (delta.model_extra.get("citations") or [])]
    assert early == [1, 2]
    last = [chunk for chunk in chunks if chunk.choices][-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].delta.model_extra["citations"] == whole.choices[0].message.model_extra["citations"]
    assert last.model_extra["retrieval"] == whole.model_extra["retrieval"]
    assert last.model_extra["warnings"] == whole.model_extra["warnings"]
    assert chunks[-1].usage.total_tokens == 0


def test_earlier_turns_are_the_history(client, index):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What of oaks?"},
        {"role": "assistant", "content": "They live long. [1]"},
        {"role": "user", "content": [{"type": "text", "text": "And willows?"}]},
    ]
    answer = client.chat.completions.create(model="docs", messages=messages)
    asked = index.answerer.questions[-1]
    assert asked.text == "And willows?"
    assert [(turn.question, turn.answer) for turn in asked.history] == [("What of oaks?", "They live long. [1]")]
    assert any("system messages have no effect" in one for one in answer.model_extra["warnings"])


def test_options_reach_the_answerer(client, index):
    options = {"k": 3, "where": {"language": "en"}, "mode": "generated", "unsupported": "remove", "groups": ["crew"]}
    answer = client.chat.completions.create(
        model="docs", messages=ASKED, max_tokens=20, temperature=0.5, seed=-1, extra_body={"retrieval": options}
    )
    asked = index.answerer.questions[-1]
    assert (asked.k, asked.mode, asked.unsupported) == (3, AnswerMode.GENERATED, Unsupported.REMOVE)
    assert asked.groups == {"crew"}
    assert asked.where[0].field == "language"
    assert (asked.max_tokens, asked.sampling.temperature, asked.sampling.seed) == (20, 0.5, -1)
    assert answer.usage.prompt_tokens == 11
    assert answer.usage.completion_tokens == 7
    assert not any("temperature" in one for one in answer.model_extra["warnings"])


def test_fields_without_effect_are_named(client, index):
    answer = client.chat.completions.create(
        model="docs", messages=ASKED, temperature=0.5, stop=["x"], user="me", logprobs=True, extra_body={"colour": 1}
    )
    warnings = " ".join(answer.model_extra["warnings"])
    for name in ("temperature", "stop", "user", "logprobs", "colour"):
        assert name in warnings
    plain = client.chat.completions.create(model="docs", messages=ASKED)
    assert index.answerer.questions[-1].sampling.temperature == 0
    assert plain.model_extra["warnings"] == ["extractive: a toy quotes"]


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "required"},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": "   "}]},
        {"retrieval": {"where": {"nothing": 1}}},
        {"retrieval": {"wheer": {}}},
        {"retrieval": {"mode": "guessed"}},
    ],
)
def test_settings_of_the_answers_form_are_refused(url, more):
    for stream in (False, True):
        body = {"model": "docs", "messages": ASKED, "stream": stream, **more}
        told = HTTP.post(f"{url}/v1/chat/completions", json=body)
        assert told.status_code == 400, told.text
        assert told.json()["error"]["message"]


def test_a_model_says_that_it_is_no_index(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="writer", messages=ASKED)  # it has no template
    told = client.completions.create(model="writer", prompt="x", max_tokens=1, extra_body={"retrieval": {}})
    assert any("retrieval" in one for one in told.model_extra["warnings"])


def test_abstaining_is_reported(client):
    answer = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": "zebra quux"}])
    assert answer.model_extra["retrieval"]["abstained"] is True
    assert answer.choices[0].message.annotations == []
    assert answer.choices[0].message.model_extra["citations"] == []


def test_a_quoted_mark_is_not_taken_for_one_of_ours(index):
    """The document itself contains [9] and could contain [1]."""
    from lavra.base.retrieval import Answer, CitedSentence

    quoted = "As others [1] say, honey keeps."
    answer = Answer(
        text=f"{quoted} [1] It [2] is sweet. [2] [1]",
        mode=AnswerMode.EXTRACTIVE,
        sentences=(
            CitedSentence(text=quoted, supported=True, citations=(0,)),
            CitedSentence(text="It [2] is sweet.", supported=True, citations=(1, 0)),
        ),
    )
    found = marks(answer)
    assert [number for number, _, _ in found] == [0, 1, 0]
    assert [start for _, start, _ in found] == [len(quoted) + 1, len(answer.text) - 7, len(answer.text) - 3]
    assert "[9]" in HOSTILE


class Slow(Quoting):
    """Waits before each piece."""

    def submit(self, question):
        for piece in super().submit(question):
            time.sleep(0.1)
            yield piece


def slow_index(**settings):
    index = toy_index(**settings)
    object.__setattr__(index, "answerer", Slow(index.retriever))
    return index


def leave(url, stream):
    """Send a request and disconnect before the answer."""
    body = {"messages": ASKED, "stream": stream}
    if not stream:
        with pytest.raises(httpx2.TimeoutException):
            HTTP.post(url, json=body, timeout=0.2)
        return
    with HTTP.stream("POST", url, json=body) as answer:
        assert next(answer.iter_lines()).startswith("data: ")


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_answer_and_frees_its_place(stream):
    index = slow_index(at_once=1)
    with running([], indexes=[index]) as url:
        leave(f"{url}/v1/chat/completions", stream)
        answer = HTTP.post(f"{url}/v1/chat/completions", json={"messages": ASKED}, timeout=10)
        assert answer.status_code == 200
    assert index.answerer.closed == len(index.answerer.questions) == 2


def test_questions_wait_for_a_place_and_are_refused_when_it_takes_too_long():
    index = slow_index(at_once=1)
    with running([], indexes=[index], queue_seconds=0.1) as url:

        async def ask(client):
            return await client.post(f"{url}/v1/chat/completions", json={"messages": ASKED})

        async def both():
            async with httpx2.AsyncClient(timeout=10) as client:
                return await asyncio.gather(ask(client), ask(client))

        found = asyncio.run(both())
    assert sorted(one.status_code for one in found) == [200, 429]
    assert next(one for one in found if one.status_code == 429).headers["retry-after"]


def test_an_answer_that_fails_midway_says_so_in_the_stream():
    class Failing(Quoting):
        def _pieces(self, question):
            pieces = super()._pieces(question)
            yield next(pieces)
            raise RuntimeError("a fault of ours")

    broken = toy_index("broken")
    object.__setattr__(broken, "answerer", Failing(broken.retriever))
    with running([], indexes=[broken]) as own:
        told = HTTP.post(f"{own}/v1/chat/completions", json={"messages": ASKED, "stream": True})
        assert told.status_code == 200
        assert "server_error" in told.text
        assert told.text.endswith("data: [DONE]\n\n")


def test_the_server_closes_its_indexes():
    closed = []
    with running([], indexes=[toy_index(close=lambda: closed.append(1))]):
        assert closed == []
    assert closed == [1]


def test_two_things_of_one_name_are_refused():
    from lavra.base.errors import InputError
    from lavra.server.served import ModelTable

    with pytest.raises(InputError, match="two models are called 'docs'"):
        ModelTable([], [toy_index(), toy_index()])
    with pytest.raises(InputError, match="name at least one"):
        ModelTable([])


def test_metrics_count_answers(url, client):
    client.chat.completions.create(model="docs", messages=ASKED)
    told = HTTP.get(f"{url}/metrics").text
    assert 'lavra_completions_total{model="docs",reason="stop"}' in told
