"""A tokenizer of characters, a language model of known probabilities, an embedder of known vectors, small prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lavra.base.errors import InputError
from lavra.base.types import Completion, Score
from lavra.prompts.example import Example
from lavra.prompts.layout import PromptLayout
from lavra.prompts.prompt import MessageTemplate, Prompt
from lavra.prompts.variables import Variable

REVIEW = Variable(name="review", description="a review")


class Characters:
    """A tokenizer in which each character is a token."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def apply_chat_template(self, messages: Sequence[Any]) -> str:
        return "".join(f"<{message['role']}>{message['content']}" for message in messages) + "<assistant>"


LAYOUT = PromptLayout(tokenizer=Characters())


class KnownModel:
    """Scores by `said(given, text)`, the log-probability of the text, spread evenly over its characters."""

    def __init__(self, said: Callable[[str, str], float], written: Callable[[str], str] = lambda prompt: "") -> None:
        self.said, self.written = said, written
        self.scored: list[tuple[str | None, Any]] = []
        self.asked: list[Any] = []

    def score(self, requests):
        found = []
        for request in requests:
            self.scored.append((request.given, request.text))
            tokens = Characters().encode(request.text) if isinstance(request.text, str) else request.text
            total = self.said(request.given or "", request.text)
            found.append(
                Score(
                    tokens=tuple(tokens),
                    logprobs=(total / len(tokens),) * len(tokens) if tokens else (),
                    num_bytes=len(tokens),
                )
            )
        return found

    def generate(self, requests):
        self.asked += requests
        if any("refuse" in str(request.prompt) for request in requests):
            raise InputError("a prompt says refuse")
        texts = [self.written(request.prompt) for request in requests]
        return [[Completion(text=text, tokens=tuple(Characters().encode(text)))] for text in texts]

    def submit(self, request):
        raise NotImplementedError


class KnownEmbedder:
    """Vectors by text."""

    def __init__(self, vectors: dict[str, Sequence[float]]) -> None:
        self.vectors = vectors

    def embed(self, texts):
        return np.asarray([self.vectors[text] for text in texts], dtype=np.float32)


def example(review: str, expected: str, **rest: Any) -> Example:
    return Example(input={"review": review}, expected=expected, **rest)


def sentiment(**changes: Any) -> Prompt:
    settings: dict[str, Any] = {
        "name": "sentiment",
        "version": "1.0.0",
        "purpose": "Good or bad.",
        "variables": (REVIEW,),
        "template": "{{ shots }}Review: {{ review }}\nSentiment:",
        "example_template": "Review: {{ review }}\nSentiment: {{ expected }}",
        "labels": ("bad", "good"),
    }
    return Prompt(**{**settings, **changes})


def conversation(**changes: Any) -> Prompt:
    return sentiment(
        template=None,
        messages=(
            MessageTemplate(role="system", template="Good or bad?"),
            MessageTemplate(role="user", template="{{ review }}"),
        ),
        example_template=None,
        example_messages=(
            MessageTemplate(role="user", template="{{ review }}"),
            MessageTemplate(role="assistant", template="{{ expected }}"),
        ),
        **changes,
    )


def softmax(values: Sequence[float]) -> list[float]:
    """Naively."""
    weights = [math.exp(value) for value in values]
    return [weight / sum(weights) for weight in weights]
