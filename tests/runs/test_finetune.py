"""`lavra finetune` learns each learnable task, saves a model that opens again, and reports its work."""

import dataclasses
import json

import pytest
import torch

import lavra
from lavra.base.card import read_card
from lavra.base.errors import ConfigError, InputError, ResumeError
from lavra.model.checkpoint import load_checkpoint
from lavra.model.task_folder import load_task_model
from lavra.quantize.folder import save_quantized
from lavra.quantize.scheme import SCHEMES
from lavra.quantize.swap import quantize_model
from lavra.runs.finetune import finetune, prepare
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.table import all_tasks, task_named
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.hooks import CallbackHook, read_metrics
from lavra.train.loop import train
from tests.runs.tasks import METHODS, base_folder, rows, write

TASKS = {"several": "classify", "number": "classify", "pair": "classify"}


class KilledError(Exception):
    """Raised to stop a run as a user would."""


def quiet(*_):
    pass


def run(tmp_path, kind, family="bert", *, count=160, **settings):
    task = TASKS.get(kind, kind)
    tmp_path.mkdir(exist_ok=True)
    data = write(tmp_path / "data.jsonl", rows(kind, count))
    base = base_folder(tmp_path / "base", family)
    usual = {"batch_size": 16, "learning_rate": 3e-3, "epochs": 6.0, "heldout_fraction": 0.2}
    config = FinetuneConfig(task=task_named(task), data=data, **{**usual, **settings})
    return finetune(prepare(config, base), tmp_path / "made", quiet)


@pytest.mark.parametrize(
    ("kind", "main", "least", "epochs"),
    [
        ("classify", "accuracy", 0.9, 6.0),
        ("several", "micro_f1", 0.9, 20.0),
        ("number", "pearson", 0.9, 15.0),
        ("pair", "accuracy", 0.9, 10.0),
        ("ner", "f1", 0.9, 8.0),
        ("choice", "accuracy", 0.9, 8.0),
        ("rerank", "accuracy", 0.9, 10.0),
    ],
)
def test_an_encoder_learns_what_can_be_learnt(tmp_path, kind, main, least, epochs):
    result = run(tmp_path, kind, epochs=epochs)
    assert result.after.main == main
    assert result.after.value >= least
    assert result.after.value > result.before.value
    assert task_named(load_task_model(tmp_path / "made").task.task) is task_named(TASKS.get(kind, kind))
    card = read_card(tmp_path / "made")
    assert card.kind == "model"
    assert card.metrics["after"][main] == result.after.value
    assert card.metrics["heldout_samples"] == result.after.num_samples


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("kind", ["classify", "ner", "choice"])
def test_decoders_and_t5_learn_with_heads_too(tmp_path, kind, family):
    result = run(tmp_path, kind, family, epochs=12.0)
    assert result.after.value >= 0.85
    assert load_task_model(tmp_path / "made").config.family == family


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_questions_are_answered(tmp_path, family):
    result = run(tmp_path, "qa", family, count=300, epochs=15.0)
    assert result.after.values["exact_match"] >= 0.7
    assert result.before.values["exact_match"] < 0.5


WRITERS = [("chat", "llama"), ("text2text", "llama"), ("text2text", "t5")]


@pytest.mark.parametrize(("kind", "family"), WRITERS)
def test_text_to_text_models_learn_to_write(tmp_path, kind, family):
    result = run(tmp_path, kind, family, epochs=12.0)
    assert result.after.main == "nats_per_token"
    assert result.after.value < 0.6 * result.before.value
    load_checkpoint(tmp_path / "made")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "family"), WRITERS)
def test_answers_that_follow_from_the_question_are_learnt_whole(tmp_path, kind, family):
    """Every answer is certain, so a trained model's loss is near zero."""
    result = run(tmp_path, kind, family, count=300, epochs=60.0)
    assert result.after.value < 0.1


def test_a_sentence_encoder_finds_what_words_cannot(tmp_path):
    result = run(tmp_path, "embed", epochs=10.0)
    assert result.after.values["recall@5"] > result.before.values["recall@5"]
    assert (tmp_path / "made" / "modules.json").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_part_and_saves_it(tmp_path, method):
    family = "llama" if method == "prefix" else "bert"  # an encoder keeps no keys and values
    result = run(tmp_path, "classify", family, method=METHODS[method], epochs=8.0, learning_rate=1e-2)
    assert result.parameters.trainable < 0.6 * result.parameters.total
    assert result.after.value > 0.6
    assert (tmp_path / "made" / "adapter_config.json").exists()
    assert (tmp_path / "made" / "adapter_model.safetensors").exists()
    assert read_card(tmp_path / "made").kind == "adapter"


@pytest.mark.parametrize(("method", "family"), [("prefix", "t5"), ("prompt", "t5"), ("prefix", "llama")])
def test_virtual_tokens_teach_what_writes(tmp_path, method, family):
    result = run(tmp_path, "text2text", family, method=METHODS[method], learning_rate=3e-2)
    assert result.after.to_minimise < result.before.to_minimise - 0.1


def test_the_same_settings_give_the_same_model(tmp_path):
    first, second = (run(tmp_path / name, "classify", epochs=1.0) for name in ("a", "b"))
    assert first.after.values == second.after.values
    ours, theirs = (load_task_model(tmp_path / name / "made") for name in ("a", "b"))
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["classify", "several", "number", "pair", "ner", "qa", "choice", "rerank"])
@torch.no_grad()
def test_a_batch_costs_what_its_parts_cost(tmp_path, kind):
    """Accumulation is exact: losses and targets of micro-batches add up, with any padding."""
    config = FinetuneConfig(task=task_named(TASKS.get(kind, kind)), data=write(tmp_path / "data.jsonl", rows(kind)))
    prepared = prepare(config, base_folder(tmp_path / "base"))
    model, objective = prepared.recipe.module().eval(), prepared.training_task.objective
    table = objective.batches.table
    whole, parts = table.batch(range(10)), [table.batch(part) for part in (range(3), range(3, 10))]
    assert whole.num_targets == sum(part.num_targets for part in parts)
    torch.testing.assert_close(objective.loss(model, whole), sum(objective.loss(model, part) for part in parts))


@pytest.mark.parametrize("method", ["full", "prompt", "prefix"])
@pytest.mark.parametrize(("kind", "family"), [("chat", "llama"), ("text2text", "llama"), ("text2text", "t5")])
@torch.no_grad()
def test_packed_samples_cost_what_they_cost_alone(tmp_path, kind, family, method):
    data = write(tmp_path / "data.jsonl", rows(kind, 40))
    config = FinetuneConfig(task=task_named(kind), data=data, method=METHODS.get(method), learning_rate=1e-3)
    prepared = prepare(config, base_folder(tmp_path / "base", family))
    model, objective = prepared.recipe.module().eval(), prepared.training_task.objective
    packed = objective.batches.table
    assert len(packed) < len(packed.sequences.inputs)
    alone = prepared.recipe.rows(prepared.data.train, packed=False)
    together, apart = (
        sum(float(objective.loss(model, table.batch([row]))) for row in range(len(table))) for table in (packed, alone)
    )
    assert together == pytest.approx(apart, rel=1e-4)


@pytest.mark.parametrize("kind", ["classify", "embed"])
def test_a_prefix_that_nothing_would_read_is_refused(tmp_path, kind):
    config = FinetuneConfig(
        task=task_named(kind), data=write(tmp_path / "data.jsonl", rows(kind, 40)), method=METHODS["prefix"]
    )
    with pytest.raises(ConfigError, match="T5's prefix is its decoder's"):
        prepare(config, base_folder(tmp_path / "base", "t5"))


def test_going_on_from_a_finetuned_model_keeps_its_head(tmp_path):
    run(tmp_path, "classify")
    config = FinetuneConfig(task=CLASSIFY, data=tmp_path / "data.jsonl", steps=1, learning_rate=1e-9)
    again = finetune(prepare(config, tmp_path / "made"), tmp_path / "again", quiet)
    assert again.before.value >= 0.9


def test_troubles_are_known_before_training_and_counted(tmp_path):
    found = rows("classify", 60)
    found[3]["text"] = ""
    found[7]["text"] = "good " * 200
    data = write(tmp_path / "train.jsonl", found)
    heldout = write(tmp_path / "dev.jsonl", [*rows("classify", 20, seed=1), {"text": "a day", "label": "maybe"}])
    base = base_folder(tmp_path / "base")
    config = FinetuneConfig(task=CLASSIFY, data=data, heldout=heldout)
    prepared = prepare(config, base)
    train, held = prepared.reports()
    assert train.num_read == 60
    assert train.num_usable == 59
    text = "\n".join([*train.lines(), *held.lines()])
    assert "train.jsonl:4" in text
    assert "train.jsonl:8" in text
    assert "'maybe' never occurs in training" in text
    assert "dev.jsonl:21" in text
    with pytest.raises(InputError, match="strict"):
        prepare(FinetuneConfig(task=CLASSIFY, data=data, heldout=heldout, strict=True), base)


@pytest.mark.parametrize("copies", [1, 2])
def test_a_label_of_one_sample_is_named(tmp_path, copies):
    found = [*rows("classify", 60), *({"text": f"a day {number}", "label": "maybe"} for number in range(copies))]
    config = FinetuneConfig(task=CLASSIFY, data=write(tmp_path / "train.jsonl", found))
    notes = prepare(config, base_folder(tmp_path / "base")).notes
    assert ("labels that one sample has: 'maybe'; give more samples of them, or leave them out" in notes) == (
        copies == 1
    )


@pytest.mark.parametrize("kind", list(all_tasks()), ids=lambda task: task.name)
def test_held_out_samples_are_never_learnt(tmp_path, kind):
    """Every sample is there twice, and both copies are on the same side."""
    found = rows(kind.saved_as, 80)
    data = write(tmp_path / "data.jsonl", [*found, *({**row, "id": f"again {row.get('id')}"} for row in found)])
    family = {"chat": "llama", "rewrite": "t5"}.get(kind.name, "bert")
    settings = FinetuneConfig(task=kind, data=data, heldout_fraction=0.3)
    prepared = prepare(settings, base_folder(tmp_path / "base", family))
    learnt, kept = (
        {str({**dataclasses.asdict(one), "place": None, "name": None}) for one in part}
        for part in (prepared.data.train, prepared.data.heldout)
    )
    assert not learnt & kept
    assert len(prepared.data.train) + len(prepared.data.heldout) == 160


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """The finished model equals that of an uninterrupted run bit by bit."""

    def kill(step, done, *_):
        if step == "train" and done == 7:
            raise KilledError

    data, base = write(tmp_path / "data.jsonl", rows("classify")), base_folder(tmp_path / "base")
    config = FinetuneConfig(task=CLASSIFY, data=data, batch_size=16, steps=10, save_every=3)
    finetune(prepare(config, base), tmp_path / "whole", quiet)
    with pytest.raises(KilledError):
        finetune(prepare(config, base), tmp_path / "made", kill)
    assert not (tmp_path / "made").exists()
    with pytest.raises(ResumeError, match="began as another model"):
        finetune(prepare(config, base_folder(tmp_path / "other", seed=7)), tmp_path / "made", quiet)
    result = finetune(prepare(config, base), tmp_path / "made", quiet)
    assert result.train.resumed_from == 6
    ours, theirs = (load_task_model(tmp_path / name) for name in ("made", "whole"))
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not list(tmp_path.glob(".made-training"))


@pytest.mark.parametrize(
    ("kind", "family", "settings", "words"),
    [
        ("chat", "bert", {}, "encoder"),
        ("chat", "t5", {}, "rewrite"),
        ("ner", "bert", {"method": METHODS["prompt"]}, "move the places"),
        ("classify", "t5", {"method": METHODS["prefix"]}, "decoder's"),
        ("classify", "bert", {"max_tokens": 500}, "at most"),
        ("classify", "bert", {"columns": ("text",)}, "role=column"),
    ],
)
def test_contradictory_flags_are_refused(tmp_path, kind, family, settings, words):
    with pytest.raises(ConfigError, match=words):
        run(tmp_path, kind, family, **settings)


def packed_base(folder, scheme, family="bert"):
    model, _ = load_checkpoint(base_folder(folder / "floats", family))
    quantize_model(model, SCHEMES[scheme])
    save_quantized(model, folder / "packed")
    Tokenizer.load(folder / "floats").save(folder / "packed")
    return folder / "packed"


@pytest.mark.parametrize("scheme", ["int8", "int8-dynamic", "int4"])
def test_packed_weights_are_refused_whole_and_learn_by_lora(tmp_path, scheme):
    base = packed_base(tmp_path, scheme)
    data = write(tmp_path / "data.jsonl", rows("classify"))
    settings = {"batch_size": 16, "epochs": 8.0, "heldout_fraction": 0.2}
    with pytest.raises(
        ConfigError, match=rf"packed integers \({scheme}\).*set `method` to lora.*or finetune the float"
    ):
        prepare(FinetuneConfig(task=CLASSIFY, data=data, **settings), base)
    asked = FinetuneConfig(task=CLASSIFY, data=data, method=METHODS["lora"], learning_rate=1e-2, **settings)
    result = finetune(prepare(asked, base), tmp_path / "made", quiet)
    assert result.after.value > max(0.8, result.before.value)
    found = lavra.predict(str(tmp_path / "made"), ["the film was lovely and great", "the day was awful and sad"])
    assert [one.label for one in found] == ["yes", "no"]


def test_the_command_line_replaces_a_stopped_run_of_other_settings(tmp_path, capsys):
    from lavra.cli.main import main

    data, base = write(tmp_path / "data.jsonl", rows("classify")), base_folder(tmp_path / "base")
    config = FinetuneConfig(task=CLASSIFY, data=data, steps=6, save_every=2)

    def kill(step, done, *_):
        if step == "train" and done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        finetune(prepare(config, base), tmp_path / "ws" / "models" / "mine", kill)
    common = ["finetune", str(base), "--task", "classify", "--data", str(data), "--workspace", str(tmp_path / "ws")]
    again = [*common, "--steps", "2", "--name", "mine"]
    assert main(again) == 2
    assert "num_steps: 6 -> 2); use those, or start in another folder; or set --replace" in capsys.readouterr().err
    assert main([*again, "--replace"]) == 0
    assert [path.name for path in (tmp_path / "ws" / "models").glob("*mine*")] == ["mine"]


def test_the_command_line(tmp_path, capsys):
    from lavra.cli.main import main

    data, base = write(tmp_path / "data.jsonl", rows("classify")), base_folder(tmp_path / "base")
    common = ["finetune", str(base), "--task", "classify", "--data", str(data), "--workspace", str(tmp_path / "ws")]
    assert main([*common, "--check"]) == 0
    assert "160 samples read" in capsys.readouterr().out
    assert main([*common, "--steps", "2", "--json", "--name", "mine"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["steps"] == 2
    assert told["main"] == "accuracy"
    assert "parameters train" in captured.err
    assert "of activations" in captured.err
    assert load_task_model(tmp_path / "ws" / "models" / "mine").task.labels == ("no", "yes")


def test_metrics_are_watched_while_it_trains(tmp_path):
    seen = []
    data, base = write(tmp_path / "data.jsonl", rows("classify")), base_folder(tmp_path / "base")
    config = FinetuneConfig(task=CLASSIFY, data=data, steps=4, eval_every=2)

    class Watch:
        def on_step(self, step, metrics): ...

        def on_eval(self, step, metrics):
            seen.append(dict(metrics))
            return False

        def on_save(self, step, folder):
            assert read_metrics(tmp_path / ".made-training" / "metrics.jsonl")

        def on_end(self, summary): ...

    finetune(prepare(config, base), tmp_path / "made", quiet, hooks=[Watch()])
    assert [set(one) >= {"to_minimise", "accuracy"} for one in seen] == [True, True]


@pytest.mark.slow
def test_compiled_blocks_take_rows_of_any_length(tmp_path):
    """Compiled once for all shapes: after eight of them PyTorch would continue uncompiled without a message."""
    found = rows("classify", 300)
    for number, row in enumerate(found):
        row["text"] += " day" * (number % 31)
    data, losses = write(tmp_path / "data.jsonl", found), {}
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for mode in ("off", "on"):
        config = FinetuneConfig(task=CLASSIFY, data=data, steps=20, batch_size=8, compile=mode)
        prepared = prepare(config, base_folder(tmp_path / "base"))
        for module in prepared.recipe.module().modules():
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0  # compiled draws are others
        seen = losses[mode] = []
        hook = CallbackHook(lambda step, metrics, seen=seen: seen.append(metrics["loss"]))
        train(prepared.recipe.module(), prepared.training_task.objective, prepared.train, hooks=[hook])
    shapes = {prepared.training_task.objective.batches.batch(index).input_ids.shape for index in range(20)}
    assert len(shapes) > 8
    assert losses["on"] == pytest.approx(losses["off"], abs=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4


def test_the_footprint_is_that_of_training(tmp_path):
    """Dropout's masks and attention's weights are kept in training only; measuring changes nothing."""
    config = FinetuneConfig(task=CLASSIFY, data=write(tmp_path / "data.jsonl", rows("classify")))
    prepared = prepare(config, base_folder(tmp_path / "base"))
    module, before = prepared.recipe.module(), torch.random.get_rng_state()
    taken = prepared.footprint()
    assert not module.training
    assert torch.equal(torch.random.get_rng_state(), before)
    for part in module.modules():
        if isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.1  # a fresh model has none
    assert prepared.footprint().activations > taken.activations
    table = module.backbone.embedding.token.weight
    unused = len(table) - len(prepared.training_task.objective.batches.used_ids)
    assert unused > 0
    trained = sum(one.nbytes for one in module.parameters()) - unused * table[0].nbytes
    assert taken.training == pytest.approx(3 * trained, abs=3 * 4 * table[0].nbytes)  # the model's own tokens besides
