"""The 5-gram baseline: a model of the same tokens that only counts.

An interpolated modified Kneser-Ney model (`kneser_ney`) is trained on the training tokens and scored on the held-out
tokens.  It predicts the same tokens as a decoder: every token of a document from the tokens before it, and the end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from lavra.base.arrays import Float64s
from lavra.base.errors import ConfigError, InputError
from lavra.data.pretraining.dataset import TokenDataset
from lavra.evaluation.baselines.kneser_ney import KneserNey
from lavra.evaluation.baselines.padded import PaddedText, pad_documents, sample_documents


@dataclass(frozen=True, kw_only=True)
class NgramConfig:
    """The size of the model.

    Attributes:
        order: tokens in the longest n-gram, the predicted one included.
        max_tokens: training tokens counted at most (whole documents, drawn at random); bounds the memory, which is
            about 130 bytes a token. `NgramModel.num_tokens_unused` is the number of tokens left out.
        seed: fixes which documents are drawn.
    """

    order: int = 5
    max_tokens: int = 16_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("order", self.order), ("max_tokens", self.max_tokens)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class NgramScore:
    """The score of a text.

    Attributes:
        nll: (M,) negative log-likelihood of each target in nats: document after document, its tokens and then its
            end.
        seconds: time that the scoring took.
    """

    nll: Float64s
    seconds: float

    @property
    def total_nll(self) -> float:
        """Nats of the whole text."""
        return float(self.nll.sum())


class NgramModel:
    """A trained n-gram model of the tokens to the left."""

    def __init__(self, model: KneserNey, *, num_tokens: int, num_tokens_unused: int, seconds: float) -> None:
        """Take a trained model; call `NgramModel.train` instead."""
        self.model = model
        self.num_tokens = num_tokens
        self.num_tokens_unused = num_tokens_unused
        self.seconds = seconds

    @classmethod
    def train(cls, dataset: TokenDataset, config: NgramConfig | None = None) -> NgramModel:
        """Count the n-grams of a dataset.

        Raises:
            InputError: the dataset is empty.
        """
        config = config or NgramConfig()
        if dataset.num_documents == 0:
            raise InputError(f"{dataset.folder} has no documents; an n-gram model needs some text to count")
        began = time.perf_counter()
        documents = np.sort(sample_documents(dataset, config.max_tokens, config.seed))
        text = pad_documents(dataset, gap=max(1, config.order - 1), stops=True, documents=documents)
        model = KneserNey.train(text.targets, _left(text, config.order), dataset.vocab_size)
        used = int(dataset.lengths[documents].sum())
        return cls(
            model,
            num_tokens=used,
            num_tokens_unused=dataset.num_tokens - used,
            seconds=time.perf_counter() - began,
        )

    def score(self, dataset: TokenDataset) -> NgramScore:
        """Score a dataset of the same vocabulary.

        Raises:
            InputError: the dataset has another vocabulary.
        """
        if dataset.vocab_size != self.model.vocab_size:
            raise InputError(
                f"the text has a vocabulary of {dataset.vocab_size} and the model one of {self.model.vocab_size}; "
                "tokenise both with the same tokenizer"
            )
        began = time.perf_counter()
        text = pad_documents(dataset, gap=max(1, self.model.order - 1), stops=True)
        probabilities = self.model.probabilities(text.targets, _left(text, self.model.order))
        return NgramScore(nll=-np.log(probabilities), seconds=time.perf_counter() - began)


def _left(text: PaddedText, order: int) -> list[np.ndarray]:
    return text.neighbours(tuple(range(-1, -order, -1)))
