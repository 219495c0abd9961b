"""Requests and answers of the real `openai` client, against the model in this process."""

import asyncio
import base64
import json
from dataclasses import replace

import numpy as np
import openai
import pytest

from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.server.conversation.requests import around_gap
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.config import FIM_TOKENS, TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.generate.tiny import TEXTS, tiny_in_process
from tests.server.conftest import served

PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "She loved"}]


def alone(prompt, max_tokens=12, family="llama"):
    return tiny_in_process(family).generate([GenerateRequest(prompt=prompt, max_tokens=max_tokens)])[0][0]


def chat_ids():
    tokenizer = tiny_in_process().tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    return tuple(tokenizer.encode(tokenizer.apply_chat_template(MESSAGES)))


def test_a_completion(client):
    answer = client.completions.create(model="writer", prompt=PROMPT, max_tokens=12, temperature=0)
    expected = alone(PROMPT)
    assert answer.choices[0].text == expected.text
    assert answer.choices[0].finish_reason == expected.finish_reason.value
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == expected.usage.prompt_tokens + 12
    assert answer.model == "writer"
    assert answer.model_extra["warnings"] == []


def test_ids_and_several_prompts(client):
    ids = list(tiny_in_process().encoding.prompt_ids(PROMPT))
    answer = client.completions.create(model="writer", prompt=[ids, ids[:3]], max_tokens=6, temperature=0)
    assert [choice.text for choice in answer.choices] == [alone(tuple(ids), 6).text, alone(tuple(ids[:3]), 6).text]
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage.prompt_tokens == len(ids) + 3


def test_a_streamed_completion_is_the_same(client):
    chunks = list(
        client.completions.create(
            model="writer",
            prompt=PROMPT,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == alone(PROMPT).text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_chat(client):
    answer = client.chat.completions.create(model="talker", messages=MESSAGES, max_tokens=12, temperature=0)
    expected = alone(chat_ids())
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.prompt_tokens == len(chat_ids())


def test_a_streamed_chat_is_the_same(client):
    chunks = list(
        client.chat.completions.create(
            model="talker", messages=MESSAGES, max_tokens=12, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == alone(chat_ids()).text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage.total_tokens == len(chat_ids()) + 12


def test_the_asynchronous_client(url):
    async def both():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused") as client:
            whole = client.chat.completions.create(model="talker", messages=MESSAGES, max_tokens=8, temperature=0)
            stream = await client.completions.create(
                model="writer", prompt=PROMPT, max_tokens=12, temperature=0, stream=True
            )
            text = "".join([chunk.choices[0].text async for chunk in stream])
            return (await whole).choices[0].message.content, text

    assert asyncio.run(both()) == (alone(chat_ids(), 8).text, alone(PROMPT).text)


def test_several_samples_differ_and_a_seed_repeats_them(client):
    def samples(**more):
        answer = client.completions.create(
            model="writer", prompt=PROMPT, max_tokens=12, temperature=1.5, n=3, seed=7, **more
        )
        return [choice.text for choice in answer.choices]

    assert len(set(samples())) > 1
    assert samples() == samples()
    streamed = ["", "", ""]
    for chunk in client.completions.create(
        model="writer", prompt=PROMPT, max_tokens=12, temperature=1.5, n=3, seed=7, stream=True
    ):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == samples()


def test_the_best_of_several(client):
    asked = {"model": "writer", "prompt": PROMPT, "max_tokens": 8, "temperature": 1.5, "seed": 3, "logprobs": 0}
    everything = client.completions.create(**asked, n=4)
    best = client.completions.create(**asked, n=1, best_of=4)

    def mean(choice):
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    assert best.choices[0].text == max(everything.choices, key=mean).text
    assert best.usage.completion_tokens == 4 * 8


def test_logprobs_of_a_chat(client):
    answer = client.chat.completions.create(
        model="talker", messages=MESSAGES, max_tokens=5, temperature=0, logprobs=True, top_logprobs=2
    )
    content, expected = answer.choices[0].logprobs.content, alone(chat_ids(), 5)
    assert [one.logprob for one in content] == pytest.approx(expected.logprobs, abs=1e-4)
    assert [one.top_logprobs[0].token for one in content] == [one.token for one in content]
    assert all(len(one.top_logprobs) == 2 for one in content)
    assert "".join(one.token for one in content) == answer.choices[0].message.content


def test_an_echoed_prompt_with_its_own_logprobs(client):
    model = tiny_in_process()
    ids = tuple(model.encoding.prompt_ids(PROMPT))
    answer = client.completions.create(
        model="writer", prompt=PROMPT, max_tokens=3, temperature=0, echo=True, logprobs=0
    )
    (score,) = model.score([ScoreRequest(text=ids)])
    written = alone(PROMPT, 3)
    assert answer.choices[0].text == PROMPT + written.text
    found = answer.choices[0].logprobs.token_logprobs
    assert found[0] is None
    assert found[1:] == pytest.approx([*score.logprobs[1:], *written.logprobs], abs=1e-4)
    only = client.completions.create(model="writer", prompt=PROMPT, max_tokens=0, echo=True, logprobs=0)
    assert only.choices[0].text == PROMPT
    assert only.choices[0].logprobs.token_logprobs[1:] == pytest.approx(score.logprobs[1:], abs=1e-4)
    assert only.usage.completion_tokens == 0


def test_stops_penalties_and_bias_reach_the_model(client):
    free = alone(PROMPT, 12).text
    stop = free[3:5]
    stopped = client.completions.create(model="writer", prompt=PROMPT, max_tokens=12, temperature=0, stop=stop)
    assert stopped.choices[0].text == free[: free.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"
    token = tiny_in_process().tokenizer.encode("girl")[-1]
    biased = client.completions.create(
        model="writer", prompt=PROMPT, max_tokens=3, temperature=0, logit_bias={str(token): 100}
    )
    assert biased.choices[0].text == tiny_in_process().tokenizer.decode([token] * 3)


def test_an_answer_of_a_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"yes": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
        "required": ["yes", "kind"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    messages = [{"role": "user", "content": "a"}]
    for seed in range(4):
        answer = client.chat.completions.create(
            model="long", messages=messages, response_format=wanted, temperature=1.0, seed=seed
        )
        said = json.loads(answer.choices[0].message.content)
        assert set(said) == {"yes", "kind"}
        assert said["kind"] in ("a", "b")
        assert answer.choices[0].finish_reason == "stop"
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError, match="cannot be enforced"):
        client.chat.completions.create(model="long", messages=messages, response_format=bad)


def test_a_gap_is_marked_as_in_training():
    """The input of a model trained with fill-in-the-middle: the parts and marks of its batches."""
    config = TokenizerConfig(kind="bpe", vocab_size=320, fim=True)
    tokenizer = train_tokenizer(TEXTS, config)
    model = tiny_in_process()
    with_marks = replace(served("gaps"), tokenizer=tokenizer)
    before, gap, after = (tokenizer.id(name) for name in FIM_TOKENS)
    frame = model.encoding.frame.before
    expected = (*frame, before, *tokenizer.encode("def f("), after, *tokenizer.encode("return"), gap)
    assert around_gap(with_marks, "def f(", "return") == expected
    with_marks.engine.close()


def test_a_gap_needs_a_model_that_knows_gaps(client):
    with pytest.raises(openai.BadRequestError, match="was not trained to fill gaps"):
        client.completions.create(model="writer", prompt="def f(", suffix="return")


def test_a_translation_by_an_encoder_decoder(client):
    answer = client.completions.create(model="translator", prompt="She loved to play", max_tokens=6, temperature=0)
    assert answer.choices[0].text == alone("She loved to play", 6, "t5").text


def test_embeddings(client):
    texts = ["Once upon a time", "def add(a, b)"]
    answer = client.embeddings.create(model="embedder", input=texts)  # the client asks for base64 and decodes it
    plain = client.embeddings.create(model="embedder", input=texts, encoding_format="float")
    found = np.array([one.embedding for one in answer.data], dtype=np.float32)
    assert np.array_equal(found, np.array([one.embedding for one in plain.data], dtype=np.float32))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    short = client.embeddings.create(model="embedder", input=texts[0], dimensions=16)
    expected = found[0, :16] / np.linalg.norm(found[0, :16])
    assert np.allclose(short.data[0].embedding, expected, atol=1e-6)


def test_base64_is_little_endian_float32(http):
    body = {"model": "embedder", "input": "She", "encoding_format": "base64"}
    (one,) = http.post("/v1/embeddings", json=body).json()["data"]
    vector = np.frombuffer(base64.b64decode(one["embedding"]), dtype="<f4")
    (plain,) = http.post("/v1/embeddings", json={**body, "encoding_format": "float"}).json()["data"]
    assert vector.tolist() == plain["embedding"]


def test_models_and_aliases(client):
    names = [model.id for model in client.models.list()]
    assert names == ["writer", "talker", "long", "translator", "embedder"]
    assert client.models.retrieve("talker").model_extra["chats"] is True
    assert client.models.retrieve("writer").model_extra["chats"] is False
    answer = client.completions.create(model="writer-alias", prompt=PROMPT, max_tokens=1, temperature=0)
    assert answer.model == "writer"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: c.completions.create(model="nobody", prompt="a"), "did you mean|known"),
        (lambda c: c.completions.create(model="writer", prompt="a" * 300, max_tokens=4), "context 64"),
        (lambda c: c.completions.create(model="writer", prompt="a", n=99), "at most 16"),
        (lambda c: c.completions.create(model="writer", prompt="a", temperature=-1), "temperature is -1"),
        (lambda c: c.completions.create(model="writer", prompt=[[1, 99999]]), "99999"),
        (lambda c: c.completions.create(model="writer", prompt="a", logit_bias={"x": 1}), "not a token id"),
        (lambda c: c.completions.create(model="embedder", prompt="a"), "is an encoder"),
        (lambda c: c.chat.completions.create(model="translator", messages=MESSAGES), "no chat template"),
        (lambda c: c.chat.completions.create(model="talker", messages=[{"role": "alien", "content": "x"}]), "alien"),
        (lambda c: c.embeddings.create(model="embedder", input=""), "empty"),
        (lambda c: c.embeddings.create(model="embedder", input="a", dimensions=9999), "9999"),
    ],
)
def test_errors_name_what_is_wrong(client, call, says):
    with pytest.raises(openai.APIStatusError, match=says) as refused:
        call(client)
    assert refused.value.status_code in (400, 404)


def test_a_prompt_that_does_not_fit_names_both_lengths(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="writer", prompt="a" * 300, max_tokens=4)
    assert refused.value.code == "context_length_exceeded"
    assert "301 tokens" in refused.value.message
    assert "context 64" in refused.value.message
    body = {"truncate_prompt": True}
    answer = client.completions.create(model="writer", prompt="a" * 300, max_tokens=4, extra_body=body, temperature=0)
    assert answer.usage.model_extra["truncated_tokens"] > 200
    assert any("dropped" in warning for warning in answer.model_extra["warnings"])
