"""A run with conversations is found if they have two beginnings, none, or another template than the server's."""

from dataclasses import replace

import numpy as np
import pytest

from lavra.doctor.checks import CheckSubject, checks_of
from lavra.doctor.conversations import beginning_check, serving_check
from lavra.doctor.pretraining import PretrainingRun, chat_template
from lavra.model.config import Kind
from lavra.model.families.table import preset
from lavra.runs.finetune import prepare
from lavra.tasks.chat import CHAT
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.checks import template_check
from lavra.tokens.conversation import begins_texts
from lavra.tokens.parts import Parts, SpecialTokens
from lavra.tokens.tokenizer import Tokenizer
from tests.doctor.test_examine import PLAN
from tests.doctor.test_finetuning import different, fails, ready, with_table
from tests.runs.tasks import METHODS, base_folder, rows, tokenizer, write

NONE = DEFAULT_CHAT_TEMPLATE.removeprefix("{{ bos_token }}\n")
TWO = "{{ bos_token }}" + DEFAULT_CHAT_TEMPLATE
# Llama 2's: every question begins a text.
EACH = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[' + m['content'] + ']' }}{% else %}"
    "{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)


def talking(tmp_path, template, found=None, **settings):
    """A chat run with a model that has this template."""
    data = write(tmp_path / "data.jsonl", different(rows("chat", 60)) if found is None else found)
    base = base_folder(tmp_path / "base", "llama")
    tokenizer("llama").with_chat_template(template).save(base)
    return prepare(FinetuneConfig(task=CHAT, data=data, batch_size=8, heldout_fraction=0.2, **settings), base)


@pytest.mark.parametrize(("template", "says"), [(NONE, "is missing in front"), (TWO, "stands 2 times in front")])
def test_a_run_that_begins_twice_or_never_fails(tmp_path, template, says):
    prepared = talking(tmp_path, template)
    fails(beginning_check(prepared), says, "{{ bos_token }} once")
    failed = [check.name for check in checks_of(CheckSubject.FINETUNING, prepared) if check.failed]
    assert failed == ["one beginning of text"]


@pytest.mark.parametrize("template", [DEFAULT_CHAT_TEMPLATE, EACH])
def test_one_beginning_passes(tmp_path, template):
    prepared = talking(tmp_path, template)
    assert beginning_check(prepared).passed
    assert serving_check(prepared).passed


@pytest.mark.parametrize("method", ["prompt", "lora"])
def test_a_soft_prompt_in_front_is_no_text(tmp_path, method):
    prepared = ready(tmp_path, "chat", "llama", method=METHODS[method])
    assert beginning_check(prepared).passed
    assert serving_check(prepared).passed


@pytest.mark.parametrize(
    ("change", "says"),
    [(lambda ids: ids[1:], "is missing"), (lambda ids: np.concatenate([ids[:1], ids]), "stands 2 times")],
)
@pytest.mark.parametrize("kind", ["chat", "text2text"])
def test_rows_that_are_made_wrongly_are_found(tmp_path, kind, change, says):
    prepared = ready(tmp_path, kind, "llama")
    assert beginning_check(prepared).passed
    table = prepared.training_task.rows
    inputs = tuple(change(ids) for ids in table.sequences.inputs)
    wrong = with_table(prepared, replace(table, sequences=replace(table.sequences, inputs=inputs)))
    fails(beginning_check(wrong), says)
    if kind == "chat":
        fails(serving_check(wrong), "differs at token")


def test_a_token_that_is_not_served_is_found(tmp_path):
    prepared = ready(tmp_path, "chat", "llama")
    table = prepared.training_task.rows
    inputs = [ids.copy() for ids in table.sequences.inputs]
    inputs[-1][4] += 1
    wrong = with_table(prepared, replace(table, sequences=replace(table.sequences, inputs=tuple(inputs))))
    fails(serving_check(wrong), "differs at token 4")


def test_without_a_beginning_nothing_is_asked(tmp_path):
    assert beginning_check(ready(tmp_path, "text2text", "t5")) is None
    assert serving_check(ready(tmp_path, "text2text", "llama")) is None
    assert beginning_check(ready(tmp_path, "classify", "llama")) is None


def test_a_template_is_checked_as_it_is_learnt_and_served():
    framed = tokenizer("llama")
    assert begins_texts(framed)
    assert template_check(framed.with_chat_template(DEFAULT_CHAT_TEMPLATE)).passed
    fails(template_check(framed.with_chat_template(NONE)), "is missing in front", "{{ bos_token }}")
    fails(template_check(framed.with_chat_template(TWO)), "stands 2 times")
    fails(template_check(framed.with_chat_template("{{ nothing.at.all }}")), "mend chat_template.jinja")
    plain = Tokenizer(Parts(backend=tokenizer("t5").backend, special=SpecialTokens(eos="</s>")))
    assert not begins_texts(plain)
    for template in (NONE, DEFAULT_CHAT_TEMPLATE):
        assert template_check(plain.with_chat_template(template)).passed


@pytest.mark.parametrize(("template", "state"), [(DEFAULT_CHAT_TEMPLATE, "passed"), (NONE, "failed"), (TWO, "failed")])
def test_the_template_of_a_planned_run_is_checked(template, state):
    """`lavra up` trains on conversations in this template, so its doctor checks it."""
    words = tokenizer("llama").with_chat_template(template)
    model = preset("llama", vocab_size=words.vocab_size, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    run = PretrainingRun(plan=PLAN, tokenizer=words, model=model, texts=(), make=pytest.fail)
    assert chat_template(run).state.value == state
    assert chat_template(replace(run, model=replace(model, kind=Kind.ENCODER))) is None
