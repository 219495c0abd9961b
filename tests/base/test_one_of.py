"""A setting of one of several dataclasses: words, tables, short keys, flags, and the plain data of cards."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from lavra.base.config import add_flags, from_flags, from_mapping, load_yaml, named_settings, to_mapping
from lavra.base.errors import ConfigError
from lavra.base.one_of import OneOf, ShortKey


@dataclass(frozen=True, kw_only=True)
class Tea:
    """Tea.

    Attributes:
        leaves: grams of it.
        spices: what is added.
    """

    leaves: int = 3
    spices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.leaves < 1:
            raise ConfigError(f"leaves is {self.leaves}; take some")


@dataclass(frozen=True, kw_only=True)
class Coffee:
    """Coffee.

    Attributes:
        beans: grams of it.
        milk: whether there is any.
    """

    beans: int = 8
    milk: bool = False


STARTS: dict[str, Any] = {"water": None, "tea": Tea(), "coffee": Coffee(), "latte": Coffee(milk=True)}


def word(drink: Tea | Coffee | None) -> str:
    if isinstance(drink, Coffee):
        return "latte" if drink.milk else "coffee"
    return "water" if drink is None else "tea"


MARK = OneOf(
    starts=lambda: STARTS,
    word_of=word,
    short_keys=(ShortKey(key="grams", field="leaves", kept=3), ShortKey(key="spices", field="spices", kept=[])),
)


@dataclass(frozen=True, kw_only=True)
class Breakfast:
    """Breakfast.

    Attributes:
        drink: what is drunk.
        eggs: how many.
    """

    drink: Annotated[Tea | Coffee | None, MARK] = None
    eggs: int = 1


@pytest.mark.parametrize(
    ("plain", "drink"),
    [
        ({}, None),
        ({"drink": "water"}, None),
        ({"drink": None}, None),
        ({"drink": "tea"}, Tea()),
        ({"drink": "latte"}, Coffee(milk=True)),
        ({"drink": {"name": "tea", "leaves": "4"}}, Tea(leaves=4)),
        ({"drink": {"name": "latte", "beans": 9}}, Coffee(milk=True, beans=9)),
        ({"drink": "tea", "grams": 4, "spices": ["mint"]}, Tea(leaves=4, spices=("mint",))),
        ({"drink": {"name": "tea", "spices": ["mint"]}, "grams": "4"}, Tea(leaves=4, spices=("mint",))),
        ({"drink": "tea", "grams": None, "spices": []}, Tea()),
        ({"drink": "coffee", "grams": 3, "spices": []}, Coffee()),  # as every card has them
        ({"drink": Coffee(beans=2)}, Coffee(beans=2)),
        ({"drink": Tea(leaves=2), "spices": [], "grams": 3}, Tea(leaves=2)),
    ],
)
def test_words_tables_and_short_keys_are_read(plain: dict[str, Any], drink: object) -> None:
    read = from_mapping(Breakfast, plain)
    assert read.drink == drink
    assert from_mapping(Breakfast, to_mapping(read)) == read


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"drink": "tee"}, "drink: unknown value 'tee'; did you mean 'tea'"),
        ({"drink": {"name": "tee"}, "grams": 4}, "drink: unknown value 'tee'; did you mean 'tea'"),
        ({"drink": 3, "grams": 4}, "drink: 3 is not a name or a table"),
        ({"drink": 3}, "drink: 3 is not a name or a table of settings; write a name such as water"),
        ({"drink": "coffee", "grams": 4}, "grams is 4: it is a setting of tea, and `drink` is 'coffee'; leave it out"),
        ({"grams": 4}, "grams is 4: it is a setting of tea, and `drink` is 'water'"),
        (
            {"drink": {"name": "tea", "milk": True}},
            "drink.milk: it is a setting of coffee and latte, and `drink` is 't",
        ),
        ({"drink": {"leaves": 4}}, "drink.leaves: it is a setting of tea, and `drink` is 'water'"),
        ({"drink": {"name": "tea", "leavs": 4}}, "unknown setting 'leavs'; did you mean 'leaves'"),
        ({"drink": {"name": "tea", "leaves": 4}, "grams": 5}, "grams is 5 and drink.leaves says the same"),
        ({"drink": Tea(), "grams": 5}, "grams is given beside Tea"),
        ({"drink": "tea", "grams": "many"}, "grams: 'many' is not a whole number"),
        ({"drink": "tea", "grams": 0}, "^grams is 0; take some"),
        ({"drink": {"name": "tea", "leaves": 0}}, "^leaves is 0; take some"),
        ({"drink": "tea", "gram": 4}, "gram: unknown setting 'gram'; did you mean 'grams'"),
    ],
)
def test_meaningless_settings_are_refused(plain: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        from_mapping(Breakfast, plain)


@pytest.mark.parametrize(
    ("drink", "plain"),
    [
        (None, {"drink": "water", "grams": 3, "spices": []}),
        (Tea(leaves=4), {"drink": "tea", "grams": 4, "spices": []}),
        (Coffee(milk=True), {"drink": "latte", "grams": 3, "spices": []}),
        (Coffee(beans=9), {"drink": {"name": "coffee", "beans": 9}, "grams": 3, "spices": []}),
    ],
)
def test_plain_data_names_every_short_key_and_no_field_that_is_usual(drink: Any, plain: dict[str, Any]) -> None:
    assert to_mapping(Breakfast(drink=drink)) == {"eggs": 1, **plain}


def test_flags_choose_and_set_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("drink: coffee\neggs: 2\n")
    parser = argparse.ArgumentParser()
    add_flags(parser, Breakfast)

    def read(*typed: str) -> Breakfast:
        return from_flags(Breakfast, parser.parse_args(typed), file)

    assert read() == Breakfast(drink=Coffee(), eggs=2)
    assert read("--drink.beans", "9").drink == Coffee(beans=9)
    assert read("--drink", "latte", "--drink.beans", "9").drink == Coffee(beans=9, milk=True)
    assert read("--drink", "tea", "--grams", "4", "--spices", "mint", "salt").drink == Tea(
        leaves=4, spices=("mint", "salt")
    )
    assert named_settings(Breakfast, parser.parse_args(["--grams", "4"])) == {"grams"}
    with pytest.raises(ConfigError, match="--drink: unknown value 'tee'; did you mean 'tea'"):
        read("--drink", "tee")
    assert load_yaml(Breakfast, file).drink == Coffee()
    file.write_text("drink: {name: tea, leaves: 4, spices: [mint]}\n")
    assert read("--grams", "6").drink == Tea(leaves=6, spices=("mint",))
    file.write_text("drink: tea\ngrams: 4\n")
    assert read("--grams", "6").drink == Tea(leaves=6)


def test_help_says_whose_a_setting_is() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Breakfast)
    text = " ".join(parser.format_help().split())
    assert "--drink {water,tea,coffee,latte} what is drunk. (default: water)" in text
    assert "--grams N of tea: grams of it. (default: 3)" in text
    assert "--spices [TEXT ...] of tea: what is added. (default: none)" in text
    assert "--drink.beans N of coffee, latte: grams of it. (default: 8)" in text
    assert "--drink.leaves" not in text
