"""Requests with thousands of wrong or unknown values: one error or a few sentences, not thousands."""

import pytest

from lavra.base.errors import InputError
from lavra.server.fields import MOST_NAMED, idle_fields
from lavra.server.schemas import CompletionBody

MANY = 2000
ASK = {"prompt": "a", "max_tokens": 1}
CHAT = {"model": "talker", "messages": [{"role": "user", "content": "a"}]}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (
            "/v1/completions",
            {**ASK, "logit_bias": {str(token): 1 for token in range(MANY)}},
            "logit_bias has 2,000 items; give at most 1,024",
        ),
        (
            "/v1/completions",
            {**ASK, "logit_bias": {str(token): "x" for token in range(MANY)}},
            "logit_bias.0 is a string; give a number",
        ),
        (
            "/v1/responses",
            {"input": "a", "metadata": {str(number): number for number in range(MANY)}},
            "metadata.0 is a number; give a string",
        ),
        ("/v1/messages", {"messages": [1] * MANY, "max_tokens": 1}, "messages[0] is 1; give an object"),
        ("/v1/messages", {**CHAT, "max_tokens": 1, "system": [1] * MANY}, "system[0] is a number; give an object"),
        ("/v1/responses", {"input": [1] * MANY}, "input[0] is a number; give an object"),
        ("/api/chat", {"messages": [1] * MANY}, "messages[0] is 1; give an object"),
        ("/api/generate", {"prompt": "a", "context": ["x"] * MANY}, "context[0] is a string; give a whole number"),
    ],
)
def test_the_first_wrong_value_is_named(http, path, body, told):
    refused = http.post(path, json=body)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error if isinstance(error, str) else error["message"]) == told


MORE = {f"odd{number}": 1 for number in range(MANY)}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {**ASK, **MORE, "max_tokens": 2}),
        ("/v1/responses", {"model": "talker", "input": "a", "text": MORE, "max_output_tokens": 1, "seed": 1}),
        (
            "/v1/messages",
            {**CHAT, "model": "long", "max_tokens": 1, "tools": [{"name": "f", "input_schema": {}, **MORE}]},
        ),
        ("/api/chat", {**CHAT, "stream": False, "options": {"num_predict": 1, "seed": 1, **MORE}}),
    ],
)
def test_of_unknown_fields_the_first_are_named_and_the_others_counted(http, path, body):
    warnings = http.post(path, json=body).json()["warnings"]
    assert sum("odd" in one for one in warnings) == MOST_NAMED
    assert f"{MANY - MOST_NAMED:,} more fields had no effect" in warnings


def test_a_name_without_an_end_is_cut():
    body = CompletionBody(**{"prompt": "a", "x" * 100_000: 1})
    (warning,) = idle_fields(body, strict=False)
    assert f"unknown field {'x' * 100}…;" in warning
    assert len(warning) < 2000
    with pytest.raises(InputError, match="unknown field xxx"):
        idle_fields(body, strict=True)
