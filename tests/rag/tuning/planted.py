"""Corpora with a known best search, and an embedder with known blindness."""

from __future__ import annotations

import random

import numpy as np

from lavra.base.retrieval import Chunk
from lavra.rag.chunk_table import MemoryChunks
from lavra.rag.questions.given import AnswerPlace, JudgedQuestion
from lavra.rag.questions.question import QuestionKind

NUM_TOPICS = 16
WORDS = {f"{'bcdfghjklmnpqrst'[topic]}{'aeiouy'[number]}r": topic for topic in range(NUM_TOPICS) for number in range(6)}
FILLER = [f"filler{number}" for number in range(30)]


class TopicEmbedder:
    """Vectors by meaning: the words `bar` and `ber` have the same topic.

    Args:
        blind: whether all texts get the same vector, with a little noise.
    """

    def __init__(self, blind=False):
        self.blind, self.num_texts = blind, 0
        self.directions = np.random.default_rng(0).normal(size=(NUM_TOPICS, 24))

    def embed(self, texts):
        self.num_texts += len(texts)
        return np.array([self.vector(text) for text in texts], dtype=np.float32).reshape(-1, 24)

    def vector(self, text):
        noise = np.random.default_rng(len(text) + sum(map(ord, text))).normal(size=24)
        if self.blind:
            return noise
        topics = [WORDS[word] for word in text.split() if word in WORDS]
        return sum((self.directions[topic] for topic in topics), 0.05 * noise)


def corpus(*, same_words, seed=0):
    """A table with one document for each topic, and a question about each.

    Args:
        same_words: whether questions have the words of their documents, or other words of the same topic.
        seed: seed of the words.
    """
    draw, texts, questions = random.Random(seed), {}, []
    for topic in range(NUM_TOPICS):
        words = [word for word, number in WORDS.items() if number == topic]
        said, asked = words[:3], words[:3] if same_words else words[3:]
        paragraphs = [
            " ".join([*draw.choices(FILLER, k=20), *said, *draw.choices(FILLER, k=20)]) + "." for _ in range(2)
        ]
        name = f"d{topic}.txt"
        texts[name] = "\n\n".join(paragraphs)
        places = (AnswerPlace(document=name, start=0, end=len(texts[name])),)
        questions.append(
            JudgedQuestion(
                question=" ".join([*asked, *draw.choices(FILLER, k=2)]), places=places, kind=QuestionKind.GIVEN
            )
        )
    chunks = [
        Chunk(id=number, document=name, text=text, start=0, end=len(text), line=1)
        for number, (name, text) in enumerate(texts.items())
    ]
    return MemoryChunks(chunks, texts), questions
