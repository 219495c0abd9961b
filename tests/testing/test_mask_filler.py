"""The suite of mask fillers: a toy of eight letters passes, and each broken variant fails."""

from __future__ import annotations

import math
from dataclasses import replace

from lavra.base.errors import ConfigError, InputError
from lavra.testing.mask_filler import MaskFillerConformance
from tests.testing.suites import check
from tests.testing.toy_model import LETTERS, ToyModel, logprob_of


class ToyFiller:
    """Words of one letter; each gap's probabilities follow from the text and the gap's place."""

    def fill(self, requests):
        return [self.gaps(request) for request in requests]

    def gaps(self, request):
        count = request.text.count("_")
        if not count or any(word not in LETTERS for word in request.targets):
            raise InputError("no gap, or no such word")
        if not 1 <= request.top_k <= len(LETTERS):
            raise ConfigError("top_k")
        return tuple(self.gap(request, place) for place in range(count))

    def gap(self, request, place):
        text = f"{request.text}{place}"
        candidates = [(token, logprob_of(text, letter)) for token, letter in enumerate(LETTERS)]
        named = [one for one in candidates if LETTERS[one[0]] in (request.targets or LETTERS)]
        return tuple(sorted(named, key=lambda one: one[1], reverse=True)[: request.top_k])


class WithFiller(MaskFillerConformance):
    num_tokens = len(LETTERS)
    mask = "_"
    words = (("b", 1), ("e", 4))
    no_word = "be"

    def __init__(self, filler=None):
        self.filler = filler or ToyFiller()

    def make_filler(self):
        return self.filler


def filler(**methods):
    return lambda: WithFiller(type("Broken", (ToyFiller,), methods)())


def renormalised(self, request, place):
    gap = ToyFiller.gap(self, request, place)
    total = math.log(sum(math.exp(logprob) for _, logprob in gap))
    return tuple((token, logprob - total) for token, logprob in gap)


def test_mask_fillers():
    def unsorted(self, request, place):
        return tuple(sorted(ToyFiller.gap(self, request, place)))

    def first_only(self, request):
        return ToyFiller.gaps(self, request)[:1]

    def crowded(self, requests):
        return ToyFiller.fill(self, [replace(one, text=one.text + str(len(requests))) for one in requests])

    def lax(self, request):
        return tuple(self.gap(request, place) for place in range(request.text.count("_")))

    def unscaled(self, request, place):
        return tuple((token, logprob - 1) for token, logprob in ToyFiller.gap(self, request, place))

    broken = {
        "unsorted": (filler(gap=unsorted), {"every_gap_has_its_candidates_likeliest_first"}),
        "first only": (filler(gaps=first_only), {"every_gap_has_its_candidates_likeliest_first"}),
        "crowded": (filler(fill=crowded), {"company_and_order_change_nothing"}),
        "lax": (filler(gaps=lax), {"what_cannot_be_filled_is_refused"}),
        "unscaled": (filler(gap=unscaled), {"probabilities_of_all_tokens_sum_to_one"}),
        "renormalised": (
            filler(gap=renormalised),
            {
                "targets_are_the_only_candidates_and_keep_their_probabilities",
                "fewer_candidates_are_the_first_ones",
            },
        ),
        "something of nothing": (filler(fill=lambda self, requests: [()]), {"nothing_in_nothing_out"}),
        "no filler": (lambda: WithFiller(ToyModel()), {"satisfies_the_protocol"}),
    }
    check(WithFiller(), broken)
