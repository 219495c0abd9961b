"""The training task of a language model: what training by it leaves unchanged, resuming, and its gain."""

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional

from lavra.base.errors import ConfigError, ResumeError
from lavra.data.batch import IGNORE
from lavra.data.rows.batch import TaskBatch
from lavra.distillation.config import AttentionConfig, DistillConfig, HiddenConfig
from lavra.distillation.shrink import shrink
from lavra.distillation.training_task import DistillationTask, distill
from lavra.model.transformer import EncoderDecoder
from lavra.tasks.tag import TAG
from tests.distillation.distilled import KINDS, VOCAB, Made, batch_of, model_of, task_batch, task_model
from tests.train.tiny import assert_same_bits, settings, weights

EVERYTHING = DistillConfig(hidden=HiddenConfig(), attention=AttentionConfig(compare="relations"))


def whole_logits(model, batch):
    if isinstance(model, EncoderDecoder):
        return model(
            batch.input_ids, batch.decoder_input_ids, segments=batch.segments, decoder_segments=batch.decoder_segments
        )
    return model(batch.input_ids, positions=batch.positions, segments=batch.segments)


@pytest.mark.parametrize("family", KINDS)
def test_the_loss_and_its_gradients_are_those_of_whole_logits(family):
    student, teacher = model_of(family, layers=1, seed=1), model_of(family, layers=2, hidden=48, seed=2)
    batch, config = batch_of(family), DistillConfig(temperature=3.0, share=0.4)
    naive = copy.deepcopy(student)
    ours, labels = whole_logits(naive, batch).flatten(0, 1), batch.labels.flatten()
    theirs = whole_logits(teacher, batch).flatten(0, 1).detach()
    wanted = labels != IGNORE
    soft = functional.kl_div(functional.log_softmax(ours / 3, -1), functional.softmax(theirs / 3, -1), reduction="none")
    expected = 0.4 * 9 * soft[wanted].sum() + 0.6 * functional.cross_entropy(
        ours[wanted], labels[wanted], reduction="sum"
    )
    expected.backward()
    with DistillationTask(student, teacher, Made(lambda _: batch), config) as training_task:
        loss = training_task.objective.loss(training_task.student, batch)
        loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-3)
    gradients = {name: one.grad for name, one in naive.named_parameters() if one.grad is not None}
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients.get(name), rtol=1e-3, atol=1e-3)
    assert all(one.grad is None for one in teacher.parameters())


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_training_leaves_the_teacher_as_it_was(family):
    teacher = model_of(family, layers=2, hidden=48, heads=4)
    student = model_of(family, layers=1, seed=1)
    before, asked, names = weights(teacher), batch_of(family), student.state_dict().keys()
    with torch.no_grad():
        said = whole_logits(teacher, asked)
    result = distill(student, teacher, Made(lambda seed: batch_of(family, seed)), EVERYTHING, settings(3))
    assert result.steps == 3
    assert_same_bits(before, weights(teacher))
    assert all(one.requires_grad and one.grad is None for one in teacher.parameters())
    with torch.no_grad():
        assert torch.equal(whole_logits(teacher, asked), said)
    assert student.state_dict().keys() == names  # no projection, no mark
    for model in (student, teacher):
        assert all("_attend" not in vars(block.attention) and not block._forward_hooks for block in model.blocks)


def test_accumulation_adds_up_for_logits():
    """Two micro-batches with different numbers of targets equal the batch of both."""
    student, teacher = model_of(layers=1, seed=1), model_of()
    halves = [batch_of(seed=1, rows=2), batch_of(seed=2, rows=2)]
    both = batch_of(seed=3, rows=4)
    both = type(both)(
        **{name: torch.cat([getattr(one, name) for one in halves]) for name in ("input_ids", "labels", "segments")},
        positions=both.positions,
        sample_ids=("a",) * 4,
    )
    found = []
    for batches, accumulation in ((Made(lambda number: halves[number % 2]), 2), (Made(lambda _: both), 1)):
        one = copy.deepcopy(student)
        distill(one, teacher, batches, DistillConfig(), settings(2, accumulation=accumulation))
        found.append(weights(one))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=1e-4, atol=1e-5)


def test_a_run_goes_on_with_its_teacher_only(tmp_path):
    made = Made(lambda seed: batch_of(seed=seed))
    whole = model_of(layers=1, seed=1)
    distill(whole, model_of(), made, EVERYTHING, settings(4))
    student = model_of(layers=1, seed=1)
    distill(student, model_of(), made, EVERYTHING, settings(4, save_every=2), folder=tmp_path)
    last = sorted((tmp_path / "checkpoints").iterdir())[-1]
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    for other in ({"teacher": model_of(seed=9)}, {"config": DistillConfig(temperature=3.0, hidden=HiddenConfig())}):
        given = {"teacher": model_of(), "config": EVERYTHING, **other}
        with pytest.raises(ResumeError):
            distill(model_of(layers=1, seed=1), given["teacher"], made, given["config"], settings(4), folder=tmp_path)
    again = model_of(layers=1, seed=5)
    result = distill(again, model_of(), made, EVERYTHING, settings(4), folder=tmp_path)
    assert result.resumed_from == 2
    assert_same_bits(weights(again), weights(whole))


class Noisy:
    """Labels drawn from a teacher's distribution over a few inputs: the teacher knows more than each label shows."""

    def __init__(self, teacher, rows=16, seed=0):
        draw = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(4, VOCAB, (rows, 4), generator=draw)
        self.mask = torch.ones(rows, 4, dtype=torch.bool)
        with torch.no_grad():
            self.truth = torch.softmax(teacher(self.ids), -1)
        self.labels = torch.multinomial(self.truth, 1, generator=draw)[:, 0]

    def __call__(self, number):
        return TaskBatch(
            input_ids=self.ids,
            attention_mask=self.mask,
            labels=self.labels,
            num_targets=len(self.ids),
            sample_ids=("row",) * len(self.ids),
        )


def test_a_student_learns_what_labels_do_not_say():
    """The optimum is known: the teacher's distribution, from which each input's label was drawn."""
    for seed in range(3):
        teacher = task_model(seed=seed, layers=2, head=0.4)
        data, found = Noisy(teacher, seed=seed), {}
        for share in (1.0, 0.001):
            student = shrink(teacher, 1)
            torch.manual_seed(seed)
            student.head.output.reset_parameters()
            distill(student, teacher, Made(data), DistillConfig(temperature=1.0, share=share), settings(40, seed=seed))
            with torch.no_grad():
                said = functional.log_softmax(student.eval()(data.ids), -1)
            found[share] = functional.kl_div(said, data.truth, reduction="batchmean").item()
        assert found[1.0] < 0.05
        assert found[1.0] < found[0.001] / 5


@pytest.mark.slow
def test_compiled_blocks_are_watched_too():
    """Hooks break a compiled graph, and training is the same up to rounding."""
    found = []
    for compile_blocks in ("off", "on"):
        student = model_of(layers=2, seed=1)
        distill(
            student, model_of(), Made(lambda seed: batch_of(seed=seed)), EVERYTHING, settings(3, compile=compile_blocks)
        )
        found.append(weights(student))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=1e-3, atol=1e-4)


def test_activations_recomputed_are_the_same():
    found = []
    for recompute in (False, True):
        student = model_of(layers=2, seed=1)
        made = Made(lambda seed: batch_of(seed=seed))
        distill(student, model_of(), made, EVERYTHING, settings(3, activation_checkpointing=recompute))
        found.append(weights(student))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=1e-4, atol=1e-6)


def test_contradictory_settings_are_refused():
    made, config = Made(lambda _: batch_of()), DistillConfig()
    narrow = model_of()
    narrow.config = dataclasses.replace(narrow.config, vocab_size=VOCAB * 2)
    for student, teacher, message in (
        (model_of(), narrow, "64 tokens and the teacher 128"),
        (model_of(), model_of("bert"), "student: decoder, teacher: encoder"),
        (model_of(), model_of().to("meta"), "on cpu and the teacher on meta"),
        (model_of(), task_model(), "task's head"),
        (task_model(labels=("a", "b")), task_model(labels=("b", "a")), "same order"),
        (task_model(task=TAG), task_model(), "does ner"),
    ):
        with pytest.raises(ConfigError, match=message):
            DistillationTask(student, teacher, made, config)
    with (
        DistillationTask(model_of(), model_of(), made, config) as training_task,
        pytest.raises(ConfigError, match="has a decoder's input"),
    ):
        training_task.objective.loss(training_task.student, batch_of("t5"))
    with pytest.raises(ConfigError, match="one model"):
        DistillationTask(narrow, narrow, made, config)
    for settings_, message in (
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"share": 1.5}, "share is 1.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            DistillConfig(**settings_)
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        HiddenConfig(distance="cosin")


def test_a_task_batch_and_padding_do_not_matter():
    """Wider padding changes neither loss."""
    student, teacher = task_model(layers=1, seed=1), task_model(layers=2)
    batch = task_batch()
    wide = type(batch)(
        input_ids=functional.pad(batch.input_ids, (0, 5)),
        attention_mask=functional.pad(batch.attention_mask, (0, 5)),
        labels=batch.labels,
        num_targets=batch.num_targets,
        sample_ids=batch.sample_ids,
    )
    with DistillationTask(student, teacher, Made(lambda _: batch), EVERYTHING) as training_task, torch.no_grad():
        narrow_loss, wide_loss = (training_task.objective.loss(training_task.student, one) for one in (batch, wide))
    torch.testing.assert_close(narrow_loss, wide_loss, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_mixed_precision_learns_the_same_things(family):
    student, teacher, losses = model_of(family, layers=1, seed=1), model_of(family, hidden=48), []
    for precision in ("float32", "bf16"):
        one = copy.deepcopy(student)
        batches = Made(lambda _: batch_of(family))
        losses.append(distill(one, teacher, batches, EVERYTHING, settings(2, precision=precision)).loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
