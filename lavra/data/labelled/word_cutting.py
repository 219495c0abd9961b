"""Cut a text into words, as people count them; each word can have a tag.

Words are runs of letters, digits, marks and underscores; every other sign stands for itself.  Chinese, Japanese, Thai,
Lao, Khmer and Burmese put no spaces between words, and names there begin and end anywhere: each of their letters is a
unit of its own, with the marks that stand on it (Unicode's general categories Mn and Mc).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right

# First and last code points of scripts written without spaces between words (Unicode 16, Blocks.txt).
_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x3035),  # kana repeat marks
    (0x3041, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31BF),  # Bopomofo, extended
    (0x31F0, 0x31FF),  # Katakana, extended
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Burmese, extended
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x1B000, 0x1B16F),  # Kana, supplement
    (0x20000, 0x323AF),  # Han, extended
)
_FIRSTS = [first for first, _ in _BLOCKS]


def is_spaceless(character: str) -> bool:
    """Whether a character is a letter, or a mark on one, of a script without spaces between words."""
    code = ord(character)
    if code < _FIRSTS[0]:
        return False
    return code <= _BLOCKS[bisect_right(_FIRSTS, code) - 1][1] and unicodedata.category(character)[0] in "LM"


def has_units(word: str) -> bool:
    """Whether a word is several units of such a script."""
    return len(word) > 1 and all(map(is_spaceless, word)) and len(cut_words(word)) > 1


def cut_words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word, unit or sign of a text, in characters (code points)."""
    found: list[tuple[int, int]] = []
    is_open = takes_letters = False  # whether marks belong to the last word, and whether letters do
    for at, character in enumerate(text):
        category = unicodedata.category(character)
        if character.isspace() or category == "Cc":
            is_open = takes_letters = False
        elif category == "Cf" or (category[0] == "M" and is_open):
            # Marks and invisible joiners stay with the word they stand in.
            if is_open:
                found[-1] = (found[-1][0], at + 1)
        elif is_spaceless(character):
            found.append((at, at + 1))
            is_open, takes_letters = True, False
        elif category[0] in "LN" or character == "_":
            if takes_letters:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
            is_open = takes_letters = True
        else:
            found.append((at, at + 1))
            is_open = takes_letters = False
    return found
