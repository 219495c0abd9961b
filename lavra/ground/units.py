"""Units behind numbers, in English and Portuguese: the kind of quantity of each, and its size in the kind's own unit.

Units of one system are converted exactly; between the metric and the American system a hundredth of difference is
allowed, since people round there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from lavra.ground.words import fold


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfMeasure:
    """A unit of measure.

    Attributes:
        name: one word for all spellings of the unit.
        kind: kind of quantity (`length`); only units of the same kind compare.
        factor: size of the unit in the kind's own unit.
        shift: number added after the factor; temperatures have it.
        slack: share by which two quantities may differ where either was converted from the other.
    """

    name: str
    kind: str
    factor: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)
    slack: Fraction = Fraction(0)

    def size(self, value: Fraction) -> Fraction:
        """Convert a number of these units to the kind's own unit."""
        return value * self.factor + self.shift


_ROUNDED: Final = Fraction(1, 100)
# kind, size, whether the unit is of the American system, spellings without accents
_TABLE: Final = (
    ("length", "0.001", False, "mm millimeter millimeters millimetre millimetres milimetro milimetros"),
    ("length", "0.01", False, "cm centimeter centimeters centimetre centimetres centimetro centimetros"),
    ("length", "1", False, "m meter meters metre metres metro metros"),
    ("length", "1000", False, "km kilometer kilometers kilometre kilometres quilometro quilometros"),
    ("length", "0.0254", True, "inch inches polegada polegadas"),
    ("length", "0.3048", True, "ft foot feet pe pes"),
    ("length", "0.9144", True, "yd yard yards jarda jardas"),
    ("length", "1609.344", True, "mi mile miles milha milhas"),
    ("mass", "0.001", False, "g gram grams grama gramas"),
    ("mass", "1", False, "kg kilogram kilograms kilo kilos quilo quilos quilograma quilogramas"),
    ("mass", "1000", False, "tonne tonnes tonelada toneladas"),
    ("mass", "0.45359237", True, "lb lbs pound pounds libra libras"),
    ("time", "1", False, "s second seconds segundo segundos"),
    ("time", "60", False, "min minute minutes minuto minutos"),
    ("time", "3600", False, "h hour hours hora horas"),
    ("time", "86400", False, "day days dia dias"),
    ("time", "604800", False, "week weeks semana semanas"),
    ("months", "1", False, "month months mes meses"),
    ("months", "12", False, "year years ano anos"),
    ("months", "120", False, "decade decades decada decadas"),
    ("months", "1200", False, "century centuries seculo seculos"),
    ("area", "1000000", False, "km² km2"),
    ("area", "1", False, "m² m2"),
    ("area", "10000", False, "ha hectare hectares"),
    ("area", "4046.8564224", True, "acre acres"),
    ("volume", "1", False, "l liter liters litre litres litro litros"),
    ("volume", "0.001", False, "ml milliliter milliliters mililitro mililitros"),
    ("speed", "1", False, "km/h kph kmh"),
    ("speed", "1.609344", True, "mph"),
    ("share", "1", False, "% percent porcento"),
    ("reais", "1", False, "r$ reais real"),
    ("dollars", "1", False, "$ us$ usd dollar dollars dolar dolares"),
    ("euros", "1", False, "€ eur euro euros"),
    ("sterling", "1", False, "£ gbp"),
)
_UNITS: Final = {
    spelling: UnitOfMeasure(
        name=spellings.split()[0],
        kind=kind,
        factor=Fraction(size),
        slack=_ROUNDED if american else Fraction(0),
    )
    for kind, size, american, spellings in _TABLE
    for spelling in spellings.split()
} | {
    "°c": UnitOfMeasure(name="celsius", kind="temperature"),
    "°f": UnitOfMeasure(
        name="fahrenheit", kind="temperature", factor=Fraction(5, 9), shift=Fraction(-160, 9), slack=_ROUNDED
    ),
}
_PHRASES: Final = (
    (re.compile(r"\s*(?:por cento|per cent)\b", re.IGNORECASE), "%"),
    (re.compile(r"\s*(?:square kil|quilômetros? quadrados?)\w*(?: *metr\w+)?", re.IGNORECASE), "km²"),
    (re.compile(r"\s*(?:°|º|degrees?|graus?) *(?:c\b|celsius)", re.IGNORECASE), "°c"),
    (re.compile(r"\s*(?:°|º|degrees?|graus?) *(?:f\b|fahrenheit)", re.IGNORECASE), "°f"),
)
_BEHIND: Final = re.compile(r"[\s-]?(R\$|US\$|%|€|£|\$|km/h|[km]m?²|[^\W\d_]+[2²]?)")


def find_unit(text: str, start: int) -> tuple[UnitOfMeasure | None, int]:
    """Find the unit at a place of a text, if there is any, and the place where it ends."""
    for phrase, name in _PHRASES:
        if match := phrase.match(text, start):
            return _UNITS[name], match.end()
    match = _BEHIND.match(text, start)
    unit = _UNITS.get(_spelling(match[1])) if match else None
    return (unit, match.end()) if match and unit else (None, start)


def _spelling(written: str) -> str:
    """Lower-case a spelling and take its accents off; `²` stays."""
    return written.casefold() if "²" in written else fold(written)
