"""The cuts of byte-level tokenizers into words, by the names that llama.cpp has for them (`tokenizer.ggml.pre`).

A GGUF file names the cut and does not hold it.  The table gives each name the steps that the model's own
`tokenizer.json` has; the same table read the other way names the cut of a tokenizer that is exported.  A name that is
not here is refused: a model whose words are cut otherwise reads other tokens than it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lavra.tokens.config import PATTERNS

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST: Final = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER: Final = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_QWEN2: Final = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_REST}"
_TEKKEN: Final = rf"{_UPPER}*{_LOWER}+|{_UPPER}+{_LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
_GPT4O: Final = (
    rf"{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
)

CutStep = Mapping[str, Any]


def _split(pattern: str) -> CutStep:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _bytes(use_regex: bool) -> CutStep:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


_GPT2_AS_SPLIT: Final[CutStep] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
_GPT2: Final[CutStep] = {**_GPT2_AS_SPLIT, "use_regex": True}
_DIGITS: Final[CutStep] = {"type": "Digits", "individual_digits": True}
_FALCON: Final[tuple[CutStep, ...]] = (  # as tiiuae's own tokenizer.json has it
    {"type": "Punctuation", "behavior": "Contiguous"},
    _bytes(use_regex=True),
    {"type": "Digits", "individual_digits": False},
    _split("[0-9][0-9][0-9]"),
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A way to cut text into words.

    Attributes:
        names: llama.cpp's names; the first is the one to write.
        steps: steps of the pre-tokenizer, as `tokenizer.json` has them.
        composes: whether text is brought to Unicode NFC first, which the model's own tokenizer does.
        whole_words: whether a word that is a token becomes that token without merges.
        begins: whether a text begins with a token where the file has no flag for it.
    """

    names: tuple[str, ...]
    steps: tuple[CutStep, ...]
    composes: bool = False
    whole_words: bool = False
    begins: bool = False


CUTS: Final = (
    Cut(names=("gpt-2", "phi-2", "roberta-bpe", "mpt", "olmo", "jais"), steps=(_bytes(use_regex=True),)),
    Cut(
        names=("smollm", "starcoder", "refact", "command-r", "codeshell"),
        steps=(_DIGITS, _bytes(use_regex=True)),
    ),
    Cut(
        names=("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"),
        steps=(_split(PATTERNS["llama3"]), _bytes(use_regex=False)),
        whole_words=True,
        begins=True,
    ),
    Cut(names=("dbrx", "smaug-bpe"), steps=(_split(PATTERNS["llama3"]), _bytes(use_regex=False))),
    Cut(names=("qwen2", "deepseek-r1-qwen"), steps=(_split(_QWEN2), _bytes(use_regex=False)), composes=True),
    Cut(names=("stablelm2", "megrez", "hunyuan"), steps=(_split(_QWEN2), _bytes(use_regex=False))),
    Cut(names=("tekken",), steps=(_split(_TEKKEN), _bytes(use_regex=False)), whole_words=True, begins=True),
    Cut(names=("gpt-4o", "llama4"), steps=(_split(_GPT4O), _bytes(use_regex=False)), whole_words=True),
    Cut(names=("falcon",), steps=_FALCON),
)
USUAL: Final = CUTS[0]
"""The cut of a file that names none."""


def cut_named(name: str) -> Cut | None:
    """The cut of that name; None where lavra does not know it."""
    return next((one for one in CUTS if name in one.names), None)


def name_of_cut(steps: Sequence[CutStep]) -> str | None:
    """llama.cpp's name of a cut, given the steps of a pre-tokenizer; None where it has none."""
    wanted = _facts(steps)
    return next((one.names[0] for one in CUTS if _facts(one.steps) == wanted), None)


def _facts(steps: Sequence[CutStep]) -> list[CutStep]:
    """The steps in one form: without offsets, and GPT-2's own expression as the byte-level step that cuts by it."""
    known: list[CutStep] = [{name: value for name, value in step.items() if name != "trim_offsets"} for step in steps]
    spelled_out = [_split(PATTERNS["gpt2"]), _GPT2_AS_SPLIT]
    return [_GPT2] if known == spelled_out else known


def known_cuts() -> list[str]:
    """The names of all cuts, sorted."""
    return sorted(name for one in CUTS for name in one.names)
