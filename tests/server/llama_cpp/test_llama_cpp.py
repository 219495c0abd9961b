"""llama.cpp's endpoints against the same model asked in OpenAI's protocol."""

import json
from dataclasses import replace

import httpx2
import numpy as np
import pytest

from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.generate.tiny import TEXTS
from tests.server.conftest import running, served

ASK = {"model": "long", "prompt": "She loved", "n_predict": 12, "temperature": 0}


def native(http, **more):
    response = http.post("/completion", json={**ASK, **more})
    assert response.status_code == 200, response.text
    return response.json()


def text_of(client, **more):
    fields = {"model": "long", "prompt": "She loved", "max_tokens": 12, "temperature": 0, **more}
    return client.completions.create(**fields)


def test_a_completion_is_that_of_openais_protocol(http, client):
    answer, expected = native(http), text_of(client)
    assert answer["content"] == expected.choices[0].text
    assert (answer["stop_type"], answer["stopping_word"], answer["stop"]) == ("limit", "", True)
    assert (answer["tokens_evaluated"], answer["tokens_predicted"]) == (expected.usage.prompt_tokens, 12)
    assert len(answer["tokens"]) == 12
    assert answer["timings"]["predicted_ms"] > 0
    assert answer["warnings"] == []


def test_a_stream_adds_up(http):
    whole = native(http)
    events = http.post("/completion", json={**ASK, "stream": True}).text.strip().split("\n\n")
    pieces = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(piece["content"] for piece in pieces) == whole["content"]
    assert [token for piece in pieces for token in piece["tokens"]] == whole["tokens"]
    assert [piece["stop"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1]["stop_type"] == "limit"


def test_token_ids_and_stop_words(http):
    whole = native(http)["content"]
    word = whole[2:4]
    ids = http.post("/tokenize", json={"model": "long", "text": "She loved", "add_special_tokens": True}).json()
    answer = native(http, prompt=ids["tokens"], stop=[word])
    assert answer["content"] == whole[: whole.index(word)]
    assert (answer["stop_type"], answer["stopping_word"]) == ("word", word)


def test_probabilities_have_ids(http, client):
    expected = client.completions.create(
        model="long", prompt="She loved", max_tokens=4, temperature=0, logprobs=2
    ).choices[0]
    answer = native(http, n_predict=4, n_probs=2)
    told = answer["completion_probabilities"]
    assert [one["id"] for one in told] == answer["tokens"]
    np.testing.assert_allclose([one["logprob"] for one in told], expected.logprobs.token_logprobs, atol=1e-5)
    assert [one["top_logprobs"][0]["id"] for one in told] == answer["tokens"]  # greedy


def test_an_answer_has_its_schemas_form(http):
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    assert json.loads(native(http, json_schema=schema, n_predict=40)["content"]) == {"a": 1}


def test_a_gap_is_filled_as_in_openais_protocol():
    tokenizer = train_tokenizer(TEXTS, TokenizerConfig(kind="bpe", vocab_size=320, fim=True))
    fields = {"max_tokens": 6, "temperature": 0}
    with running([replace(served("gaps"), tokenizer=tokenizer)]) as url, httpx2.Client(base_url=url) as http:
        gap = {"input_prefix": "def f(", "input_suffix": "return", "n_predict": 6, "temperature": 0}
        filled = http.post("/infill", json=gap).json()
        asked = {"prompt": "def f(", "suffix": "return", **fields}
        expected = http.post("/v1/completions", json=asked).json()
        more = {"input_extra": [{"filename": "a.py", "text": "x"}], "prompt": "a"}
        longer = http.post("/infill", json={**gap, **more}).json()
    assert filled["content"] == expected["choices"][0]["text"]
    assert filled["tokens_evaluated"] == expected["usage"]["prompt_tokens"]
    added = len(tokenizer.encode("\n\n--- snippet ---\n\nxdef f(")) - len(tokenizer.encode("def f("))
    assert longer["tokens_evaluated"] == filled["tokens_evaluated"] + added + len(tokenizer.encode("a"))


def test_a_grammar_is_kept_to(http):
    assert native(http, grammar='root ::= "red" | "blue"', n_predict=20)["content"] in ("red", "blue")


def test_properties(http, client):
    found = http.get("/props", params={"model": "talker"}).json()
    limit = client.models.retrieve("talker").model_extra["max_model_len"]
    assert found["default_generation_settings"]["n_ctx"] == limit
    assert "### User" in found["chat_template"]
    assert found["modalities"] == {"vision": False, "audio": False}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/completion", {**ASK, "grammar": "root ::= missing"}, "grammar"),
        ("/completion", {**ASK, "temperature": -1}, "temperature"),
        ("/infill", {"model": "long", "input_prefix": "a", "input_suffix": "b"}, "not trained to fill gaps"),
    ],
)
def test_errors_have_llama_cpps_form(http, path, body, says):
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 400
    assert says in response.json()["error"]["message"]


def test_what_has_no_effect_is_named(http):
    assert native(http, cache_prompt=True, n_predict=0)["warnings"] == [
        "cache_prompt has no effect here",
        "n_predict was raised from 0 to 1: a prompt is read by writing behind it",
    ]
