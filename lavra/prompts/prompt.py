"""A prompt: its purpose, its typed variables, the templates that use them, and examples of expected answers.

It is text (`template`) or a conversation (`messages`).  Shots, examples shown before the question (Brown et al. 2020,
§2), are written by `example_template` and stand where the template says `{{ shots }}`, each followed by
`shot_separator`; or in a conversation, as `example_messages`, turns of their own before the last message.

A prompt that could not be rendered is never made: the names in its templates are checked here.  Reading files is
`prompt_file.py`'s work, filling in `render.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lavra.base.config import to_mapping
from lavra.base.errors import InputError, nearest
from lavra.base.files import hash_json
from lavra.base.sampling import check_request
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.prompts.example import Example, Expect
from lavra.prompts.template import PromptError, builtin_names, template_names
from lavra.prompts.variables import EXPECTED, SHOTS, Variable, typed_values

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(  # semver.org 2.0.0, the expression its appendix suggests, without group names
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


@dataclass(frozen=True, kw_only=True)
class MessageTemplate:
    """A turn of a conversation.

    Attributes:
        role: system, user, assistant, or another role that the model's chat template knows.
        template: Jinja source of the turn's text.
    """

    role: str
    template: str


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Settings of writing the answer.

    Attributes:
        max_tokens: most tokens of an answer.
        temperature: randomness of sampling; 0 is greedy.
        stop: texts of which the first to appear ends the answer.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sampling = SamplingConfig(temperature=self.temperature)
        check_request(GenerateRequest(prompt="", max_tokens=self.max_tokens, stop=self.stop, sampling=sampling))


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt with its settings and examples.

    Attributes:
        name: letters, digits, dots, hyphens and underscores.
        version: three numbers, as in 1.0.0 (semver.org); raised when the prompt changes.
        purpose: use of the prompt, in a sentence.
        variables: inputs of the prompt, with their types.
        template: Jinja source of a text.
        messages: turns of a conversation, instead of `template`.
        example_template: template of a shot; it sees the variables and `expected`.
        example_messages: turns of a conversation that write a shot, instead of `example_template`.
        shot_separator: text behind each shot.
        examples: examples for shots and tests.
        labels: the possible answers of a prompt that classifies.
        answer_prefix: text between prompt and answer; a space after a text, nothing in a conversation.
        domain: text that asks for an answer and says nothing else, as in `Sentiment:` (for scoring by PMI).
        generation: settings of writing the answer.

    Example:
        >>> prompt = lavra.Prompt(name="greet", version="1.0.0", purpose="greets a guest", template="Good morning!")
        >>> prompt.name
        'greet'
    """

    name: str
    version: str
    purpose: str
    variables: tuple[Variable, ...] = ()
    template: str | None = None
    messages: tuple[MessageTemplate, ...] = ()
    example_template: str | None = None
    example_messages: tuple[MessageTemplate, ...] = ()
    shot_separator: str = "\n\n"
    examples: tuple[Example, ...] = ()
    labels: tuple[str, ...] = ()
    answer_prefix: str | None = None
    domain: str | None = None
    generation: Generation = Generation()

    def __post_init__(self) -> None:
        _check_header(self)
        _check_shape(self)
        _check_names(self)
        _check_labels(self.labels)
        for index, example in enumerate(self.examples):
            self.check_example(example, f"examples[{index}]")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def takes_shots(self) -> bool:
        """Whether the prompt has a template for shots."""
        return self.example_template is not None or bool(self.example_messages)

    @property
    def lead(self) -> str:
        """The text between the prompt and its answer."""
        if self.answer_prefix is not None:
            return self.answer_prefix
        return "" if self.messages else " "

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """Variables that no template names."""
        named = {name for _, source, _ in _templates(self) for name in template_names(source, "template")}
        return tuple(variable.name for variable in self.variables if variable.name not in named)

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the whole prompt, 16 hex digits: it tells apart two prompts of one version that differ."""
        return hash_json(to_mapping(self))

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check the given values and add the defaults: a value for every variable.

        Raises:
            InputError: a value is missing, unknown or does not fit.
        """
        return typed_values(self.variables, given)

    def check_example(self, example: Example, path: str) -> None:
        """Refuse an example that this prompt cannot take.

        Raises:
            PromptError: the example does not fit; the error names `path`.
        """
        try:
            self.values(example.input)
        except InputError as error:
            raise PromptError(f"{path}.input", str(error)) from error
        if not self.labels:
            return
        if example.expect is not Expect.EQUALS:
            raise PromptError(f"{path}.expect", f"is {example.expect.value}; where there are labels, write equals")
        if example.expected not in self.labels:
            raise PromptError(
                f"{path}.expected", f"{example.expected!r} is not a label{nearest(example.expected, self.labels)}"
            )


def _check_header(prompt: Prompt) -> None:
    if not _NAME.fullmatch(prompt.name):
        raise PromptError(
            "name", f"{prompt.name!r} is not a name; write letters, digits, dots, hyphens and underscores"
        )
    if not _VERSION.fullmatch(prompt.version):
        raise PromptError("version", f"{prompt.version!r} is not a semantic version; write three numbers, as in 1.0.0")
    if not prompt.purpose.strip():
        raise PromptError("purpose", "is empty; say in a sentence what the prompt is for")


def _check_shape(prompt: Prompt) -> None:
    """Check that the prompt has exactly one of the two forms, and that shots are written in one way and used."""
    if (prompt.template is None) == (not prompt.messages):
        raise PromptError("template", "a prompt has either template or messages; write one of the two")
    if prompt.example_messages and not prompt.messages:
        raise PromptError("example_messages", "turns need a conversation; write messages, or use example_template")
    if prompt.example_messages and prompt.example_template is not None:
        raise PromptError("example_messages", "example_template writes shots too; keep one of the two")
    seen: set[str] = set()
    for index, variable in enumerate(prompt.variables):
        if variable.name in seen:
            raise PromptError(f"variables[{index}].name", f"{variable.name!r} is declared twice; keep one of the two")
        if variable.name in builtin_names():
            raise PromptError(f"variables[{index}].name", f"{variable.name!r} is a name of Jinja's own; take another")
        seen.add(variable.name)


def _check_names(prompt: Prompt) -> None:
    """Check that each name in a template is a variable, `shots`, or in a shot `expected`."""
    declared = {variable.name for variable in prompt.variables}
    shots_at: str | None = None
    for path, source, is_shot in _templates(prompt):
        known = declared | {EXPECTED if is_shot else SHOTS}
        names = template_names(source, path)
        for name, line in names.items():
            if name not in known:
                raise PromptError(path, f"names {name!r}, which is not a declared variable{nearest(name, known)}", line)
        if SHOTS in names:
            shots_at = path
    if shots_at is not None and prompt.example_template is None:
        raise PromptError(shots_at, "names 'shots', and nothing says how one is written; add example_template")
    if shots_at is None and prompt.example_template is not None:
        where = "messages" if prompt.messages else "template"
        raise PromptError(where, "says nowhere where the shots go; write {{ shots }} there, or drop example_template")


def _templates(prompt: Prompt) -> Iterator[tuple[str, str, bool]]:
    """The path and source of every template, and whether it writes a shot."""
    if prompt.template is not None:
        yield "template", prompt.template, False
    yield from _message_templates("messages", prompt.messages, is_shot=False)
    if prompt.example_template is not None:
        yield "example_template", prompt.example_template, True
    yield from _message_templates("example_messages", prompt.example_messages, is_shot=True)


def _message_templates(
    name: str, messages: Sequence[MessageTemplate], *, is_shot: bool
) -> Iterator[tuple[str, str, bool]]:
    for index, message in enumerate(messages):
        yield f"{name}[{index}].template", message.template, is_shot


def _check_labels(labels: Sequence[str]) -> None:
    for index, label in enumerate(labels):
        if not label.strip() or label != label.strip():
            raise PromptError(f"labels[{index}]", f"{label!r} is empty or has white space around it; write a word")
        if label in labels[:index]:
            raise PromptError(f"labels[{index}]", f"{label!r} stands there twice; keep one of the two")
    if len(labels) == 1:
        raise PromptError("labels", "there is one alone, and nothing to choose; write two or more, or none")
