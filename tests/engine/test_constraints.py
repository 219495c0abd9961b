"""Constrained texts against independent readers: `json`, `re`, and a schema checked by hand."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.base.types import Constraint, ConstraintKind, FinishReason, GenerateRequest, SamplingConfig
from lavra.engine.constraints import Constraints, Matcher
from tests.engine.schema.corpus import accepted
from tests.engine.tiny import scripted_engine, torch_engine

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 4}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
AS_JSON = Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(SCHEMA))
DATE = Constraint(ConstraintKind.REGEX, r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])")
NESTED = Constraint(ConstraintKind.GRAMMAR, 'start: "(" start ")" | "x"')


def hot(seed):
    return SamplingConfig(temperature=1.5, seed=seed)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), guesses=st.sampled_from([0, 3]), num_blocks=st.sampled_from([24, 64]))
def test_every_text_matches_under_any_conditions(seed, guesses, num_blocks):
    """Samples of several constraints together, guessed and preempted."""
    engine, _ = scripted_engine(num_blocks=num_blocks, lookup_tokens=guesses, lookup_ngram=1, max_running=6)
    with engine:
        streams = [
            engine.submit(GenerateRequest(prompt=(1, 2), max_tokens=60, sampling=hot(seed + n), constraint=constraint))
            for n, constraint in enumerate((AS_JSON, DATE, AS_JSON, DATE))
        ]
        person, date, other, late = (stream.completion() for stream in streams)
    for one in (person, other):
        said = json.loads(one.text)
        assert set(said) == {"name", "age"}
        assert len(said["name"]) <= 4
        assert 0 <= said["age"] <= 99
    for one in (date, late):
        assert re.fullmatch(DATE.text, one.text)
        assert one.finish_reason is FinishReason.STOP


def test_a_text_cut_before_its_end_says_so():
    engine, _ = scripted_engine()
    with engine:
        cut = engine.submit(GenerateRequest(prompt=(1,), max_tokens=3, constraint=AS_JSON)).completion()
        whole = engine.submit(GenerateRequest(prompt=(1,), max_tokens=60, constraint=AS_JSON)).completion()
    assert cut.finish_reason is FinishReason.LENGTH
    assert any("cut the text before its constraint" in warning for warning in cut.warnings)
    assert not any("constraint" in warning for warning in whole.warnings)
    json.loads(whole.text)


def test_a_grammar_and_a_real_model():
    with torch_engine("llama") as engine:
        found = engine.submit(
            GenerateRequest(prompt="def", max_tokens=40, constraint=NESTED, sampling=hot(1))
        ).completion()
        assert re.fullmatch(r"\(*x?\)*", found.text)
        if found.finish_reason is FinishReason.STOP:
            assert found.text.count("(") == found.text.count(")")


@pytest.mark.parametrize(
    ("constraint", "says"),
    [
        (Constraint(ConstraintKind.REGEX, "(("), "regular expression cannot be enforced"),
        (Constraint(ConstraintKind.JSON_SCHEMA, '{"type": "nonsense"}'), "JSON schema cannot be enforced"),
        (Constraint(ConstraintKind.JSON_SCHEMA, "{"), "is not JSON"),
        (Constraint(ConstraintKind.JSON_SCHEMA, "[]"), "is not an object"),
        (Constraint(ConstraintKind.JSON_SCHEMA, '{"a":' * 100 + "1" + "}" * 100), "nests deeper than 64"),
        (Constraint(ConstraintKind.JSON_SCHEMA, "[" * 100_000), "is not JSON"),
        (Constraint(ConstraintKind.REGEX, "a" * 300_000), "300000 characters"),
        (Constraint(ConstraintKind.GRAMMAR, "start: undefined"), "grammar cannot be enforced"),
    ],
)
def test_unenforceable_constraints_are_refused_before_they_wait(constraint, says):
    engine, runner = scripted_engine()
    with engine, pytest.raises(InputError, match=says):
        engine.submit(GenerateRequest(prompt=(1,), constraint=constraint))
    assert not runner.batches


def test_a_row_without_any_token_left_ends_alone(monkeypatch):
    """Its neighbour continues."""
    monkeypatch.setattr(Matcher, "allowed_bits", lambda _: bytes(40))
    engine, _ = scripted_engine()
    only = Constraint(ConstraintKind.REGEX, "a")
    with engine:
        bad = engine.submit(GenerateRequest(prompt=(1,), constraint=only))
        good = engine.submit(GenerateRequest(prompt=(2,), max_tokens=5))
        with pytest.raises(InputError, match="no token may follow"):
            bad.completion()
        assert len(good.completion().tokens) == 5
    stats = engine.stats()
    assert stats.free_blocks == stats.num_blocks
    assert (stats.failed, stats.finished) == (1, 1)


def test_a_constraint_that_cannot_be_followed_ends_its_text_with_an_error_that_tells_no_inner_state(monkeypatch):
    """The library stops in mid-text; its own message goes to the log."""
    engine, _ = scripted_engine()

    class Lost:
        def __init__(self):
            self.taken = 0

        def deep_copy(self):
            return Lost()

        def consume_token(self, _):
            self.taken += 1

        def is_error(self):
            return self.taken >= 2

        def get_error(self):
            return "<state> Lexer: 17 rows"

        def is_stopped(self):
            return self.is_error()

        def is_accepting(self):
            return False

        def compute_bitmask(self):
            return b"\xff" * 64

    compiled = Constraints._compile
    monkeypatch.setattr(
        Constraints, "_compile", lambda self, constraint: replace(compiled(self, constraint), matcher=Lost())
    )
    with engine:
        stream = engine.submit(GenerateRequest(prompt=(1,), max_tokens=9, constraint=AS_JSON))
        with pytest.raises(InputError, match="could not be continued under its constraint") as caught:
            stream.completion()
    assert "state" not in str(caught.value)
    assert (engine.stats().failed, engine.stats().finished) == (1, 0)


def test_unenforced_keywords_are_a_warning_even_when_the_text_is_cut():
    schema = Constraint(ConstraintKind.JSON_SCHEMA, '{"type": "string", "format": "colour"}')
    engine, _ = scripted_engine()
    with engine:
        found = engine.submit(GenerateRequest(prompt=(1,), max_tokens=1, constraint=schema)).completion()
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "the format 'colour' only describes",
        "max_tokens cut the text before its constraint was met",
    ]


JSON_IN_GBNF = r"""
root   ::= "{" ws ( pair ("," ws pair)* )? "}"
pair   ::= string ":" ws value
value  ::= string | number | "[" ws (value ("," ws value)*)? "]" | ("true" | "false" | "null") ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws # escapes
number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? ws
ws     ::= [ \t\n]{0,2}
"""


@pytest.mark.parametrize(
    ("grammar", "texts", "others"),
    [
        (JSON_IN_GBNF, ["{}", '{"a": [1, true, "x\\n"]}'], ["{a}", "[]"]),
        ('root ::= (expr "=" num "\\n")+\nexpr ::= num ([-+*/] num)*\nnum ::= [0-9]+', ["1+2=3\n"], ["1+=3\n"]),
        (r'root ::= [\u00e0-\u00ff] "\u0041\x42"', ["éAB"], ["eAB"]),
    ],
)
def test_a_grammar_may_be_written_in_the_notation_of_llama_cpp(grammar, texts, others):
    constraint = Constraint(ConstraintKind.GRAMMAR, grammar)
    assert all(accepted(constraint, text) for text in texts)
    assert not any(accepted(constraint, text) for text in others)


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        ('foo ::= "a"', "No 'root' rule"),
        ('root ::= "a\\', "ends too early"),
        ("root ::= " + "(" * 5000, "GBNF"),
        ('root ::= "a"\n' * 3000, "at most 2000"),
        (r'root ::= "\ud800"', "is not a character"),
    ],
)
def test_a_grammar_that_cannot_be_read_is_refused(grammar, says):
    engine, _ = scripted_engine()
    with engine, pytest.raises(InputError, match=says):
        engine.submit(GenerateRequest(prompt=(1,), constraint=Constraint(ConstraintKind.GRAMMAR, grammar)))
