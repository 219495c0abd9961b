"""Doctor passes a right finetuning run of every task and method, and finds each planted mistake."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lavra.base.checks import Check, CheckState
from lavra.cli import doctor as verb
from lavra.cli.main import main
from lavra.data.batch import IGNORE, FixedShape
from lavra.data.labelled.samples import PairSample, TextSample
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.order import OrderConfig
from lavra.doctor import finetuning as checks
from lavra.doctor.checks import CheckSubject, checks_of
from lavra.doctor.data import (
    balance_check,
    left_out_check,
    length_check,
    overlap_check,
    whole_lengths,
)
from lavra.doctor.finetuning import goes_on, guess_check, memory_check, time_check
from lavra.doctor.rows import range_check, text_check
from lavra.doctor.training import (
    accumulation_check,
    gradient_check,
    interrupted,
    resume_check,
    rows_alone_check,
)
from lavra.runs.finetune import prepare
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.embed import EMBED
from lavra.tasks.keys import plain
from lavra.tasks.learning.losses import task_loss
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.table import task_named
from lavra.train.loop import train
from tests.runs.tasks import METHODS, base_folder, rows, write

FAMILIES = ["gpt2", "llama", "falcon", "bert", "t5"]
SEGMENTS = ("segments", "decoder_segments")
TASKS = {"several": "classify", "number": "classify", "pair": "classify"}
COMMON = ["samples", "lengths", "train and held-out apart", "labels of the loss are the model's", "memory"]
TRAINED = ["loss before training", "gradients reach what is trained", "save and resume", "time"]


def different(found):
    """Rows of different questions: a repeated question would be both trained and measured."""
    seen = {}
    for row in found:
        seen.setdefault(str({name: value for name, value in row.items() if name not in ("label", "id")}), row)
    return list(seen.values())


def ready(tmp_path, kind, family="bert", found=None, **settings):
    data = write(tmp_path / "data.jsonl", different(rows(kind, 60)) if found is None else found)
    base = base_folder(tmp_path / "base", family)
    usual = {"batch_size": 8, "heldout_fraction": 0.2}
    return prepare(FinetuneConfig(task=task_named(TASKS.get(kind, kind)), data=data, **{**usual, **settings}), base)


def with_objective(prepared, **changed):
    return replace(
        prepared,
        training_task=replace(prepared.training_task, objective=replace(prepared.training_task.objective, **changed)),
    )


def with_table(prepared, table):
    made = with_objective(prepared, batches=RowBatches(table, OrderConfig(batch_size=8)))
    return replace(made, training_task=replace(made.training_task, rows=table))


def fails(check, *words):
    assert not check.passed, check
    for word in words:
        assert word in f"{check.detail} {check.remedy}"
    assert check.remedy


@pytest.mark.parametrize(
    ("kind", "family", "own"),
    [
        ("classify", "bert", ["labels", "labels stand at their texts", "padded = alone", "accumulation = big batch"]),
        ("several", "bert", ["labels", "labels stand at their texts", "accumulation = big batch"]),
        ("number", "llama", ["labels", "labels stand at their texts", "padded = alone", "accumulation = big batch"]),
        ("pair", "t5", ["labels", "labels stand at their texts", "padded = alone", "accumulation = big batch"]),
        ("ner", "bert", ["labels", "tags stand at the beginnings of words", "accumulation = big batch"]),
        ("ner", "gpt2", ["labels", "tags stand at the beginnings of words", "padded = alone"]),
        ("qa", "bert", ["answers read back as they are written", "padded = alone", "accumulation = big batch"]),
        ("qa", "llama", ["answers read back as they are written", "padded = alone"]),
        ("choice", "bert", ["labels", "the right choice is the right one", "accumulation = big batch"]),
        ("embed", "bert", ["pairs are pairs", "padded = alone"]),
        ("rerank", "bert", ["labels", "labels stand at their texts", "accumulation = big batch"]),
        ("chat", "llama", ["the assistant's words and their ends are learnt, no more", "packed = unpacked"]),
        ("text2text", "llama", ["targets read back as they are written, with an end", "packed = unpacked"]),
        ("text2text", "t5", ["targets read back as they are written, with an end", "packed = unpacked"]),
    ],
)
def test_right_runs_pass(tmp_path, kind, family, own):
    found = list(
        checks_of(CheckSubject.FINETUNING, ready(tmp_path, kind, family, max_tokens=96))
    )  # two conversations fill a row
    assert {*COMMON, *TRAINED, *own} <= {check.name for check in found}
    for check in found:
        assert check.passed, check
        assert check.detail
        assert not check.remedy


@pytest.mark.parametrize("method", METHODS)
def test_every_method_passes(tmp_path, method):
    family = "llama" if method == "prefix" else "bert"
    for check in checks_of(CheckSubject.FINETUNING, ready(tmp_path, "classify", family, method=METHODS[method])):
        assert check.passed, check


def test_the_model_is_as_it_was(tmp_path):
    prepared = ready(tmp_path, "classify", method=METHODS["lora"])
    module = prepared.recipe.module()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    training = module.training
    list(checks_of(CheckSubject.FINETUNING, prepared))
    assert module.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


# ---------------------------------------------------------------- data


def test_samples_left_out_are_counted(tmp_path):
    found = rows("classify", 40)
    assert left_out_check(ready(tmp_path, "classify", found=found)).passed
    for row in found[:4]:
        row["text"] = ""
    fails(left_out_check(ready(tmp_path, "classify", found=found)), "40 read, 4 left out (10.0%", "--check")


def test_rows_that_are_too_short_are_found_and_what_would_hold_them_is_named(tmp_path):
    found = different(rows("classify", 40))
    found[7]["text"] = " ".join(["the film was good"] * 7)  # 28 words
    passed = length_check(ready(tmp_path, "classify", found=found))
    assert passed.passed
    assert "longest 30 (" in passed.detail
    assert "data.jsonl:8)" in passed.detail
    fails(length_check(ready(tmp_path, "classify", found=found, max_tokens=6)), "are longer and cut", "--max-tokens")
    fails(length_check(ready(tmp_path, "classify", found=found, max_tokens=6, on_long="drop")), "left out")
    assert length_check(ready(tmp_path, "ner", max_tokens=6)).passed  # windows lose nothing


def test_lengths_are_those_of_whole_samples(tmp_path):
    prepared = ready(tmp_path, "classify", max_tokens=6)
    lengths, sources = whole_lengths(prepared)
    samples = [prepared.data.train[number] for number in sources]
    assert lengths.tolist() == [len(prepared.tokenizer.encode(one.text, add_special_tokens=True)) for one in samples]
    assert max(prepared.training_task.rows.lengths) == 6


def labelled(*labels):
    return [TextSample(text=str(number), label=label) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["yes"] * 5 + ["no"], ["yes 5 (83%), no 1 (17%)", "of 1 labels (no)"]),
        (["yes"] * 5, ["nothing to learn"]),
        ([("a", "b"), ("a",), ("a", "c"), ("c",)], ["of 1 labels (b)"]),
        ([0.5, 0.5, 0.5], ["numbers from 0.5 to 0.5", "right column"]),
    ],
)
def test_labels_that_cannot_be_learnt_are_named(labels, words):
    fails(balance_check(CLASSIFY, labelled(*labels)), *words)


def test_labels_that_can_be_learnt_pass():
    assert balance_check(CLASSIFY, labelled("a", "a", "b", "b")).passed
    assert balance_check(CLASSIFY, labelled(0.5, 0.6)).passed
    assert balance_check(EMBED, [PairSample(anchor="a", positive="b")]) is None


def test_samples_both_trained_and_measured_are_found():
    train = [TextSample(text="A Fine Film.", label="yes"), TextSample(text="?!", label="no")]
    assert overlap_check(CLASSIFY, train, [TextSample(text="a fine day"), TextSample(text="!!")]).passed
    fails(
        overlap_check(CLASSIFY, train, [TextSample(text="another"), TextSample(text="á  fine film.")]),
        "1 of 2 held-out",
    )
    assert overlap_check(CLASSIFY, [TextSample(text="a + b")], [TextSample(text="a - b")]).passed
    assert plain("Ação, Não!") == plain("ACAO nao") == "acaonao"


# ---------------------------------------------------------------- rows


def test_labels_the_model_has_not_are_found(tmp_path):
    prepared = ready(tmp_path, "classify")
    table = prepared.training_task.rows
    fails(range_check(with_table(prepared, replace(table, targets=table.targets + 1))), "from 1 to 2", "no answer")
    other = replace(prepared, data=replace(prepared.data, labels=("yes", "no")))
    fails(range_check(other), "the model's labels are no, yes")


def test_ids_the_model_has_not_are_found(tmp_path):
    prepared = ready(tmp_path, "text2text", "llama")
    table = prepared.training_task.rows
    inputs = tuple(ids + 1000 for ids in table.sequences.inputs)
    strange = replace(table, sequences=replace(table.sequences, inputs=inputs))
    fails(range_check(with_table(prepared, strange)), "tokenizer it came with")


@pytest.mark.parametrize("kind", ["classify", "several", "number", "rerank", "choice"])
def test_labels_of_other_texts_are_found(tmp_path, kind):
    prepared = ready(tmp_path, kind)
    table = prepared.training_task.rows
    fails(text_check(with_table(prepared, replace(table, targets=np.roll(table.targets, 1, axis=0)))), "are wrong")


@pytest.mark.parametrize("kind", ["classify", "pair", "embed", "choice"])
def test_texts_of_other_samples_are_found(tmp_path, kind):
    prepared = ready(tmp_path, kind)
    table = prepared.training_task.rows
    ids, types = (rows[2:] + rows[:2] for rows in (table.encoded.ids, table.encoded.types))
    moved = replace(table, encoded=replace(table.encoded, ids=ids, types=types))
    fails(text_check(with_table(prepared, moved)), "instead of")


def test_tags_beside_their_words_are_found(tmp_path):
    prepared = ready(tmp_path, "ner")
    table = prepared.training_task.rows
    good = text_check(prepared)
    assert good.passed
    assert "B-PER" in good.detail or "=O" in good.detail
    late = tuple(np.roll(row, 1) for row in table.token_targets)
    fails(text_check(with_table(prepared, replace(table, token_targets=late))), "are wrong")
    more = tuple(np.where(row == IGNORE, 0, row) for row in table.token_targets)
    fails(text_check(with_table(prepared, replace(table, token_targets=more))), "labels")
    fewer = [row.copy() for row in table.token_targets]
    for row in fewer:
        row[row == 3] = 1
    fails(text_check(with_table(prepared, replace(table, token_targets=tuple(fewer)))), "are wrong")


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_tags_of_single_characters_read_back(tmp_path, family):
    texts = ["我住在北京市", "กรุงเทพใหญ่", "在Lisboa。", "東京タワー"] * 8
    found = [{"text": f"{text} {at}", "entities": [[0, 1, "LOC"]]} for at, text in enumerate(texts)]
    assert text_check(ready(tmp_path, "ner", family, found=found)).passed
    (tmp_path / "lists").mkdir()
    found = [{"tokens": ["住在", "北京市", str(at)], "tags": ["O", "B-LOC", "O"]} for at in range(30)]
    assert text_check(ready(tmp_path / "lists", "ner", family, found=found)).passed


@pytest.mark.parametrize("shift", [(1, 1), (0, 1), (-1, 0)])
def test_answers_beside_their_place_are_found(tmp_path, shift):
    prepared = ready(tmp_path, "qa")
    table = prepared.training_task.rows
    fails(text_check(with_table(prepared, replace(table, targets=table.targets + np.array(shift)))), "the answer of")


def chat_with(prepared, change):
    table = prepared.training_task.rows
    labels = tuple(
        change(ids, row.copy()) for ids, row in zip(table.sequences.inputs, table.sequences.labels, strict=True)
    )
    return with_table(prepared, replace(table, sequences=replace(table.sequences, labels=labels)))


def without_end(_, labels):
    labels[np.flatnonzero(labels != IGNORE)[-1]] = IGNORE
    return labels


def all_of_it(ids, labels):
    return np.append(ids[1:], labels[-1])


def without_the_first(_, labels):
    labels[np.flatnonzero(labels != IGNORE)[0]] = IGNORE
    return labels


@pytest.mark.parametrize("kind", ["chat", "text2text"])
@pytest.mark.parametrize("change", [without_end, all_of_it, without_the_first])
def test_more_or_less_than_the_assistant_says_is_found(tmp_path, kind, change):
    prepared = ready(tmp_path, kind, "llama")
    assert text_check(prepared).passed
    fails(text_check(chat_with(prepared, change)), "are wrong")


def test_rows_that_cannot_be_read_back_do_not_pass(tmp_path):
    fails(text_check(ready(tmp_path, "classify", found=rows("classify", 40), max_tokens=3)), "0 of", "--max-tokens")


# ---------------------------------------------------------------- loss, memory, time


def test_a_loss_unlike_a_guess_is_found(tmp_path):
    prepared = ready(tmp_path, "classify")
    loud = with_objective(prepared, loss=lambda model, batch: 9 * task_loss(model, batch))
    fails(guess_check(loud), "0.69", "is the column of labels the right one")
    faint = with_objective(prepared, loss=lambda model, batch: task_loss(model, batch) / batch.num_targets)
    fails(guess_check(faint), "cannot reach this loss")


def test_a_model_of_another_order_of_labels_is_found(tmp_path):
    """A trained head, and data whose labels are in the other order."""
    prepared = ready(tmp_path, "classify", learning_rate=3e-3, epochs=10.0)
    taught(prepared)
    prepared.recipe.save(tmp_path / "base")
    again = prepare(prepared.config, tmp_path / "base")
    assert guess_check(again).passed
    table = again.training_task.rows
    fails(guess_check(with_table(again, replace(table, targets=1 - table.targets))), "in another order")


def test_a_head_for_other_labels_is_no_head_that_goes_on(tmp_path):
    """The run creates a new head, which has to guess."""
    prepared = ready(tmp_path, "classify")
    prepared.recipe.save(tmp_path / "base")
    moods = {"yes": "glad", "no": "sad"}
    found = [{**row, "label": moods[row["label"]]} for row in rows("classify")]
    again = prepare(replace(prepared.config, data=write(tmp_path / "moods.jsonl", found)), tmp_path / "base")
    assert goes_on(prepare(prepared.config, tmp_path / "base"))
    assert not goes_on(again)
    faint = with_objective(again, loss=lambda model, batch: task_loss(model, batch) / batch.num_targets)
    fails(guess_check(faint), "cannot reach this loss")


def test_another_tokenizer_shows_in_the_loss(tmp_path):
    prepared = ready(tmp_path, "text2text", "llama")
    with torch.no_grad():
        prepared.recipe.module().head_weight.mul_(100)  # as sure as a trained model is, of other tokens
    fails(guess_check(prepared), "tokenizer the model's own")


def _crossed(vectors):
    pairs = vectors.view(-1, 2, vectors.shape[1])
    return torch.stack((pairs[:, 0], pairs[:, 1].roll(1, 0)), dim=1).flatten(0, 1)


def taught(prepared):
    """A trained model of a run."""
    train(prepared.recipe.module(), prepared.training_task.objective, prepared.train)


def test_pairs_of_strangers_are_worse_than_a_guess(tmp_path):
    prepared = ready(tmp_path, "embed", learning_rate=3e-3, epochs=6.0)
    assert guess_check(prepared).passed
    apart = with_objective(prepared, loss=lambda model, batch: 3 * prepared.training_task.objective.loss(model, batch))
    assert guess_check(apart).passed  # the guess is measured by the same loss

    def crossed(model, batch):
        """Each anchor with the positive of the next."""
        return prepared.training_task.objective.loss(lambda *ids, **more: _crossed(model(*ids, **more)), batch)

    taught(prepared)
    assert guess_check(prepared).passed
    fails(guess_check(with_objective(prepared, loss=crossed)), "for a guess")


def test_a_run_that_does_not_fit_is_refused_and_a_fitting_one_named(tmp_path, monkeypatch):
    prepared = ready(tmp_path, "classify")
    needed = prepared.footprint()
    monkeypatch.setattr(checks, "available_memory", lambda: 2 * needed.total)
    assert memory_check(prepared).passed
    half = needed.weights + needed.training + needed.activations // 2
    monkeypatch.setattr(checks, "available_memory", lambda: int(half / 0.9) + 2)
    fails(memory_check(prepared), "--batch-size 4 --accumulation 2")
    monkeypatch.setattr(checks, "available_memory", lambda: 1000)
    fails(memory_check(prepared), "--method lora")
    assert [check.name for check in checks_of(CheckSubject.FINETUNING, prepared)][-1] == "memory"  # nothing is trained


def test_a_run_of_days_is_found(tmp_path):
    prepared = ready(tmp_path, "classify")
    assert "24" not in time_check(prepared).remedy
    fails(time_check(replace(prepared, train=replace(prepared.train, num_steps=10**9))), "--epochs")


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("family", FAMILIES)
def test_an_ignored_mask_is_found(tmp_path, family):
    prepared = ready(tmp_path, "classify", family)

    def blind(model, batch):
        return task_loss(model, replace(batch, attention_mask=torch.ones_like(batch.attention_mask)))

    assert rows_alone_check(prepared).passed
    fails(rows_alone_check(with_objective(prepared, loss=blind)), "padding")


def test_padding_that_is_learnt_is_found(tmp_path):
    prepared = ready(tmp_path, "ner")

    def everywhere(model, batch):
        return task_loss(model, replace(batch, labels=batch.labels.clamp(min=0)))

    assert rows_alone_check(prepared).passed
    fails(rows_alone_check(with_objective(prepared, loss=everywhere)), "padding")


@pytest.mark.parametrize(
    ("kind", "family"),  # an encoder packs nothing here
    [("chat", "llama"), *(("text2text", family) for family in FAMILIES if family != "bert")],
)
def test_rows_that_see_their_neighbours_are_found(tmp_path, kind, family):
    prepared = ready(tmp_path, kind, family, max_tokens=96)
    loss = prepared.training_task.objective.loss

    def leaky(model, batch):
        ones = {name: torch.ones_like(getattr(batch, name)) for name in SEGMENTS if getattr(batch, name) is not None}
        return loss(model, replace(batch, **ones))

    assert rows_alone_check(prepared).passed
    fails(rows_alone_check(with_objective(prepared, loss=leaky)), "neighbours")


def test_rows_of_one_conversation_say_that_nothing_was_tested(tmp_path):
    check = rows_alone_check(ready(tmp_path, "chat", "llama", max_tokens=40))
    assert check.state is CheckState.NOT_TESTED
    assert "no row holds two documents" in check.detail


@pytest.mark.parametrize(("kind", "family"), [("classify", family) for family in FAMILIES] + [("ner", "bert")])
def test_a_mean_a_micro_batch_is_found(tmp_path, kind, family):
    prepared = ready(tmp_path, kind, family)
    mean = with_objective(prepared, loss=lambda model, batch: task_loss(model, batch) / batch.num_targets)
    fails(accumulation_check(mean), "accumulating")


def test_weights_no_gradient_reaches_are_found(tmp_path):
    prepared = ready(tmp_path, "classify")
    module = prepared.recipe.module()
    module.forgotten = torch.nn.Parameter(torch.ones(3))
    fails(gradient_check(prepared), "reaches 1 of", "forgotten")
    del module.forgotten
    detached = with_objective(prepared, loss=lambda model, batch: task_loss(model, batch).detach())
    fails(gradient_check(detached), "no gradient reaches")
    nothing = with_objective(prepared, loss=lambda model, batch: 0 * task_loss(model, batch))
    fails(gradient_check(nothing), "zero or not finite")
    module.requires_grad_(False)
    fails(gradient_check(prepared), "nothing is trained")


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_that_depend_on_more_than_the_step_are_found(tmp_path, family):
    prepared = ready(tmp_path, "classify", family)
    table, asked = prepared.training_task.rows, [0]

    class Forgetful(FixedShape):
        """Gives other batches in each call."""

        dropped_per_epoch = 0

        def __len__(self):
            return len(table)

        def batch(self, index):
            asked[0] += 1
            return table.batch([0 if index == 0 else asked[0] % len(table)])

    assert resume_check(prepared).passed
    fails(interrupted(prepared, replace(prepared.training_task.objective, batches=Forgetful())), "not exact")


# ---------------------------------------------------------------- the verb


def test_the_verb_says_it_in_its_status(tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "data.jsonl", different(rows("classify", 60)))
    base = base_folder(tmp_path / "base")
    words = ["doctor", str(base), "--task", "classify", "--data", str(data), "--batch-size", "8"]
    assert main(words) == 0
    assert "checks passed" in capsys.readouterr().out
    monkeypatch.setattr(checks, "available_memory", lambda: 1000)
    assert main([*words, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["passed"]
    memory = next(check for check in said["checks"] if check["name"] == "memory")
    assert "--method lora" in memory["remedy"]


def test_untested_checks_are_named_and_do_not_fail(tmp_path, monkeypatch, capsys):
    done = [Check(name="one", passed=True, detail="a"), Check(name="two", passed=False, tested=False, detail="b")]
    monkeypatch.setattr(verb, "examine_finetuning", lambda *_: iter(done))
    words = ["doctor", str(base_folder(tmp_path / "base")), "--task", "chat", "--data", "x.jsonl"]
    assert main(words) == 0
    assert capsys.readouterr().out == "pass  one: a\nnot tested  two: b\n\n1 of 2 checks passed, 1 not tested\n"
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"] is True
    assert [(one["passed"], one["tested"]) for one in said["checks"]] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "classify"], "--task is a setting of `lavra finetune`: name the model first"),
        (["some-model", "--family", "t5"], "--family is a setting of `lavra up`"),
        (["some-model", "--task", "classify"], "data: required"),
    ],
)
def test_a_flag_of_the_other_verb_is_refused(words, says, capsys):
    assert main(["doctor", *words]) == 2
    assert says in capsys.readouterr().err
