"""A model with a task's head in the place of its language-model head.

    text, or pair ─▶ backbone ─▶ hidden (B, T, D) ─▶ the states the head reads ─▶ logits

The backbone is one of the three models of `lavra.model.transformer`, unchanged.  T5 reads a text with its encoder and
the same text, shifted by one, with its decoder, as BART does (Lewis et al. 2020, §3.1) and `transformers` does for it.

What is made of logits (labels, spans), and how they are learnt, is said by the specs of `lavra.tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import HeadKind, Problem
from lavra.model.build import Model
from lavra.model.config import Kind, ModelConfig
from lavra.model.dropout import dropout
from lavra.model.families import head_form
from lavra.model.families.head_forms import HeadForm, Reads
from lavra.model.first_token import can_read_first, first_hidden
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder

SPAN_LABELS = ("start", "end")
"""The two outputs of a head for spans."""

HEADS: Final[Mapping[str, HeadKind]] = {
    "classify": HeadKind.SEQUENCE,
    "rerank": HeadKind.SEQUENCE,
    "ner": HeadKind.TOKEN,
    "qa": HeadKind.SPAN,
    "choice": HeadKind.CHOICE,
}
"""Head by the word that model folders and cards have for a task; files name the kind itself where it is another."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What a head is for.

    Attributes:
        task: the word for it in files, such as `ner`.
        head: kind of the head.
        labels: names of the outputs, in their order; one nameless output (`score`) for regression, reranking and
            choices, two for spans.
        problem: what the labels of a classification are.
        dropout: share of the head's inputs dropped in training; None is what the family's head has.
    """

    task: str
    head: HeadKind
    labels: tuple[str, ...]
    problem: Problem | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or not self.labels:
            raise ConfigError(f"labels are {self.labels}; give at least one, each once")
        if self.head is HeadKind.CHOICE and len(self.labels) != 1:
            raise ConfigError(f"task {self.task} has {len(self.labels)} labels; it has one output, the score")
        if self.problem is Problem.REGRESSION and len(self.labels) != 1:
            raise ConfigError(f"a regression has one output, the number, and here {len(self.labels)} labels are given")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; give 0 or more and less than 1")

    @classmethod
    def of(
        cls, head: HeadKind, labels: tuple[str, ...] = (), problem: Problem | None = None, *, task: str | None = None
    ) -> TaskConfig:
        """The configuration of a head with these labels; those that have none of their own need none.

        Args:
            head: its kind.
            labels: names of the outputs.
            problem: what the labels of a sequence are; single labels unless given.
            task: the word for it in files; the usual one of the kind unless given.
        """
        if head is HeadKind.CHOICE or problem is Problem.REGRESSION:
            labels = ("score",)
        if head is HeadKind.SPAN:
            labels = SPAN_LABELS
        if head is HeadKind.SEQUENCE and problem is None:
            problem = Problem.SINGLE_LABEL
        word = task or next(word for word, kind in HEADS.items() if kind is head)
        return cls(task=word, head=head, labels=labels, problem=problem)

    def says_the_same(self, other: TaskConfig) -> bool:
        """Whether outputs of both heads mean the same; what is dropped in training aside."""
        return replace(self, dropout=None) == replace(other, dropout=None)

    @property
    def named_head(self) -> str | None:
        """The kind of head, where the word for the task does not say it."""
        return None if HEADS.get(self.task) is self.head else self.head.value

    def to_facts(self) -> dict[str, Any]:
        """Plain data for a card; `from_facts` reads it back."""
        facts = to_mapping(self)
        facts.pop("head")
        return facts if self.named_head is None else {**facts, "head": self.named_head}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], where: str = "") -> TaskConfig:
        """Read what `to_facts` wrote.

        Raises:
            ConfigError: it is something else.
        """
        head = HEADS.get(str(facts.get("task")))
        return from_mapping(cls, {"head": None if head is None else head.value, **facts}, where)


class TaskHead(nn.Module):
    """(..., D) -> (..., N), through a dense layer where the family's head has one."""

    def __init__(self, size: int, num_outputs: int, form: HeadForm, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(size, size) if form.dense else None
        self.output = nn.Linear(size, num_outputs, bias=form.bias)
        self.dropout = dropout

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., N)."""
        hidden = self._drop(hidden)
        if self.dense is not None:
            hidden = self._drop(torch.tanh(self.dense(hidden)))
        out: Tensor = self.output(hidden)
        return out

    def _drop(self, hidden: Tensor) -> Tensor:
        return dropout(hidden, self.dropout, self.training)


class TaskModel(nn.Module):
    """A backbone and a task's head.

    Args:
        backbone: without its language-model head; an encoder whose pooler the head reads has one.
        task: what the head is for.
    """

    def __init__(self, backbone: Model, task: TaskConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.task = task
        self.form = head_form(backbone.config.family, task.head)
        own = backbone.config.dropout.residual if self.form.dropout is None else self.form.dropout
        dropout = own if task.dropout is None else task.dropout
        self.head = TaskHead(backbone.config.hidden_size, len(task.labels), self.form, dropout)

    @property
    def config(self) -> ModelConfig:
        """Of the backbone."""
        return self.backbone.config

    def hidden(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(B, T) ids -> (B, T, D) hidden states, of the decoder where there is one that the head reads.

        Of an encoder whose head reads its first token alone there is that one: (B, 1, D).
        """
        model = self.backbone
        if isinstance(model, Encoder):
            if self.form.reads in (Reads.FIRST, Reads.POOLED) and can_read_first(model):
                return first_hidden(model, input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return model.hidden(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        if isinstance(model, Decoder):
            return model.hidden(input_ids, attention_mask=attention_mask)
        encoded = model.encode(input_ids, attention_mask=attention_mask)
        if self.form.encoder_only:
            return encoded
        return model.decode(self._shifted(input_ids), encoded, attention_mask=attention_mask)

    def forward(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Logits of texts.

        Args:
            input_ids: (B, T); padding, if any, is on the right.
            attention_mask: (B, T) True on real tokens; None when all are.
            token_type_ids: (B, T) for families that have them.

        Returns:
            (B, N) of the text as a whole, (B, T, N) where there is one a token (tags, spans).
        """
        hidden = self.hidden(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        out: Tensor = self.head(self._read(hidden, attention_mask))
        return out

    def _read(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The states the head reads: (B, T, D) -> (B, D) or (B, T, D)."""
        if self.form.reads is Reads.EVERY:
            return hidden
        if self.form.reads is Reads.FIRST:
            return hidden[:, 0]
        if self.form.reads is Reads.POOLED:
            assert isinstance(self.backbone, Encoder)
            return self.backbone.pooled(hidden)
        if attention_mask is None:
            return hidden[:, -1]
        last = attention_mask.sum(dim=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]

    def _shifted(self, input_ids: Tensor) -> Tensor:
        """(B, T) moved one to the right behind the token a decoder starts with."""
        start = self.config.decoder_start_id
        if start is None:
            raise InputError("this model's config.json names no decoder_start_token_id; T5's is its padding token")
        shifted = input_ids.new_full(input_ids.shape, start)
        shifted[:, 1:] = input_ids[:, :-1]
        return shifted


@torch.no_grad()
def add_task_head(model: Model, task: TaskConfig, *, pad_id: int | None = None) -> TaskModel:
    """A model with a fresh head of a task in the place of its own; the model's weights are used, not copied.

    The head's matrices are drawn from a normal distribution of `init_std` by torch's global generator, as
    `transformers` draws them, and so is a pooler that the head needs and the model lacks.

    Args:
        model: any of the three; it is changed.
        task: what for.
        pad_id: token that padding is filled with, kept in the configuration where that names none.
    """
    form = head_form(model.config.family, task.head)
    strip(model, form)
    if pad_id is not None and model.config.pad_id is None:
        model.config = replace(model.config, pad_id=pad_id)
    made = TaskModel(model, task)
    weight = model.embedding.token.weight
    std = model.config.init_std if model.config.kind is not Kind.ENCODER_DECODER else model.config.hidden_size**-0.5
    drawn: list[nn.Module] = [made.head]
    if isinstance(model, Encoder) and form.reads is Reads.POOLED and model.pooler is None:
        model.pooler = nn.Linear(model.config.hidden_size, model.config.hidden_size)
        model.config = replace(model.config, has_pooler=True)
        drawn.append(model.pooler)
    for linear in (part for top in drawn for part in top.modules() if isinstance(part, nn.Linear)):
        linear.weight.normal_(0.0, std)
        if linear.bias is not None:
            linear.bias.zero_()
    for module in drawn:
        module.to(device=weight.device, dtype=torch.float32 if weight.dtype.itemsize < 2 else weight.dtype)
    return made.train(model.training)


def strip(model: Model, form: HeadForm) -> None:
    """Take from a model what a head of this form does not use: its own head, a pooler, T5's decoder."""
    model.head = None
    if isinstance(model, Encoder):
        model.config = replace(model.config, has_head=False, head_bias=False, head_transform=False)
        if form.reads is not Reads.POOLED and model.pooler is not None:
            model.pooler = None
            model.config = replace(model.config, has_pooler=False)
    if isinstance(model, EncoderDecoder) and form.encoder_only:
        model.decoder = None  # type: ignore[assignment]
