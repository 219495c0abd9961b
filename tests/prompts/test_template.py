"""Templates: their variables are known, undefined ones are refused, and there is no escape from the sandbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.prompts.template import PromptError, builtin_names, render_template, template_names


def test_names_are_those_that_come_from_outside_with_their_first_line() -> None:
    source = "{% set own = 1 %}\n{{ a }} {{ own }}\n{% for item in things %}{{ item }}{% endfor %}{{ a.b }}"
    assert template_names(source, "template") == {"a": 2, "things": 3}
    assert template_names("plain {# {{ comment }} #} {% raw %}{{ raw }}{% endraw %}", "template") == {}
    assert template_names("{% if x is defined %}{{ x }}{% endif %}{{ range(3) }}", "template") == {"x": 1}


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("a\n{% if %}", "line 2: is not valid Jinja", 2),
        ("{{ a", "line 1: is not valid Jinja", 1),
        ("{% include 'x' %}", "includes or imports another template", None),
        ("{% import 'os' as os %}", "includes or imports another template", None),
        ("{% extends 'x' %}", "includes or imports another template", None),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_its_line(source: str, message: str, line: int | None) -> None:
    with pytest.raises(PromptError, match=f"where: .*{message}") as caught:
        template_names(source, "where")
    assert isinstance(caught.value, ConfigError)
    assert (caught.value.path, caught.value.line) == ("where", line)


def test_undefined_names_are_an_error_not_empty() -> None:
    with pytest.raises(InputError, match="where names what is not there: 'b' is undefined"):
        render_template("{{ a }}{{ b }}", {"a": 1}, "where")
    with pytest.raises(InputError, match="where names what is not there"):
        render_template("{{ a.b }}", {"a": {}}, "where")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ a.append(1) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ 'a' * 10**9 }}",
        "{{ 9 ** 999999 }}",
        "{{ range(10000000) | list }}",
        "{{ a | attr('__class__') }}",
        "{{ '%s' | attr('format') | attr('__globals__') }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ cycler.__init__.__globals__.os.popen('true') }}",
        "{% include '/etc/hostname' %}",
    ],
)
def test_there_is_no_way_out_of_the_sandbox(source: str) -> None:
    things = [0]
    refusal = r"where (uses an operation that templates may not use|names what is not there|fails)"
    with pytest.raises(InputError, match=refusal):
        render_template(source, {"a": things}, "where")
    assert things == [0]


def test_objects_with_methods_never_reach_a_template() -> None:
    with pytest.raises(InputError, match="where: variable 'a' is of type set"):
        render_template("{{ a }}", {"a": {1}}, "where")


@pytest.mark.parametrize("source", ["{{ lipsum() }}", "{{ strftime_now('%Y') }}", "{{ [1, 2] | random }}"])
def test_a_prompt_is_a_function_of_its_variables(source: str) -> None:
    """It depends on no clock and no chance."""
    with pytest.raises(InputError):
        render_template(source, {}, "where")
    assert not {"lipsum", "strftime_now"} & builtin_names()


def test_a_template_may_refuse_values_in_its_own_words() -> None:
    with pytest.raises(InputError, match="where fails on these values: too short"):
        render_template("{{ raise_exception('too short') }}", {}, "where")
    with pytest.raises(InputError, match="where fails on these values: division by zero"):
        render_template("{{ 1 / 0 }}", {}, "where")


@given(st.text())
def test_a_value_is_text_in_any_form(value: str) -> None:
    """Jinja in a value is not executed, and nothing is escaped."""
    assert render_template("[{{ a }}]", {"a": value}, "where") == f"[{value}]"
    assert render_template("[{{ a }}]", {"a": "{{ 7 * 7 }}" + value}, "where") == "[{{ 7 * 7 }}" + value + "]"


def test_one_line_break_at_the_end_is_the_files() -> None:
    assert render_template("a\n", {}, "where") == "a"
    assert render_template("a\n\n", {}, "where") == "a\n"
    assert render_template("{% if true %}\nb\n{% endif %}\nc", {}, "where") == "b\nc"
