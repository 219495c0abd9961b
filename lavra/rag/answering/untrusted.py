"""Treat text of documents as data: text that a model could take for anything else is made harmless.

The author of an indexed document may put instructions to the model into it (Greshake et al. 2023, "Not what
you've signed up for").  Three defences, from the surest to the least sure:

1. Every line of a document stands behind `| ` in the prompt, and every character that any reader takes for a line
   break becomes one.  So no document can end its own block.
2. Marks that chat templates use (`<|im_start|>`, `[INST]`, the model's own special tokens, `User:` at the beginning of
   a line) are broken by a space; invisible characters are dropped, so that no mark hides behind them.
3. Sentences that speak to a model ("ignore the instructions above") are left out of the prompt, and a warning reports
   that.

The third is a list of phrases in English and Portuguese.  It is not a proof: an instruction in other words gets
through, and is then one sentence of a block that the prompt calls data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LINE_MARK: Final = "| "
"""The mark before every line of a document in a prompt.

With `> ` in its place SmolLM2 gave 2 right answers of 14, and 5 with `| ` (docs/log.md)."""

# Zero-width and direction marks, soft hyphens, variation selectors, Unicode's tag characters and noncharacters.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufdd0-\ufdef\ufff0-\ufffb\U000e0000-\U000e0fff\x00-\x08\x0e-\x1b\x7f]"
)
_LINE_BREAKS: Final = re.compile("\r\n|[\r\v\f\x1c-\x1f\x85\u2028\u2029]")
_WIDE: Final = str.maketrans("＜＞｜［］＃：", "<>|[]#:")
_TEMPLATE_MARKS: Final = re.compile(
    r"<(?=[|/]|<|s>|bos>|eos>|pad>|unk>|\w+_of_turn>|(?:system|user|assistant|tool|tool_call|tool_response|think)>)"
    r"|\|(?=>)"
    r"|\[(?=/?(?:INST|SYS|BOS|EOS|CLS|SEP|PAD|MASK|SYSTEM_PROMPT|TOOL|AVAILABLE_TOOLS|IMG)\w*\])",
    re.IGNORECASE,
)
_ROLE: Final = re.compile(
    r"^(\W*(?:system|developer|user|human|assistant|ai|bot|tool|instructions?|question|answer|passages?|sistema|"
    r"usu[aá]rio|assistente|humano|instruç(?:ão|ões)|pergunta|resposta)\s*):",
    re.IGNORECASE | re.MULTILINE,
)
_HEADER: Final = re.compile(r"^(\s*)#+", re.MULTILINE)

# The places where an order begins: the beginning of a sentence, behind a mark, or behind a word that presses.
_ORDER: Final = (
    r"(?:^|[.:;,!?\"'“(—-]|\b(?:must|should|please|always|now|then|and|instead|you|favor|agora|deve|e)\b)\W*"
)
_PHRASES: Final = (
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:previous|prior|above|earlier|preceding|all|any|your|these|"
    r"those|system)\b.{0,40}\b(?:instructions?|prompts?|rules|directions|guidelines|commands?)\b",
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:previous|prior|above|earlier|preceding)\b.{0,40}"
    r"\b(?:passages?|questions?|context|messages?|texts?|documents?)\b",
    r"\b(?:ignore|desconsidere|esqueça|esqueca|despreze|descarte)\b.{0,60}\b(?:instruç(?:ões|ão)|instruc(?:oes|ao)|regras|"
    r"prompts?|comandos?|ordens)\b",
    r"\b(?:ignore|desconsidere|esqueça|despreze)\b.{0,60}\b(?:acima|anterior(?:es)?)\b",
    r"\b(?:system|developer|hidden)\s+(?:prompt|message|instructions?)\b",
    r"\bprompt\s+d[oe]\s+sistema\b",
    r"\b(?:new|updated|important|urgent|secret)\s+instructions?\s*(?:[:.!]|\bfor\b|\bto\b)",
    r"\b(?:novas?|importantes?)\s+instruç(?:ões|ão)\s*[:.!]|\binstruç(?:ões|ão)\s+(?:novas?|importantes?|para\s+(?:a\s+ia|o\s+"
    r"(?:modelo|assistente)))\b",
    r"\b(?:you\s+are\s+now|from\s+now\s+on,?\s+you)\b",
    r"\b(?:a\s+partir\s+de\s+agora,?\s+você|você\s+agora\s+é)\b",
    _ORDER
    + r"(?:respond|reply|answer|say|print|output|write|repeat)\s+(?:\w+\s+)?(?:only|exactly|verbatim|nothing\s+but)\b",
    _ORDER + r"(?:respond|reply|answer)\s+(?:\w+\s+){0,3}with\s+(?:the\s+(?:word|phrase|text|code)|[\"'“«])",
    _ORDER + r"(?:responda|diga|escreva|imprima|repita)\s+(?:\w+\s+)?(?:apenas|somente|só|exatamente)\b",
    _ORDER + r"(?:do\s+not|don't|never)\s+(?:answer|reveal|follow|obey|cite)\b",
    _ORDER + r"não\s+(?:responda|revele|siga|obedeça|cite)\b",
    r"\b(?:ai|language)\s+(?:model|assistant)s?\s+(?:must|should|shall)\b",
    r"\b(?:note|message|attention|instructions?)\s+(?:to|for)\s+(?:the\s+|any\s+|all\s+)?(?:ais?|llms?|assistants?|"
    r"language\s+models?|chatbots?)\b",
    r"\b(?:ao|para\s+o)\s+(?:assistente\s+virtual|modelo\s+de\s+linguagem)\b",
)
_SPEAKS_TO_A_MODEL: Final = re.compile("|".join(f"(?:{phrase})" for phrase in _PHRASES), re.IGNORECASE)


def neutral_text(text: str, special_tokens: Sequence[str] = ()) -> str:
    """Neutralise a text: no chat template's mark and no special token is left in it.

    Args:
        text: part of a document.
        special_tokens: special tokens of the model that will read it.
    """
    plain = _LINE_BREAKS.sub("\n", _INVISIBLE.sub("", text)).translate(_WIDE)
    plain = _TEMPLATE_MARKS.sub(lambda found: f"{found[0]} ", plain)
    plain = _HEADER.sub(r"\1", _ROLE.sub(r"\1 -", plain))
    for token in sorted(special_tokens, key=len, reverse=True):
        # A token of white space or one letter is not a mark of a template, and breaking it would break the text.
        while len(token.strip()) > 1 and token in plain:
            plain = plain.replace(token, f"{token[0]} {token[1:]}")
    return plain


def quoted_block(text: str, special_tokens: Sequence[str] = ()) -> str:
    """Neutralise a text and put `LINE_MARK` before each line; empty lines are left out."""
    lines = neutral_text(text, special_tokens).split("\n")
    return "\n".join(f"{LINE_MARK}{line.strip()}" for line in lines if line.strip())


def neutral_line(text: str, special_tokens: Sequence[str] = ()) -> str:
    """Neutralise a text into a single line, for names and questions."""
    return " ".join(neutral_text(text, special_tokens).split())


def speaks_to_a_model(text: str) -> bool:
    """Whether a sentence looks like an instruction to a model that reads documents."""
    return _SPEAKS_TO_A_MODEL.search(" ".join(_INVISIBLE.sub("", text).split())) is not None
