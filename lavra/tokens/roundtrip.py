"""Round trips of texts: encode, decode, compare; count every difference.

A tokenizer whose normaliser does nothing must give every text back exactly.  Any other must give back the part that
its normaliser and pre-tokenizer keep; every unknown is counted, in tokens and in characters of the text, since
one unknown token may hide a whole word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lavra.tokens.tokenizer import Tokenizer

_NUM_EXAMPLES = 5
_CONTEXT = 20  # characters shown either side of a difference


class Outcome(Enum):
    """The result of one text."""

    EXACT = "exact"  # the same characters
    NORMALISED = "normalised"  # the same after the tokenizer's own normaliser and cut
    UNKNOWN = "unknown"  # the same but for unknown tokens
    CHANGED = "changed"  # something the definition does not account for


@dataclass(frozen=True, kw_only=True)
class RoundTripReport:
    """The results of some texts.

    Attributes:
        normalizer: the tokenizer's first changes, in words; empty when there are none.
        num_texts: texts checked.
        num_exact: texts that came back character for character.
        num_normalised: texts that came back as the normaliser leaves them.
        num_unknown: texts that came back but for unknown tokens.
        num_changed: texts that came back different in a way the definition does not account for.
        num_characters: characters checked.
        unknown_tokens: unknown tokens met.
        unknown_characters: characters of the texts behind them.
        examples: the first differences of changed texts, in words.
    """

    normalizer: str
    num_texts: int
    num_exact: int
    num_normalised: int
    num_unknown: int
    num_changed: int
    num_characters: int
    unknown_tokens: int
    unknown_characters: int
    examples: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every text came back exact or normalised, or differs by counted unknowns only."""
        return self.num_changed == 0

    def __str__(self) -> str:
        share = self.unknown_characters / max(1, self.num_characters)
        return (
            f"{self.num_texts} texts: {self.num_exact} exact, {self.num_normalised} normalised "
            f"({self.normalizer or 'no normaliser'}), {self.num_unknown} with unknowns ({self.unknown_tokens} tokens, "
            f"{self.unknown_characters} characters, {share:.3%}), {self.num_changed} changed"
        )


def check_round_trip(tokenizer: Tokenizer, texts: Iterable[str]) -> RoundTripReport:
    """Encode and decode each text, special tokens spelled out, and account for every difference.

    Raises:
        InputError: a text holds a lone surrogate.
    """
    outcomes: Counter[Outcome] = Counter()
    totals: Counter[str] = Counter()
    examples: list[str] = []
    for text in texts:
        back = tokenizer.decode(tokenizer.encode(text, parse_special=False))
        spans = tokenizer.unknown_spans(text)
        outcome = _outcome(tokenizer, text, back, spans)
        outcomes[outcome] += 1
        totals.update(characters=len(text), tokens=len(spans), hidden=_covered(spans))
        if outcome is Outcome.CHANGED and len(examples) < _NUM_EXAMPLES:
            examples.append(_difference(text, back))
    return RoundTripReport(
        normalizer=tokenizer.normalizer,
        num_texts=outcomes.total(),
        num_exact=outcomes[Outcome.EXACT],
        num_normalised=outcomes[Outcome.NORMALISED],
        num_unknown=outcomes[Outcome.UNKNOWN],
        num_changed=outcomes[Outcome.CHANGED],
        num_characters=totals["characters"],
        unknown_tokens=totals["tokens"],
        unknown_characters=totals["hidden"],
        examples=tuple(examples),
    )


def _outcome(tokenizer: Tokenizer, text: str, back: str, spans: list[tuple[int, int]]) -> Outcome:
    if spans:
        expected = _with_unknowns(text, spans, tokenizer.token(tokenizer.unk_id or 0))
        return Outcome.UNKNOWN if _kept(tokenizer, expected) == _kept(tokenizer, back) else Outcome.CHANGED
    if text == back:
        return Outcome.EXACT
    if tokenizer.normalizer and _kept(tokenizer, text) == _kept(tokenizer, back):
        return Outcome.NORMALISED
    return Outcome.CHANGED


def _kept(tokenizer: Tokenizer, text: str) -> str:
    """The part of a text that the normaliser and the cut keep, without the model."""
    backend = tokenizer.backend
    normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
    if backend.pre_tokenizer is None:
        return normal
    pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(normal)]
    # where white space is dropped, the borders of words are all that is left of it
    return ("" if tokenizer.definition.keeps_spaces else " ").join(pieces)


def _with_unknowns(text: str, spans: list[tuple[int, int]], unknown: str) -> str:
    out, end = [], 0
    for start, stop in spans:
        out += [text[end:start], unknown]
        end = stop
    return "".join([*out, text[end:]])


def _covered(spans: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in spans)


def _difference(text: str, back: str) -> str:
    where = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    around = slice(max(0, where - _CONTEXT), where + _CONTEXT)
    return f"at character {where}: {text[around]!r} came back as {back[around]!r}"
