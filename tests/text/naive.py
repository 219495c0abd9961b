"""References for the fast paths: shingles and similarity by plain Python sets."""

from __future__ import annotations

import random
import re

SYLLABLES, ENDINGS = ("ri", "sto", "mo", "lan", "ga"), ("ver", "ne", "del", "tern")
WORDS = [f"{syllable}{ending}" for syllable in SYLLABLES for ending in ENDINGS]

# Words as the shingler defines them; three- and four-byte characters begin a word of their own.
WORD = re.compile("[a-z0-9_\x80-\u07ff]+|[\u0800-\U0010ffff][a-z0-9_\x80-\u07ff]*")


def ascii_lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def naive_shingles(text: str, n: int = 5) -> list[tuple[str, ...]]:
    words = WORD.findall(ascii_lower(text))
    if not words:
        return [("whole", ascii_lower(text))]
    return [tuple(words[start : start + n]) for start in range(max(1, len(words) - n + 1))]


def jaccard(a: str, b: str) -> float:
    left, right = set(naive_shingles(a)), set(naive_shingles(b))
    return len(left & right) / len(left | right)


def words_of(seed: int, num_words: int) -> str:
    """Words in random order, so that no two texts are similar unless a test makes them so."""
    chooser = random.Random(seed)
    words = [f"{chooser.choice(WORDS)}{chooser.randrange(100)}" for _ in range(num_words)]
    return "\n".join(" ".join(words[start : start + 10]) for start in range(0, num_words, 10))
