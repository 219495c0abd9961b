"""Prepared schemas: warnings, limits, and texts of refusals."""

import json
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.engine.schema.patterns import found_in
from lavra.engine.schema.prepare import prepare_schema
from tests.engine.schema.corpus import accepts, constraints, drawn, is_valid, matcher_of, spelled

INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


def warned(schema):
    return list(prepare_schema(schema).warnings)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "string", "format": "color"}, "the format 'color' only describes"),
        ({"type": "integer", "format": "int32"}, "the format 'int32' only describes"),
        ({"type": "integer", "minimun": 3}, "unknown keyword 'minimun' at #"),
        ({"type": "integer", "minimun": 3}, "did you mean 'minimum'"),
        ({"type": "string", "nullable": True}, "write null among the types"),
        ({"type": "integer", "then": {"minimum": 3}}, "then at # stands without if"),
        ({"type": "integer", "multipleOf": 5}, "no negative multiples are written at #"),
        ({"type": "object", "patternProperties": {"^x": INTEGER}}, "no properties beside"),
        ({"type": "integer", "x-guidance": {"lenient": True}}, ""),
        ({"type": "string", "format": "date", "title": "T", "x-order": 1, "default": "a"}, ""),
    ],
)
def test_fields_without_effect_are_named(schema, says):
    assert says in " ".join(warned(schema))
    assert bool(says) == bool(warned(schema))


def test_a_format_is_named_once_however_often_it_stands():
    properties = {name: {"type": "string", "format": "color"} for name in "abc"}
    assert len(warned({"type": "object", "properties": properties})) == 1


def test_options_of_the_library_in_a_clients_schema_change_nothing():
    schema = {"x-guidance": {"coerce_one_of": True, "whitespace_flexible": True}, "type": "array", "items": INTEGER}
    assert accepts(schema, "[1,2]")
    assert not accepts(schema, "[1, 2]")


@pytest.mark.parametrize("text", [r'{"\u0061":"x"}', r'{"\ud800":"x"}'])
def test_names_are_not_spelled_with_escapes_that_hide_a_declared_one(text):
    schema = {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": TEXT}
    assert not accepts(schema, text)
    assert accepts(schema, '{"a":1,"b":"x"}')


def test_unreferenced_definitions_are_not_checked():
    assert warned({"$defs": {"x": {"type": "nonsense", "foo": 1}}, "type": "integer"}) == []


def test_an_embedded_schema_refers_to_its_own_definitions():
    """As with the functions of one request, each of which has its own `$defs`."""
    first = {"$id": "one", "$defs": {"x": INTEGER}, "type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}}
    second = {"$id": "two", "$defs": {"x": TEXT}, "type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}}
    both = {"type": "array", "prefixItems": [first, second], "items": False}
    assert accepts(both, '[{"a":1},{"a":"x"}]')
    assert not accepts(both, '[{"a":"x"}]')


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "is not an object"),
        (False, "is not an object"),
        ({"a" * 200_001: 1}, "at most 200000 are read"),
        ({"allOf": [{"anyOf": [{"minimum": n} for n in range(30)]}] * 9}, "alternatives"),
        ({"type": "object", "properties": {f"{n}": {"items": INTEGER} for n in range(3000)}}, "more than 5000 parts"),
        ({"enum": [1, [float("inf")]]}, "1.8e308"),
        ({"type": "string", "pattern": "a{20000}"}, "at most 10000 are counted"),
        ({"type": "string", "pattern": "(" * 40 + "a"}, "malformed"),
        ({"type": "string", "pattern": "[a"}, "malformed"),
        ({"type": "string", "pattern": "\\"}, "malformed"),
        ({"type": "string", "pattern": "[b-a]"}, "malformed"),
        ({"type": "string", "pattern": "(?i)a"}, "spell both cases"),
        ({"type": "number", "maximum": 10**400}, "beyond what a double holds"),
        ({"$ref": "#/$defs/x", "$defs": {"x": 3}}, "leads to nothing"),
        ({"$ref": "#/enum/0", "enum": ["a"]}, "leads to nothing"),
    ],
)
def test_unusable_schemas_are_refused_with_a_message(schema, says):
    with pytest.raises(InputError, match=says):
        prepare_schema(schema)


def test_the_librarys_own_words_are_in_no_refusal():
    for schema in ({"type": "string", "pattern": "^a$", "format": "date"}, {"type": "string", "pattern": "a^b"}):
        with pytest.raises(InputError) as caught:
            matcher_of(schema)
        assert not re.search(r"Regex|regex|\(And|<state>|lexer", str(caught.value))


def test_a_reason_names_the_place():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"minimum": 3, "maximum": 2, **INTEGER}, "minItems": 1}},
        "required": ["a"],
    }
    with pytest.raises(InputError, match="keywords at #/properties/a/items exclude one another"):
        prepare_schema(schema)


def test_threads_prepare_different_schemas_at_once():
    found = []

    def prepare(number):
        for step in range(20):
            schema = {"type": "integer", "minimum": 0, "maximum": number * 100 + step}
            found.append(
                accepts(schema, str(number * 100 + step)) and not accepts(schema, str(number * 100 + step + 1))
            )

    threads = [threading.Thread(target=prepare, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80
    assert len(constraints()._ready) <= 64


PATTERNS = (
    r"^[a-c]+\d*$", r"x|^y", r"^\w\W\s\S.$", r"^(ab|c){2,3}?$", r"[^a-z]", r"^[\]\-\\^a]+$", r"\.\/\-", r"^a?b*c+$",
    r"^[\d_]{2}$", r"^(?:a(?:b|c))*$", r"^$", r"\u0041|\x42|\u{43}", r"^[.$*+?()|{}]+$", r"a{2}", r"^\t\n?$",
)  # fmt: skip


@settings(max_examples=60)
@given(pattern=st.sampled_from(PATTERNS), text=st.text("abcxyz019_-.\\^]$ \tAB\n/(){}|é", max_size=6))
def test_a_pattern_means_here_what_it_means_to_the_constraint(pattern, text):
    """Against Python's engine, on patterns that mean the same in both dialects."""
    plain = (
        pattern.replace(r"\u{43}", "C").replace("$", r"\Z") if pattern != r"^[.$*+?()|{}]+$" else r"^[.$*+?()|{}]+\Z"
    )
    expected = re.search(plain, text, re.ASCII) is not None
    assert found_in(pattern, text) is expected
    assert accepts({"type": "string", "pattern": pattern}, spelled(text)) is expected


SCALARS = st.sampled_from(
    [
        INTEGER,
        TEXT,
        {"type": "boolean"},
        {"const": "a"},
        {"enum": ["a", "b", 1, None]},
        {"maximum": 3},
        {"minLength": 2},
        {"type": "integer", "minimum": 0, "maximum": 20},
        {"type": "string", "pattern": "^a"},
        {},
        {"$ref": "#/$defs/t"},
    ]
)
PARTS = st.deferred(
    lambda: (
        SCALARS
        | st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from("abk"), SCALARS | PARTS, max_size=3)},
            optional={
                "type": st.just("object"),
                "required": st.lists(st.sampled_from("abk"), unique=True, max_size=2),
                "additionalProperties": st.booleans() | SCALARS,
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "k$", "^(a|q)$"]), SCALARS, max_size=1),
                "minProperties": st.integers(0, 2),
                "dependentRequired": st.just({"a": ["b"]}),
                "allOf": st.lists(PARTS, min_size=1, max_size=2),
            },
        )
        | st.fixed_dictionaries({"type": st.just("array"), "items": PARTS}, optional={"minItems": st.integers(0, 2)})
        | st.fixed_dictionaries(
            {"anyOf": st.lists(PARTS, min_size=1, max_size=3)}, optional={"type": st.just("object")}
        )
        | st.fixed_dictionaries({"oneOf": st.lists(PARTS, min_size=1, max_size=3)})
    )
)


@pytest.mark.slow
@settings(max_examples=400)
@given(schema=PARTS, definition=PARTS, seed=st.integers(0, 10**6))
def test_texts_drawn_under_any_schema_are_valid(schema, definition, seed):
    """A schema is refused, or every text that may be written under it is valid for another library."""
    whole = {**schema, "$defs": {"t": definition}}
    try:
        matcher_of(whole)
    except InputError:
        return
    text = drawn(whole, seed, most=300)
    assert text is None or is_valid(whole, text), json.dumps(whole)
