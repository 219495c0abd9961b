"""llama.cpp's endpoints against the same model in OpenAI's protocol."""

import json
from dataclasses import replace

import httpx2
import numpy as np
import pytest

from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from tests.generate.tiny import TEXTS
from tests.server.conftest import running, served

ASK = {"model": "long", "prompt": "She loved", "n_predict": 12, "temperature": 0, "return_tokens": True}


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


def test_several_prompts_are_answered_as_each_alone(http):
    ids = tokens_of(http, "She loved", add_special=True)
    prompts = ["He went", ids, {"prompt_string": "She loved"}, [*ids, " the"]]
    several = native(http, prompt=prompts)
    alone = [native(http, prompt=prompt) for prompt in prompts]
    assert [one["content"] for one in several] == [one["content"] for one in alone]
    assert [one["index"] for one in several] == [0, 1, 2, 3]
    assert several[1]["content"] == several[2]["content"]
    assert [one["tokens_evaluated"] for one in several] == [one["tokens_evaluated"] for one in alone]
    events = http.post("/completion", json={**ASK, "prompt": prompts, "stream": True}).text.strip().split("\n\n")
    pieces = [json.loads(event.removeprefix("data: ")) for event in events]
    streamed = ["".join(one["content"] for one in pieces if one["index"] == place) for place in range(4)]
    assert streamed == [one["content"] for one in alone]


def test_a_text_inside_a_row_of_ids_is_read_in_its_place(http):
    ids = tokens_of(http, "She loved", add_special=True)
    inside = native(http, prompt=[*ids, " the", ids[-1], " cat"])
    spelled = [*ids, *tokens_of(http, " the"), ids[-1], *tokens_of(http, " cat")]
    assert inside["tokens"] == native(http, prompt=spelled)["tokens"]
    assert inside["tokens_evaluated"] == len(spelled)


def test_one_wrong_prompt_refuses_the_request(http):
    response = http.post("/completion", json={**ASK, "prompt": ["She loved", [10**6]]})
    assert response.status_code == 400
    assert "outside the vocabulary" in response.json()["error"]["message"]


@pytest.mark.parametrize("form", [list, dict])
def test_a_banned_token_is_not_written(http, form):
    first = native(http)["tokens"][0]
    banned = native(http, logit_bias=form({str(first): False}.items()))
    assert first not in banned["tokens"]
    wanted = tokens_of(http, "girl")[-1]
    biased = native(http, logit_bias=form({"girl": 1000.0}.items()))
    assert wanted in biased["tokens"]


def test_only_the_fields_that_are_asked_for(http):
    whole = native(http)
    fields = ["content", "generation_settings/n_predict", "timings/predicted_n", "missing", "content/x"]
    assert native(http, response_fields=fields) == {
        "content": whole["content"],
        "generation_settings/n_predict": 12,
        "timings/predicted_n": 12,
    }
    assert native(http, response_fields=["stop"], cache_prompt=True)["warnings"] == ["cache_prompt has no effect here"]


def test_settings_and_speeds_are_reported(http):
    answer = native(http, top_k=4, seed=3, temperature=0.5)
    settings, timings = answer["generation_settings"], answer["timings"]
    assert (settings["top_k"], settings["seed"], settings["temperature"], settings["n_predict"]) == (4, 3, 0.5, 12)
    assert timings["predicted_per_second"] == pytest.approx(1000 / timings["predicted_per_token_ms"])
    assert answer["prompt"].endswith("She loved")
    assert answer["has_new_line"] is ("\n" in answer["content"])
    assert native(http, return_tokens=False)["tokens"] == []


def test_a_prompt_that_is_too_long_is_refused_or_cut(http):
    room = http.get("/props", params={"model": "long"}).json()["default_generation_settings"]["n_ctx"]
    long = {"model": "long", "prompt": tokens_of(http, "She loved") * room, "n_predict": 4}
    refused = http.post("/completion", json=long)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "exceed_context_size_error")
    assert "truncate_prompt" in refused.json()["error"]["message"]
    cut = http.post("/completion", json={**long, "truncate_prompt": True}).json()
    assert cut["truncated"] is True
    assert native(http)["truncated"] is False
    filled = native(http, n_predict=-1, ignore_eos=True)  # writes until the context has no room
    assert (filled["truncated"], filled["stop_type"]) == (True, "limit")


def test_tokens_have_pieces(http):
    text = "She ate 猫 and 🤗"
    listed = http.post("/tokenize", json={"model": "long", "content": text, "with_pieces": True}).json()["tokens"]
    assert [one["id"] for one in listed] == tokens_of(http, text)
    spelled = [one["piece"].encode() if isinstance(one["piece"], str) else bytes(one["piece"]) for one in listed]
    assert b"".join(spelled).decode().strip() == text
    back = http.post("/detokenize", json={"model": "long", "tokens": [one["id"] for one in listed]}).json()
    assert back["content"] == back["text"] == text
    assert http.post("/tokenize", json={"text": "a", "content": "b"}).status_code == 400


def test_paths_without_v1_are_those_with_it(http):
    assert http.get("/models").json() == http.get("/v1/models").json()
    chat = {"model": "talker", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "temperature": 0}
    short, long = (http.post(path, json=chat).json() for path in ("/chat/completions", "/v1/chat/completions"))
    assert short["choices"] == long["choices"]
    asks = {"model": "talker", "input": "Hi", "max_output_tokens": 4, "temperature": 0}
    assert http.post("/responses", json=asks).json()["object"] == "response"


def tokens_of(http, text, **more):
    return http.post("/tokenize", json={"model": "long", "content": text, **more}).json()["tokens"]


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
        ("/completion", {**ASK, "logit_bias": [[token, 1] for token in range(2000)]}, "at most 1024"),
        ("/infill", {"model": "long", "input_prefix": "a", "input_suffix": "b"}, "not trained to fill gaps"),
    ],
)
def test_errors_have_llama_cpps_form(http, path, body, says):
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 400
    assert says in response.json()["error"]["message"]


def test_fields_without_effect_are_named(http):
    assert native(http, cache_prompt=True, n_predict=0)["warnings"] == [
        "cache_prompt has no effect here",
        "n_predict was raised from 0 to 1: a prompt is read by writing behind it",
    ]
