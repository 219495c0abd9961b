"""A language model of eight letters in a few lines: right by construction, and easily broken."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from lavra.base.errors import ConfigError
from lavra.base.types import Completion, Delta, FinishReason, Score, Usage

LETTERS = "abcdefgh"


def logits_after(text):
    """(8,) logits of the next letter, a function of the whole text."""
    return np.random.default_rng(zlib.crc32(text.encode())).standard_normal(len(LETTERS)) * 2


def logprob_of(text, letter):
    logits = logits_after(text)
    return min(float(logits[LETTERS.index(letter)] - np.logaddexp.reduce(logits)), 0.0)


def top_after(text, count):
    """The likeliest letters after a text, best first, with their log-probabilities."""
    ranked = sorted(range(len(LETTERS)), key=lambda place: -logits_after(text)[place])[:count]
    return tuple((place, logprob_of(text, LETTERS[place])) for place in ranked)


def spelled(text):
    return text if isinstance(text, str) else "".join(LETTERS[token] for token in text)


@dataclass
class ToyModel:
    """The `LanguageModel` port; tokens are positions in the alphabet."""

    def next_letter(self, text, sampling, sample, written):
        logits = logits_after(text)
        if sampling.temperature:
            rng = np.random.default_rng((sampling.seed or 0, sample, written))
            logits = logits / sampling.temperature + rng.gumbel(size=len(LETTERS))
        return LETTERS[int(np.argmax(logits))]

    def write(self, request, sample=0):
        """Deltas, the last with the completion; a cancelled stream requests no more of them."""
        if request.sampling.temperature < 0 or request.max_tokens < 1 or request.n < 1:
            raise ConfigError("out of range")
        text, finish = "", FinishReason.LENGTH
        while len(text) < request.max_tokens and finish is FinishReason.LENGTH:
            text += self.next_letter(request.prompt + text, request.sampling, sample, len(text))
            yield Delta(text="", tokens=(LETTERS.index(text[-1]),), logprobs=(self.logprob(request.prompt, text),))
            if any(stop in text for stop in request.stop):
                finish = FinishReason.STOP
        yield Delta(text="", completion=self.completion(request, text, finish))

    def logprob(self, prompt, text):
        return logprob_of(prompt + text[:-1], text[-1])

    def completion(self, request, text, finish):
        places = [text.index(stop) for stop in request.stop if stop in text]
        drawn = request.sampling.temperature > 0 and request.sampling.seed is None
        return Completion(
            text=text[: min(places)] if places else text,
            tokens=tuple(map(LETTERS.index, text)),
            logprobs=tuple(self.logprob(request.prompt, text[: end + 1]) for end in range(len(text))),
            finish_reason=finish,
            usage=Usage(prompt_tokens=len(request.prompt), completion_tokens=len(text)),
            warnings=("seed 0 was drawn",) if drawn else (),
        )

    def generate(self, requests):
        found = []
        for request in requests:
            samples = [list(self.write(request, sample))[-1].completion for sample in range(request.n)] or [
                list(self.write(request))
            ]
            found.append(sorted(samples, key=lambda one: float(np.mean(one.logprobs)), reverse=True))
        return found

    def score(self, requests):
        return [self.score_one(request) for request in requests]

    def score_one(self, request):
        text, given = spelled(request.text), spelled(request.given or "")
        places = [LETTERS.find(letter) % len(LETTERS) for letter in text]
        tops = [top_after(given + text[:end], request.top_logprobs) for end in range(len(text))]
        return Score(
            tokens=tuple(places),
            logprobs=tuple(logprob_of(given + text[:end], LETTERS[place]) for end, place in enumerate(places)),
            num_bytes=len(text.encode()),
            greedy=tuple(top_after(given + text[:end], 1)[0][0] == place for end, place in enumerate(places)),
            top_logprobs=tuple(tops) if request.top_logprobs else (),
        )

    def submit(self, request):
        return ToyStream(self, request)


class ToyStream:
    """The `Stream` port: the whole text comes with the last delta, which a stop string allows."""

    def __init__(self, model, request):
        self.model, self.request, self.cancelled = model, request, False

    def __iter__(self):
        written = ""
        for delta in self.model.write(self.request):
            if delta.completion is not None:
                yield replace(delta, text=delta.completion.text)
                return
            if self.cancelled:
                yield self.cut(written)
                return
            written += LETTERS[delta.tokens[0]]
            yield delta

    def cut(self, written):
        """The last delta of a cancelled stream."""
        whole = self.model.completion(self.request, written, FinishReason.CANCELLED)
        return Delta(text=whole.text, completion=whole)

    def cancel(self):
        self.cancelled = True
