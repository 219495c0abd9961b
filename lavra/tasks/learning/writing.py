"""Tasks that write: conversations, and one text made of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.errors import ConfigError
from lavra.base.lazy import resolve
from lavra.data.labelled.samples import RewriteSample, Sample
from lavra.data.rows.batches import RowBatches, inference_batches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.language import LanguageRows
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.targets import completion_rows, rewrite_rows
from lavra.data.rows.turns import chat_rows
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.transformer import Encoder, EncoderDecoder
from lavra.quantize.folder import save_model
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import SupervisedConfig
from lavra.tasks.scoring.scores import Scores
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.objective import Objective, sequence_to_sequence_loss, token_loss


class WritingRecipe:
    """A decoder or an encoder-decoder.

    Args:
        model: the model, with its language-model head.
        tokenizer: the model's tokenizer.
        config: the run's settings.
        max_tokens: most tokens of a row.

    Raises:
        ConfigError: the model is an encoder, or conversations are to be learnt by an encoder-decoder.
    """

    trained_whole: tuple[str, ...] = ()
    head: None = None  # the model's own writes tokens and is of no task

    def __init__(self, model: Model, tokenizer: Tokenizer, config: SupervisedConfig, max_tokens: int) -> None:
        assert config.task.writing is not None
        self.spec = config.task.writing
        if isinstance(model, Encoder):
            raise ConfigError(
                f"task {config.task.name!r} writes text and this model is an encoder; take a decoder or T5"
            )
        if self.spec.is_chat and isinstance(model, EncoderDecoder):
            raise ConfigError("conversations are learnt by decoders; use `task rewrite` for T5")
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.form = RowFormat(
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            on_long="drop" if self.spec.is_chat and config.on_long == "cut" else config.on_long,  # see `conversations`
            multiple=1,
        )
        self.virtual: tuple[int, ...] = ()
        self.virtual_in_target = False

    @property
    def model_config(self) -> ModelConfig:
        """The configuration of the model."""
        return self.model.config

    @property
    def num_virtual(self) -> int:
        """Virtual tokens at the start of each row's input."""
        return 0 if self.virtual_in_target else len(self.virtual)

    def module(self) -> nn.Module:
        """The trained module."""
        return self.model

    def put_in_front(self, virtual: tuple[int, ...], adapter: VirtualTokensConfig) -> None:
        """Begin every text with virtual tokens: every target, where they are T5's prefix, which is its decoder's."""
        self.virtual = virtual
        self.virtual_in_target = adapter.in_target and isinstance(self.model, EncoderDecoder)

    def training_task(self, samples: Sequence[Sample]) -> TrainingTask:
        """Samples packed into rows, apart from each other: as many rows a batch as hold about `batch_size` samples."""
        rows = self.rows(samples, packed=True)
        together = max(1, round(self.config.batch_size * len(rows) / max(1, len(rows.sequences.inputs))))
        batches = RowBatches(rows, OrderConfig(batch_size=together, seed=self.config.seed))
        loss = sequence_to_sequence_loss if isinstance(self.model, EncoderDecoder) else token_loss
        return TrainingTask(
            rows=rows,
            objective=Objective(batches=batches, loss=loss),
            num_samples=len(rows.sequences.inputs),
            batches_an_epoch=len(batches),
            issues=rows.issues,
        )

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Nats a token that is to be written, and the perplexity that makes."""
        rows = self.rows(samples, packed=False)
        loss = sequence_to_sequence_loss if isinstance(self.model, EncoderDecoder) else token_loss
        device = next(self.model.parameters()).device
        training, nats = self.model.training, 0.0
        self.model.eval()
        with torch.no_grad():
            for _, batch in inference_batches(rows, self.config.batch_size):
                nats += float(loss(self.model, batch.to(device)))
        self.model.train(training)
        mean = nats / max(1, rows.num_targets)
        values = {"nats_per_token": mean, "perplexity": math.exp(min(mean, 700.0))}
        return Scores(main="nats_per_token", values=values, lower_is_better=True, num_samples=len(rows))

    def save(self, folder: Path) -> None:
        """A folder that `AutoModelForCausalLM` or `AutoModelForSeq2SeqLM` opens."""
        save_model(self.model, folder)

    def rows(self, samples: Sequence[Any], *, packed: bool) -> LanguageRows:
        """Samples as the model reads and writes them, several to a row or one."""
        rows: LanguageRows = resolve(self.spec.rows)(self, samples, packed)
        return with_virtual_tokens(rows, self.virtual, packed=packed, in_target=self.virtual_in_target)


def conversations(recipe: WritingRecipe, samples: Sequence[Any], packed: bool) -> LanguageRows:
    """Conversations, the assistant's turns to be learnt; none is cut, for the rest would be another conversation."""
    return chat_rows(samples, recipe.form, packed=packed)


def rewritten(recipe: WritingRecipe, samples: Sequence[Any], packed: bool) -> LanguageRows:
    """Sources and targets: an encoder-decoder reads one and writes the other, a decoder goes on after the source."""
    if not isinstance(recipe.model, EncoderDecoder):
        return completion_rows(samples, recipe.form, separator=recipe.config.separator, packed=packed)
    config = recipe.model.config
    start = config.decoder_start_id if config.decoder_start_id is not None else config.pad_id
    if start is None:
        raise ConfigError("config.json names no decoder_start_token_id; add it (0 in T5)")
    return rewrite_rows(
        samples, recipe.form, decoder_start_id=start, max_target_tokens=recipe.form.max_tokens, packed=packed
    )


def meet_without_space(samples: Sequence[Sample], separator: str) -> bool:
    """Whether a source's last word and its target's first would be one word to a decoder."""
    texts = [sample for sample in samples if isinstance(sample, RewriteSample) and sample.target]
    return any(not (one.source + separator)[-1:].isspace() and not (one.target or "")[:1].isspace() for one in texts)
