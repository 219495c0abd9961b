"""Prompts over the limit over HTTP: the answer reports the number of cut tokens, and the newest ones were read."""

import json

import httpx2
import pytest

from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_in_process
from tests.server.conftest import running, served

CONTEXT = 64
LONG = "Era uma vez uma menina chamada Lília; ela gostava de maçãs e de 🍎🍏. " * 6
LONGER = "Once upon a time there was a little girl named Lily. " * 9
MESSAGES = [
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": "She."},
    {"role": "user", "content": "a"},
]


@pytest.fixture(scope="module")
def http():
    """A server without a cache of answers: a stream is written, not found."""
    settings = {"context": CONTEXT, "prefix_cache": False}
    models = [served("writer", **settings), served("talker", template=DEFAULT_CHAT_TEMPLATE, **settings)]
    with running(models, response_cache=0) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield client


def ids_of(text):
    """The model's reading of a text: its tokenizer's ids, after the beginning token."""
    tokenizer = tiny_in_process(max_positions=CONTEXT).tokenizer
    return [tokenizer.bos_id, *tokenizer.encode(text)]


def chat_ids():
    tokenizer = tiny_in_process(max_positions=CONTEXT).tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    return tokenizer.encode(tokenizer.apply_chat_template(MESSAGES))


def text_of(choice):
    """Text of either endpoint, whole or streamed."""
    return choice.get("text") or choice.get("message", choice.get("delta", {})).get("content") or ""


def asked(http, path, **body):
    """Answers to a request and to the same request streamed, which must agree; texts, usage and warnings."""
    body = {"temperature": 0, "truncate_prompt": True, **body}
    answer = http.post(path, json=body).json()
    stream = http.post(path, json={**body, "stream": True, "stream_options": {"include_usage": True}}).text
    events = [json.loads(line[6:]) for line in stream.split("\n\n") if line and not line.endswith("[DONE]")]
    texts = [text_of(choice) for choice in answer["choices"]]
    streamed = [""] * len(texts)
    for choice in (choice for event in events for choice in event["choices"]):
        streamed[choice["index"]] += text_of(choice)
    told = [event["warnings"] for event in events if "warnings" in event][-1]
    assert (streamed, events[-1]["usage"], sorted(told)) == (texts, answer["usage"], sorted(answer["warnings"]))
    return texts, answer["usage"], answer["warnings"]


def kept(ids, max_tokens):
    """The beginning of a text and its newest tokens, with space for the answer, but at least half the context."""
    room = max(CONTEXT - max_tokens, CONTEXT // 2)
    return ids if len(ids) < CONTEXT else [ids[0], *ids[len(ids) - room + 1 :]]


@pytest.mark.parametrize("max_tokens", [1, 8, 50])
def test_a_completion_reports_exactly_what_was_cut(http, max_tokens):
    ids, read = ids_of(LONG), kept(ids_of(LONG), max_tokens)
    texts, usage, warnings = asked(http, "/v1/completions", model="writer", prompt=LONG, max_tokens=max_tokens)
    assert usage["truncated_tokens"] == len(ids) - len(read) > 0
    assert usage["prompt_tokens"] == len(read)
    assert f"the {len(ids) - len(read)} oldest tokens of the prompt were dropped" in warnings[0]
    # The expected text is sent to a server that cuts nothing.
    short = {"model": "writer", "prompt": read, "max_tokens": max_tokens, "temperature": 0}
    answer = http.post("/v1/completions", json=short).json()
    assert (answer["choices"][0]["text"], answer["usage"]["truncated_tokens"]) == (texts[0], 0)
    # Prompt and answer may fill the context to the last token, and only what is over it is lowered.
    lowered = [one for one in answer["warnings"] if "max_tokens was lowered" in one]
    assert len(lowered) == (len(read) + max_tokens > CONTEXT)


def test_each_prompt_is_cut_by_itself_and_counted_once(http):
    prompts = [LONG, "She", LONGER, ids_of(LONG)]
    ids = [ids_of(LONG), ids_of("She"), ids_of(LONGER), ids_of(LONG)]
    lost = [len(one) - len(kept(one, 8)) for one in ids]
    assert lost[0] != lost[2]
    assert lost[1] == 0
    _, usage, warnings = asked(http, "/v1/completions", model="writer", prompt=prompts, max_tokens=8, n=2)
    assert usage["truncated_tokens"] == sum(lost)
    assert usage["prompt_tokens"] == sum(map(len, ids)) - sum(lost)
    assert {int(one.split()[1]) for one in warnings if "oldest tokens" in one} == {lost[0], lost[2]}


@pytest.mark.parametrize("max_tokens", [8, None])
@pytest.mark.parametrize("samples", [1, 2])
def test_a_chat_reports_exactly_what_was_cut(http, max_tokens, samples):
    """Without max_tokens there is space for one token of the answer."""
    ids = chat_ids()
    read = kept(ids, max_tokens or 1)
    body = {"model": "talker", "messages": MESSAGES, "n": samples}
    _, usage, warnings = asked(http, "/v1/chat/completions", **body, **({"max_tokens": 8} if max_tokens else {}))
    assert usage["truncated_tokens"] == len(ids) - len(read) > 0
    assert usage["prompt_tokens"] == len(read)
    assert any(f"the {len(ids) - len(read)} oldest tokens" in warning for warning in warnings)
    assert usage["completion_tokens"] == samples * min(max_tokens or 1, CONTEXT - len(read))


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/completions", {"prompt": LONG}), ("/v1/chat/completions", {"messages": MESSAGES})]
)
def test_without_being_asked_nothing_is_cut(http, path, body):
    ids = chat_ids() if "messages" in body else ids_of(LONG)
    answer = http.post(path, json={"model": "talker", "max_tokens": 8, **body})
    assert answer.status_code == 400
    assert f"the prompt has {len(ids)} tokens and the model's context {CONTEXT}" in answer.json()["error"]["message"]
