"""Constrained texts against what reads them elsewhere: `json`, `re`, and a schema checked by hand."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.base.types import Constraint, ConstraintKind, FinishReason, GenerateRequest, SamplingConfig
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
def test_every_text_matches_whatever_else_happens(seed, guesses, num_blocks):
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
def test_what_cannot_be_enforced_is_refused_before_it_waits(constraint, says):
    engine, runner = scripted_engine()
    with engine, pytest.raises(InputError, match=says):
        engine.submit(GenerateRequest(prompt=(1,), constraint=constraint))
    assert not runner.batches


def test_a_row_without_any_token_left_ends_alone():
    """A bias that forbids all that the constraint allows; the neighbour writes on."""
    engine, _ = scripted_engine()
    only = Constraint(ConstraintKind.REGEX, "a")
    forbid = {token: float("-inf") for token in range(320)}
    with engine:
        bad = engine.submit(GenerateRequest(prompt=(1,), constraint=only, logit_bias=forbid))
        good = engine.submit(GenerateRequest(prompt=(2,), max_tokens=5))
        with pytest.raises(InputError, match="no token may follow"):
            bad.completion()
        assert len(good.completion().tokens) == 5
    assert engine.stats().free_blocks == engine.stats().num_blocks
