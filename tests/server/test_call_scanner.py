"""Calls found in texts: against a naive reference, and the same for every division of a text into pieces."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.server.conversation.call_scanner import CallScanner, FoundArguments, FoundCall, FoundText

FUNCTIONS = {"f": {}, "g": {"required": ["a"]}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "</tool_call>", '"}', "é"]), VALUES, max_size=3)
# Parts of calls in any order, so that most texts are nearly a call.
PARTS = st.sampled_from(
    [
        "<tool_call>", "</tool_call>", "<tool_", "<", "{", "}", "[", "]", '"', ":", ",", "\\", "\\ud83d", "\\ude00",
        '{"name": "f", "arguments": {', '{"name":"g","parameters":"{\\"a\\": 1}"}',
        '{"arguments": {"a": 1}, "name": "f"}',
        '"a": ', '"b"', "1e999", "NaN", "-1", "null", "true", " ", "\n", "x", "é", "😀",
    ]
)  # fmt: skip
TEXTS = st.lists(PARTS | st.text(max_size=2), max_size=14).map("".join)


def scan(pieces, **options):
    """Text, [(name, arguments, whole)] and warnings; joined findings must be equal."""
    scanner = CallScanner(FUNCTIONS, **options)
    found = [finding for piece in pieces for finding in scanner.feed(piece)] + scanner.close()
    assert "".join(one.text for one in found if isinstance(one, FoundText)) == scanner.text
    begun = [one for one in found if isinstance(one, FoundCall)]
    assert [(one.number, one.id, one.name) for one in begun] == [
        (number, call.id, call.name) for number, call in enumerate(scanner.calls)
    ]
    for number, call in enumerate(scanner.calls):
        assert call.arguments == "".join(
            one.text for one in found if isinstance(one, FoundArguments) and one.number == number
        )
    return scanner.text, [(call.name, call.arguments, call.whole) for call in scanner.calls], scanner.warnings


@settings(max_examples=200)
@given(text=TEXTS, data=st.data())
def test_a_text_in_pieces_is_the_text(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
    single = data.draw(st.booleans())
    expected = scan([text], single=single)
    assert scan(pieces, single=single) == expected
    assert scan(list(text), single=single) == expected
    said, calls, _ = expected
    if not calls:
        assert said == text
    for _, arguments, whole in calls:
        assert not whole or isinstance(strict(arguments), dict)
        (said + arguments).encode()


def strict(text):
    """JSON as the strictest parsers read it."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=50)
@given(
    calls=st.lists(st.tuples(st.sampled_from(["f", "g"]), ARGUMENTS), min_size=1, max_size=3),
    before=st.text(alphabet="ab é{}", max_size=6),
    ascii_only=st.booleans(),
)
def test_written_calls_are_found(calls, before, ascii_only):
    before += "x"
    written = [json.dumps({"name": name, "arguments": given}, ensure_ascii=ascii_only) for name, given in calls]
    said, found, warnings = scan([before + "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in written)])
    assert said == before
    assert [(name, json.loads(arguments), whole) for name, arguments, whole in found] == [
        (name, given, True) for name, given in calls
    ]
    assert not warnings
    assert [arguments for _, arguments, _ in found] == [
        json.dumps(given, ensure_ascii=ascii_only) for _, given in calls
    ]


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        ('<tool_call>{"name": "f"}</tool_call>', "", [("f", {})]),
        ('{"name": "f"}', "", [("f", {})]),
        ('{"name": "g"}', '{"name": "g"}', []),  # it needs arguments
        ('{"name": ["f"], "arguments": {}}', '{"name": ["f"], "arguments": {}}', []),
        ('{"name": 3, "arguments": {}}', '{"name": 3, "arguments": {}}', []),
        ('{"name": "f", "arguments": null}', "", [("f", {})]),
        ('{"name": "f", "arguments": ""}', "", [("f", {})]),
        ('{"name": "f", "arguments": " {\\"a\\": \\"\\\\\\"\\"} "}', "", [("f", {"a": '"'})]),
        ('{"name": "f", "arguments": [1]}', '{"name": "f", "arguments": [1]}', []),
        ('{"arguments": {"a": 1}, "name": "f", "id": "3"}', "", [("f", {"a": 1})]),
        ('{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}', "", [("f", {"a": 1})]),
        ('{"name": "f", "arguments": {"a": 1}', "", [("f", {"a": 1})]),  # a brace is missing, and nothing else
        ('<tool_call>{"name": "f", "arguments": {}\n</tool_call>ok', "ok", [("f", {})]),
        ('{"name": "f", "arguments": {}} and more', " and more".strip(), [("f", {})]),
        ('{"name": "f", "arguments": {}}\n{"name": "g", "arguments": {}}', "", [("f", {}), ("g", {})]),
        ('Well: {"name": "f", "arguments": {}}', 'Well: {"name": "f", "arguments": {}}', []),
        ('{"name": "f", "arguments": {"a": "1\n2"}}', "", [("f", {"a": "1\n2"})]),
        ('a <tool_call>{"name": "f", "arguments": {}}</tool_call> b', "a  b", [("f", {})]),
        ('<tool_call>[<tool_call>{"name": "f"}</tool_call>', "<tool_call>[", [("f", {})]),
        ("<tool_call><tool_call", "<tool_call><tool_call", []),
        ("a <", "a <", []),
        ('a <tool_call>{"name": "f", "arguments": {}} </tool_', "a", [("f", {})]),
    ],
)
def test_slips_of_models(text, said, calls):
    found = scan([text])
    assert (found[0], [(name, json.loads(arguments)) for name, arguments, _ in found[1]]) == (said, calls)
    assert not found[2]


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud83d"', '"\\ude00 \\ud83d\\n"'])
def test_values_outside_json_are_named(value):
    text = '{"name": "f", "arguments": {"a": VALUE, "b": 1}}'.replace("VALUE", value)
    _, ((_, arguments, whole),), warnings = scan([text])
    if len(value) > 1000:  # no number of any use, and no parser reads it
        assert not whole
        assert warnings == ("the arguments of f are not JSON; they stand as the model wrote them",)
        return
    assert whole
    assert strict(arguments)["b"] == 1
    json.dumps(strict(arguments), allow_nan=False, ensure_ascii=False).encode()
    assert "NaN, a number beyond a double, half a character" in warnings[0]


@pytest.mark.parametrize(
    ("text", "arguments", "warning"),
    [
        ('<tool_call>{"name": "f", "arguments": {"a": "x', '{"a": "x', "ended before"),
        ('<tool_call>{"name": "f", "arguments": {a: 1}}</tool_call>', "{a: 1}}", "not JSON"),
        ('{"name": "f", "arguments": "{\\"a\\": [1}"}', '{"a": [1}"}', "not JSON"),
        ('{"name": "f", "arguments": {"a": ' + "[" * 900 + "]" * 900 + "}}", None, "not JSON"),
        ('{"name": "f", "arguments": {"a": "\\d", "b": tru}}', '{"a": "\\d", "b": tru}}', "not JSON"),
    ],
)
def test_a_call_that_breaks_off_is_reported(text, arguments, warning):
    said, ((name, given, whole),), warnings = scan([text])
    assert (said, name, whole) == ("", "f", False)
    assert arguments is None or given == arguments
    assert warning in warnings[0]


def test_a_call_begins_before_it_ends():
    scanner = CallScanner(FUNCTIONS)
    assert scanner.feed("Now <tool_call>") == [FoundText(text="Now")]
    assert scanner.feed('{"name": "f", "argu') == []
    begun, given = scanner.feed('ments": {"a": "b')
    assert (begun.name, given.text) == ("f", '{"a": "b')
    assert scanner.feed('c"}') == [FoundArguments(number=0, text='c"}')]


def test_one_call_only_where_one_is_wanted():
    one = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    said, calls, warnings = scan([one, one.replace("f", "g"), "so"], single=True)
    assert (said, [name for name, *_ in calls]) == ("so", ["f"])
    assert "left out (g)" in warnings[0]
