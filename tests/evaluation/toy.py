"""A language model with known answers, and task files for it.

The log-likelihood of a continuation is a sum of one number for each character, a hash of the text before it; a written
text is a function of the prompt.  The model counts its requests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

import yaml

from lavra.base.errors import ContextLengthError, NoLogprobsError
from lavra.base.types import Completion, Score, Usage


def share(text):
    """A number from 0 to 1 that depends on a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def logprob(context, continuation):
    """Log-likelihood (natural log) of a continuation, one number for each character."""
    return sum(-3 * share(context + continuation[: end + 1]) - 0.01 for end in range(len(continuation)))


@dataclass
class ToyScorer:
    """The port; `asked` contains every requested text."""

    context: int = 10**9
    has_logprobs: bool = True
    constant: str | None = None
    equal: bool = False
    asked: list = field(default_factory=list)

    def score(self, requests):
        if not self.has_logprobs:
            raise NoLogprobsError("it gives none")
        return [self._score(request) for request in requests]

    def _score(self, request):
        given, text = request.given or "", request.text
        self.asked.append((given, text))
        lost = max(0, len(given) + len(text) - self.context)
        if len(text) > self.context:
            raise ContextLengthError(f"the text has {len(text)} tokens")
        logprobs = [-1.0 if self.equal else -3 * share(given + text[: end + 1]) - 0.01 for end in range(len(text))]
        return Score(
            tokens=tuple(map(ord, text)),
            logprobs=tuple(logprobs if not self.equal else [-1.0, *[0.0] * (len(text) - 1)]),
            num_bytes=len(text.encode()),
            greedy=tuple(one > -1.5 for one in logprobs),
            context_tokens=len(given) - lost,
            truncated_tokens=lost,
        )

    def generate(self, requests):
        return [[self._write(request, sample) for sample in range(request.n)] for request in requests]

    def _write(self, request, sample):
        prompt = request.prompt if isinstance(request.prompt, str) else "".join(map(chr, request.prompt))
        self.asked.append((prompt, None))
        if len(prompt) > self.context and not request.truncate_prompt:
            raise ContextLengthError("the prompt is too long")
        seed = "" if request.sampling.seed is None else f"{request.sampling.seed}/{sample}"
        text = self.constant if self.constant is not None else f" {int(share(prompt + seed) * 4)}"
        usage = Usage(
            prompt_tokens=min(len(prompt), self.context),
            completion_tokens=len(text),
            truncated_tokens=max(0, len(prompt) - self.context),
        )
        return Completion(text=text, usage=usage)


CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": "Q: {{q}}\nA:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "gold",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}, {"metric": "f1"}],
}
WRITING = {
    "output_type": "generate_until",
    "doc_to_text": "{{q}} =",
    "doc_to_target": "{{gold}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
    "metric_list": [{"metric": "exact_match"}],
    "filter_list": [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "([0-2])"}, {"function": "take_first"}]}
    ],
}
ROLLING = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{q}}"}


def rows(number, num_choices=2):
    """Rows with different questions."""
    return [
        {
            "q": f"how much is {one}",
            "choices": [f"a{one}", "bbb", "cc", "d"][:num_choices],
            "gold": one * 7 % num_choices,
        }
        for one in range(number)
    ]


def write_task(folder, name, fields, documents):
    """Write a task file and its data; returns the path of the file."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in documents), encoding="utf-8")
    file = folder / f"{name}.yaml"
    whole = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "metadata": {"version": 1.0},
        **fields,
    }
    file.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return file
