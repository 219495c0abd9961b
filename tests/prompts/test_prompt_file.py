"""Prompt files: every mistake is named with its line, and nothing is ignored."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.config import to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.prompts.example import Expect
from lavra.prompts.prompt_file import read_examples, read_prompt
from lavra.prompts.render import render

FILE = """\
name: sentiment
version: 1.2.0
purpose: Says whether a review is good or bad.
variables:
  - name: review
    description: the review
  - name: tone
    description: how to say it
    default: short
    choices: [short, long]
template: |
  Be {{ tone }}.
  {{ shots }}Review: {{ review }}
  Sentiment:
example_template: |
  Review: {{ review }}
  Sentiment: {{ expected }}
labels: [negative, positive]
examples:
  - input: {review: Great.}
    expected: positive
  - input:
      review: Awful.
    expected: negative
generation:
  max_tokens: 4
  stop: ["\\n"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompt.yaml"


def test_a_file_is_read_whole(path: Path) -> None:
    path.write_text(FILE, encoding="utf-8")
    prompt = read_prompt(path)
    assert [variable.name for variable in prompt.variables] == ["review", "tone"]
    assert prompt.template == "Be {{ tone }}.\n{{ shots }}Review: {{ review }}\nSentiment:\n"
    assert prompt.generation.stop == ("\n",)
    assert prompt.examples[1].input == {"review": "Awful."}
    assert prompt.examples[0].expect is Expect.EQUALS


def test_a_written_prompt_reads_the_same(path: Path) -> None:
    """JSON is YAML: the plain data of a prompt, in a file."""
    path.write_text(FILE, encoding="utf-8")
    prompt = read_prompt(path)
    path.write_text(json.dumps(to_mapping(prompt)), encoding="utf-8")
    assert read_prompt(path) == prompt


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("purpose:", "purpos:", 3, "purpos: unknown setting 'purpos'; did you mean 'purpose'"),
        ("version: 1.2.0", "version: 1.2", 2, "version: 1.2 is not text"),
        ("version: 1.2.0", "version: '1.2'", 2, "version: '1.2' is not a semantic version"),
        ("    description: the review", "    descripton: the review", 6, r"variables\[0\].descripton: unknown setting"),
        ("default: short", "default: shrt", 7, r"variables\[1\]: the default does not fit: .*did you mean 'short'"),
        ("default: short", "type: text", 9, r"variables\[1\].type: unknown value 'text'"),
        ("Review: {{ review }}\n  Sentiment:\n", "Review: {{ reviw }}\n  Sentiment:\n", 13, "template: names 'reviw'"),
        ("Sentiment: {{ expected }}", "Sentiment: {{ expcted }}", 17, "example_template: names 'expcted'"),
        ("Sentiment: {{ expected }}", "Sentiment: {{ expected", 17, "example_template: is not valid Jinja"),
        ("labels: [negative, positive]", "labels: [no, positive]", 18, r"labels\[0\]: False is not text"),
        ("expected: positive", "expected: postive", 21, r"examples\[0\].expected: 'postive' is not a label"),
        ("expected: positive", "expected: 3", 20, r"examples\[0\]: expected 3 is of type int"),
        ("      review: Awful.", "      reviw: Awful.", 22, r"examples\[1\].input: there is no variable 'reviw'"),
        ("max_tokens: 4", "max_token: 4", 26, "generation.max_token: unknown setting"),
        ("max_tokens: 4", "max_tokens: 0", 25, "generation: max_tokens=0 is out of range"),
        ("max_tokens: 4", "max_tokens: 4\n  max_tokens: 5", 27, "generation.max_tokens is written a second time"),
    ],
)
def test_mistakes_are_named_with_their_line(path: Path, old: str, new: str, line: int, message: str) -> None:
    assert FILE.count(old) >= 1
    path.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"^{path}:{line}: {message}"):
        read_prompt(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no prompt"),
        ("- a", "holds no prompt"),
        ("a: [", "is not valid YAML"),
        ("name: &x a\npurpose: *x\n", r"\*x is an alias; write it out"),
        ("name: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("name: a\nversion: 1.0.0\n", "purpose: required but not given"),
        ("a: " + "[" * 800, "is not valid YAML|nested too deeply"),
    ],
)
def test_a_file_that_is_no_prompt_is_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_prompt(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompt(tmp_path / "none.yaml")


def test_unused_variables_are_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(FILE.replace("Be {{ tone }}.", "Go."), encoding="utf-8")
    with caplog.at_level(logging.WARNING, logger="lavra"):
        read_prompt(path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: no template names 'tone'; name it, or drop it"
    ]


WILD = st.sampled_from(
    [None, True, 3, 2.5, float("inf"), "", "x", "none", "{{ x }}", "{% for %}", "{{ review }}{{ shots }}", "()(", [],
     [1], ["a", "b"], {}, {"a": 1}, {1: 2}, [[]], [{}], [None], [{"role": "user", "template": "{{ review }}"}]]
)  # fmt: skip
KEYS = ("messages", "example_messages", "answer_prefix", "domain", "foo", "template", "expect", "choices", "answer")


@given(st.data())
def test_any_file_is_a_prompt_or_a_lavra_error(tmp_path_factory, data: st.DataObject) -> None:
    value = yaml.safe_load(FILE)
    place = value
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from([*place, *KEYS] if isinstance(place, dict) else range(len(place))))
        inner = place.get(key) if isinstance(place, dict) else place[key]
        if not isinstance(inner, dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(WILD)
            break
        place = inner
    path = tmp_path_factory.getbasetemp() / "wild.yaml"
    path.write_text(yaml.dump(value, sort_keys=False), encoding="utf-8")
    try:
        prompt = read_prompt(path)
    except ConfigError:
        with pytest.raises(ConfigError, match=f"^{path}:"):
            read_prompt(path)
        return
    assert read_prompt(path).fingerprint == prompt.fingerprint
    shots = [one for one in prompt.examples if one.shown is not None] if prompt.takes_shots else []
    for one in prompt.examples:
        render(prompt, one.input, shots)


# ---------------------------------------------------------------- labelled examples


def test_lines_in_either_form_are_examples(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    rows = [
        {"review": "a", "expected": "good"},
        {"review": "b", "label": "bad"},
        {"input": {"review": "c"}, "expected": "oo", "expect": "contains", "answer": "good"},
        {"review": "d", "expected": {"a": 1}, "expect": "json"},
        {"review": "e", "input": "f", "expected": "good"},  # a variable of that name
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    found = read_examples(path, ["review", "input"])
    assert [(one.input, one.expected, one.expect.value, one.answer) for one in found] == [
        ({"review": "a"}, "good", "equals", None),
        ({"review": "b"}, "bad", "equals", None),
        ({"review": "c"}, "oo", "contains", "good"),
        ({"review": "d"}, {"a": 1}, "json", None),
        ({"review": "e", "input": "f"}, "good", "equals", None),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "is not JSON .*no empty lines"),
        ("[1]", "is a list"),
        ('{"review": "a"}', "has neither 'expected' nor 'label'"),
        ('{"review": "a", "expected": "b", "label": "b"}', "has both"),
        ('{"reviw": "a", "expected": "b"}', "no variable 'reviw'; did you mean 'review'"),
        ('{"review": "a", "labl": "b", "expected": "b"}', "no variable 'labl'; did you mean 'label'"),
        ('{"review": "a", "expected": 3}', "expected 3 is of type int"),
        ('{"review": "a", "expected": "b", "expect": "equal"}', "did you mean 'equals'"),
    ],
)
def test_a_line_that_is_no_example_is_refused_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"review": "a", "expected": "b"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"^{path}:2.*{message}"):
        read_examples(path, ["review"])


def test_a_line_ends_where_json_says(tmp_path: Path) -> None:
    """U+2028 and similar characters are line breaks in Python, and ordinary characters inside JSON."""
    path = tmp_path / "set.jsonl"
    review = "a\u2028b\u0085c\x1cd"
    row = json.dumps({"review": review, "expected": "good"}, ensure_ascii=False)
    path.write_text(f"{row}\r\n{row}\n", encoding="utf-8")
    assert [one.input["review"] for one in read_examples(path, ["review"])] == [review, review]


def test_an_empty_or_missing_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_examples(tmp_path / "set.jsonl", ["review"])
    with pytest.raises(InputError, match="cannot be read"):
        read_examples(tmp_path / "none.jsonl", ["review"])
