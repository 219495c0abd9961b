"""A setting with several variants: each is a settings dataclass, chosen by a word.

In plain data (YAML, flags, cards) the setting `method` may stand in three ways, which mix:

    method: lora                       the word alone: the variant's initial settings
    method: {name: lora, rank: 16}     the word, and fields of the settings
    rank: 16                           a short key beside `method`, for a field of the settings

`convert.py` reads and writes such settings by the functions here; `config.py` makes flags of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from lavra.base.errors import ConfigError

NAME: Final = "name"
"""Key of a table that holds the word."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShortKey:
    """A key beside a `OneOf` setting that stands for a field of the settings inside.

    Attributes:
        key: key beside the setting, such as `virtual_tokens`.
        field: field of the settings inside, such as `num_tokens`.
        kept: plain value for cards where the settings inside lack the field.
    """

    key: str
    field: str
    kept: Any = None


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """The mark on the type of such a setting: `Annotated[AdapterConfig | None, OneOf(...)]`, whose default is `None`.

    Attributes:
        starts: word -> the initial settings; `None` for the word without settings.
        word_of: settings -> their word.
        short_keys: short keys beside the setting.
    """

    starts: Callable[[], Mapping[str, Any]]
    word_of: Callable[[Any], str]
    short_keys: tuple[ShortKey, ...] = ()

    def classes(self) -> dict[type, tuple[str, ...]]:
        """Every class of settings, with its words."""
        found: dict[type, tuple[str, ...]] = {}
        for word, start in self.starts().items():
            if start is not None:
                found[type(start)] = (*found.get(type(start), ()), word)
        return found

    def class_with(self, field: str) -> type:
        """The first class of settings that has this field."""
        return next(cls for cls in self.classes() if field in _fields(cls))

    def hint_of(self, short: ShortKey) -> Any:
        """The type of a short key's value; `None` is a valid value too, and sets nothing."""
        return get_type_hints(self.class_with(short.field), include_extras=True)[short.field] | None

    def words_with(self, field: str) -> list[str]:
        """Words whose settings have this field."""
        return [word for cls, words in self.classes().items() if field in _fields(cls) for word in words]


def one_of_in(hint: Any) -> OneOf | None:
    """The mark of a type; `None` for a type without a mark."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, OneOf)), None)


@functools.cache
def one_of_settings(cls: type) -> dict[str, OneOf]:
    """The `OneOf` settings of a dataclass, by field."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: mark for name, hint in hints.items() if (mark := one_of_in(hint)) is not None}


def as_table(value: Any) -> dict[str, Any]:
    """Turn a word or a table into a table."""
    return {NAME: value} if isinstance(value, str) else dict(value)


def fold_short_keys(
    marks: Mapping[str, OneOf], mapping: Mapping[str, Any], read: Callable[[str, Any], Any]
) -> tuple[dict[str, Any], dict[str, ShortKey]]:
    """Put the short keys of plain data into the tables of the settings they belong to.

    Args:
        marks: `OneOf` settings, by name.
        mapping: plain data.
        read: (short key, its type) -> its converted value.

    Returns:
        The mapping without short keys, and its short keys, by the field that each stands for.

    Raises:
        ConfigError: a key does not belong to the chosen settings, or a field is given twice.
    """
    plain, had = dict(mapping), dict[str, ShortKey]()
    for name, mark in marks.items():
        given = {
            short: read(short.key, mark.hint_of(short))
            for short in mark.short_keys
            if plain.pop(short.key, MISSING) is not MISSING
        }
        if given:
            plain[name] = _with_short_keys(mark, name, plain.get(name), given)
            had |= {short.field: short for short in given}
    return plain, had


def _with_short_keys(mark: OneOf, name: str, value: Any, given: Mapping[ShortKey, Any]) -> Any:
    """A setting's word or table, with the values of short keys in it; `None` and empty values set nothing."""
    used = {short: one for short, one in given.items() if one not in (None, ())}
    if type(value) in mark.classes():
        beside = [short.key for short, one in used.items() if one != short.kept]
        if beside:
            raise ConfigError(f"{beside[0]} is given beside {value!r}; set it there, and leave it out here")
        return value
    if not isinstance(value, str | Mapping | None):
        return value  # refused where it is converted
    table = {NAME: mark.word_of(None)} if value is None else as_table(value)
    word = str(table.get(NAME))
    start = mark.starts().get(word)  # a missing or unknown word is refused where the table is converted
    for short, one in used.items():
        if start is None or short.field not in _fields(type(start)):
            if word in mark.starts() and one != short.kept:
                wrong = of_others(mark.words_with(short.field), f"`{name}`", word)
                raise ConfigError(f"{short.key} is {one!r}: {wrong}")
        elif short.field in table:
            raise ConfigError(f"{short.key} is {one!r} and {name}.{short.field} says the same; keep one of the two")
        else:
            table[short.field] = one
    return table


@contextmanager
def short_keys_named(had: Mapping[str, ShortKey]) -> Iterator[None]:
    """Begin an error about a short key's field with that key."""
    try:
        yield
    except ConfigError as error:
        field, used, rest = str(error).partition(" is ")
        if used and field in had:
            raise ConfigError(f"{had[field].key}{used}{rest}") from None
        raise


def of_others(words: Collection[str], name: str, word: Any) -> str:
    """The error of a setting that belongs to other words than the chosen word."""
    return (
        f"it is a setting of {' and '.join(words)}, and {name} is {word!r}; "
        f"leave it out, or set {name} to {' or '.join(words)}"
    )


def write_one_of(mark: OneOf, name: str, value: Any, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Plain data of the setting and of all its short keys.

    The word stands alone where the short keys hold everything else, so that cards keep their old layout.

    Args:
        mark: mark of the setting.
        name: name of the setting.
        value: the settings.
        plain: function that turns settings into plain data.
    """
    word = mark.word_of(value)
    own = {} if value is None else plain(value)
    usual = {} if value is None else plain(mark.starts()[word])
    written = {short.key: _written(short, own, usual) for short in mark.short_keys}
    short_fields = {short.field for short in mark.short_keys}
    rest = {field: one for field, one in own.items() if field not in short_fields and one != usual[field]}
    return {name: {NAME: word, **rest} if rest else word, **written}


def _written(short: ShortKey, own: Mapping[str, Any], usual: Mapping[str, Any]) -> Any:
    says_nothing = short.kept is None or short.kept == []
    if short.field not in own or (own[short.field] == usual[short.field] and says_nothing):
        return short.kept
    return own[short.field]


def _fields(cls: type) -> Collection[str]:
    return getattr(cls, "__dataclass_fields__", {})
