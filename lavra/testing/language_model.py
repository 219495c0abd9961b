"""Conformance suite of the `LanguageModel` port.

Subclass `LanguageModelConformance` in a test module (with a name starting with `Test`) and define how to make
the model; pytest then tests what every implementation owes its callers.  The assertions are plain and need
nothing but the port, so an in-process model, an engine and a remote URL are held to the same contract.

Deliberately absent: quality and speed; a random model passes.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from lavra.base.errors import ConfigError
from lavra.base.ports import LanguageModel
from lavra.base.types import Completion, Delta, FinishReason, GenerateRequest, SamplingConfig, ScoreRequest


class LanguageModelConformance:
    """The contract of every `LanguageModel`.

    Attributes:
        prompts: at least three texts of different lengths, each followed by `num_tokens` tokens or more
            without the model ending by itself.
        num_tokens: tokens written in each test.
        tolerance: largest difference allowed between two log-probabilities of the same token.
    """

    prompts: Sequence[str] = ("The", "Once upon a time there was", "def add(a, b):\n    return")
    num_tokens: int = 12
    tolerance: float = 1e-3

    def make_model(self) -> LanguageModel:
        """The model under test; called by every test, so cache it if it is slow to make."""
        raise NotImplementedError("a conformance suite says which model it tests")

    def request(
        self, prompt: str, sampling: SamplingConfig | None = None, stop: tuple[str, ...] = ()
    ) -> GenerateRequest:
        """A request as the tests make them."""
        return GenerateRequest(
            prompt=prompt, max_tokens=self.num_tokens, sampling=sampling or SamplingConfig(), stop=stop
        )

    def test_satisfies_the_protocol(self) -> None:
        assert isinstance(self.make_model(), LanguageModel)

    def test_nothing_in_nothing_out(self) -> None:
        model = self.make_model()
        assert model.generate([]) == []
        assert model.score([]) == []

    def test_a_completion_accounts_for_itself(self) -> None:
        for prompt in self.prompts:
            completion = _only(self.make_model().generate([self.request(prompt)]))
            assert len(completion.tokens) == len(completion.logprobs) == completion.usage.completion_tokens
            assert 0 < len(completion.tokens) <= self.num_tokens
            assert completion.usage.prompt_tokens > 0
            assert all(logprob <= 0 and math.isfinite(logprob) for logprob in completion.logprobs)
            assert completion.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
            completion.text.encode("utf-8")  # raises on a lone surrogate

    def test_greedy_is_repeatable(self) -> None:
        model = self.make_model()
        request = self.request(self.prompts[1])
        assert _only(model.generate([request])).tokens == _only(model.generate([request])).tokens

    def test_a_batch_equals_its_members_alone(self) -> None:
        model = self.make_model()
        requests = [self.request(prompt) for prompt in self.prompts]
        together = model.generate(requests)
        assert len(together) == len(requests)
        for request, completions in zip(requests, together, strict=True):
            self._same(_one(completions), _only(model.generate([request])))

    def test_the_order_of_requests_is_kept(self) -> None:
        model = self.make_model()
        requests = [self.request(prompt) for prompt in self.prompts]
        forward = model.generate(requests)
        backward = model.generate(requests[::-1])[::-1]
        for ours, theirs in zip(forward, backward, strict=True):
            self._same(_one(ours), _one(theirs))

    def test_a_stream_equals_generate(self) -> None:
        model = self.make_model()
        for prompt in self.prompts:
            request = self.request(prompt)
            deltas = list(model.submit(request))
            last = _last(deltas)
            self._same(last, _only(model.generate([request])))
            assert "".join(delta.text for delta in deltas) == last.text
            assert tuple(token for delta in deltas for token in delta.tokens) == last.tokens

    def test_a_seed_repeats_and_seeds_differ(self) -> None:
        model = self.make_model()
        hot = [SamplingConfig(temperature=1.5, seed=seed) for seed in (1, 1, 2, 3, 4)]
        completions = [_only(model.generate([self.request(self.prompts[1], sampling)])) for sampling in hot]
        assert completions[0].tokens == completions[1].tokens
        assert len({completion.tokens for completion in completions}) > 1

    def test_sampling_does_not_depend_on_the_company(self) -> None:
        model = self.make_model()
        mine = self.request(self.prompts[0], SamplingConfig(temperature=0.9, top_p=0.95, seed=5))
        others = [self.request(prompt, SamplingConfig(temperature=1.0, seed=9)) for prompt in self.prompts[1:]]
        assert _one(model.generate([*others, mine])[-1]).tokens == _only(model.generate([mine])).tokens

    def test_a_seed_drawn_for_the_caller_is_reported(self) -> None:
        completion = _only(self.make_model().generate([self.request(self.prompts[0], SamplingConfig(temperature=1.0))]))
        assert any("seed" in warning for warning in completion.warnings)

    def test_n_samples_differ_and_come_best_first(self) -> None:
        request = dataclasses.replace(self.request(self.prompts[1], SamplingConfig(temperature=1.5, seed=3)), n=4)
        (completions,) = self.make_model().generate([request])
        assert len(completions) == 4
        assert len({completion.tokens for completion in completions}) > 1
        means = [sum(completion.logprobs) / len(completion.logprobs) for completion in completions]
        assert means == sorted(means, reverse=True)

    def test_a_stop_string_ends_the_text_before_it(self) -> None:
        model = self.make_model()
        for prompt in self.prompts:
            free = _only(model.generate([self.request(prompt)]))
            stop = self._some_stop(free.text)
            if stop is None:
                continue
            stopped = _only(model.generate([self.request(prompt, stop=("\x00never\x00", stop))]))
            assert stopped.text == free.text[: free.text.index(stop)]
            assert stopped.finish_reason is FinishReason.STOP
            assert stopped.tokens == free.tokens[: len(stopped.tokens)]
            deltas = list(model.submit(self.request(prompt, stop=(stop,))))
            assert "".join(delta.text for delta in deltas) == stopped.text

    def test_scores_agree_with_the_logprobs_of_generation(self) -> None:
        model = self.make_model()
        written = [_only(model.generate([self.request(prompt)])) for prompt in self.prompts]
        scores = model.score(
            [
                ScoreRequest(text=completion.tokens, given=prompt)
                for prompt, completion in zip(self.prompts, written, strict=True)
            ]
        )
        for completion, score in zip(written, scores, strict=True):
            assert score.tokens == completion.tokens
            self._close(completion.logprobs, score.logprobs)

    def test_scores_do_not_depend_on_the_company(self) -> None:
        model = self.make_model()
        requests = [ScoreRequest(text=prompt, given=self.prompts[0]) for prompt in self.prompts]
        for request, score in zip(requests, model.score(requests), strict=True):
            (alone,) = model.score([request])
            assert alone.tokens == score.tokens
            assert score.num_bytes == len(str(request.text).encode())
            self._close(alone.logprobs, score.logprobs)

    def test_a_given_prefix_may_be_ids(self) -> None:
        model = self.make_model()
        ids = _only(model.generate([self.request(self.prompts[1])])).tokens
        whole, rest = model.score([ScoreRequest(text=ids), ScoreRequest(text=ids[4:], given=ids[:4])])
        assert rest.tokens == ids[4:]
        self._close(rest.logprobs, whole.logprobs[4:])

    def test_scores_tell_the_likeliest_tokens(self) -> None:
        model = self.make_model()
        for prompt in self.prompts:
            (score,) = model.score([ScoreRequest(text=prompt, given=self.prompts[1], top_logprobs=3)])
            assert len(score.top_logprobs) == len(score.greedy) == len(score.logprobs)
            for token, own, greedy, top in zip(
                score.tokens, score.logprobs, score.greedy, score.top_logprobs, strict=True
            ):
                assert own is not None
                logprobs = [logprob for _, logprob in top]
                assert logprobs == sorted(logprobs, reverse=True)
                assert greedy == (own >= logprobs[0])
                listed = dict(top)
                assert abs(listed[token] - own) <= self.tolerance if token in listed else own <= logprobs[-1]

    def test_greedy_tokens_are_the_likeliest(self) -> None:
        model = self.make_model()
        written = [_only(model.generate([self.request(prompt)])).tokens for prompt in self.prompts]
        requests = [
            ScoreRequest(text=tokens, given=prompt, top_logprobs=1)
            for prompt, tokens in zip(self.prompts, written, strict=True)
        ]
        found = model.score(requests)
        for tokens, score in zip(written, found, strict=True):
            assert list(score.greedy) == [
                top[0][0] == token for token, top in zip(tokens, score.top_logprobs, strict=True)
            ]
        assert any(any(score.greedy) for score in found)

    def test_a_cancelled_stream_says_so(self) -> None:
        stream = self.make_model().submit(self.request(self.prompts[1]))
        deltas: list[Delta] = []
        for delta in stream:
            deltas.append(delta)
            stream.cancel()
        last = _last(deltas)
        assert last.finish_reason is FinishReason.CANCELLED
        assert "".join(delta.text for delta in deltas) == last.text
        assert len(last.tokens) < self.num_tokens

    def test_settings_out_of_range_are_refused(self) -> None:
        model = self.make_model()
        for request in (
            self.request(self.prompts[0], SamplingConfig(temperature=-1.0)),
            dataclasses.replace(self.request(self.prompts[0]), max_tokens=0),
            dataclasses.replace(self.request(self.prompts[0]), n=0),
        ):
            try:
                model.generate([request])
            except ConfigError:
                continue
            raise AssertionError(f"{request} was accepted")

    def _some_stop(self, text: str) -> str | None:
        """Two characters from the middle of a text, so that they may straddle a token border."""
        middle = len(text) // 2
        return text[middle : middle + 2] if len(text) >= 4 else None

    def _same(self, ours: Completion, theirs: Completion) -> None:
        assert ours.tokens == theirs.tokens
        assert ours.text == theirs.text
        assert ours.finish_reason is theirs.finish_reason
        self._close(ours.logprobs, theirs.logprobs)

    def _close(self, ours: Sequence[float | None], theirs: Sequence[float | None]) -> None:
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert a is not None
            assert b is not None
            assert abs(a - b) <= self.tolerance


def _only(completions: list[list[Completion]]) -> Completion:
    assert len(completions) == 1
    return _one(completions[0])


def _one(completions: list[Completion]) -> Completion:
    assert len(completions) == 1
    return completions[0]


def _last(deltas: Sequence[Delta]) -> Completion:
    """Check that the completion stands on the last delta only, and return it."""
    assert deltas
    assert all(delta.completion is None for delta in deltas[:-1])
    assert deltas[-1].completion is not None
    return deltas[-1].completion
