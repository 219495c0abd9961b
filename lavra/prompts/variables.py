"""The typed variables of a prompt: their allowed values, and the check of a caller's values.

A value of the wrong type is refused by name, never converted: `"3"` is not an int, `True` is not an int either.  Only
text typed on a command line is read as the type the variable has.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from lavra.base.convert import convert
from lavra.base.errors import ConfigError, InputError, nearest

SHOTS, EXPECTED = "shots", "expected"
RESERVED = frozenset({SHOTS, EXPECTED})
"""The names that lavra gives to templates: the written shots, and in a shot the expected answer."""


class VariableType(Enum):
    """The type of a variable's value."""

    STR = "str"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    LIST = "list"


_SCALARS = (str, int, float, bool)
_ACCEPTED: Mapping[VariableType, tuple[type, ...]] = {
    VariableType.STR: (str,),
    VariableType.INT: (int,),
    VariableType.FLOAT: (float, int),
    VariableType.BOOL: (bool,),
    VariableType.LIST: (list, tuple),
}


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable of a prompt.

    Attributes:
        name: identifier in the template.
        description: meaning of the variable, for the person who fills it in.
        type: str, int, float, bool or list (of those).
        default: value where none is given; without a default a value must be given.
        choices: the allowed values, if not all are.
    """

    name: str
    description: str
    type: VariableType = VariableType.STR
    default: Any = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or keyword.iskeyword(self.name) or self.name.startswith("_"):
            raise ConfigError(f"name {self.name!r} cannot be a variable; write letters, digits and _, a letter first")
        if self.name in RESERVED:
            raise ConfigError(f"name {self.name!r} is taken: templates have {', '.join(sorted(RESERVED))} from lavra")
        for choice in self.choices:
            if not self._fits(choice):
                raise ConfigError(
                    f"choice {choice!r} of {self.name!r} is not of type {self.type.value}; correct one of the two"
                )
        if self.default is not None:
            try:
                self.check(self.default)
            except InputError as error:
                raise ConfigError(f"the default does not fit: {error}") from error

    @property
    def is_free_text(self) -> bool:
        """Whether any text may stand here."""
        return self.type is VariableType.STR and not self.choices

    def check(self, value: Any) -> None:
        """Refuse a value that this variable cannot hold.

        Raises:
            InputError: the message names the variable, the value and the allowed values.
        """
        if not self._fits(value):
            what = " of str, int, float and bool" if self.type is VariableType.LIST else ""
            raise InputError(
                f"variable {self.name!r} is {value!r}, of type {type(value).__name__}; it takes {self.type.value}{what}"
            )
        if self.choices and value not in self.choices:
            raise InputError(f"variable {self.name!r} is {value!r}{nearest(str(value), map(str, self.choices))}")

    def read(self, text: str) -> Any:
        """Read typed text as this variable's type.

        Raises:
            ConfigError: the text does not spell a value of the type.
        """
        where = f"variable {self.name!r}"
        if self.type is VariableType.STR:
            return text
        if self.type is not VariableType.LIST:
            kinds = {VariableType.INT: int, VariableType.FLOAT: float, VariableType.BOOL: bool}
            return convert(kinds[self.type], text, where)
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError:
            found = None
        if not isinstance(found, list):
            raise ConfigError(f"{where}: {text!r} is not a list; write one such as '[a, b]'")
        return found

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) and self.type is not VariableType.BOOL:
            return False
        if not isinstance(value, _ACCEPTED[self.type]):
            return False
        return not isinstance(value, list | tuple) or all(isinstance(item, _SCALARS) for item in value)


def typed_values(variables: Sequence[Variable], given: Mapping[str, Any]) -> dict[str, Any]:
    """Check the given values and add the defaults: a value for every variable.

    Raises:
        InputError: a value is missing, unknown, of the wrong type or not among the choices.
    """
    known = {variable.name: variable for variable in variables}
    for name in given:
        if name not in known:
            hint = nearest(str(name), known) if known else "; this prompt has no variables"
            raise InputError(f"there is no variable {name!r}{hint}")
    values: dict[str, Any] = {}
    for name, variable in known.items():
        if name not in given and variable.default is None:
            raise InputError(f"variable {name!r} has no value; it is: {variable.description}")
        values[name] = given.get(name, variable.default)
        variable.check(values[name])
    return values
