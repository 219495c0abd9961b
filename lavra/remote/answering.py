"""From the JSON of OpenAI's endpoints to the port's completions; what is missing in it is said, not guessed.

Servers tell a token's text and not its id.  Whoever has the model's tokenizer gives a function from the one to the
other; without it completions carry no ids, and how many tokens there are is what the server counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavra.base.types import Completion, FinishReason, Usage

TokenId = Callable[[str], int]
"""The id of a token by its text, as the server spells it."""

NO_IDS = "the server tells no token ids, so there are none here; give token_id to have them"
NO_LOGPROBS = "the server gave no log-probabilities"

Tops = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Pieces:
    """Tokens of an answer, or of a piece of one.

    Attributes:
        texts: as the server spells them.
        logprobs: of each.
        tops: the likeliest instead of each, where asked for.
        offsets: character each begins at, in the text; `None` where the server does not say.
    """

    texts: tuple[str, ...] = ()
    logprobs: tuple[float | None, ...] = ()
    tops: tuple[Mapping[str, float] | None, ...] = ()
    offsets: tuple[int, ...] | None = None

    def part(self, first: int) -> Pieces:
        """Those from number `first` on."""
        return Pieces(texts=self.texts[first:], logprobs=self.logprobs[first:], tops=self.tops[first:])

    def ids(self, token_id: TokenId | None) -> tuple[int, ...]:
        """Their ids, or none without a way to know them."""
        return () if token_id is None else tuple(map(token_id, self.texts))

    def top_ids(self, token_id: TokenId | None) -> tuple[Tops, ...]:
        """The likeliest by id, best first."""
        if token_id is None or not any(self.tops):
            return ()
        ranked = (sorted((top or {}).items(), key=lambda one: -one[1]) for top in self.tops)
        return tuple(tuple((token_id(text), logprob) for text, logprob in top) for top in ranked)


def pieces_of(choice: Mapping[str, Any]) -> Pieces | None:
    """The tokens of a choice in either of the two usual shapes; `None` where they are not told."""
    told = choice.get("logprobs")
    if not told:
        return None
    if told.get("content") is not None:
        content = told["content"]
        return Pieces(
            texts=tuple(one["token"] for one in content),
            logprobs=tuple(one["logprob"] for one in content),
            tops=tuple({top["token"]: top["logprob"] for top in one.get("top_logprobs") or ()} for one in content),
        )
    if told.get("tokens") is None:
        return None
    texts = tuple(told["tokens"])
    offsets = told.get("text_offset")
    return Pieces(
        texts=texts,
        logprobs=tuple(told["token_logprobs"]),
        tops=tuple(told.get("top_logprobs") or [None] * len(texts)),
        offsets=None if offsets is None else tuple(offsets),
    )


def text_of(choice: Mapping[str, Any]) -> str:
    """What a choice, or a piece of one, adds to the text."""
    said = choice.get("message") or choice.get("delta")
    if said is None:
        return choice.get("text") or ""
    return said.get("content") or ""


def warnings_of(answer: Mapping[str, Any], choice: Mapping[str, Any]) -> list[str]:
    """What a server that warns has to say, and what of its answer is not carried on."""
    found = [str(one) for one in answer.get("warnings") or ()]
    said = choice.get("message") or choice.get("delta") or {}
    found.extend(f"the server's {what} are left out" for what in ("reasoning_content", "tool_calls") if said.get(what))
    return found


@dataclass
class Draft:
    """A completion as it comes together, from one answer or from many events.

    Attributes:
        wants_logprobs: whether they were asked for.
        token_id: id of a token by its text.
        warnings: to be reported.
    """

    wants_logprobs: bool
    token_id: TokenId | None
    warnings: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    parts: list[Pieces] = field(default_factory=list)
    finish: str | None = None
    usage: Mapping[str, Any] | None = None

    def add(self, answer: Mapping[str, Any], choice: Mapping[str, Any]) -> Pieces:
        """Take in a choice; the tokens it has."""
        self.text.append(text_of(choice))
        pieces = pieces_of(choice) or Pieces()
        self.parts.append(pieces)
        self.finish = choice.get("finish_reason") or self.finish
        self.warnings.extend(warnings_of(answer, choice))
        return pieces

    def completion(self, *, num_choices: int = 1, cancelled: bool = False) -> Completion:
        """What has come together."""
        logprobs = tuple(one for part in self.parts for one in part.logprobs if one is not None)
        tokens = tuple(one for part in self.parts for one in part.ids(self.token_id))
        if self.wants_logprobs and not logprobs and not cancelled:
            self.warnings.append(NO_LOGPROBS)
        if self.token_id is None:
            self.warnings.append(NO_IDS)
        usage, finish = self._usage(len(logprobs), num_choices), self._finish(cancelled)  # both may warn
        return Completion(
            text="".join(self.text),
            tokens=tokens,
            logprobs=logprobs,
            finish_reason=finish,
            usage=usage,
            top_logprobs=tuple(one for part in self.parts for one in part.top_ids(self.token_id)),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    def _usage(self, num_told: int, num_choices: int) -> Usage:
        told = self.usage or {}
        written = num_told
        if not written and num_choices == 1:
            written = int(told.get("completion_tokens") or 0)
        if not told or not written:
            self.warnings.append("the server does not say how many tokens it read or wrote")
        details = told.get("prompt_tokens_details") or {}
        return Usage(
            prompt_tokens=int(told.get("prompt_tokens") or 0),
            completion_tokens=written,
            truncated_tokens=int(told.get("truncated_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or 0),
            response_cached=bool(told.get("response_cached")),
            virtual_tokens=int(told.get("virtual_tokens") or 0),
        )

    def _finish(self, cancelled: bool) -> FinishReason:
        if cancelled:
            return FinishReason.CANCELLED
        known = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
        if self.finish in known:
            return known[self.finish]
        said = "no reason" if self.finish is None else f"the reason {self.finish!r}"
        self.warnings.append(f"the server ended with {said}, which is taken for cancelled")
        return FinishReason.CANCELLED
