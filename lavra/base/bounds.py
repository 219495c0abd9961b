"""The bounds of a number, written beside its type, and the parameters of a dataclass read back from there.

A field `top_p: Annotated[float, ParameterBounds(…)] = 1.0` defines a parameter once: name, type, bounds and default
stand in the field, its sentence in the `Attributes:` section of the class.  `parameters` gives name, type, bounds and
default to code that needs a parameter in another form (request models, flags, tables of the documentation).
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from lavra.base.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterBounds:
    """The allowed range of a number; NaN is never allowed.

    Attributes:
        least: the smallest allowed number.
        most: the largest allowed number.
        above_least: `least` itself is not allowed.
        remedy: a value to use in place of a number outside the range, for the message.
        drawn_only: the number acts only where a token is drawn, so not at temperature 0.
    """

    least: float
    most: float
    above_least: bool = False
    remedy: str
    drawn_only: bool = False

    def __str__(self) -> str:
        return f"{'over' if self.above_least else 'at least'} {_shown(self.least)}, at most {_shown(self.most)}"

    def check(self, name: str, value: object, *, whole: bool = False) -> None:
        """Check that a number is within the bounds.

        Args:
            name: name of the parameter, for the message.
            value: value of the parameter.
            whole: whether the value must be a whole number.

        Raises:
            ConfigError: the value is outside; the message names the value, the bounds and the remedy.
        """
        kind, word = (Integral, "a whole number") if whole else (Real, "a number")
        if not isinstance(value, kind):
            raise ConfigError(f"{name}={value!r} is not {word} ({self}); {self.remedy}")
        number: Any = value
        inside = self.least < number <= self.most if self.above_least else self.least <= number <= self.most
        if not inside:
            raise ConfigError(f"{name}={value} is out of range ({self}); {self.remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A bounded field of a dataclass.

    Attributes:
        name: name of the field.
        kind: `int` or `float`.
        optional: whether `None` is allowed too.
        bounds: bounds of the number.
        default: value of a field that is not given.
    """

    name: str
    kind: type[int] | type[float]
    optional: bool
    bounds: ParameterBounds
    default: float | None


@functools.cache
def parameters(cls: Any) -> tuple[Parameter, ...]:
    """The bounded fields of a dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    found = [(field, hints[field.name], _annotated(hints[field.name])) for field in dataclasses.fields(cls)]
    return tuple(
        Parameter(
            name=field.name,
            kind=get_args(annotated)[0],
            optional=annotated is not hint,
            bounds=bounds,
            default=cast("float | None", field.default),
        )
        for field, hint, annotated in found
        if (bounds := bounds_in(annotated)) is not None
    )


def bounds_in(hint: Any) -> ParameterBounds | None:
    """The bounds in an `Annotated` type; `None` for a type without bounds."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, ParameterBounds)), None)


def check_parameters(settings: object) -> None:
    """Check that the bounded fields of a dataclass are within their bounds.

    Raises:
        ConfigError: a field is outside; the message names the first such field, its value, the bounds and the remedy.
    """
    cls: Any = type(settings)
    for one in parameters(cls):
        value = getattr(settings, one.name)
        if value is not None or not one.optional:
            one.bounds.check(one.name, value, whole=one.kind is int)


def _annotated(hint: Any) -> Any:
    """`Annotated[X, …]` of `Annotated[X, …] | None`; other types as they are."""
    members = [member for member in get_args(hint) if member is not type(None)]
    optional = type(None) in get_args(hint) and len(members) == 1
    return members[0] if optional else hint


def _shown(number: float) -> str:
    """Text of a number: 2147483647 as 2^31-1, because large bounds are powers of two."""
    for power in (31, 63):
        if number == 2**power - 1:
            return f"2^{power}-1"
        if number == -(2**power):
            return f"-2^{power}"
    return f"{number:g}"
