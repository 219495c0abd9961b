"""The assistant's turns against transformers' own mask, against the messages, and templates that hide them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.data.labelled.samples import ChatSample, Place
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.turns import chat_rows
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.parts import Parts
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.objective import token_loss

CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BLOCKS = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n'}}{% if m['role'] == 'assistant' %}{% generation %}"
    "{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for m in messages %}{{ (bos_token if loop.first else '') + '<|im_start|>' + m['role'] + '\n\n' + m['content'] "
    "| trim + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
STRIPS_REASONING = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n'}}{% if m['role'] == 'assistant' and not loop.last %}"
    "{{ m['content'].split('</think>')[-1] }}{% else %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
END_OUTSIDE = BLOCKS.replace(
    "{{ m['content'] + '<|im_end|>' }}{% endgeneration %}", "{{ m['content'] }}{% endgeneration %}{{ '<|im_end|>' }}"
)
OTHER_BEGINNING = CHATML.replace("<|im_start|>assistant", "<|im_start|>bot")
NEEDS_AN_ANSWER = (
    "{% if messages[-1]['role'] == 'user' %}{{ raise_exception('the last message is the user\\'s') }}{% endif %}"
    + CHATML
)


@pytest.fixture(scope="module")
def backend(pairs) -> Tokenizer:
    """Byte-level BPE with the special tokens of ChatML."""
    library = Tokenizer.load(pairs["gpt2"].theirs.name_or_path).backend
    library.add_special_tokens([AddedToken(token, normalized=False) for token in ("<|im_start|>", "<|im_end|>")])
    return Tokenizer(Parts(backend=library, special=pairs["gpt2"].ours.special))


def form(backend: Tokenizer, template: str, max_tokens: int = 200, on_long: str = "drop") -> RowFormat:
    return RowFormat(tokenizer=backend.with_chat_template(template), max_tokens=max_tokens, on_long=on_long)


def chat(*contents: str, line: int = 1, first: str = "user") -> ChatSample:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    messages = tuple({"role": roles[place % 2], "content": content} for place, content in enumerate(contents))
    return ChatSample(messages=messages, place=Place(line=line))


def learnt(table: LanguageRows, tokenizer: Tokenizer, number: int = 0) -> list[str]:
    """The parts of the text that carry loss."""
    labels = table.sequences.labels[number]
    starts = np.flatnonzero(np.diff(np.concatenate([[0], labels != IGNORE, [0]])))
    return [tokenizer.decode(labels[start:stop]) for start, stop in starts.reshape(-1, 2)]


word = st.text(st.sampled_from("abé, .👋\n 北"), max_size=12).map(lambda text: f"x{text}x")
conversations = st.lists(word, min_size=2, max_size=7)


@given(
    contents=conversations, template=st.sampled_from([CHATML, BLOCKS, LLAMA3]), turns=st.sampled_from(["all", "last"])
)
def test_only_the_assistants_text_and_its_end_carry_loss(
    backend, contents: list[str], template: str, turns: str
) -> None:
    table = chat_rows([chat(*contents)], form(backend, template), turns=turns)
    assert table.issues == ()
    said = [f"{content}<|im_end|>" for content in contents[1::2]]
    assert learnt(table, backend) == (said if turns == "all" else said[-1:])
    read, labels = table.sequences.inputs[0], table.sequences.labels[0]
    text = backend.with_chat_template(template).apply_chat_template(
        chat(*contents).messages, add_generation_prompt=False
    )
    ids = backend.encode(text)
    assert read.tolist() == ids[: len(read)]
    assert all(label in (IGNORE, following) for label, following in zip(labels, ids[1:], strict=False))
    assert labels[-1] != IGNORE


@given(contents=conversations)
def test_the_mask_is_that_of_transformers(backend, contents: list[str]) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=backend.backend, chat_template=BLOCKS)
    wanted = theirs.apply_chat_template(
        list(chat(*contents).messages), return_assistant_tokens_mask=True, return_dict=True, tokenize=True
    )
    table = chat_rows([chat(*contents)], form(backend, BLOCKS))
    (labels,) = table.sequences.labels
    mask = [0, *(labels != IGNORE).astype(int).tolist()]
    assert mask == wanted["assistant_masks"][: len(mask)]
    assert not any(wanted["assistant_masks"][len(mask) :])


@given(contents=conversations)
def test_blocks_and_growing_prefixes_find_the_same(backend, contents: list[str]) -> None:
    found = [chat_rows([chat(*contents)], form(backend, template)).sequences for template in (CHATML, BLOCKS)]
    assert found[0].inputs[0].tolist() == found[1].inputs[0].tolist()
    assert found[0].labels[0].tolist() == found[1].labels[0].tolist()


@pytest.mark.parametrize("template", [CHATML, BLOCKS])
@pytest.mark.parametrize("turns", ["all", "last"])
def test_turns_that_are_not_to_be_learnt_are_read_alone(backend, template: str, turns: str) -> None:
    contents = ["u", "bad", "v", "good", "w", "better", "x", "worst"]
    whole, marked = chat(*contents), replace(chat(*contents), not_learnt=(1, 7))
    table = chat_rows([marked], form(backend, template), turns=turns)
    said = [f"{content}<|im_end|>" for content in ("good", "better")]
    assert learnt(table, backend) == (said if turns == "all" else said[-1:])
    read = chat_rows([whole], form(backend, template)).sequences.inputs[0].tolist()
    ours = table.sequences.inputs[0].tolist()
    assert ours == read[: len(ours)]  # text before it is read all the same


def test_blocks_that_are_not_the_turns_cannot_tell_weights(backend) -> None:
    two = BLOCKS.replace("{% generation %}", "{% generation %}.{% endgeneration %}{% generation %}")
    marked = replace(chat("u", "bad", "v", "good"), not_learnt=(1,))
    table = chat_rows([marked], form(backend, two))
    assert len(table) == 0
    assert "marks 4 blocks and the assistant has 2 turns" in table.issues[0].what


def test_a_template_without_a_generation_prompt(backend) -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] | trim + eos_token }}{% endif %}{% endfor %}"
    )
    table = chat_rows([chat("a", "b ", "c", "d")], form(backend, template))
    assert learnt(table, backend) == [" b<|endoftext|>", " d<|endoftext|>"]


def test_the_default_template(backend) -> None:
    table = chat_rows([chat("Hi", "Hello", "And?", "No")], form(backend, DEFAULT_CHAT_TEMPLATE))
    assert learnt(table, backend) == ["Hello<|endoftext|>", "No<|endoftext|>"]


@pytest.mark.parametrize(
    ("template", "contents", "message"),
    [
        (STRIPS_REASONING, ("a", "<think>b</think>c", "d", "e"), "differently once another message follows"),
        (NO_END, ("a", "b"), r"sample 1: the assistant's turn .* ends with no special token.*use a template"),
        (END_OUTSIDE, ("a", "b"), r"ends with no special token.*inside of \{% endgeneration %\}"),
        (OTHER_BEGINNING, ("a", "b"), r"begins the assistant's turn at message 2 differently.*'bot"),
        (NEEDS_AN_ANSWER, ("a", "b"), "cannot be separated from its context"),
        ("{% generation %}{% generation %}{% endgeneration %}{% endgeneration %}", ("a", "b"), "blocks .* are nested"),
    ],
)
def test_templates_that_hide_the_turns_are_refused(backend, template: str, contents, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chat_rows([chat(*contents)], form(backend, template))


def test_stripped_reasoning_does_not_matter_to_the_last_turn(backend) -> None:
    samples = [chat("a", "<think>b</think>c", "d", "<think>e</think>f")]
    table = chat_rows(samples, form(backend, STRIPS_REASONING), turns="last")
    assert learnt(table, backend) == ["<think>e</think>f<|im_end|>"]
    plain = chat_rows([chat("a", "b", "c", "d")], form(backend, STRIPS_REASONING))
    assert learnt(plain, backend) == ["b<|im_end|>", "d<|im_end|>"]


def test_a_token_across_the_border_is_named(backend) -> None:
    assert len(backend.encode("\n\n")) == 1
    table = chat_rows([chat("a", "\n\nb"), chat("a", "b", line=2)], form(backend, CHATML))
    assert table.sequences.sources == (1,)
    (issue,) = table.issues
    assert (issue.place.line, issue.dropped) == (1, True)
    assert "the token '\\n\\n' at characters" in issue.what
    assert "turn begins" in issue.what


def test_conversations_that_cannot_be_learnt_are_left_out(backend) -> None:
    samples = [
        chat("only the user"),
        chat("a<|im_end|>", "b", line=2),
        ChatSample(messages=({"role": "user"}, {"role": "assistant", "content": "x"}), place=Place(line=3)),
        chat("a", "\ud800", line=4),
        chat("a", "b", line=5),
        ChatSample(
            messages=(
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b", "calls": [{"name": "<|im_start|>"}]},
            ),
            place=Place(line=6),
        ),
    ]
    table = chat_rows(samples, form(backend, CHATML))
    assert table.sequences.sources == (4,)
    assert [issue.place.line for issue in table.issues] == [1, 2, 3, 4, 6]
    assert all(issue.dropped for issue in table.issues)
    assert "message 1 has the special token '<|im_end|>'" in table.issues[1].what
    assert "not valid Unicode" in table.issues[3].what


def test_long_conversations_are_dropped_or_refused_never_cut(backend) -> None:
    samples = [chat("a", "b"), chat("a", "long " * 40, line=2), chat("a", "b", "behind it, " * 40, line=3)]
    table = chat_rows(samples, form(backend, CHATML, max_tokens=30))
    assert table.sequences.sources == (0, 2)  # tokens behind the last learnt token do not count
    assert "a row holds 30: left out" in table.issues[0].what
    with pytest.raises(InputError, match=r"sample 2: the conversation is \d+ tokens"):
        chat_rows(samples, form(backend, CHATML, max_tokens=30, on_long="refuse"))
    with pytest.raises(ConfigError, match="never cut"):
        chat_rows(samples, form(backend, CHATML, on_long="cut"))
    with pytest.raises(ConfigError, match="turns is 'first'"):
        chat_rows(samples, form(backend, CHATML), turns="first")
    with pytest.raises(InputError, match="no chat template"):
        chat_rows(samples, RowFormat(tokenizer=backend, max_tokens=30, on_long="drop"))


def test_variables_and_tools_reach_the_template(backend) -> None:
    template = "{{ date }}{% if tools %}{{ tools[0].name }}{% endif %}\n" + CHATML
    sample = ChatSample(messages=chat("a", "b").messages, tools=({"name": "clock"},))
    table = chat_rows([sample], form(backend, template), variables={"date": "today"})
    assert backend.decode(table.sequences.inputs[0]).startswith("todayclock<|im_start|>")


@cache
def tiny():
    torch.manual_seed(0)
    return build_model(preset("llama", vocab_size=640, hidden_size=32, num_layers=1, num_heads=2, max_positions=256))


@settings(max_examples=25)
@given(each=st.lists(conversations, min_size=1, max_size=6), size=st.integers(1, 3), group=st.booleans())
def test_packed_conversations_have_the_loss_of_single_ones(
    backend, each: list[list[str]], size: int, group: bool
) -> None:
    samples = [chat(*contents, line=line) for line, contents in enumerate(each)]
    found = []
    for packed in (False, True):
        table = chat_rows(samples, form(backend, CHATML, max_tokens=256), packed=packed)
        maker = RowBatches(table, OrderConfig(batch_size=size, group_by_length=group))
        batches = [maker.batch(step) for step in range(len(maker))]
        assert max(batch.input_ids.shape[1] for batch in batches) <= 256
        with torch.no_grad():
            loss = sum(float(token_loss(tiny(), batch)) for batch in batches)
        found.append((loss, sum(batch.num_targets for batch in batches)))
        assert found[-1][1] == table.num_targets
    assert found[0][1] == found[1][1]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
