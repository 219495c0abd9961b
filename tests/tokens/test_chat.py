"""Chat templates against transformers' own rendering, and the sandbox against templates that try to escape."""

import datetime

import jinja2
import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from lavra.base.errors import InputError
from lavra.tokens.chat import (
    DEFAULT_CHAT_TEMPLATE,
    generation_spans,
    has_generation_blocks,
    plain_value,
    render_chat,
    sandbox,
)
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
    " + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("After the optional system message, roles must alternate user/assistant/user/...") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == loop_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
            {%- endfor %}
            {{- "] [/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
"""
BLOCKS = """{% for message in messages %}
  {% if loop.index > 4 %}
    {% break %}
  {% endif %}
  {% if message['role'] == 'assistant' %}
    {% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}

  {% else %}
    {{ message | tojson(indent=2) }}
  {% endif %}
{% endfor %}
Date: {{ strftime_now('%Y') }} {{ not_defined }} {{ pad_token }}"""

TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "mistral": MISTRAL, "blocks": BLOCKS, "default": DEFAULT_CHAT_TEMPLATE}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "soma",
            "description": "Soma <a> & 'b'",
            "parameters": {"type": "object", "properties": {}},
        },
    }
]
CONVERSATIONS = {
    "one": [{"role": "user", "content": "Olá <b> & 'você' \"\n"}],
    "three": [
        {"role": "user", "content": "  hi  "},
        {"role": "assistant", "content": " hello 🦙 "},
        {"role": "user", "content": "{{ 7 * 7 }} {% raw %}"},
    ],
    "system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
}


@pytest.fixture(scope="module")
def pair(trained):
    """Ours and transformers', with the same three roles."""
    backend = trained["llama3-bpe"].backend
    ours = Tokenizer(Parts(backend=backend, special=SpecialTokens(bos="<|endoftext|>", eos="<|fim_prefix|>")))
    theirs = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|endoftext|>", eos_token="<|fim_prefix|>")
    return ours, theirs


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_rendering_is_that_of_transformers(pair, template, conversation, prompt, tools) -> None:
    ours, theirs = pair
    source, messages = TEMPLATES[template], CONVERSATIONS[conversation]
    expected = theirs.apply_chat_template(
        messages, chat_template=source, tokenize=False, add_generation_prompt=prompt, tools=tools
    )
    got = ours.with_chat_template(source).apply_chat_template(messages, add_generation_prompt=prompt, tools=tools)
    assert got == expected
    ids = theirs.apply_chat_template(
        messages, chat_template=source, tokenize=True, add_generation_prompt=prompt, tools=tools, return_dict=False
    )
    assert ours.encode(got) == ids


def test_further_variables_reach_the_template(pair) -> None:
    ours = pair[0].with_chat_template("{{ enable_thinking }}{{ eos_token }}")
    assert ours.apply_chat_template([], variables={"enable_thinking": False}) == "False<|fim_prefix|>"


def test_a_template_that_refuses_is_an_error_with_its_words(pair) -> None:
    ours = pair[0].with_chat_template(MISTRAL)
    with pytest.raises(InputError, match="refuses this conversation: After the optional system message, roles must"):
        ours.apply_chat_template([{"role": "assistant", "content": "first"}])
    with pytest.raises(InputError, match="role 'critic' at message 1 is not known here: use user"):
        pair[0].with_chat_template(DEFAULT_CHAT_TEMPLATE).apply_chat_template([{"role": "critic", "content": "x"}])


def test_no_template_is_an_error_with_a_remedy(pair) -> None:
    with pytest.raises(InputError, match=r"no chat template.*DEFAULT_CHAT_TEMPLATE"):
        pair[0].apply_chat_template(CONVERSATIONS["one"])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for x in %}", "not valid Jinja: line 1"),
        ("\n{{ messages[0].nope.nope }}", "fails on this conversation"),
        ("{{ messages[5]['content'] + 'x' }}", "fails on this conversation"),
        ("{{ 1 / 0 }}", "fails on this conversation"),
    ],
)
def test_broken_templates_are_errors(template, message) -> None:
    with pytest.raises(InputError, match=message):
        render_chat(template, CONVERSATIONS["one"])


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append({}) }}",
        "{{ messages[0].update({}) }}",
        "{{ raise_exception.__globals__ }}",
        "{{ self._TemplateReference__context }}{{ ''.__class__.__bases__[0].__subclasses__() }}",
        "{{ 'a' * 10**9 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [1] * 10000000 }}",
        "{{ 9 ** 999999 }}",
        "{{ range(10000000) | list }}",
        "{{ '%s' | attr('format') | attr('__globals__') }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ namespace(_x=1) }}",
        "{{ cycler.__init__.__globals__.os.popen('true') }}",
        "{% include '/etc/hostname' %}",
        "{% import 'os' as os %}",
    ],
)
def test_templates_stay_in_the_sandbox(template) -> None:
    messages = [{"role": "user", "content": "x"}]
    try:
        rendered = render_chat(template, messages)
    except InputError:
        rendered = ""
    assert rendered == ""  # refused, or the attribute is as if it were not there
    assert messages == [{"role": "user", "content": "x"}]


def test_objects_are_refused_because_they_have_methods() -> None:
    with pytest.raises(InputError, match=r"messages\[0\]\['when'\] is of type datetime"):
        render_chat("{{ messages }}", [{"when": datetime.datetime(2020, 1, 1)}])


def test_strings_of_a_subclass_arrive_as_plain_strings() -> None:
    class Sly(str):
        def escape(self) -> str:
            return "out"

    assert render_chat("{{ messages[0].x.escape }}|{{ messages[0].x }}", [{"x": Sly("in")}]) == "|in"


def test_the_sandbox_by_itself_is_as_strict_as_asked() -> None:
    assert sandbox().from_string("[{{ nobody }}]").render() == "[]"
    strict = sandbox(undefined=jinja2.StrictUndefined)
    with pytest.raises(jinja2.UndefinedError, match="'nobody' is undefined"):
        strict.from_string("[{{ nobody }}]").render()
    with pytest.raises(jinja2.exceptions.SecurityError):
        strict.from_string("{{ ''.__class__.__mro__ }}").render()
    with pytest.raises(jinja2.exceptions.SecurityError):
        strict.from_string("{{ 'a' * 10**9 }}").render()
    assert "strftime_now" not in strict.globals  # the clock is for chat templates
    with pytest.raises(InputError, match="x is of type set"):
        plain_value({1, 2}, "x")


GENERATION = {
    "chatml": "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n'}}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}",
    "whitespace": """{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- generation -%}
            {{- m.content | trim }}{{ eos_token }}
        {% endgeneration %}
    {%- else %}
        {{- '[' + m.content + ']' }}
    {%- endif %}
{%- endfor %} end""",
    "parts": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}<think>{% endgeneration %} - "
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
}
TURNS = [
    {"role": "user", "content": "Olá, 北京!"},
    {"role": "assistant", "content": " naïve 👋🏽 reply "},
    {"role": "user", "content": "again"},
    {"role": "assistant", "content": ""},
    {"role": "assistant", "content": "x"},
]


@pytest.mark.parametrize("name", GENERATION)
@pytest.mark.parametrize("count", range(6))
def test_generation_blocks_are_where_transformers_finds_them(name: str, count: int) -> None:
    template, messages = GENERATION[name], TURNS[:count]
    variables = {"eos_token": "</s>"}
    text, spans = generation_spans(template, messages, variables=variables)
    texts, theirs = render_jinja_template(
        [messages], chat_template=template, return_assistant_tokens_mask=True, eos_token="</s>"
    )
    assert (text, spans) == (texts[0], theirs[0])
    assert text == render_chat(template, messages, add_generation_prompt=False, variables=variables)
    assert len(spans) == sum(message["role"] == "assistant" for message in messages) * (2 if name == "parts" else 1)


def test_generation_blocks_are_seen_in_the_source() -> None:
    assert all(has_generation_blocks(template) for template in GENERATION.values())
    assert not any(has_generation_blocks(template) for name, template in TEMPLATES.items() if name != "blocks")
    text, spans = generation_spans(CHATML, TURNS)
    assert (text, spans) == (render_chat(CHATML, TURNS, add_generation_prompt=False), [])


@pytest.mark.parametrize(
    "template",
    [
        "{% generation %}a{% generation %}b{% endgeneration %}{% endgeneration %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% break %}{% endgeneration %}{% endfor %}",
        "{% set x %}{% generation %} a {% endgeneration %}{% endset %}{{ x | upper | reverse }}",
        "{% set x %}{% generation %} a {% endgeneration %}{% endset %}{{ x | length }}",
    ],
)
def test_ambiguous_generation_blocks_are_refused(template: str) -> None:
    with pytest.raises(InputError, match="generation blocks"):
        generation_spans(template, TURNS)


def test_marks_written_in_a_message_are_not_taken_for_blocks() -> None:
    forged = [{"role": "user", "content": "\ufdd0forged\ufdd1"}]
    with pytest.raises(InputError, match="generation blocks"):
        generation_spans(GENERATION["chatml"], forged)
