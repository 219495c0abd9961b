"""A task's head as a loss: PyTorch's own divergences on the distributions that a task computes from its logits."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import Problem
from lavra.data.batch import IGNORE
from lavra.distillation.cache import TeacherCache
from lavra.distillation.config import DistillConfig, HiddenConfig
from lavra.distillation.head_cache import HeadCache, write_head_cache
from lavra.distillation.passes import task_logits
from lavra.distillation.training_task import DistillationTask, distill
from lavra.tasks.answer import ANSWER
from lavra.tasks.chat import CHAT
from lavra.tasks.choose import CHOOSE
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.losses import head_loss
from lavra.tasks.learning.soft_losses import soft_loss
from lavra.tasks.rerank import RERANK
from lavra.tasks.tag import TAG
from tests.distillation.distilled import Made, model_of, task_batch, task_model
from tests.train.tiny import settings

CASES = [
    (CLASSIFY, Problem.SINGLE_LABEL),
    (CLASSIFY, Problem.MULTI_LABEL),
    (CLASSIFY, Problem.REGRESSION),
    (TAG, None),
    (ANSWER, None),
    (CHOOSE, None),
    (RERANK, Problem.REGRESSION),
]
T = 2.5


def kl(ours, theirs):
    return functional.kl_div(functional.log_softmax(ours / T, -1), functional.softmax(theirs / T, -1), reduction="sum")


def naive(task, problem, ours, theirs, batch):
    """Row by row."""
    if problem is Problem.REGRESSION and task is CLASSIFY:
        return sum((a - b) ** 2 for a, b in zip(ours[:, 0], theirs[:, 0], strict=True))
    if problem is Problem.MULTI_LABEL or task is RERANK:
        p = torch.sigmoid(theirs / T)
        return T**2 * (
            functional.binary_cross_entropy_with_logits(ours / T, p, reduction="sum")
            - functional.binary_cross_entropy(p, p, reduction="sum")
        )
    if task is TAG:
        places = [tuple(place) for place in (batch.labels != IGNORE).nonzero().tolist()]
        return T**2 * sum(kl(ours[place], theirs[place]) for place in places)
    if task is ANSWER:
        lengths = batch.attention_mask.sum(1).tolist()
        return T**2 * sum(
            kl(ours[row, :length, end], theirs[row, :length, end])
            for row, length in enumerate(lengths)
            for end in (0, 1)
        )
    if task is CHOOSE:
        return T**2 * sum(
            kl(ours[first : first + 2, 0], theirs[first : first + 2, 0]) for first in range(0, len(ours), 2)
        )
    return T**2 * sum(kl(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("task", "problem"), CASES)
def test_the_soft_loss_and_its_gradient_are_the_naive_ones(task, problem):
    shape = {TAG: (4, 10, 3), ANSWER: (4, 10, 2), CHOOSE: (4, 1), RERANK: (4, 1)}.get(task, (4, 3))
    shape = (4, 1) if problem is Problem.REGRESSION else shape
    batch = task_batch(task, problem)
    theirs, found = 2 * torch.randn(shape), []
    start = torch.randn(shape)
    for loss in (soft_loss(task, problem), None):
        ours = start.clone().requires_grad_()
        value = loss(ours, theirs, batch, T) if loss else naive(task, problem, ours, theirs, batch)
        value.backward()
        found.append((value.detach(), ours.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)
    assert found[0][0] > 0
    assert abs(float(soft_loss(task, problem)(theirs, theirs, batch, T))) < 1e-5


@pytest.mark.parametrize(("task", "problem"), CASES)
def test_a_lesson_mixes_it_with_the_labels(task, problem):
    student, teacher = (task_model(task, problem=problem, layers=layers, seed=layers) for layers in (1, 2))
    batch = task_batch(task, problem)
    config = DistillConfig(temperature=T, share=0.3)
    with DistillationTask(student, teacher, Made(lambda _: batch), config) as training_task, torch.no_grad():
        loss = training_task.objective.loss(training_task.student, batch)
        ours, theirs = (task_logits(one, batch, whole=False) for one in (student, teacher))
    expected = 0.7 * head_loss(task, problem)(ours, batch) + 0.3 * naive(task, problem, ours, theirs, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("task", "problem"), CASES)
def test_a_head_on_disk_says_what_the_teacher_says(task, problem, tmp_path):
    """For any order and company of the rows, and any padding."""
    student, teacher = (task_model(task, problem=problem, layers=layers, seed=layers) for layers in (1, 2))
    made = Made(lambda number: task_batch(task, problem, seed=number), 3)
    told = []
    cache = write_head_cache(teacher, made, tmp_path / "cache", 5, lambda *now: told.append(now))
    assert told == [("teacher", number, 5) for number in range(1, 6)]
    assert len(cache) == 12
    mixed = wider(turned(task_batch(task, problem, seed=1)))
    torch.testing.assert_close(cache.of(mixed), real(task_logits(teacher, mixed, whole=False), mixed))
    config, losses = DistillConfig(temperature=T, share=0.3), []
    for who in (teacher, cache):
        with DistillationTask(student, who, made, config) as training_task, torch.no_grad():
            losses.append(training_task.objective.loss(training_task.student, mixed))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)


def test_rows_of_equal_tokens_and_unlike_types_are_two(tmp_path):
    """A pair divided at another place: the teacher's output differs."""
    teacher, batch = task_model(), task_batch(rows=4)
    ids = batch.input_ids[:1].expand_as(batch.input_ids).contiguous()
    cuts = torch.tensor([2, 5, 8, 5])  # where the second text begins; the last pair is the second one again
    types = (torch.arange(ids.shape[1])[None, :] >= cuts[:, None]).long()
    pairs = replace(batch, input_ids=ids, attention_mask=torch.ones_like(ids, dtype=torch.bool), token_type_ids=types)
    cache = write_head_cache(teacher, Made(lambda _: pairs, 1), tmp_path / "cache", 1)
    assert len(cache) == 3
    logits = task_logits(teacher, pairs, whole=False)
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    torch.testing.assert_close(cache.of(pairs), logits)


def test_cached_logits_of_a_teacher_are_not_computed_again(tmp_path):
    """Another run over some of the same texts: new ones are added, and old ones keep their stored output."""
    then, now = task_model(), task_model(seed=9)
    first = write_head_cache(then, Made(lambda _: task_batch(seed=1), 1), tmp_path / "cache", 1)
    before = first.of(task_batch(seed=1)).clone()
    made = Made(lambda number: task_batch(seed=1 + number), 2)
    both = write_head_cache(now, made, tmp_path / "cache", 2, known=first)
    assert len(both) == 8
    torch.testing.assert_close(both.of(task_batch(seed=1)), before, rtol=0, atol=0)
    torch.testing.assert_close(both.of(task_batch(seed=2)), task_logits(now, task_batch(seed=2), whole=False))


def turned(batch):
    """The samples in reverse order."""
    order = torch.arange(len(batch.input_ids)).view(-1, batch.group).flip(0).flatten()
    ids, mask, labels = batch.input_ids[order], batch.attention_mask[order], batch.labels.flip(0)
    return replace(batch, input_ids=ids, attention_mask=mask, labels=labels, sample_ids=batch.sample_ids[::-1])


def wider(batch):
    """The batch with two more tokens of padding."""
    ids, mask = (functional.pad(one, (0, 2)) for one in (batch.input_ids, batch.attention_mask))
    tags = batch.labels.shape == batch.input_ids.shape
    labels = functional.pad(batch.labels, (0, 2), value=IGNORE) if tags else batch.labels
    return replace(batch, input_ids=ids, attention_mask=mask, labels=labels)


def real(logits, batch):
    """Logits with one value for each token, 0 on padding."""
    return logits * batch.attention_mask[:, :, None] if logits.ndim == 3 else logits


def test_a_head_on_disk_refuses_what_it_does_not_hold(tmp_path):
    teacher, made = task_model(), Made(lambda number: task_batch(seed=number))
    cache = write_head_cache(teacher, made, tmp_path / "cache", 2)
    with pytest.raises(InputError, match="not one of sample 0 and those beside it"):
        DistillationTask(task_model(layers=1), cache, Made(lambda number: task_batch(seed=number + 9)), DistillConfig())
    with pytest.raises(InputError, match="holds 8 texts"):
        distill(task_model(layers=1), cache, made, DistillConfig(), settings(3))
    with pytest.raises(ConfigError, match="not in a teacher's cache"):
        DistillationTask(task_model(layers=1), cache, made, DistillConfig(hidden=HiddenConfig()))
    with pytest.raises(ConfigError, match="with labels a, b, c and the teacher"):
        DistillationTask(task_model(TAG, layers=1), cache, made, DistillConfig())
    with pytest.raises(ConfigError, match="one of student and teacher has a task's head"):
        DistillationTask(model_of(layers=1), cache, made, DistillConfig())
    with pytest.raises(ConfigError, match="num_batches is 0"):
        write_head_cache(teacher, made, tmp_path / "none", 0)
    with pytest.raises(InputError, match="is a teacher-head-cache"):
        TeacherCache(tmp_path / "cache")
    (tmp_path / "cache" / "logits.bin").write_bytes(b"")
    with pytest.raises(InputError, match="has 0 bytes and should have"):
        HeadCache(tmp_path / "cache")


def test_the_labels_alone_at_a_share_of_nothing_need_another_part():
    with pytest.raises(ConfigError, match="plain training"):
        DistillConfig(share=0.0)


def test_a_task_without_a_head_is_refused():
    with pytest.raises(ConfigError, match="chat"):
        soft_loss(CHAT, None)
