"""The form of an answer, in every field that clients have for it."""

import json

import openai
import pytest

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Lisboa", "Recife"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
MESSAGES = [{"role": "user", "content": "a"}]
GBNF = 'root ::= "day " digit digit\ndigit ::= [0-9]'
LARK = 'start: "day " DIGIT DIGIT\nDIGIT: /[0-9]/'


def is_schema(text):
    said = json.loads(text)
    return set(said) == {"city", "days"} and said["city"] in ("Lisboa", "Recife") and 1 <= said["days"] <= 9


def is_day(text):
    return len(text) == 6 and text.startswith("day ") and text[4:].isdigit()


FORMS = [
    ({"structured_outputs": {"json": SCHEMA}}, is_schema),
    ({"structured_outputs": {"json": json.dumps(SCHEMA)}}, is_schema),
    ({"structured_outputs": {"regex": "day [0-9]{2}"}}, is_day),
    ({"structured_outputs": {"choice": ["(a|b)", "c.d\n"]}}, lambda text: text in ("(a|b)", "c.d\n")),
    ({"structured_outputs": {"grammar": LARK}}, is_day),
    ({"guided_json": SCHEMA}, is_schema),
    ({"guided_json": json.dumps(SCHEMA)}, is_schema),
    ({"guided_regex": "day [0-9]{2}"}, is_day),
    ({"guided_choice": ["yes", "no"]}, lambda text: text in ("yes", "no")),
    ({"guided_grammar": GBNF}, is_day),
    ({"grammar": GBNF}, is_day),
    ({"json_schema": SCHEMA}, is_schema),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, is_schema),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, is_schema),
    ({"response_format": {"type": "grammar", "grammar": GBNF}}, is_day),
]


@pytest.mark.parametrize(("form", "fits"), FORMS)
def test_an_answer_has_its_form_whichever_field_asks_for_it(client, form, fits):
    answer = client.completions.create(
        model="long", prompt="a", max_tokens=90, temperature=1.0, seed=3, extra_body=form
    )
    assert fits(answer.choices[0].text)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.warnings == []


def test_conversations_have_the_same_fields(client):
    answer = client.chat.completions.create(
        model="long", messages=MESSAGES, max_tokens=90, seed=3, extra_body={"structured_outputs": {"choice": ["yes"]}}
    )
    assert answer.choices[0].message.content == "yes"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"structured_outputs": {"structural_tag": "{}"}}, "structural_tag is not served"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_regex and guided_choice each set"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs.regex and structured_outputs.ch"),
        ({"guided_json": "{"}, "guided_json is a text that is not JSON"),
        ({"guided_json": "[]"}, "guided_json is not a JSON schema"),
        ({"guided_choice": []}, "guided_choice"),
        ({"grammar": 'root ::= "a'}, "GBNF"),
        ({"json_schema": {"oneOf": [{"minLength": 2}, {"maxLength": 4}]}}, "write anyOf"),
        ({"json_schema": {"type": "string", "pattern": "^(?!a)"}}, "look-around"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, 'needs a "schema"'),
    ],
)
def test_a_form_that_cannot_be_had_is_a_400_before_a_token_is_written(client, form, says):
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        client.completions.create(model="long", prompt="a", max_tokens=9, extra_body=form)
    assert "coerce" not in str(caught.value)
    assert "state" not in str(caught.value)


def test_a_form_beside_a_demanded_call_is_refused(client):
    tools = [{"type": "function", "function": {"name": "clock"}}]
    with pytest.raises(openai.BadRequestError, match="tool_choice demands a call and guided_regex"):
        client.chat.completions.create(
            model="long", messages=MESSAGES, tools=tools, tool_choice="required", extra_body={"guided_regex": "a"}
        )


def test_a_demanded_call_that_no_arguments_satisfy_is_refused(client):
    """A type that needs a value of itself has none; a small model would write `{` and stop."""
    endless = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}, "minItems": 1}}}
    tools = [{"type": "function", "function": {"name": "clock", "parameters": {**endless, "required": ["kids"]}}}]
    with pytest.raises(openai.BadRequestError, match="without an end"):
        client.chat.completions.create(model="long", messages=MESSAGES, tools=tools, tool_choice="required")


def test_options_that_do_nothing_are_named(client):
    form = {"structured_outputs": {"regex": "a", "disable_any_whitespace": True}}
    answer = client.completions.create(model="long", prompt="a", max_tokens=9, extra_body=form)
    assert any("structured_outputs.disable_any_whitespace" in warning for warning in answer.warnings)


@pytest.mark.parametrize("stream", [False, True])
def test_a_format_that_only_describes_is_a_warning(client, stream):
    schema = {"type": "array", "items": {"type": "string", "format": "colour", "maxLength": 1}, "maxItems": 1}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = client.chat.completions.create(
        model="long", messages=MESSAGES, max_tokens=60, seed=1, response_format=form, stream=stream
    )
    last = list(answer)[-1] if stream else answer
    assert any("'colour' only describes" in warning for warning in last.warnings)


def test_an_object_that_is_cut_is_not_called_finished(client):
    form = {"type": "json_object"}
    answer = client.completions.create(model="long", prompt="a", max_tokens=2, extra_body={"response_format": form})
    assert answer.choices[0].finish_reason == "length"
    assert any("before its constraint was met" in warning for warning in answer.warnings)
