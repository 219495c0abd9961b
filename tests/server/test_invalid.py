"""Positions and names of wrong fields, over the real bodies, as FastAPI would report them."""

import time

import pytest
from pydantic import ValidationError

from lavra.server.invalid import faults_in_words, wrong_fields
from lavra.server.schemas import AnswerBody, ChatBody, ClassifyBody, CompletionBody, DetokenizeBody, RerankBody, TagBody

USER = [{"role": "user", "content": "a"}]


def wrong(kind, body):
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in refused.value.errors()]
    return wrong_fields(errors, body)


@pytest.mark.parametrize(
    ("kind", "body", "field", "sentence"),
    [
        (ChatBody, {"messages": USER, "stop": ["x"] * 20}, "stop", "stop has 20 items; give at most 16"),
        (ChatBody, {"messages": USER, "stop": 3}, "stop", "stop is a number; give a string or a list"),
        (ChatBody, {"messages": USER, "stop": ["x", 3]}, "stop[1]", "stop[1] is a number; give a string"),
        (ChatBody, {"messages": []}, "messages", "messages has 0 items; give at least 1"),
        (ChatBody, {"messages": [{"role": "a"}, None]}, "messages[1]", "messages[1] is null; give an object"),
        (
            ChatBody,
            {"messages": [{"role": "a", "content": 3}]},
            "messages[0].content",
            "messages[0].content is a number; give a string or a list",
        ),
        (
            ChatBody,
            {"messages": USER, "tool_choice": "maybe"},
            "tool_choice",
            "tool_choice is 'maybe'; give 'none', 'auto' or 'required'",
        ),
        (ChatBody, {"messages": USER, "stream": "perhaps"}, "stream", "stream is a string; give true or false"),
        (ChatBody, {"messages": USER, "n": 1.5}, "n", "n is 1.5; give a whole number"),
        (ChatBody, {"messages": USER, "top_p": True}, None, None),
        (CompletionBody, {"prompt": ["a"] * 129}, "prompt", "prompt has 129 items; give at most 128"),
        (CompletionBody, {"prompt": [["a"]]}, "prompt[0][0]", "prompt[0][0] is a string; give a whole number"),
        (CompletionBody, {"prompt": [3, "a"]}, "prompt[1]", "prompt[1] is a string; give a whole number"),
        (CompletionBody, {"prompt": ["a", 3]}, "prompt[1]", "prompt[1] is a number; give a string or a list"),
        (CompletionBody, {"prompt": [-1]}, "prompt[0]", "prompt[0] is -1; give at least 0"),
        (CompletionBody, {}, "prompt", "prompt is missing"),
        (CompletionBody, [], "", "the body is a list; give an object"),
        (RerankBody, {"query": "a", "documents": [{"txt": "b"}]}, "documents[0].text", "documents[0].text is missing"),
        (AnswerBody, {"input": [{"question": "a"}]}, "input[0].context", "input[0].context is missing"),
        (ClassifyBody, {"input": ["a", ["b"]]}, "input[1]", "input[1] has 1 item; give at least 2"),
        (TagBody, {"input": [[""]]}, "input[0][0]", "input[0][0] has 0 characters; give at least 1"),
        (CompletionBody, {"prompt": "a", "seed": 2**70}, "seed", f"seed is {2**70}; give at most {2**63 - 1:,}"),
    ],
)
def test_a_wrong_field_is_named_with_its_bound(kind, body, field, sentence):
    if field is None:
        kind.model_validate(body)  # a number's kind is not looked at twice
        return
    first = wrong(kind, body)[0]
    assert (first.field, first.sentence) == (field, sentence)


def test_wrong_fields_are_reported_up_to_a_limit():
    body = {"prompt": "a", "temperature": "hot", "n": 0, "top_k": -1, "min_p": 2, "seed": "x", "echo": 3}
    found = wrong(CompletionBody, body)
    assert {one.field for one in found} == {"temperature", "n", "top_k", "min_p", "seed", "echo"}
    assert faults_in_words(found).count(";") == 4
    assert faults_in_words(found).endswith(". 2 more fields are wrong")


def test_a_long_value_is_cut():
    assert len(wrong(ChatBody, {"messages": USER, "response_format": {"type": "x" * 999}})[0].sentence) < 250


def test_a_million_wrong_items_are_one_error():
    began = time.process_time()
    assert (
        wrong(CompletionBody, {"prompt": ["a"] * 300_000})[0].sentence == "prompt has 300,000 items; give at most 128"
    )
    assert wrong(DetokenizeBody, {"tokens": [0, *["a"] * 300_000]})[0].field == "tokens[1]"
    assert wrong(ChatBody, {"messages": [{}] * 300_000})[0].field == "messages[0].role"
    assert time.process_time() - began < 1
