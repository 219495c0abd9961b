"""Turn the JSON of OpenAI's endpoints into the port's completions; a missing field is reported, not guessed.

Servers send a token's text and not its id.  A caller with the model's tokenizer gives a function from text to
id; without it completions carry no ids, and the number of tokens is the server's count.

"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavra.base.types import Completion, FinishReason, Usage

TokenId = Callable[[str], int]
"""The id of a token by its text, as the server spells it."""

NO_IDS = "the server returns no token ids; give token_id to have them"
NO_LOGPROBS = "the server gave no log-probabilities"

Tops = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Pieces:
    """Tokens of an answer, or of a piece of one.

    Attributes:
        texts: tokens as the server spells them.
        logprobs: log-probability of each token.
        tops: the likeliest tokens at each place, where requested.
        offsets: place in the text of each token's first character; `None` where the server does not send it.
    """

    texts: tuple[str, ...] = ()
    logprobs: tuple[float | None, ...] = ()
    tops: tuple[Mapping[str, float] | None, ...] = ()
    offsets: tuple[int, ...] | None = None

    def part(self, first: int) -> Pieces:
        """The tokens from number `first` on."""
        return Pieces(texts=self.texts[first:], logprobs=self.logprobs[first:], tops=self.tops[first:])

    def ids(self, token_id: TokenId | None) -> tuple[int, ...]:
        """The ids of the tokens, or none where their ids are unknown."""
        return () if token_id is None else tuple(map(token_id, self.texts))

    def top_ids(self, token_id: TokenId | None) -> tuple[Tops, ...]:
        """The likeliest tokens by id, best first."""
        if token_id is None or not any(self.tops):
            return ()
        ranked = (sorted((top or {}).items(), key=lambda one: -one[1]) for top in self.tops)
        return tuple(tuple((token_id(text), logprob) for text, logprob in top) for top in ranked)


def pieces_of(choice: Mapping[str, Any]) -> Pieces | None:
    """Read the tokens of a choice in either of the two usual shapes; `None` where the server sends none."""
    logprobs = choice.get("logprobs")
    if not logprobs:
        return None
    if logprobs.get("content") is not None:
        content = logprobs["content"]
        return Pieces(
            texts=tuple(one["token"] for one in content),
            logprobs=tuple(one["logprob"] for one in content),
            tops=tuple({top["token"]: top["logprob"] for top in one.get("top_logprobs") or ()} for one in content),
        )
    if logprobs.get("tokens") is None:
        return None
    texts = tuple(logprobs["tokens"])
    offsets = logprobs.get("text_offset")
    return Pieces(
        texts=texts,
        logprobs=tuple(logprobs["token_logprobs"]),
        tops=tuple(logprobs.get("top_logprobs") or [None] * len(texts)),
        offsets=None if offsets is None else tuple(offsets),
    )


def text_of(choice: Mapping[str, Any]) -> str:
    """The text that a choice, or a piece of it, adds."""
    message = choice.get("message") or choice.get("delta")
    if message is None:
        return choice.get("text") or ""
    return message.get("content") or ""


def warnings_of(answer: Mapping[str, Any], choice: Mapping[str, Any]) -> list[str]:
    """The warnings of a server, and a warning for each part of its answer that is dropped."""
    found = [str(one) for one in answer.get("warnings") or ()]
    message = choice.get("message") or choice.get("delta") or {}
    found.extend(
        f"the server's {what} are left out" for what in ("reasoning_content", "tool_calls") if message.get(what)
    )
    return found


@dataclass
class Draft:
    """A completion under construction, from one answer or from many events.

    Attributes:
        wants_logprobs: whether the request asked for log-probabilities.
        token_id: function from a token's text to its id.
        warnings: sentences to report.
    """

    wants_logprobs: bool
    token_id: TokenId | None
    warnings: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    parts: list[Pieces] = field(default_factory=list)
    finish: str | None = None
    usage: Mapping[str, Any] | None = None

    def add(self, answer: Mapping[str, Any], choice: Mapping[str, Any]) -> Pieces:
        """Add a choice; return its tokens."""
        self.text.append(text_of(choice))
        pieces = pieces_of(choice) or Pieces()
        self.parts.append(pieces)
        self.finish = choice.get("finish_reason") or self.finish
        self.warnings.extend(warnings_of(answer, choice))
        return pieces

    def completion(self, *, num_choices: int = 1, cancelled: bool = False) -> Completion:
        """The completion so far."""
        logprobs = tuple(one for part in self.parts for one in part.logprobs if one is not None)
        tokens = tuple(one for part in self.parts for one in part.ids(self.token_id))
        if self.wants_logprobs and not logprobs and not cancelled:
            self.warnings.append(NO_LOGPROBS)
        if self.token_id is None:
            self.warnings.append(NO_IDS)
        usage, finish = self._usage(len(logprobs), num_choices), self._finish(cancelled)  # both may add warnings
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
        logprobs = self.usage or {}
        written = num_told
        if not written and num_choices == 1:
            written = int(logprobs.get("completion_tokens") or 0)
        if not logprobs or not written:
            self.warnings.append("the server does not say how many tokens it read or wrote")
        details = logprobs.get("prompt_tokens_details") or {}
        return Usage(
            prompt_tokens=int(logprobs.get("prompt_tokens") or 0),
            completion_tokens=written,
            truncated_tokens=int(logprobs.get("truncated_tokens") or 0),
            cached_tokens=int(details.get("cached_tokens") or 0),
            response_cached=bool(logprobs.get("response_cached")),
            virtual_tokens=int(logprobs.get("virtual_tokens") or 0),
        )

    def _finish(self, cancelled: bool) -> FinishReason:
        if cancelled:
            return FinishReason.CANCELLED
        known = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
        if self.finish in known:
            return known[self.finish]
        message = "no reason" if self.finish is None else f"the reason {self.finish!r}"
        self.warnings.append(f"the server ended with {message}, which is taken for cancelled")
        return FinishReason.CANCELLED
