"""Filling gaps: the likeliest tokens where a text has a mask (Devlin et al. 2019, §3.1).

Each gap is filled by itself, given the text and the other gaps as gaps: the likeliest token for each of two gaps need
not be likeliest for both together.  Both runners compute only hidden states and logits; this module does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from lavra.api.gap_candidate import Fill
from lavra.api.held_port import HeldPort
from lavra.api.native_encoder_port import NativeEncoderPort
from lavra.base.arrays import Float32s
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.lazy import resolve
from lavra.base.ports import Gap, LanguageModel
from lavra.base.types import FillRequest
from lavra.generate.logprobs import check_finite, log_sum_exp, top_logprobs
from lavra.generate.prompt_encoding import PromptEncoding
from lavra.generate.virtual_tokens import NO_VIRTUAL_TOKENS, VirtualTokens
from lavra.model.config import Kind
from lavra.tokens.tokenizer import Tokenizer

LOGITS_BYTES: Final = 64 * 2**20  # float32 logits of one text held at once
_IN_TORCH: Final = "lavra.api.torch_fill:TorchMaskFiller"


def fill_mask(model: LanguageModel, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
    """The `top_k` likeliest tokens of each gap of a text, gaps in order, likeliest first.

    Args:
        model: an encoder with a masked-token head.
        text: text with the tokenizer's mask token (`[MASK]`, `<mask>`) once or more.
        top_k: candidates a gap.
        targets: candidate words, each one token; without targets all tokens are candidates.

    Raises:
        InputError: the model has no masked-token head, the text has no gap, or a target is not one token.
        ConfigError: `top_k` is outside the vocabulary.
        ContextLengthError: the text is too long.
    """
    filler = open_filler(model)
    (gaps,) = filler.fill([FillRequest(text=text, top_k=top_k, targets=tuple(targets))])
    return [
        [
            Fill(token=token, text=filler.tokenizer.decode([token]).strip(), logprob=logprob)
            for token, logprob in candidates
        ]
        for candidates in gaps
    ]


def mask_filler(model: LanguageModel) -> GapFiller | None:
    """The gap filler of a model, or None for a model that cannot fill gaps."""
    try:
        return open_filler(model)
    except InputError:
        return None


def open_filler(model: LanguageModel) -> GapFiller:
    """The gap filler of a model.

    Raises:
        InputError: the model has no masked-token head, or its tokenizer no mask token, or its weights are in another
            process.
    """
    if not isinstance(model, HeldPort):
        raise InputError(f"fill_mask needs the weights in this process, and {type(model).__name__} has them elsewhere")
    if model.config.kind is not Kind.ENCODER:
        raise InputError("fill_mask is for encoders such as BERT; this model writes from left to right, use generate")
    if not model.config.has_head:
        raise InputError(
            "this checkpoint has no masked-token head, so it fills no gaps; "
            "use it for embeddings, or open one saved with its head (BertForMaskedLM)"
        )
    if isinstance(model, NativeEncoderPort):
        return NativeMaskFiller(model)
    filler: GapFiller = resolve(_IN_TORCH)(model)
    return filler


class _Planned(NamedTuple):
    """A request ready to be computed: the ids, the places of the gaps, and the candidates (None: all tokens)."""

    ids: tuple[int, ...]
    gaps: list[int]
    top_k: int
    targets: list[int] | None


class GapFiller(ABC):
    """The `MaskFiller` port on an encoder in this process.

    Args:
        encoding: encoding of the model's input.
        front: virtual tokens in front of each text.

    Raises:
        InputError: the tokenizer has no mask token, or the model stands behind a soft prompt.
    """

    def __init__(self, encoding: PromptEncoding, front: VirtualTokens) -> None:
        if front != NO_VIRTUAL_TOKENS:
            raise InputError("gaps are filled by the model itself, not behind a soft prompt; open the model it is over")
        mask_id = encoding.tokenizer.mask_id
        if mask_id is None:
            raise InputError("this tokenizer has no mask token; add one to special_tokens_map.json")
        self._encoding, self._mask_id, self.tokenizer = encoding, mask_id, encoding.tokenizer
        known = 1 + encoding.tokenizer.last_id
        self._num_tokens = min(known, encoding.vocab_size)  # some models have rows to spare

    def fill(self, requests: Sequence[FillRequest]) -> list[tuple[Gap, ...]]:
        """The gaps of each text from left to right, in the order of the requests.

        Raises:
            InputError: a text has no gap, or a target is not one token.
            ConfigError: a `top_k` is outside the vocabulary.
            ContextLengthError: a text is too long.
        """
        planned = [self._plan(request) for request in requests]
        found: list[tuple[Gap, ...]] = [()] * len(planned)
        for index, states in self._states([one.ids for one in planned]):
            found[index] = tuple(self._gaps(states, planned[index]))
        return found

    @abstractmethod
    def _states(self, texts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield each text's number and the (T, D) hidden states of its tokens, in any order."""

    @abstractmethod
    def _logits(self, states: Any) -> Float32s:
        """(G, D) hidden states -> (G, V)."""

    def _plan(self, request: FillRequest) -> _Planned:
        ids = tuple(self._encoding.source_ids(request.text) if isinstance(request.text, str) else request.text)
        self._encoding.check_ids(ids)
        gaps = [place for place, token in enumerate(ids) if token == self._mask_id]
        if not gaps:
            name = self.tokenizer.token(self._mask_id)
            raise InputError(f"the text has no gap to fill; write {name} where a word is missing")
        if not 1 <= request.top_k <= self._num_tokens:
            raise ConfigError(f"top_k={request.top_k} is outside 1..{self._num_tokens}, the size of the vocabulary")
        context = self._encoding.context
        if context is not None and len(ids) > context:
            raise ContextLengthError(f"the text has {len(ids)} tokens and the model's context {context}; shorten it")
        targets = [target_id(self.tokenizer, word) for word in request.targets]
        self._encoding.check_ids(targets)
        return _Planned(ids, gaps, request.top_k, list(dict.fromkeys(targets)) or None)

    def _gaps(self, states: Any, planned: _Planned) -> Iterator[Gap]:
        """The candidates of each gap of a text."""
        # Texts made of masks have as many rows of logits as tokens: a bounded number of them at a time.
        most = max(1, LOGITS_BYTES // (4 * self._encoding.vocab_size))
        for first in range(0, len(planned.gaps), most):
            logits = self._logits(states[planned.gaps[first : first + most]])
            check_finite(logits)
            for row, norm in zip(logits, log_sum_exp(logits).tolist(), strict=True):
                yield self._best(row, norm, planned)

    def _best(self, row: Float32s, norm: float, planned: _Planned) -> Gap:
        """(V,) logits of a gap -> its candidates, likeliest first."""
        if planned.targets is None:
            return top_logprobs(row[: self._num_tokens], norm, planned.top_k)
        best = top_logprobs(row[planned.targets], norm, planned.top_k)
        return tuple((planned.targets[place], logprob) for place, logprob in best)


class NativeMaskFiller(GapFiller):
    """The gap filler of the native runner: texts read alone, without padding.

    Args:
        port: port of an encoder with a masked-token head.
    """

    def __init__(self, port: NativeEncoderPort) -> None:
        super().__init__(port.encoding, port.front)
        self._encoder, self._adapter = port.encoder, port.adapter

    def _states(self, texts: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, Float32s]]:
        return enumerate(hidden for batch in self._encoder.batches(texts, adapter=self._adapter) for hidden in batch)

    def _logits(self, states: Any) -> Float32s:
        return self._encoder.logits(states)


def target_id(tokenizer: Tokenizer, word: str) -> int:
    """The only token of a word: as the vocabulary spells it, else as the tokenizer reads it.

    Raises:
        InputError: the word is not a single token.
    """
    ids = tokenizer.encode(word)  # first, because it refuses anything but text
    found = tokenizer.id(word)
    if found is not None:
        return found
    if len(ids) != 1:
        raise InputError(f"target {word!r} is {len(ids)} tokens and a gap holds one; name a token of the vocabulary")
    if ids[0] == tokenizer.unk_id:
        raise InputError(f"target {word!r} is not in the vocabulary; name a token that is")
    return ids[0]
