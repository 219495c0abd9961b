"""Numbers in every spelling: readings, units, dates, rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.ground.numbers import missing_numbers, read_numbers


def lacking(claim: str, evidence: str) -> list[str]:
    return missing_numbers(read_numbers(claim), evidence)


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("custa 1.234,5 reais", "it costs 1,234.5 reais"),
        ("1.234 pessoas", "1,234 people"),
        ("1 234 567 people", "1.234.567 pessoas"),
        ("twelve men", "12 homens"),
        ("doze homens", "12 men"),
        ("2 million people", "2.000.000 de pessoas"),
        ("três mil", "3,000"),
        ("5%", "five percent"),
        ("5 por cento", "5%"),
        ("10 km", "10,000 metres"),
        ("26.2 miles", "42.195 km"),
        ("100 °C", "212 °F"),
        ("2 hours", "120 minutos"),
        ("about 500 people", "519 people"),
        ("quase 2 milhões", "1.985.000"),
        ("12/05/2020", "12 de maio de 2020"),
        ("R$ 50", "50 reais"),
        ("0.125", "0,125"),
    ],
)
def test_one_quantity_in_two_writings_agrees(claim: str, evidence: str) -> None:
    assert lacking(claim, evidence) == []


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("1.5 people", "15 people"),
        ("0.125", "125"),
        ("10 km", "10 kg"),
        ("10 km", "10 miles"),
        ("5%", "5 km"),
        ("12 men", "doze mil"),
        ("519 people", "about 515 people"),
        ("about 519 people", "515 people"),
        ("8 reais em agosto", "9 reais em agosto"),
        ("1936", "in 1937"),
    ],
)
def test_other_quantities_are_missing(claim: str, evidence: str) -> None:
    assert len(lacking(claim, evidence)) == 1


def test_articles_and_months_are_not_asked_for() -> None:
    assert lacking("um dia em maio, one of them", "nada") == []


@given(st.integers(1000, 10**12))
def test_separators_of_both_languages_say_the_same(value: int) -> None:
    english, portuguese = f"{value:,}", f"{value:,}".replace(",", ".")
    assert lacking(english, portuguese) == lacking(portuguese, english) == lacking(str(value), english) == []
    assert Fraction(value) in read_numbers(english)[0].values
    assert lacking(str(value + 1), english) == [str(value + 1)]
