"""Conditions in the forms that people type have the same meaning as elsewhere."""

import pytest

from lavra.base.errors import InputError
from lavra.rag.chunk_table import meets
from lavra.rag.conditions import read_condition

FACTS = {"language": "pt", "year": 2021, "code": "2021", "price": 2.5, "tag": ("law", "news")}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("language=pt", True),
        (" language = pt ", True),
        ("language=en", False),
        ("language!=en", True),
        ("language=en,pt", True),
        ("language!=en,pt", False),
        ("year=2021", True),
        ("code=2021", True),
        ("year!=2021", False),
        ("code!=2021", False),
        ("year>=2021", True),
        ("year>2021", False),
        ("year<=2021", True),
        ("year<2021", False),
        ("price=2.5", True),
        ("tag~law", True),
        ("tag~sports, news", True),
        ("tag~sports", False),
        ("colour=red", False),
    ],
)
def test_conditions_have_their_documented_meaning(text, holds):
    assert meets(FACTS, (read_condition(text),)) is holds


@pytest.mark.parametrize("text", ["", "language", "language=", "=pt", "a b=c"])
def test_invalid_conditions_are_refused(text):
    with pytest.raises(InputError, match="is not a condition"):
        read_condition(text)
