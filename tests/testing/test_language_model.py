"""The suite of language models: a toy that counts letters passes, and each broken variant fails."""

from __future__ import annotations

from dataclasses import replace

from lavra.base.types import FinishReason, GenerateRequest
from lavra.testing.language_model import LanguageModelConformance
from tests.testing.suites import check
from tests.testing.toy_model import LETTERS, ToyModel, logprob_of


class WithModel(LanguageModelConformance):
    prompts = ("abc", "hgfedcba", "aa")

    def __init__(self, model=None):
        self.model = model or ToyModel()

    def make_model(self):
        return self.model


class Crowded(ToyModel):
    """Texts and scores depend on the number of requests."""

    def generate(self, requests):
        lengthened = [replace(one, prompt=one.prompt + "a" * (len(requests) - 1)) for one in requests]
        return ToyModel.generate(self, lengthened)

    def score(self, requests):
        return ToyModel.score(self, [replace(one, given="a" * len(requests)) for one in requests])


class Shuffled(ToyModel):
    def generate(self, requests):
        return sorted(ToyModel.generate(self, requests), key=repr)


class Unseeded(ToyModel):
    def next_letter(self, text, sampling, sample, written):
        greedy = replace(sampling, temperature=0.0)
        return ToyModel.next_letter(self, text, greedy, sample, written)


class Drifting(ToyModel):
    """Never writes the same text twice, and gives wrong probabilities."""

    asked = 0

    def next_letter(self, text, sampling, sample, written):
        self.asked += 1
        return LETTERS[self.asked * 7 % 11 % 8]

    def logprob(self, prompt, text):
        return 0.5


class Lax(ToyModel):
    """Accepts any setting, ignores stop strings, does not report seeds, answers an empty list of requests."""

    def write(self, request, sample=0):
        sampling = replace(request.sampling, temperature=abs(request.sampling.temperature))
        lax = replace(request, stop=(), max_tokens=max(request.max_tokens, 1), n=max(request.n, 1), sampling=sampling)
        return ToyModel.write(self, lax, sample)

    def completion(self, request, text, finish):
        return replace(ToyModel.completion(self, request, text, finish), warnings=())

    def generate(self, requests):
        return ToyModel.generate(self, requests) or [[]]


class Forgetful(ToyModel):
    """Drops a prefix of ids, reports nothing as greedy, and gives the least likely letters."""

    def score_one(self, request):
        given = request.given if isinstance(request.given, str) else None
        score = ToyModel.score_one(self, replace(request, given=given, top_logprobs=len(LETTERS)))
        tops = tuple(top[::-1][: request.top_logprobs] for top in score.top_logprobs)
        return replace(score, greedy=(False,) * len(score.tokens), top_logprobs=tops)


class NoModel:
    def generate(self, requests):
        return []


def test_language_models():
    streams = {"a_cancelled_stream_says_so", "a_stream_equals_generate"}
    broken = {
        "crowded": (
            lambda: WithModel(Crowded()),
            {
                "a_batch_equals_its_members_alone",
                "scores_do_not_depend_on_the_company",
                "sampling_does_not_depend_on_the_company",
                "scores_agree_with_the_logprobs_of_generation",
            },
        ),
        "shuffled": (lambda: WithModel(Shuffled()), {"the_order_of_requests_is_kept"}),
        "unseeded": (lambda: WithModel(Unseeded()), {"a_seed_repeats_and_seeds_differ"}),
        "drifting": (lambda: WithModel(Drifting()), {"greedy_is_repeatable", "a_completion_accounts_for_itself"}),
        "lax": (
            lambda: WithModel(Lax()),
            {
                "settings_out_of_range_are_refused",
                "a_stop_string_ends_the_text_before_it",
                "a_seed_drawn_for_the_caller_is_reported",
                "nothing_in_nothing_out",
            },
        ),
        "same samples": (lambda: WithModel(Unseeded()), {"n_samples_differ_and_come_best_first"}),
        "forgetful": (
            lambda: WithModel(Forgetful()),
            {
                "a_given_prefix_may_be_ids",
                "scores_tell_the_likeliest_tokens",
                "greedy_tokens_are_the_likeliest",
            },
        ),
        "no model": (lambda: WithModel(NoModel()), {"satisfies_the_protocol", *streams}),
    }
    check(WithModel(), broken)


def test_the_toy_ends_as_requested():
    """The toy is right by independent figures: greedy letters, and the probabilities of the written text."""
    (completion,) = ToyModel().generate([GenerateRequest(prompt="abc", max_tokens=3)])[0]
    assert completion.finish_reason is FinishReason.LENGTH
    assert len(completion.text) == 3
    assert completion.logprobs[0] == max(logprob_of("abc", letter) for letter in LETTERS)
