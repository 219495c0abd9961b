"""Conformance suite of the `MaskFiller` port.

Subclass `MaskFillerConformance` in a test module (with a name starting with `Test`) and define how to make the filler
and how its vocabulary writes gaps and words.

Deliberately absent: quality; a random model passes.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lavra.base.errors import ConfigError, InputError
from lavra.base.ports import Gap, MaskFiller
from lavra.base.types import FillRequest


class MaskFillerConformance:
    """The contract of every `MaskFiller`.

    Attributes:
        num_tokens: tokens that may stand in a gap.
        texts: at least three texts of different lengths, with `{}` for each gap, one gap and several.
        mask: spelling of a gap in the vocabulary.
        words: at least two words, each one token of the vocabulary, with their ids.
        no_word: a text that is not one token of the vocabulary.
        tolerance: largest difference allowed between two log-probabilities of the same token.
    """

    num_tokens: int
    texts: Sequence[str] = ("She {} outside", "{}", "Once upon a {} there was a little {} named Lily", "def {}(a, {}):")
    mask: str = "[MASK]"
    words: Sequence[tuple[str, int]]
    no_word: str = "Once upon a time"
    tolerance: float = 1e-4

    def make_filler(self) -> MaskFiller:
        """The filler under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which filler it tests")

    def requests(self, top_k: int = 5) -> list[FillRequest]:
        """A request for each text."""
        return [FillRequest(text=text.replace("{}", self.mask), top_k=top_k) for text in self.texts]

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_filler(), MaskFiller)

    def test_nothing_in_nothing_out(self) -> None:
        assert self.make_filler().fill([]) == []

    def test_every_gap_has_its_candidates_likeliest_first(self) -> None:
        found = self.make_filler().fill(self.requests(top_k=4))
        assert [len(gaps) for gaps in found] == [text.count("{}") for text in self.texts]
        for gap in (gap for gaps in found for gap in gaps):
            assert len({token for token, _ in gap}) == len(gap) == 4
            logprobs = [logprob for _, logprob in gap]
            assert logprobs == sorted(logprobs, reverse=True)
            assert all(math.isfinite(logprob) and logprob <= 0 for logprob in logprobs)

    def test_probabilities_of_all_tokens_sum_to_one(self) -> None:
        for gap in self.everything():
            assert sorted(token for token, _ in gap) == list(range(self.num_tokens))
            assert abs(math.fsum(math.exp(logprob) for _, logprob in gap) - 1) <= self.tolerance

    def test_fewer_candidates_are_the_first_ones(self) -> None:
        filler = self.make_filler()
        for few, many in zip(filler.fill(self.requests(top_k=2)), filler.fill(self.requests(top_k=5)), strict=True):
            for one, other in zip(few, many, strict=True):
                self.check_same(one, other[:2])

    def test_company_and_order_change_nothing(self) -> None:
        filler, requests = self.make_filler(), self.requests()
        alone = [filler.fill([request])[0] for request in requests]
        for found, expected in (
            (filler.fill(requests), alone),
            (filler.fill(list(reversed(requests))), list(reversed(alone))),
        ):
            for ours, theirs in zip(found, expected, strict=True):
                for one, other in zip(ours, theirs, strict=True):
                    self.check_same(one, other)

    def test_targets_are_the_only_candidates_and_keep_their_probabilities(self) -> None:
        targets, ids = tuple(word for word, _ in self.words), {token for _, token in self.words}
        requests = [replace(request, targets=targets) for request in self.requests(top_k=len(targets) + 3)]
        found = [gap for gaps in self.make_filler().fill(requests) for gap in gaps]
        for gap, everything in zip(found, self.everything(), strict=True):
            self.check_same(gap, tuple(one for one in everything if one[0] in ids))

    def test_what_cannot_be_filled_is_refused(self) -> None:
        whole = self.requests()[0]
        for request, kind in (
            (FillRequest(text="She went outside"), InputError),
            (replace(whole, targets=(self.no_word,)), InputError),
            (replace(whole, top_k=0), ConfigError),
            (replace(whole, top_k=self.num_tokens + 1), ConfigError),
        ):
            try:
                self.make_filler().fill([request])
            except kind:
                continue
            raise AssertionError(f"{request} was filled")

    def everything(self) -> list[Gap]:
        """All tokens for each gap of each text."""
        return [gap for gaps in self.make_filler().fill(self.requests(top_k=self.num_tokens)) for gap in gaps]

    def check_same(self, ours: Gap, theirs: Gap) -> None:
        """Check for the same tokens in the same order, with the same log-probabilities but for rounding."""
        assert [token for token, _ in ours] == [token for token, _ in theirs]
        for (_, one), (_, other) in zip(ours, theirs, strict=True):
            assert abs(one - other) <= self.tolerance
