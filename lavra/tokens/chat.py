"""Chat templates: turn a conversation into the text that its model was trained on.

The Hugging Face convention: a Jinja template that sees `messages`, `tools`, `add_generation_prompt` and the special
tokens by role, with `raise_exception`, `strftime_now`, loop controls and the `generation` block.  A template comes
from the maker of the model, so it is untrusted code: it runs in Jinja's immutable sandbox, sees plain JSON values
only, and may not multiply strings or ranges into gigabytes.  `generation_spans` finds the characters in
`generation` blocks; fine-tuning chooses the tokens to learn from them.  Deliberately absent: turning Python
functions into schemas.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

from lavra.base.errors import InputError

DEFAULT_CHAT_TEMPLATE = """\
{{ bos_token }}
{%- if messages and messages[0]['role'] == 'system' %}
    {{- messages[0]['content'] + '\\n' }}
{%- endif %}
{%- if tools %}
    {{- '### Tools:\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson + '\\n' }}
    {%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}
        {{- '### User:\\n' + message['content'] + '\\n' }}
    {%- elif message['role'] == 'tool' %}
        {{- '### Tool:\\n' + message['content'] + '\\n' }}
    {%- elif message['role'] == 'assistant' and message['tool_calls'] %}
        {{- '### Assistant:\\n' + (message['content'] + '\\n' if message['content'] else '') }}
        {%- for call in message['tool_calls'] %}
            {%- set arguments = call['function']['arguments'] %}
            {{- '<tool_call>{"name": ' + call['function']['name'] | tojson + ', "arguments": ' }}
            {{- (arguments if arguments is string else arguments | tojson) + '}</tool_call>' }}
        {%- endfor %}
        {{- eos_token + '\\n' }}
    {%- elif message['role'] == 'assistant' %}
        {{- '### Assistant:\\n' + message['content'] + eos_token + '\\n' }}
    {%- elif message['role'] != 'system' or not loop.first %}
        {{- raise_exception("role '" + message['role'] + "' at message " + loop.index|string + " is not known here: "
            + "use user, assistant, tool, or one system message at the beginning") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '### Assistant:\\n' }}
{%- endif %}
"""
"""A plain template for a model that has none and only one special token; used only by name.

Functions are offered as JSON, a line each, and called in the form that `lavra serve` reads from a model's answer.
"""

_MAX_PRODUCT = 1_000_000  # longest string or list a template may make by multiplication
_MAX_POWER = 64  # largest exponent
_GENERATION_BLOCK = re.compile(r"\{%-?\s*generation\s*-?%\}")  # as transformers looks for it
# Unicode's noncharacters: "reserved for internal use", so no text that means anything has them.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MARKS = re.compile(f"([{_BEGIN}{_END}])")


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """Render a conversation.

    Args:
        template: Jinja source.
        messages: the conversation, in JSON types.
        tools: JSON schemas of functions the model may call.
        add_generation_prompt: end where the assistant is to speak.
        variables: further names, such as `bos_token`; a name in the template without a value is empty.

    Raises:
        InputError: the template is malformed, breaks a rule of the sandbox, or refuses the conversation.
    """
    return _render(template, messages, tools, add_generation_prompt, variables, marked=False)


def has_generation_blocks(template: str) -> bool:
    """Whether a template marks the assistant's words by `{% generation %}` blocks."""
    return _GENERATION_BLOCK.search(template) is not None


def generation_spans(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> tuple[str, list[tuple[int, int]]]:
    """Render a conversation and find its `{% generation %}` blocks.

    Args:
        template: Jinja source with such blocks.
        messages: the conversation, in JSON types.
        tools: as in `render_chat`.
        add_generation_prompt: as in `render_chat`.
        variables: as in `render_chat`.

    Returns:
        The text, as `render_chat` gives it, and the characters [start, end) of each block in it, in order.

    Raises:
        InputError: as `render_chat`; or the blocks cannot be separated in the text.
    """
    text = _render(template, messages, tools, add_generation_prompt, variables, marked=False)
    parts = _MARKS.split(_render(template, messages, tools, add_generation_prompt, variables, marked=True))
    # Marks that alternate, and the same text without them: blocks are whole, not nested, not cut by a filter.
    if "".join(parts[::2]) != text or parts[1::2] != [_BEGIN, _END] * (len(parts) // 4):
        raise InputError(
            "the generation blocks of the chat template are nested, left early, or go through a filter that changes "
            "them, so what the assistant wrote cannot be found; write them around the text itself"
        )
    ends = list(accumulate(len(part) for part in parts[::2]))
    return text, [(ends[place], ends[place + 1]) for place in range(0, len(ends) - 1, 2)]


def _render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    add_generation_prompt: bool,
    variables: Mapping[str, Any] | None,
    *,
    marked: bool,
) -> str:
    compiled = _compile(template, marked)
    context = {
        **plain_value(dict(variables or {}), "variables"),
        "messages": plain_value(list(messages), "messages"),
        "tools": plain_value(None if tools is None else list(tools), "tools"),
        "documents": None,
        "add_generation_prompt": add_generation_prompt,
    }
    try:
        return compiled.render(context)
    except jinja2.exceptions.SecurityError as error:
        raise InputError(
            f"the chat template uses an operation that templates may not use: {error}; use another template"
        ) from error
    except _Refusal as error:
        raise InputError(f"the chat template refuses this conversation: {error}") from error
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
        raise InputError(f"the chat template fails on this conversation: {error}; check the messages' keys") from error


def parsed_template(template: str) -> jinja2.nodes.Template:
    """The syntax tree of a template, for questions that need no conversation.

    Raises:
        InputError: the template is malformed.
    """
    try:
        return _environment(False).parse(template)
    except jinja2.TemplateSyntaxError as error:
        raise _malformed(error) from error


def _malformed(error: jinja2.TemplateSyntaxError) -> InputError:
    return InputError(f"the chat template is not valid Jinja: line {error.lineno}: {error.message}")


@lru_cache(maxsize=64)
def _compile(template: str, marked: bool) -> jinja2.Template:
    try:
        return _environment(marked).from_string(template)
    except jinja2.TemplateSyntaxError as error:
        raise _malformed(error) from error


@lru_cache(maxsize=2)
def _environment(marked: bool) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = sandbox(extensions=[_MarkedGeneration if marked else _Generation])
    environment.globals["strftime_now"] = _strftime_now
    return environment


def sandbox(
    *, undefined: type[jinja2.Undefined] = jinja2.Undefined, extensions: Sequence[type[jinja2.ext.Extension]] = ()
) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """A Jinja environment for templates from strangers; give them only values made by `plain_value`.

    It has `raise_exception`, loop controls, `namespace` and a `tojson` that escapes nothing; a line that holds only a
    block leaves no blank line behind.

    Args:
        undefined: value of an undefined name: empty, or with `jinja2.StrictUndefined` an error.
        extensions: further ones.
    """
    environment = _Sandbox(
        undefined=undefined, trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, *extensions]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["namespace"] = _Namespace
    return environment


class _Refusal(jinja2.TemplateError):
    """The error of a template that called `raise_exception`."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, where `'a' * 10**9` and `9**9**9` are refused as well."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and abs(right) > _MAX_POWER:
            raise jinja2.exceptions.SecurityError(f"exponent {right} is over {_MAX_POWER}")
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and len(sequence) * times > _MAX_PRODUCT:
                raise jinja2.exceptions.SecurityError(f"a product of {len(sequence)} x {times} items")
        return super().call_binop(context, operator, left, right)


class _Namespace(jinja2.utils.Namespace):
    """Jinja's `namespace()` without underscore names, a known way towards the interpreter's internals."""

    def __init__(*args: Any, **attributes: Any) -> None:  # so that `namespace(self=…)` works
        self, *initial = args
        for name in dict(*initial, **attributes):
            _check_attribute(name)
        jinja2.utils.Namespace.__init__(self, *initial, **attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_attribute(name)
        super().__setitem__(name, value)


def _check_attribute(name: object) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(f"namespace attribute {name!r} begins with an underscore")


class _Generation(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}` marks the assistant's words; here its body is simply rendered."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _MarkedGeneration(_Generation):
    """The `generation` block with a mark on either side, taken out again after rendering."""

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        begin, end = (jinja2.nodes.Output([jinja2.nodes.TemplateData(mark)]) for mark in (_BEGIN, _END))
        return [begin, *super().parse(parser), end]


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which no model was trained on
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise _Refusal(message)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)  # local time, as the convention has it


def plain_value(value: Any, where: str) -> Any:
    """A copy made of JSON types alone: methods of richer objects would be doors out of the sandbox.

    Raises:
        InputError: something in it is of another type; `where` names its place.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {plain_value(key, where): plain_value(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise InputError(
        f"{where} is of type {type(value).__name__}; a template takes str, int, float, bool, None, lists and "
        "mappings only: convert it first"
    )
