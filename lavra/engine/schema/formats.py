"""Formats of strings that are enforced, as regular expressions; other formats only describe.

The dates are RFC 3339's with February as the calendar has it; leap seconds, lower-case marks and time zones of letters
are valid and not written.  Addresses are those of RFC 5321 without quoted names, RFC 1123, 2673, 4291, 4122 and 3986;
pointers RFC 6901's.
"""

from __future__ import annotations

from typing import Final

_LEAP: Final = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE: Final = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP}-02-29)"
)
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_ATEXT: Final = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
# 64 characters at most: in one part, in two, or in many short parts.
_LOCAL: Final = rf"(?:{_ATEXT}{{1,64}}|{_ATEXT}{{1,31}}\.{_ATEXT}{{1,32}}|{_ATEXT}(?:\.?{_ATEXT}){{0,31}})"
_LETTER: Final = "[A-Za-z0-9]"


def _label(most: int) -> str:
    """A part of a name; no hyphens in third and fourth place: they mark encoded names, whose code is checked too."""
    return f"{_LETTER}(?:{_LETTER}(?:{_LETTER}(?:[A-Za-z0-9-]{{0,{most - 4}}}{_LETTER})?)?)?"


# 253 characters at most: a few long parts, or more short parts.
_HOST: Final = rf"(?:{_label(61)}(?:\.{_label(61)}){{0,2}}|{_label(20)}(?:\.{_label(20)}){{0,7}})"
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_H16: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = "(?:" + "|".join(
    [
        f"(?:{_H16}:){{7}}{_H16}",
        f"(?:{_H16}:){{1,7}}:",
        *(f"(?:{_H16}:){{1,{7 - after}}}(?::{_H16}){{1,{after}}}" for after in range(1, 6)),
        f"{_H16}:(?::{_H16}){{1,6}}",
        f":(?::{_H16}){{1,7}}",
        "::",
    ]
) + ")"  # fmt: skip
_HEX: Final = "[0-9A-Fa-f]"
_UUID: Final = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_DAYS: Final = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_HOURS: Final = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_PCHAR: Final = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_REG_NAME: Final = "(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_AUTHORITY: Final = rf"(?:(?:{_REG_NAME}|:)*@)?(?:\[{_IPV6}\]|{_REG_NAME}*)(?::[0-9]{{0,4}})?"
_MORE: Final = f"(?:/{_PCHAR}*)*"
_ROOTED: Final = f"//{_AUTHORITY}{_MORE}|/(?:{_PCHAR}+{_MORE})?"
_TAIL: Final = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI: Final = rf"[A-Za-z][A-Za-z0-9+.-]*:(?:{_ROOTED}|{_PCHAR}+{_MORE})?{_TAIL}"
_NO_COLON: Final = "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})"
_REFERENCE: Final = rf"(?:{_URI}|(?:{_ROOTED}|{_NO_COLON}+{_MORE})?{_TAIL})"
_POINTER: Final = "(?:/(?:[^/~]|~[01])*)*"

PATTERNS: Final = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "date": _DATE,
        "time": _TIME,
        "date-time": f"{_DATE}T{_TIME}",
        "duration": f"P(?:{_DAYS}(?:{_HOURS})?|{_HOURS}|[0-9]+W)",
        "email": f"{_LOCAL}@{_HOST}",
        "hostname": _HOST,
        "ipv4": _IPV4,
        "ipv6": _IPV6,
        "uuid": _UUID,
        "uri": _URI,
        "uri-reference": _REFERENCE,
        "json-pointer": _POINTER,
        "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
    }.items()
}
