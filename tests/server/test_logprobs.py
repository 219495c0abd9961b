"""The text of tokens against the text of the answer, with a SentencePiece tokenizer and with bytes."""

from itertools import chain

import httpx2
import pytest

import lavra
from lavra.api.serving import start_engine
from lavra.base.types import ScoreRequest
from lavra.server.openai.logprobs import TokenOffsets, chat_logprobs, completion_logprobs
from lavra.server.served import ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from tests.generate.tiny import tiny_tokenizer
from tests.server.conftest import running
from tests.server.test_edge import events

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def http(lavra_data):
    """stories260K: its tokenizer removes the first space of a text, and has tokens of single bytes."""
    model = lavra.load(lavra_data / "weights" / "stories260K" / "hf")
    tokenizer = model.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    served = ServedModel(name="stories", tokenizer=tokenizer, engine=start_engine(model))
    with running([served]) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield client


def choices_of(answer):
    """The choice, in its received parts."""
    whole = answer.headers["content-type"] == "application/json"
    return [event["choices"][0] for event in ([answer.json()] if whole else events(answer))]


def joined(lists):
    return list(chain.from_iterable(lists))


def assert_placed(tokens, offsets, text):
    """Every token is at its reported place in the text, and no text is left out."""
    assert "".join(tokens) == text
    assert [text[place : place + len(token)] for place, token in zip(offsets, tokens, strict=True)] == tokens


@pytest.mark.data
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("echo", [False, True])
def test_tokens_of_a_completion_are_its_text(http, echo, stream):
    body = {"prompt": PROMPT, "max_tokens": 30, "temperature": 0, "logprobs": 2, "echo": echo, "stream": stream}
    answer = http.post("/v1/completions", json=body)
    parts = choices_of(answer)
    text = "".join(part["text"] for part in parts)
    found = {name: joined(part["logprobs"][name] for part in parts) for name in ("tokens", "text_offset")}
    if echo:
        assert found["tokens"].pop(0) == "<s>"  # read, and in no text
        assert found["text_offset"].pop(0) == 0
    assert text.startswith("Once upon" if echo else ",")
    assert sum(token.startswith(" ") for token in found["tokens"]) > 10
    assert_placed(found["tokens"], found["text_offset"], text)
    tops = joined(part["logprobs"]["top_logprobs"] for part in parts)
    assert all(token in top for token, top in zip(found["tokens"][-30:], tops[-30:], strict=True))  # greedy


@pytest.mark.data
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", [PROMPT, [1]])  # after [1], which is <s>, the text begins
def test_the_first_token_has_a_space_where_the_text_has_one(http, prompt, stream):
    body = {
        "prompt": prompt,
        "max_tokens": 3,
        "temperature": 0,
        "logprobs": 1,
        "stream": stream,
        "logit_bias": {"403": 99},
    }
    answer = http.post("/v1/completions", json=body)
    parts = choices_of(answer)
    text = "".join(part["text"] for part in parts)
    assert text == " Once Once Once"[prompt == [1] :]
    tokens = joined(part["logprobs"]["tokens"] for part in parts)
    assert_placed(tokens, joined(part["logprobs"]["text_offset"] for part in parts), text)
    if prompt == [1]:  # what else might have begun it has no space either
        assert not any(token.startswith(" ") for token in parts[0]["logprobs"]["top_logprobs"][0])


@pytest.mark.data
@pytest.mark.parametrize("stream", [False, True])
def test_bytes_of_a_chat_are_its_text(http, stream):
    """Four tokens of one byte make a character: none of them is a character alone."""
    body = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 8, "temperature": 0, "logprobs": True}
    body |= {"response_format": {"type": "regex", "regex": "🍎 a"}, "stream": stream}
    answer = http.post("/v1/chat/completions", json=body)
    choices = choices_of(answer)
    content = joined(one["logprobs"]["content"] for one in choices if one["logprobs"])
    text = "".join(one["delta" if stream else "message"].get("content") or "" for one in choices)
    assert text == "🍎 a"
    assert [one["token"] for one in content[:4]] == ["\ufffd"] * 4
    spelled = bytes(byte for one in content for byte in one["bytes"])
    assert spelled.decode().startswith(text)


def test_half_characters_begin_where_their_character_does():
    tokenizer, text = tiny_tokenizer(), "é é"
    ids = tokenizer.encode(text)
    assert len(ids) == 5  # bytes, and a space
    for places, parts in ((None, [(ids, text)]), (TokenOffsets(), [([one], "") for one in ids])):
        offsets = []
        for part, said in parts:
            logprobs, tops = [0.0] * len(part), [()] * len(part)
            offsets += completion_logprobs(tokenizer, part, logprobs, tops, said, places)["text_offset"]
        assert offsets == [0, 0, 1, 2, 2]
    content = chat_logprobs(tokenizer, ids, [0.0] * 5, [], text)["content"]
    assert bytes(byte for one in content for byte in one["bytes"]).decode() == text


def test_text_held_back_until_now_is_not_taken_for_a_text_that_begins():
    """A stop string may begin with "z": it is sent with the next token, whose space stays."""
    tokenizer = tiny_tokenizer()
    (token,) = tokenizer.encode(" t")
    assert completion_logprobs(tokenizer, [token], [0.0], [None], "z t")["tokens"] == [" t"]
    assert completion_logprobs(tokenizer, [token], [0.0], [None], "t")["tokens"] == ["t"]


def test_an_echoed_prompt_tells_the_likeliest_tokens_and_its_own(http, lavra_data):
    """All but the first token of a prompt, as lm-evaluation-harness and other clients of vLLM read them."""
    model = lavra.load(lavra_data / "weights" / "stories260K" / "hf").port
    prompts = [tuple(model.encoding.prompt_ids(text)) for text in ("Once upon a time", "She loved to play")]
    scores = model.score([ScoreRequest(text=ids) for ids in prompts])
    for top, most in ((0, 0), (1, 1), (3, 0)):
        body = {"prompt": prompts, "echo": True, "logprobs": top, "max_tokens": most, "temperature": 0}
        choices = http.post("/v1/completions", json=body).json()["choices"]
        for score, choice in zip(scores, choices, strict=True):
            told = choice["logprobs"]
            assert told["top_logprobs"][0] is told["token_logprobs"][0] is None
            assert len(told["tokens"]) == len(score.tokens) + most
            for place, logprob in list(enumerate(score.logprobs))[1:]:
                tops, own = told["top_logprobs"][place], told["token_logprobs"][place]
                assert own == pytest.approx(logprob, abs=1e-3)
                assert told["tokens"][place] in tops
                assert top <= len(tops) <= top + 1
                assert top == 0 or (own == max(tops.values())) == score.greedy[place]
