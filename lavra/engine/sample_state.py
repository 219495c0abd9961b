"""What choosing the next token of one sequence depends on besides its logits, and the token chosen."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lavra.base.types import SamplingConfig
from lavra.engine.constraints import Matcher
from lavra.generate.settings import uniforms

STEPS_AHEAD = 64  # steps whose random numbers are made together


@dataclass(slots=True)
class Choice:
    """One token chosen.

    Attributes:
        token: its id.
        logprob: natural-log probability under the model's own distribution, where asked for.
        top: the likeliest ids and their log-probabilities, where asked for.
    """

    token: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


class SeenTokens:
    """Ids of a prompt and of the text after it, each once, and how often the text has each; as penalties want them.

    Attributes:
        ids: in order of their first occurrence.
        counts: occurrences of each in the text; 0 where the prompt alone has it.
    """

    def __init__(self, prompt: Iterable[int]) -> None:
        self.ids = array("i", dict.fromkeys(prompt))
        self.counts = array("i", bytes(self.ids.itemsize * len(self.ids)))
        self._places = {token: place for place, token in enumerate(self.ids)}

    def add(self, token: int) -> None:
        """A token was written."""
        place = self._places.setdefault(token, len(self.ids))
        if place == len(self.ids):
            self.ids.append(token)
            self.counts.append(0)
        self.counts[place] += 1


@dataclass(kw_only=True, eq=False)
class SampleState:
    """What choosing the next token of one sequence depends on besides its logits.

    Attributes:
        config: settings, with a seed where the temperature is over 0.
        sample: which of its request's samples it is.
        num_tokens: ids the tokenizer can spell; the rest of a padded vocabulary is never chosen.
        prompt: ids read, for the repetition penalty.
        logit_bias: added to the logits of these ids.
        min_tokens: the ids in `stop_ids` may not be chosen before so many are written.
        stop_ids: ids that end a text.
        top_logprobs: likeliest ids to tell.
        logprobs: whether log-probabilities are to be told.
        matcher: what the text must match, and how far it has come.
        step: ids written so far.
        native: what the native sampler keeps of this sequence.
        seen: ids read and written, where a penalty wants them.
        draws: whether chance has a part in the next token.
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
    matcher: Matcher | None = None
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

    @property
    def touches(self) -> bool:
        """Whether something changes single logits before the next token is chosen."""
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
        """A token was written."""
        self.step += 1
        if self.matcher is not None and token not in self.stop_ids:
            self.matcher.push(token)
        if self.seen is not None:
            self.seen.add(token)
