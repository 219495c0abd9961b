"""The pass over a batch, for a student and its teacher alike: hidden states of the targets, logits, and real tokens."""

from __future__ import annotations

from torch import Tensor

from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE, PADDING_SEGMENT, Batch
from lavra.data.rows.batch import TaskBatch
from lavra.model.build import Model
from lavra.model.heads import TaskModel
from lavra.model.transformer import Decoder, Encoder, EncoderDecoder


def target_hidden(model: Model, batch: Batch) -> Tensor:
    """Hidden states (N, D) of the positions that carry loss, ready for the head's matrix.

    Raises:
        ConfigError: the batch is of another kind than the model.
    """
    hidden = _decoded(model, batch).flatten(0, 1)
    wanted = (batch.labels != IGNORE).flatten()
    return model.head_hidden(hidden if bool(wanted.all()) else hidden[wanted])


def _decoded(model: Model, batch: Batch) -> Tensor:
    """Hidden states (B, T, D) of the tokens that are predicted."""
    if isinstance(model, EncoderDecoder) != (batch.decoder_input_ids is not None):
        kind = "has" if batch.decoder_input_ids is not None else "lacks"
        raise ConfigError(f"the batch {kind} a decoder's input and the model is a {model.config.kind.value}")
    if isinstance(model, Decoder | Encoder):
        return model.hidden(batch.input_ids, positions=batch.positions, segments=batch.segments)
    assert batch.decoder_input_ids is not None
    encoded = model.encode(batch.input_ids, segments=batch.segments)
    return model.decode(
        batch.decoder_input_ids, encoded, segments=batch.segments, decoder_segments=batch.decoder_segments
    )


def targets(batch: Batch) -> Tensor:
    """The labels (N,) of the same positions."""
    flat = batch.labels.flatten()
    return flat[flat != IGNORE]


def task_logits(model: TaskModel, batch: TaskBatch, *, whole: bool) -> Tensor:
    """Logits of labelled rows.

    Args:
        model: model with a task's head.
        batch: the batch.
        whole: every block computes every token, for a watch that keeps them all; a head may need the first token only.
    """
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    types = batch.token_type_ids
    if whole and isinstance(model.backbone, Encoder):
        hidden = model.backbone.hidden(batch.input_ids, attention_mask=mask, token_type_ids=types)
        out: Tensor = model.head(model._read(hidden, mask))
        return out.float()
    logits: Tensor = model(batch.input_ids, attention_mask=mask, token_type_ids=types)
    return logits.float()


def real_tokens(batch: Batch | TaskBatch, stack: str) -> Tensor:
    """(B, T) True on the tokens of `encoder` or `decoder` that are not padding."""
    if isinstance(batch, TaskBatch):
        return batch.attention_mask.bool()
    if stack == "decoder" and batch.decoder_input_ids is not None:
        if batch.decoder_segments is not None:
            return batch.decoder_segments != PADDING_SEGMENT
        return batch.labels != IGNORE
    return batch.segments != PADDING_SEGMENT
