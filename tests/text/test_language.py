"""Languages of short texts in several scripts; too short or unclear texts have none."""

from __future__ import annotations

import pytest

from lavra.text.language import MIN_CONFIDENCE, detect_language, language_of_tag

TEXTS = {
    "pt": "A biblioteca não está aberta aos domingos, mas você pode ligar amanhã de manhã.",
    "en": "The library is open every day except on Sundays and on national holidays.",
    "es": "La biblioteca está abierta todos los días, excepto los domingos y los días festivos.",
    "fr": "La bibliothèque est ouverte tous les jours, sauf le dimanche et les jours fériés.",
    "de": "Die Bibliothek ist jeden Tag geöffnet, außer an Sonntagen und gesetzlichen Feiertagen.",
    "ja": "図書館は日曜日と祝日を除いて毎日開いています。どうぞご利用ください。",
    "th": "ห้องสมุดเปิดทุกวันยกเว้นวันอาทิตย์และวันหยุดราชการ",
    "ru": "Библиотека открыта каждый день, кроме воскресений и праздничных дней.",
}


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_a_sentence_is_in_its_language(code: str) -> None:
    found = detect_language(TEXTS[code])
    assert found is not None
    assert found.code == code
    assert MIN_CONFIDENCE <= found.confidence <= 1


@pytest.mark.parametrize("text", ["", "ok", "42 + 7 = 49", "Brasil 2014", "x9 qz-77 #a1 kk0 zzxq 0x1f 7b 9c"])
def test_short_or_unclear_texts_have_no_language(text: str) -> None:
    assert detect_language(text) is None


def test_a_long_text_is_judged_by_all_of_it() -> None:
    text = "12345 67890\n" * 2000 + TEXTS["pt"] * 400
    found = detect_language(text)
    assert found is not None
    assert found.code == "pt"


def test_tags_are_reduced_to_the_language() -> None:
    assert [language_of_tag(tag) for tag in ("pt-BR", "en_US", "PT", "", " de ")] == ["pt", "en", "pt", "", "de"]
