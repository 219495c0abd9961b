"""Rules that rephrase a sentence and keep its meaning: another order, other words, other units."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

from claim_sources import Paragraph, Rule

from lavra.text.function_words import word_set


def _verbatim(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    return sentence


def _reordered(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Move an introduction to the end: `In 1999, Ana won.` becomes `Ana won, in 1999.` for example."""
    parts = sentence[:-1].split(", ")
    if len(parts) != 2 or not 2 <= len(parts[0].split()) <= 8 or parts[0].split()[0].lower() not in _LEADS:
        return None
    return f"{parts[1][0].upper()}{parts[1][1:]}, {parts[0][0].lower()}{parts[0][1:]}."


_LEADS: Final = word_set("in on at by after before during since from em no na nos nas após durante desde até")

_SAME_ENGLISH: Final = {
    "began": "started",
    "used": "employed",
    "because": "since",
    "large": "big",
    "approximately": "about",
    "however,": "",
    "also": "",
    "many": "numerous",
    "often": "frequently",
    "such as": "like",
    "in order to": "to",
    "people": "persons",
    "created": "made",
    "became": "turned into",
    "obtained": "got",
    "located": "situated",
    "primarily": "mainly",
    "several": "various",
    "wealthy": "affluent",
    "additionally,": "",
    "usually": "commonly",
    "important": "significant",
    "received": "was given",
    "ended": "finished",
    "known as": "called",
}
_SAME_PORTUGUESE: Final = {
    "também": "",
    "porém": "mas",
    "utilizado": "usado",
    "utilizada": "usada",
    "diversos": "vários",
    "diversas": "várias",
    "através de": "por meio de",
    "possui": "tem",
    "cerca de": "aproximadamente",
    "além disso,": "",
    "atualmente": "hoje",
    "bem como": "e também",
    "realizar": "fazer",
    "devido a": "por causa de",
    "importante": "relevante",
    "iniciou": "começou",
    "localizada": "situada",
    "localizado": "situado",
    "conhecido como": "chamado",
    "apenas": "somente",
    "principalmente": "sobretudo",
    "entretanto,": "",
    "grande": "enorme",
    "obter": "conseguir",
}


def _paraphrased(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    changed, count = sentence, 0
    for word, same in (_SAME_PORTUGUESE if paragraph.portuguese else _SAME_ENGLISH).items():
        changed, times = re.subn(rf"(?<!\w){re.escape(word)}(?!\w)", same, changed, flags=re.IGNORECASE)
        count += times
    changed = re.sub(r" +", " ", changed).strip()
    return changed[0].upper() + changed[1:] if count >= 1 else None


def _introduced(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Put an opening before the sentence that language models often write."""
    opening = "De acordo com o texto," if paragraph.portuguese else "According to the text,"
    first = sentence.split()[0]
    lower = first.lower() in _OPENERS
    return f"{opening} {sentence[0].lower() if lower else sentence[0]}{sentence[1:]}"


_OPENERS: Final = word_set("the a an in it this these they there on o a os as um uma em no na ele ela esse essa")


def _shortened(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Drop the text in brackets, or the last clause."""
    if "(" in sentence and ")" in sentence:
        return re.sub(r" ?\([^()]*\)", "", sentence)
    parts = re.split(r", (?:which|who|where|que|onde|o que) ", sentence)
    return f"{parts[0]}." if len(parts) == 2 and len(parts[0].split()) >= 5 and parts[0][-1] != "." else None


_NUMERALS: Final = "one two three four five six seven eight nine ten eleven twelve"
_NUMERALS_PORTUGUESE: Final = "um dois três quatro cinco seis sete oito nove dez onze doze"


def _other_writing(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Write numbers in another form: words for digits, other separators, per cent, millions."""
    numerals = _NUMERALS_PORTUGUESE if paragraph.portuguese else _NUMERALS
    changed = sentence
    for value, word in enumerate(numerals.split()[1:], 2):
        changed = re.sub(rf"\b{word}\b", str(value), changed)
    percent, million = ("por cento", "milhões") if paragraph.portuguese else ("percent", "million")
    changed = re.sub(r"(\d)\s?%", rf"\1 {percent}", changed)
    changed = re.sub(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![,.]?\d)", lambda found: found[0].replace(",", "."), changed)
    changed = re.sub(rf"(?<![\d.,])(\d{{1,3}}) {million}\b", r"\1,000,000", changed)
    return changed if changed != sentence else None


_CONVERTED: Final = (
    (r"(?:miles|mi|milhas)", 1.609344, "km"),
    (r"(?:kilometers|kilometres|km|quilômetros)", 1000.0, "metros"),
    (r"(?:metres|meters|m|metros)", 100.0, "cm"),
    (r"(?:feet|ft|pés)", 0.3048, "metros"),
    (r"(?:kg|kilograms|quilos)", 1000.0, "gramas"),
    (r"(?:tons|tonnes|toneladas)", 1000.0, "kg"),
    (r"(?:hours|horas)", 60.0, "minutos"),
)


def _converted(sentence: str, paragraph: Paragraph, all_of: Sequence[Paragraph], draw: random.Random) -> str | None:
    """Convert a quantity to another unit, to four digits."""
    for pattern, factor, name in _CONVERTED:
        match = re.search(rf"\b(\d+(?:[.,]\d+)?) {pattern}\b(?![²2/]| \d)", sentence)
        if match:
            value = float(match[1].replace(",", "" if re.search(r",\d{3}$", match[1]) else ".")) * factor
            english = {"metros": "meters", "gramas": "grams", "minutos": "minutes"}.get(name, name)
            written = f"{value:.4g}" if value < 1000 else f"{value:.0f}"
            unit = name if paragraph.portuguese else english
            return f"{sentence[: match.start()]}{written} {unit}{sentence[match.end() :]}"
    return None


FAITHFUL: Final[Mapping[str, Rule]] = {
    "verbatim": _verbatim,
    "re-ordered": _reordered,
    "paraphrased": _paraphrased,
    "introduced": _introduced,
    "shortened": _shortened,
    "numbers written otherwise": _other_writing,
    "other units": _converted,
}
