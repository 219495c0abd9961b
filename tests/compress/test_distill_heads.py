"""What a task's head says, as a loss: PyTorch's own divergences on the distributions a task reads off its logits."""

import pytest
import torch
from torch.nn import functional

from lavra.adapt.losses import head_loss
from lavra.base.errors import ConfigError
from lavra.base.tasks import Problem, Task
from lavra.compress.distill.config import DistillConfig
from lavra.compress.distill.heads import soft_loss
from lavra.compress.distill.lesson import Lesson
from lavra.compress.distill.passes import task_logits
from lavra.data.batch import IGNORE
from tests.compress.distilled import Made, task_batch, task_model

CASES = [
    (Task.CLASSIFY, Problem.SINGLE_LABEL),
    (Task.CLASSIFY, Problem.MULTI_LABEL),
    (Task.CLASSIFY, Problem.REGRESSION),
    (Task.NER, None),
    (Task.QA, None),
    (Task.CHOICE, None),
    (Task.RERANK, Problem.REGRESSION),
]
T = 2.5


def kl(ours, theirs):
    return functional.kl_div(functional.log_softmax(ours / T, -1), functional.softmax(theirs / T, -1), reduction="sum")


def naive(task, problem, ours, theirs, batch):
    """Row by row."""
    if problem is Problem.REGRESSION and task is Task.CLASSIFY:
        return sum((a - b) ** 2 for a, b in zip(ours[:, 0], theirs[:, 0], strict=True))
    if problem is Problem.MULTI_LABEL or task is Task.RERANK:
        p = torch.sigmoid(theirs / T)
        return T**2 * (
            functional.binary_cross_entropy_with_logits(ours / T, p, reduction="sum")
            - functional.binary_cross_entropy(p, p, reduction="sum")
        )
    if task is Task.NER:
        places = [tuple(place) for place in (batch.labels != IGNORE).nonzero().tolist()]
        return T**2 * sum(kl(ours[place], theirs[place]) for place in places)
    if task is Task.QA:
        lengths = batch.attention_mask.sum(1).tolist()
        return T**2 * sum(
            kl(ours[row, :length, end], theirs[row, :length, end])
            for row, length in enumerate(lengths)
            for end in (0, 1)
        )
    if task is Task.CHOICE:
        return T**2 * sum(
            kl(ours[first : first + 2, 0], theirs[first : first + 2, 0]) for first in range(0, len(ours), 2)
        )
    return T**2 * sum(kl(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("task", "problem"), CASES)
def test_the_soft_loss_and_its_gradient_are_the_naive_ones(task, problem):
    shape = {Task.NER: (4, 10, 3), Task.QA: (4, 10, 2), Task.CHOICE: (4, 1), Task.RERANK: (4, 1)}.get(task, (4, 3))
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
    with Lesson(student, teacher, Made(lambda _: batch), config) as lesson, torch.no_grad():
        loss = lesson.objective.loss(lesson.pupil, batch)
        ours, theirs = (task_logits(one, batch, whole=False) for one in (student, teacher))
    expected = 0.7 * head_loss(task, problem)(ours, batch) + 0.3 * naive(task, problem, ours, theirs, batch)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


def test_the_labels_alone_at_a_share_of_nothing_need_another_part():
    with pytest.raises(ConfigError, match="plain training"):
        DistillConfig(share=0.0)


def test_a_task_without_a_head_is_refused():
    with pytest.raises(ConfigError, match="chat"):
        soft_loss(Task.CHAT, None)
