"""Sentence embeddings: pairs whose vectors are to be near each other, in the manner of SBERT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lavra.adapt.config import VirtualTokensConfig
from lavra.adapt.embedding import EmbeddingModel
from lavra.adapt.embedding_folder import parse_pooling
from lavra.adapt.embedding_losses import (
    Cosent,
    EmbeddingLoss,
    InBatchNegatives,
    Matryoshka,
    ScoredCosine,
    Triplets,
    VectorLoss,
)
from lavra.adapt.embedding_saving import save_embedding_model
from lavra.adapt.virtual_rows import with_virtual_tokens
from lavra.base.errors import ConfigError, InputError
from lavra.data.labelled.samples import PairSample, Sample, TextSample
from lavra.data.rows.batches import RowBatches, TaskRows, inference_batches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.pairs import pair_rows, scored_pair_rows
from lavra.data.rows.texts import unlabelled_text_rows
from lavra.metrics.classification import regression_scores
from lavra.model.build import Model
from lavra.model.config import ModelConfig
from lavra.model.transformer import EncoderDecoder
from lavra.tasks.learning.recipe import TrainingTask
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.scoring.retrieval import compare_with_bm25
from lavra.tasks.scoring.scores import Scores
from lavra.tokens.tokenizer import Tokenizer
from lavra.train.objective import TaskObjective

_CUTOFFS: Final = (1, 5, 10)


class EmbeddedRecipe:
    """A sentence encoder; in-batch negatives, or scores where every pair has one.

    Args:
        model: the backbone.
        tokenizer: the model's tokenizer.
        config: the run's settings.
        max_tokens: most tokens of a row.
    """

    trained_whole: tuple[str, ...] = ()
    head: None = None  # vectors have no labels

    def __init__(self, model: Model, tokenizer: Tokenizer, config: FinetuneConfig, max_tokens: int) -> None:
        self.model = EmbeddingModel(model, pooling=parse_pooling(config.embed.pooling))
        self.tokenizer, self.config, self.max_tokens = tokenizer, config, max_tokens
        self.virtual: tuple[int, ...] = ()
        self.form = RowFormat(
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            num_token_types=model.config.num_token_types,
            on_long=config.on_long,
            multiple=1,
        )

    @property
    def model_config(self) -> ModelConfig:
        """The configuration of the backbone."""
        return self.model.config

    @property
    def num_virtual(self) -> int:
        """Virtual tokens at the start of each row."""
        return len(self.virtual)

    def module(self) -> nn.Module:
        """The trained module."""
        return self.model

    def put_in_front(self, virtual: tuple[int, ...], adapter: VirtualTokensConfig) -> None:
        """Begin every text with virtual tokens.

        Raises:
            ConfigError: the virtual tokens are T5's prefix, which its encoder does not read.
        """
        if adapter.in_target and isinstance(self.model.backbone, EncoderDecoder):
            raise ConfigError("T5's prefix is its decoder's, and its encoder embeds; use prompt, lora or ia3")
        self.virtual = virtual

    def training_task(self, samples: Sequence[Sample]) -> TrainingTask:
        """Groups of texts, no text twice in a batch."""
        rows, loss = self._rows(_pairs(samples))
        rows = with_virtual_tokens(rows, self.virtual)
        batches = RowBatches(rows, OrderConfig(batch_size=self.config.batch_size, seed=self.config.seed))
        return TrainingTask(
            rows=rows,
            objective=TaskObjective(
                batches=batches, loss=EmbeddingLoss(loss=loss, chunk_rows=self.config.embed.chunk_rows)
            ),
            num_samples=len(rows),
            batches_an_epoch=len(batches),
            issues=rows.issues,
        )

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Scored pairs: rank correlation of cosines and scores; others: recall among all passages, beside BM25's."""
        pairs = _pairs(samples)
        scores = [pair.score for pair in pairs if pair.score is not None]
        if len(scores) == len(pairs):
            first, second = (self.embed([getattr(pair, name) for pair in pairs]) for name in ("anchor", "positive"))
            cosines = (first * second).sum(axis=1).astype(np.float64)
            values = regression_scores(np.asarray(scores, dtype=np.float64), cosines).to_values()
            kept = {name: values[name] for name in ("spearman", "pearson")}
            return Scores(main="spearman", values=kept, num_samples=len(pairs))
        found = compare_with_bm25(pairs, self.embed, cutoffs=_CUTOFFS)
        bm25 = {f"bm25_{name}": value for name, value in found.bm25.to_values().items()}
        return Scores(main="recall@5", values={**found.ours.to_values(), **bm25}, num_samples=len(pairs))

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(N, D) vectors of texts, cut where they are too long."""
        rows = unlabelled_text_rows([TextSample(text=text) for text in texts], self.form)
        if len(rows) < len(texts):
            raise InputError(f"{len(texts) - len(rows)} of {len(texts)} texts have no tokens and cannot be embedded")
        rows = with_virtual_tokens(rows, self.virtual)
        vectors = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        device, training = next(self.model.parameters()).device, self.model.training
        self.model.eval()
        with torch.inference_mode():
            for numbers, batch in inference_batches(rows, 2 * self.config.batch_size):
                moved = batch.to(device)
                out = self.model(
                    moved.input_ids, attention_mask=moved.attention_mask, token_type_ids=moved.token_type_ids
                )
                vectors[numbers] = nn.functional.normalize(out).cpu().numpy()
        self.model.train(training)
        return vectors

    def save(self, folder: Path) -> None:
        """A folder that sentence-transformers and `AutoModel` open."""
        save_embedding_model(self.model, self.tokenizer, folder, max_tokens=self.max_tokens)

    def _rows(self, pairs: Sequence[PairSample]) -> tuple[TaskRows, VectorLoss]:
        scores = [pair.score for pair in pairs if pair.score is not None]
        if scores and len(scores) < len(pairs):
            raise InputError(f"{len(scores)} of {len(pairs)} pairs have a score; give all of them one, or none")
        wanted = self.config.embed.loss or ("cosine" if scores else "in-batch")
        if bool(scores) != (wanted in ("cosine", "cosent")):
            raise ConfigError(
                f"embed.loss is {wanted!r} and the pairs have {'scores' if scores else 'no scores'}; "
                f"choose {'cosine or cosent' if scores else 'in-batch or triplet'}"
            )
        loss = self._loss(wanted, scores)
        sizes = self.config.embed.sizes
        rows = scored_pair_rows(pairs, self.form) if scores else pair_rows(pairs, self.form)
        return rows, Matryoshka(loss=loss, sizes=sizes) if sizes else loss

    def _loss(self, wanted: str, scores: Sequence[float]) -> VectorLoss:
        if wanted == "in-batch":
            return InBatchNegatives(symmetric=self.config.embed.symmetric)
        if wanted == "triplet":
            return Triplets()
        return Cosent() if wanted == "cosent" else ScoredCosine(lowest=min(0.0, *scores), highest=max(scores))


def _pairs(samples: Sequence[Any]) -> list[PairSample]:
    return list(samples)
