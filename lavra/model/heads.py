"""A model with a task's head in the place of its language-model head.

    text, or pair ─▶ backbone ─▶ hidden (B, T, D) ─▶ the states the head reads ─▶ logits

The backbone is one of the three models of `lavra.model.transformer`, unchanged.  T5 reads a text with its encoder and
the same text, shifted by one, with its decoder, as BART does (Lewis et al. 2020, §3.1) and `transformers` does for it.

The specs of `lavra.tasks` define the outputs made of logits (labels, spans), and the losses.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lavra.base.errors import InputError
from lavra.model.build import Model
from lavra.model.config import Kind, ModelConfig
from lavra.model.dropout import dropout
from lavra.model.families.head_forms import HeadForm, HeadInput
from lavra.model.families.table import head_form
from lavra.model.first_token import can_read_first, first_hidden
from lavra.model.task_config import NO_DECODER_START, TaskConfig
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder


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
        backbone: model without its language-model head; an encoder has a pooler if the head reads it.
        task: configuration of the head.
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
        """The configuration of the backbone."""
        return self.backbone.config

    def hidden(
        self, input_ids: Tensor, *, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(B, T) ids -> (B, T, D) hidden states, of the decoder if the head reads the decoder.

        Of an encoder whose head reads its first token alone the result is (B, 1, D).
        """
        model = self.backbone
        if isinstance(model, Encoder):
            if self.form.reads in (HeadInput.FIRST, HeadInput.POOLED) and can_read_first(model):
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
            input_ids: (B, T); padding is on the right.
            attention_mask: (B, T) True on real tokens; None when all are.
            token_type_ids: (B, T) for families that have token types.

        Returns:
            (B, N) for the text as a whole, (B, T, N) for each token (tags, spans).
        """
        hidden = self.hidden(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        out: Tensor = self.head(self._read(hidden, attention_mask))
        return out

    def _read(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The states that the head reads: (B, T, D) -> (B, D) or (B, T, D)."""
        if self.form.reads is HeadInput.EVERY:
            return hidden
        if self.form.reads is HeadInput.FIRST:
            return hidden[:, 0]
        if self.form.reads is HeadInput.POOLED:
            assert isinstance(self.backbone, Encoder)
            return self.backbone.pooled(hidden)
        if attention_mask is None:
            return hidden[:, -1]
        last = attention_mask.sum(dim=1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]

    def _shifted(self, input_ids: Tensor) -> Tensor:
        """(B, T) moved right by one, behind the token that a decoder starts with."""
        start = self.config.decoder_start_id
        if start is None:
            raise InputError(NO_DECODER_START)
        shifted = input_ids.new_full(input_ids.shape, start)
        shifted[:, 1:] = input_ids[:, :-1]
        return shifted


@torch.no_grad()
def add_task_head(model: Model, task: TaskConfig, *, pad_id: int | None = None) -> TaskModel:
    """A model with a task's fresh head instead of its own; the model's weights are used, not copied.

    The head's matrices are drawn from a normal distribution of `init_std` by torch's global generator, as
    `transformers` draws them, and so is a pooler that the head needs and the model lacks.

    Args:
        model: any of the three models; it is changed.
        task: configuration of the head.
        pad_id: padding token, kept in the configuration if it has none.
    """
    form = head_form(model.config.family, task.head)
    strip(model, form)
    if pad_id is not None and model.config.pad_id is None:
        model.config = replace(model.config, pad_id=pad_id)
    made = TaskModel(model, task)
    weight = model.embedding.token.weight
    std = model.config.init_std if model.config.kind is not Kind.ENCODER_DECODER else model.config.hidden_size**-0.5
    drawn: list[nn.Module] = [made.head]
    if isinstance(model, Encoder) and form.reads is HeadInput.POOLED and model.pooler is None:
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
    """Remove the parts of a model that a head of this form does not use: its own head, a pooler, T5's decoder."""
    model.head = None
    if isinstance(model, Encoder):
        model.config = replace(model.config, has_head=False, head_bias=False, head_transform=False)
        if form.reads is not HeadInput.POOLED and model.pooler is not None:
            model.pooler = None
            model.config = replace(model.config, has_pooler=False)
    if isinstance(model, EncoderDecoder) and form.encoder_only:
        model.decoder = None  # type: ignore[assignment]
