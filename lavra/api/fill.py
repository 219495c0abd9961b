"""What belongs in the gap: the likeliest tokens where a text has a mask (Devlin et al. 2019, §3.1).

Each gap is filled by itself, given the text and the other gaps as gaps: what is likeliest for each of two need not be
what is likeliest for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lavra.api.padding import batches_by_length, padded
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.ports import Gap, LanguageModel
from lavra.base.types import FillRequest
from lavra.generate.front import NO_FRONT
from lavra.generate.in_process import InProcessModel
from lavra.model.token_scores import LOGITS_BYTES
from lavra.model.transformer import Encoder
from lavra.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One candidate for a gap.

    Attributes:
        token: its id.
        text: the token as text.
        logprob: natural-log probability.
    """

    token: int
    text: str
    logprob: float


def fill_mask(model: InProcessModel, text: str, *, top_k: int = 5, targets: Sequence[str] = ()) -> list[list[Fill]]:
    """The `top_k` likeliest tokens of each gap of a text, gaps in order, likeliest first.

    Args:
        model: an encoder with a masked-token head.
        text: with the tokenizer's mask token (`[MASK]`, `<mask>`) once or more.
        top_k: candidates a gap.
        targets: words that are candidates, each one token; all tokens are when there are none.

    Raises:
        InputError: the model has no masked-token head, the text has no gap, or a target is not one token.
        ConfigError: `top_k` is outside the vocabulary.
        ContextLengthError: the text is too long.
    """
    (gaps,) = TorchMaskFiller(model).fill([FillRequest(text=text, top_k=top_k, targets=tuple(targets))])
    return [
        [
            Fill(token=token, text=model.tokenizer.decode([token]).strip(), logprob=logprob)
            for token, logprob in candidates
        ]
        for candidates in gaps
    ]


def mask_filler(model: LanguageModel) -> TorchMaskFiller | None:
    """What fills the gaps of texts, or None where the model cannot."""
    if not isinstance(model, InProcessModel) or not isinstance(model.model, Encoder):
        return None
    if model.model.head is None or model.tokenizer.mask_id is None or model.front != NO_FRONT:
        return None
    return TorchMaskFiller(model)


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """A request ready to be computed: the ids read, where the gaps are, what may stand there (all tokens: None)."""

    ids: tuple[int, ...]
    gaps: list[int]
    top_k: int
    targets: list[int] | None


class TorchMaskFiller:
    """The `MaskFiller` port on an encoder in this process.

    Args:
        model: an encoder with a masked-token head, and a tokenizer with a mask token.
        batch_size: texts computed together.

    Raises:
        InputError: the model or the tokenizer is another one.
    """

    def __init__(self, model: InProcessModel, *, batch_size: int = 32) -> None:
        if not isinstance(model.model, Encoder):
            raise InputError(
                "fill_mask is for encoders such as BERT; this model writes from left to right, use generate"
            )
        if model.model.head is None:
            raise InputError(
                "this checkpoint has no masked-token head, so it fills no gaps; "
                "use it for embeddings, or open one saved with its head (BertForMaskedLM)"
            )
        if model.front != NO_FRONT:
            raise InputError("gaps are filled by the model itself, not behind a soft prompt; open the model it is over")
        mask_id = model.tokenizer.mask_id
        if mask_id is None:
            raise InputError("this tokenizer has no mask token; add one to special_tokens_map.json")
        self._model, self._reading, self._mask_id = model.model, model.reading, mask_id
        self._num_tokens = min(model.num_tokens, model.config.vocab_size)  # some models have rows to spare
        self._batch_size = batch_size

    def fill(self, requests: Sequence[FillRequest]) -> list[tuple[Gap, ...]]:
        """The gaps of each text from left to right, in the order of the requests.

        Raises:
            InputError: a text has no gap, or a target is not one token.
            ConfigError: a `top_k` is outside the vocabulary.
            ContextLengthError: a text is too long.
        """
        planned = [self._plan(request) for request in requests]
        found: list[tuple[Gap, ...]] = [()] * len(planned)
        with torch.inference_mode():
            for batch in batches_by_length([one.ids for one in planned], self._batch_size):
                for index, gaps in zip(batch, self._fill([planned[index] for index in batch]), strict=True):
                    found[index] = gaps
        return found

    def _plan(self, request: FillRequest) -> _Planned:
        ids = tuple(self._reading.source_ids(request.text) if isinstance(request.text, str) else request.text)
        self._reading.check_ids(ids)
        gaps = [place for place, token in enumerate(ids) if token == self._mask_id]
        if not gaps:
            name = self._reading.tokenizer.token(self._mask_id)
            raise InputError(f"the text has no gap to fill; write {name} where a word is missing")
        if not 1 <= request.top_k <= self._num_tokens:
            raise ConfigError(f"top_k={request.top_k} is outside 1..{self._num_tokens}, the size of the vocabulary")
        context = self._reading.context
        if context is not None and len(ids) > context:
            raise ContextLengthError(f"the text has {len(ids)} tokens and the model's context {context}; shorten it")
        targets = [target_id(self._reading.tokenizer, word) for word in request.targets]
        self._reading.check_ids(targets)
        return _Planned(ids=ids, gaps=gaps, top_k=request.top_k, targets=list(dict.fromkeys(targets)) or None)

    def _fill(self, batch: Sequence[_Planned]) -> list[tuple[Gap, ...]]:
        ids, mask = padded([one.ids for one in batch], next(self._model.parameters()).device)  # (B,T), (B,T)
        hidden = self._model.hidden(ids, attention_mask=None if bool(mask.all()) else mask)  # (B,T,D)
        # Texts made of masks have as many rows of logits as tokens: a bounded number of them at a time.
        most = max(1, LOGITS_BYTES // (4 * self._model.config.vocab_size))
        return [
            tuple(
                gap
                for first in range(0, len(one.gaps), most)
                for gap in self._best(row[one.gaps[first : first + most]], one)
            )
            for row, one in zip(hidden, batch, strict=True)
        ]

    def _best(self, hidden: Tensor, planned: _Planned) -> list[Gap]:
        """(G,D) hidden states of gaps -> the candidates of each."""
        logprobs = self._model.logits(hidden[None])[0].float().log_softmax(dim=-1)  # (G,V)
        if planned.targets is None:
            best = logprobs[:, : self._num_tokens].topk(planned.top_k)  # (G,k)
            tokens = best.indices.tolist()
        else:
            best = logprobs[:, planned.targets].topk(min(planned.top_k, len(planned.targets)))
            tokens = [[planned.targets[place] for place in places] for places in best.indices.tolist()]
        return [tuple(zip(*one, strict=True)) for one in zip(tokens, best.values.tolist(), strict=True)]


def target_id(tokenizer: Tokenizer, word: str) -> int:
    """The one token of a word: as the vocabulary spells it, else as the tokenizer reads it.

    Raises:
        InputError: there is no such token.
    """
    ids = tokenizer.encode(word)  # first, for it refuses what is no text at all
    found = tokenizer.id(word)
    if found is not None:
        return found
    if len(ids) != 1:
        raise InputError(f"target {word!r} is {len(ids)} tokens and a gap holds one; name one of the vocabulary")
    if ids[0] == tokenizer.unk_id:
        raise InputError(f"target {word!r} is not in the vocabulary; name a token that is")
    return ids[0]
