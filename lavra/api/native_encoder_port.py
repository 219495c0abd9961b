"""The port of a natively opened encoder: it scores texts by masking each token in turn, and cannot write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NoReturn

import numpy as np

from lavra.base.arrays import Float32s
from lavra.base.errors import InputError
from lavra.base.types import Completion, GenerateRequest, Score, ScoreRequest
from lavra.engine.adapters import EngineAdapter
from lavra.engine.runners.native_encoder import NativeEncoder
from lavra.engine.runners.native_model import NativeModel
from lavra.generate.logprobs import check_finite, log_sum_exp, top_logprobs
from lavra.generate.prompt_encoding import PromptEncoding, encoding_of
from lavra.generate.pseudo_likelihood import copies_of, pseudo_likelihood
from lavra.generate.target import GenerationTarget, TokenJudgements, plan_score, refuse_adapters
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS
from lavra.model.config import NO_HEAD
from lavra.tokens.tokenizer import Tokenizer


class NativeEncoderPort:
    """The `LanguageModel` port over native weights.

    Args:
        weights: weights of an encoder.
        tokenizer: tokenizer of the model.
        adapter: adapter that acts on every text.

    Attributes:
        front: the adapter's virtual tokens, in front of every text.
    """

    def __init__(self, weights: NativeModel, tokenizer: Tokenizer, adapter: EngineAdapter | None = None) -> None:
        self.weights, self.config, self.tokenizer = weights, weights.config, tokenizer
        self.adapter = None if adapter is None else adapter.name
        self.front = NO_VIRTUAL_TOKENS if adapter is None else adapter.front
        self.encoding: PromptEncoding = self.front.behind(encoding_of(self.config, tokenizer), "the soft prompt")

    @cached_property
    def encoder(self) -> NativeEncoder:
        """The encoder, made for the first text, because it has threads of its own."""
        return NativeEncoder(self.weights)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Completion]]:
        """Refuse: an encoder writes no text."""
        self._refuse()

    def submit(self, request: GenerateRequest) -> NoReturn:
        """Refuse: an encoder writes no text."""
        self._refuse()

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Pseudo-likelihoods, in the order of the requests.

        Raises:
            InputError: the model has no masked-token head, the tokenizer no mask, or ids are out of range.
        """
        refuse_adapters(requests)
        targets = [plan_score(request, self.encoding) for request in requests]
        if not self.config.has_head:
            raise InputError(NO_HEAD)
        return [self._score(target) for target in targets]

    def _score(self, target: GenerationTarget) -> Score:
        window = self.encoding.context or self.config.max_positions
        copies = copies_of(target, self.encoding, window, self.front)
        masked = [copies.copy(target.tokens, place) for place in range(len(target.tokens))]
        holes, found = iter(hole for _, hole in masked), TokenJudgements()
        for states in self.encoder.batches([row for row, _ in masked], adapter=self.adapter):
            read = np.stack([one[next(holes)] for one in states])  # (B, D)
            first = len(found.logprobs)
            labels = target.tokens[first : first + len(read)]
            found.extend(_judged(self.encoder.logits(read), labels, target.top_logprobs))
        return pseudo_likelihood(target, found, self.encoding, window)

    def _refuse(self) -> NoReturn:
        raise InputError("this model is an encoder and cannot write text; use score, embed or fill_mask")


def _judged(logits: Float32s, labels: Sequence[int], top: int) -> TokenJudgements:
    """Judge tokens by (B, V) logits and the token at each place."""
    check_finite(logits)
    norms, own = log_sum_exp(logits), np.asarray(labels, dtype=np.int64)
    logprobs = np.minimum(logits[np.arange(len(own)), own] - norms, 0.0)
    tops = [top_logprobs(row, float(norm), top) for row, norm in zip(logits, norms, strict=True)]
    return TokenJudgements(
        logprobs=logprobs.tolist(), greedy=(logits.argmax(axis=1) == own).tolist(), tops=tops if top else []
    )
