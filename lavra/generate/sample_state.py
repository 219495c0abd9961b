"""The state for choosing the next token of a sequence, apart from its logits; and the chosen token."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lavra.base.types import SamplingConfig
from lavra.generate.planned_request import PlannedRequest
from lavra.generate.random_numbers import uniforms

STEPS_AHEAD = 64  # steps whose random numbers are made together


@dataclass(slots=True)
class Choice:
    """A chosen token.

    Attributes:
        token: its id.
        logprob: natural-log probability under the model's own distribution, if wanted.
        top: the likeliest ids and their log-probabilities, if wanted.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


class TokenMatcher(Protocol):
    """A constraint, and the position of one text in it."""

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token may come next; raises as `allowed_bits`."""
        ...

    def allowed_bits(self) -> bytes:
        """A bit for each token, the lowest bit of a byte first, set if the token is allowed next.

        Raises:
            InputError: the constraint is too complex to continue.
        """
        ...

    def push(self, token: int) -> None:
        """Add a chosen token."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the text is complete and no token can follow."""
        ...

    @property
    def satisfied(self) -> bool:
        """Whether the text could end here."""
        ...


class SeenTokens:
    """Ids of a prompt and of the text after it, each once, with the number of occurrences in the text; for penalties.

    Attributes:
        ids: in order of their first occurrence.
        counts: occurrences of each id in the text; 0 for ids of the prompt alone.
    """

    def __init__(self, prompt: Iterable[int]) -> None:
        self.ids = array("i", dict.fromkeys(prompt))
        self.counts = array("i", bytes(self.ids.itemsize * len(self.ids)))
        self._places = {token: place for place, token in enumerate(self.ids)}

    def add(self, token: int) -> None:
        """Add a written token."""
        place = self._places.setdefault(token, len(self.ids))
        if place == len(self.ids):
            self.ids.append(token)
            self.counts.append(0)
        self.counts[place] += 1


@dataclass(kw_only=True, eq=False)
class SampleState:
    """The state for choosing the next token of a sequence, apart from its logits.

    Attributes:
        config: settings, with a seed where the temperature is over 0.
        sample: index among its request's samples.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
        prompt: ids read, for the repetition penalty.
        logit_bias: numbers to add to the logits of these ids.
        min_tokens: number of tokens before which the ids in `stop_ids` may not be chosen.
        stop_ids: ids that end a text.
        top_logprobs: number of likeliest ids to return.
        logprobs: whether to return log-probabilities.
        matcher: the constraint on the text, at its present position.
        step: number of ids written so far.
        native: state of this sequence in the native sampler.
        seen: ids read and written, if a penalty needs them.
        draws: whether the next token is drawn at random.
    """

    config: SamplingConfig
    sample: int
    num_tokens: int
    prompt: Collection[int] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    stop_ids: Collection[int] = ()
    top_logprobs: int = 0
    logprobs: bool = True
    matcher: TokenMatcher | None = None
    step: int = 0
    native: object | None = None

    def __post_init__(self) -> None:
        config = self.config
        penalizes = config.repetition_penalty != 1 or config.presence_penalty != 0 or config.frequency_penalty != 0
        self.draws = config.temperature > 0
        self.seen = SeenTokens(self.prompt) if penalizes else None
        self._touches = bool(penalizes or self.logit_bias or self.matcher is not None)
        self._ahead = np.zeros((0, 0))
        self._ahead_from = 0

    @classmethod
    def of(
        cls,
        plan: PlannedRequest,
        sample: int,
        *,
        num_tokens: int,
        stop_ids: Collection[int],
        logprobs: bool,
        matcher: TokenMatcher | None = None,
    ) -> SampleState:
        """The state at the beginning of a completion.

        Args:
            plan: the request.
            sample: index among its samples.
            num_tokens: ids the tokenizer can spell.
            stop_ids: ids that end the text.
            logprobs: whether to return log-probabilities.
            matcher: the constraint on the text.
        """
        request = plan.request
        return cls(
            config=plan.sampling,
            sample=sample,
            num_tokens=num_tokens,
            prompt=plan.prompt,
            logit_bias=request.logit_bias,
            min_tokens=request.min_tokens,
            stop_ids=stop_ids,
            top_logprobs=request.top_logprobs,
            logprobs=logprobs or request.top_logprobs > 0,
            matcher=matcher,
        )

    @property
    def touches(self) -> bool:
        """Whether a setting changes single logits before the next token is chosen."""
        return self._touches or self.step < self.min_tokens

    def ahead(self) -> tuple[npt.NDArray[np.float64], int]:
        """(N, 4) random numbers of the steps around this one, and this one's place among them."""
        place = self.step - self._ahead_from
        if not 0 <= place < len(self._ahead):
            self._ahead_from = self.step - self.step % STEPS_AHEAD
            self._ahead = uniforms(self.config.seed or 0, self.sample, self._ahead_from, STEPS_AHEAD)
            place = self.step - self._ahead_from
        return self._ahead, place

    def push(self, token: int) -> None:
        """Add a written token."""
        self.step += 1
        if self.matcher is not None and token not in self.stop_ids:
            self.matcher.push(token)
        if self.seen is not None:
            self.seen.add(token)
