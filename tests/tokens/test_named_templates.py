"""Named chat templates against the training templates of the models with those names, and a real model's folder."""

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from lavra.base.errors import InputError
from lavra.tokens.chat import render_chat
from lavra.tokens.conversation_writer import open_conversation_writer
from lavra.tokens.named_templates import TEMPLATE_NAMES, find_template, named_template
from lavra.tokens.roles import compared_roles, in_known_roles
from lavra.tokens.tokenizer import Tokenizer
from tests.generate.tiny import tiny_tokenizer
from tests.model.smollm2 import FILE, needs_smollm2

TURNS = [
    {"role": "system", "content": "Be brief"},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "Who are you"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
# Written down from the models' cards; llama.cpp's test-chat-template.cpp has the same forms.
TAUGHT = {
    "alpaca": "Be brief\n\n### Instruction:\nHello\n\n### Response:\nHi there</s>\n\n### Instruction:\nWho are you\n\n"
    "### Response:\n",
    "chatml": "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    "Hi there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n<|im_start|>assistant\n",
    "gemma": "<s><start_of_turn>user\nBe brief\n\nHello<end_of_turn>\n<start_of_turn>model\nHi there<end_of_turn>\n"
    "<start_of_turn>user\nWho are you<end_of_turn>\n<start_of_turn>model\n",
    "lavra": "<s>Be brief\n### User:\nHello\n### Assistant:\nHi there</s>\n### User:\nWho are you\n### Assistant:\n",
    "llama-2": "<s>[INST] <<SYS>>\nBe brief\n<</SYS>>\n\nHello [/INST] Hi there </s><s>[INST] Who are you [/INST]",
    "llama-3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief<|eot_id|><|start_header_id|>user"
    "<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s> [INST] Be brief\n\nHello [/INST] Hi there</s> [INST] Who are you [/INST]",
    "phi-3": "<|system|>\nBe brief<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n<|user|>\n"
    "Who are you<|end|>\n<|assistant|>\n",
    "vicuna": "Be brief\n\nUSER: Hello\nASSISTANT: Hi there</s>\nUSER: Who are you\nASSISTANT:",
    "zephyr": "<|system|>\nBe brief</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n<|user|>\nWho are you</s>\n"
    "<|assistant|>\n",
}
ENDS = {"chatml": "<|im_end|>", "gemma": "<end_of_turn>", "llama-3": "<|eot_id|>", "phi-3": "<|end|>"}


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_a_name_writes_what_its_models_were_taught(name):
    assert render_chat(named_template(name), TURNS, variables=TOKENS) == TAUGHT[name]
    begun = render_chat(named_template(name), TURNS[1:2], variables=TOKENS)
    assert "Hello" in begun
    assert "Be brief" not in begun


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_an_answer_ends_where_the_template_ends_a_turn(name):
    tokenizer = tiny_tokenizer()
    assert open_conversation_writer(tokenizer, named_template(name)).end == ENDS.get(name, tokenizer.special.eos)


@needs_smollm2
def test_chatml_is_what_a_real_model_was_taught():
    theirs = Tokenizer.load(FILE).chat_template
    assert render_chat(named_template("chatml"), TURNS) == render_chat(theirs, TURNS)


def test_chatml_offers_functions_and_calls_them_in_the_form_that_is_read():
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    said = [*TURNS[:2], {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "2"}]
    text = render_chat(named_template("chatml"), said, tools=[tool])
    assert text.startswith("<|im_start|>system\nBe brief\n\n# Tools")
    assert text.count("Be brief") == 1
    assert '{"type": "function", "function": {"name": "add"' in text
    assert (
        '<|im_start|>assistant\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n' in text
    )
    assert text.endswith("<|im_start|>tool\n2<|im_end|>\n<|im_start|>assistant\n")


def test_a_file_is_a_template_and_a_wrong_name_is_an_error(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0].content }}")
    assert find_template(str(path)) == "{{ messages[0].content }}"
    assert find_template("zephyr") == named_template("zephyr")
    with pytest.raises(InputError, match=r"neither a file nor a chat template's name.*did you mean 'chatml'"):
        find_template("chatlm")
    path.write_text("{% if %}")
    with pytest.raises(InputError, match="not valid Jinja"):
        find_template(str(path))


def test_the_beginning_of_text_is_written_once_where_every_text_has_it():
    conversation_writer = open_conversation_writer(tiny_tokenizer())
    ids = conversation_writer.ids(conversation_writer.text(TURNS))
    assert conversation_writer.stands_in
    assert ids.count(conversation_writer.tokenizer.bos_id) == 1 == 1 + ids.index(conversation_writer.tokenizer.bos_id)


# ---- roles


def test_roles_are_found_however_they_are_compared():
    source = (
        "{% for m in messages %}{% set role = m.role %}{% if m['role'] == 'user' %}"
        "{% elif m.role in ['model', 'ipython'] %}"
        "{% elif role == 'critic' %}{% elif m.content == 'nothing' %}{% endif %}{% endfor %}"
    )
    assert compared_roles(source) == {"user", "model", "ipython", "critic"}


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_a_developers_words_are_the_systems(name):
    conversation_writer = open_conversation_writer(tiny_tokenizer(), named_template(name))
    developer = [{"role": "developer", "content": "Be brief"}, *TURNS[1:]]
    assert conversation_writer.text(developer) == conversation_writer.text(TURNS)


def test_a_developer_behind_the_system_joins_it():
    messages = [TURNS[0], {"role": "developer", "content": "In verse"}, TURNS[1]]
    assert in_known_roles(messages, named_template("llama-2"))[0]["content"] == "Be brief\n\nIn verse"
    own = "{% for m in messages %}{% if m.role == 'developer' %}D{% endif %}{% endfor %}"
    assert [one["role"] for one in in_known_roles(messages, own)] == ["system", "developer", "user"]


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_an_unknown_role_is_refused_with_the_known_ones(name):
    conversation_writer = open_conversation_writer(tiny_tokenizer(), named_template(name))
    with pytest.raises(InputError, match=r"message 2 has the role 'usr'.*did you mean 'user'.*it knows .*assistant"):
        conversation_writer.text([TURNS[0], {"role": "usr", "content": "Hello"}])


# ---- prefill


@pytest.mark.parametrize("words", ["The answer", " is\n", "  two  ", "É 🍎 "])
@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_continuing_is_what_transformers_writes(name, words):
    said = [*TURNS, {"role": "assistant", "content": words}]
    tokenizer = tiny_tokenizer()
    conversation_writer = open_conversation_writer(tokenizer, named_template(name))
    source = conversation_writer.tokenizer.chat_template
    (expected,), _ = render_jinja_template(
        [said], chat_template=source, continue_final_message=True, **tokenizer.special.as_variables()
    )
    assert conversation_writer.text(said, continue_final=True) == expected


def test_only_an_assistants_text_is_continued():
    conversation_writer = open_conversation_writer(tiny_tokenizer())
    with pytest.raises(InputError, match="the last message is of the role 'user'"):
        conversation_writer.text(TURNS, continue_final=True)
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    with pytest.raises(InputError, match="calls functions"):
        conversation_writer.text(
            [*TURNS, {"role": "assistant", "content": "", "tool_calls": [call]}], continue_final=True
        )
    shouting = open_conversation_writer(tiny_tokenizer(), "{% for m in messages %}{{ m.content | upper }}{% endfor %}")
    with pytest.raises(InputError, match="changes the last message"):
        shouting.text([*TURNS, {"role": "assistant", "content": "so"}], continue_final=True)
