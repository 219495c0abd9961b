"""Small teachers, students and batches for the tests of distillation."""

from __future__ import annotations

import torch

from lavra.base.tasks import Problem
from lavra.data.batch import IGNORE, Batch, FixedShape
from lavra.data.rows.batch import TaskBatch
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.model.heads import add_task_head
from lavra.tasks.answer import ANSWER
from lavra.tasks.choose import CHOOSE
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.labelled import head_config
from lavra.tasks.rerank import RERANK
from lavra.tasks.tag import TAG

VOCAB, LENGTH = 64, 10
KINDS = ("llama", "gpt2", "falcon", "bert", "t5")


def model_of(family="llama", *, layers=2, hidden=32, heads=2, seed=0, loud=True, **changes):
    """A model with random weights large enough that logits are far from flat."""
    config = preset(
        family, vocab_size=VOCAB, hidden_size=hidden, num_layers=layers, num_heads=heads, max_positions=32, **changes
    )
    torch.manual_seed(seed)
    model = build_model(config).eval()
    if loud:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() >= 2:
                    parameter.copy_(torch.randn_like(parameter) * (0.4 if "embedding" in name else 0.2))
    return model


def task_model(task=CLASSIFY, labels=("a", "b", "c"), problem=None, family="bert", head=1.0, **settings):
    model = add_task_head(model_of(family, **settings), head_config(task, labels, problem), pad_id=0).eval()
    with torch.no_grad():
        model.head.output.weight.normal_(0, head)
    return model


def batch_of(family="llama", seed=0, rows=3):
    """A batch with two documents in a row and some padding; only some positions have labels."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCAB, (rows, LENGTH), generator=draw)
    segments = torch.ones(rows, LENGTH, dtype=torch.int32)
    segments[:, 6:] = 2
    segments[0, 8:] = 0
    labels = torch.randint(4, VOCAB, (rows, LENGTH), generator=draw)
    labels[torch.rand(rows, LENGTH, generator=draw) < 0.3] = IGNORE
    labels[segments == 0] = IGNORE
    positions = torch.cat((torch.arange(6), torch.arange(4))).expand(rows, LENGTH)
    more = {}
    if family == "t5":
        more = {"decoder_input_ids": torch.randint(4, VOCAB, (rows, 7), generator=draw)}
        more["decoder_segments"] = torch.tensor([1, 1, 1, 2, 2, 2, 0], dtype=torch.int32).expand(rows, 7)
        labels = torch.where(more["decoder_segments"] == 0, IGNORE, labels[:, :7])
    return Batch(
        input_ids=ids,
        labels=labels,
        positions=positions,
        segments=segments,
        sample_ids=tuple(f"row {row}" for row in range(rows)),
        **more,
    )


def task_batch(task=CLASSIFY, problem=None, seed=0, rows=4, num_labels=3):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, VOCAB, (rows, LENGTH), generator=draw)
    mask = torch.ones(rows, LENGTH, dtype=torch.bool)
    mask[1, 7:] = mask[2, 4:] = False
    classes = torch.randint(num_labels, (rows,), generator=draw)
    labels = {
        CLASSIFY: classes,
        TAG: torch.randint(num_labels, (rows, LENGTH), generator=draw).masked_fill(~mask, IGNORE),
        ANSWER: torch.randint(4, (rows, 2), generator=draw),
        CHOOSE: torch.randint(2, (rows // 2,), generator=draw),
        RERANK: torch.rand(rows, generator=draw),
    }[task]
    if problem is Problem.MULTI_LABEL:
        labels = torch.randint(2, (rows, num_labels), generator=draw).float()
    if problem is Problem.REGRESSION:
        labels = torch.randn(rows, generator=draw)
    number = labels.numel() if labels.is_floating_point() else int((labels != IGNORE).sum())
    return TaskBatch(
        input_ids=ids,
        attention_mask=mask,
        labels=labels,
        num_targets=number,
        sample_ids=tuple(f"sample {row}" for row in range(rows)),
        group=2 if task is CHOOSE else 1,
    )


class Made(FixedShape):
    """A batch maker that calls a function with the batch's number."""

    def __init__(self, make, length=1000):
        self.make, self.length = make, length

    def __len__(self):
        return self.length

    @property
    def dropped_per_epoch(self):
        return 0

    def batch(self, index):
        return self.make(index % self.length)
