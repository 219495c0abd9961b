"""Conditions as people type them mean what the same conditions mean elsewhere."""

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
def test_what_a_condition_means(text, holds):
    assert meets(FACTS, (read_condition(text),)) is holds


@pytest.mark.parametrize("text", ["", "language", "language=", "=pt", "a b=c"])
def test_what_is_no_condition(text):
    with pytest.raises(InputError, match="is no condition"):
        read_condition(text)
