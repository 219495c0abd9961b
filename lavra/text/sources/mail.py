"""Read mail: one message (`.eml`) or a box of messages (`.mbox`), a document each: subject and text.

Python's `email` parses messages (RFC 5322, MIME: RFC 2045 to 2049); it repairs damage where it can and reports it.  Of
alternatives the plain text is read, or else the HTML, as text; attachments are counted and left out.  In a box a
message begins at a line `From ` with a time in it; the `>` that boxes put before such lines of the text is removed
(mboxrd).

Deliberately absent: decryption, signatures, Outlook's own formats, and the contents of attachments.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage, Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, BinaryIO, Final, cast

from lavra.base.types import Document
from lavra.text.encoding import web_codec
from lavra.text.moment import iso_time
from lavra.text.sources.reading import File, ReadConfig, UnreadableError, decode, text_documents
from lavra.text.sources.xhtml import xhtml_text
from lavra.text.tally import Tally

MAX_BYTES: Final = 64 << 20  # largest message, attachments included
_SEPARATOR: Final = re.compile(rb"From (?:\S+|.*@.*) .*\d\d:\d\d")
_QUOTED: Final = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS: Final = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "received")
# Errors that the parser of headers raises on malformed headers.
_MALFORMED: Final = (LookupError, ValueError, TypeError, AttributeError, AssertionError, RecursionError)
_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})
_BLANK_LINES: Final = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailMessage:
    """A message.

    Attributes:
        number: its number in the box, from 1; 0 where it is a file of its own.
        subject: its subject in one line; empty where there is none.
        sender: name and address.
        recipients: name and address of each recipient.
        date: time of sending in UTC, as ISO 8601; empty where the message gives none.
        body: its text.
        attachments: names of the attached files, or their types.
    """

    number: int
    subject: str
    sender: str
    recipients: tuple[str, ...]
    date: str
    body: str
    attachments: tuple[str, ...] = ()


def read_mail(file: File, config: ReadConfig, tally: Tally) -> Iterator[Document]:
    """The documents of an `.eml` or `.mbox` file.

    Raises:
        UnreadableError: the file is not mail.
    """
    for letter in read_letters(file, tally):
        text = f"{letter.subject}\n\n{letter.body}\n" if letter.subject else f"{letter.body}\n"
        yield from text_documents(file, text, str(letter.number or ""), config, tally)


def read_letters(file: File, tally: Tally) -> Iterator[MailMessage]:
    """The messages of an `.eml` or `.mbox` file; messages without text are counted.

    Raises:
        UnreadableError: the file is not mail.
    """
    with file.open() as stream:
        for number, data in _messages(stream, tally):
            try:
                message = email.message_from_bytes(data, policy=email.policy.default)
            except RecursionError:  # of parts within parts, hundreds deep
                tally.rows_skipped["mail nested too deep"] += 1
                continue
            if not any(name in message for name in _HEADERS):
                if not number:
                    raise UnreadableError("not a mail", "it has no headers such as From and Subject")
                tally.rows_skipped["mail without headers"] += 1
                continue
            letter = _letter(message, number, tally)
            if letter is not None:
                yield letter


def _messages(stream: BinaryIO, tally: Tally) -> Iterator[tuple[int, bytes]]:
    """The number and bytes of each message of a box, or 0 and the bytes of a single message."""
    first = stream.readline(MAX_BYTES)
    if not first.strip():
        raise UnreadableError("empty")
    if not _SEPARATOR.match(first):
        yield 0, _bounded(first + stream.read(MAX_BYTES), tally)
        return
    number, lines, size, is_after_blank = 1, list[bytes](), 0, False
    while line := stream.readline(MAX_BYTES):
        if is_after_blank and _SEPARATOR.match(line):
            yield number, _QUOTED.sub(rb"\1", _bounded(b"".join(lines), tally))
            number, lines, size = number + 1, [], 0
            continue
        if size < MAX_BYTES:
            lines.append(line)
        size += len(line)
        is_after_blank = not line.strip()
    yield number, _QUOTED.sub(rb"\1", _bounded(b"".join(lines), tally))


def _bounded(data: bytes, tally: Tally) -> bytes:
    if len(data) >= MAX_BYTES:
        tally.file_issues[f"mail over {MAX_BYTES >> 20} MiB, cut"] += 1
    return data[:MAX_BYTES]


def _letter(message: EmailMessage, number: int, tally: Tally) -> MailMessage | None:
    attachments: list[str] = []
    body = _BLANK_LINES.sub("\n\n", "\n\n".join(_texts(message, attachments, tally))).strip()
    if _has_defects(message):
        tally.file_issues["mail malformed or cut short"] += 1
    for name in attachments:
        tally.rows_skipped[f"attachment of a mail: {_kind_of(name)}"] += 1
    if not body:
        is_locked = message.get_content_type() in _ENCRYPTED
        tally.rows_skipped["encrypted mail" if is_locked else "mail without text"] += 1
        return None
    return MailMessage(
        number=number,
        subject=_header(message, "subject"),
        sender=", ".join(_addresses(message, "from")) or _header(message, "from"),
        recipients=_addresses(message, "to") + _addresses(message, "cc"),
        date=_date(message),
        body=body,
        attachments=tuple(attachments),
    )


def _texts(part: Message, attachments: list[str], tally: Tally) -> Iterator[str]:
    """The texts of a message's parts, in order; the names of attachments go to `attachments`."""
    kind = part.get_content_type()
    if kind in _ENCRYPTED:
        return
    if kind == "message/rfc822" or _is_attached(part):
        attachments.append(_file_name(part) or kind)
    elif kind == "multipart/alternative" and part.is_multipart():
        yield from _best_alternative(part, attachments, tally)
    elif part.is_multipart():
        for each in cast("list[Message]", part.get_payload()):
            yield from _texts(each, attachments, tally)
    elif part.get_content_maintype() in ("text", "multipart"):  # a multipart without parts has lost its borders
        yield _text(part, kind, tally)
    else:
        attachments.append(_file_name(part) or kind)


def _best_alternative(part: Message, attachments: list[str], tally: Tally) -> Iterator[str]:
    """The plain text of alternatives, or where that is missing or empty the last other alternative that has text."""
    choices = cast("list[Message]", part.get_payload())
    plain = [each for each in choices if each.get_content_type() == "text/plain"]
    for choice in (*plain, *(each for each in reversed(choices) if each not in plain)):
        texts = list(_texts(choice, attachments, tally))
        if any(text.strip() for text in texts):
            yield from texts
            return


def _text(part: Message, kind: str, tally: Tally) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or not data.strip():
        return ""
    charset = part.get_content_charset()
    try:
        text = decode(data, tally, web_codec(charset) if charset else None)
        return xhtml_text(text) if kind == "text/html" else "\n".join(text.splitlines())
    except UnreadableError as error:
        tally.rows_skipped[f"part of a mail: {error.reason}"] += 1
        return ""


def _is_attached(part: Message) -> bool:
    if part.is_multipart():
        return False
    return part.get_content_disposition() == "attachment" or (
        bool(_file_name(part)) and part.get_content_type() not in ("text/plain", "text/html")
    )


def _file_name(part: Message) -> str:
    try:
        return _one_line(part.get_filename() or "")
    except _MALFORMED:
        return ""


def _kind_of(attachment: str) -> str:
    """The label by which a report counts an attachment: its extension, or its type where it has no name."""
    _, dot, extension = attachment.rpartition(".")
    return f".{extension.lower()}" if dot and len(extension) <= 5 else attachment if "/" in attachment else "a file"


def _parsed(message: Message, name: str) -> Any:
    """A header as Python's parser understands it, or the raw header where that fails; empty where there is none."""
    raw = next((value for key, value in message.raw_items() if key.lower() == name), "")
    text = _one_line(str(raw))
    try:
        return email.policy.default.header_factory(name, text)
    except _MALFORMED:
        return text


def _header(message: Message, name: str) -> str:
    """A header in one line; empty where there is none."""
    return _one_line(str(_parsed(message, name)))


def _addresses(message: Message, name: str) -> tuple[str, ...]:
    found = _parsed(message, name)
    if isinstance(found, str) and not hasattr(found, "addresses"):
        pairs = getaddresses([found])
    else:
        pairs = [(each.display_name, each.addr_spec) for each in found.addresses]
    return tuple(_one_line(f"{person} <{address}>" if person else address) for person, address in pairs if address)


def _date(message: Message) -> str:
    try:
        sent = parsedate_to_datetime(_header(message, "date"))
        aware = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
        return iso_time(aware.timestamp())
    except (*_MALFORMED, OverflowError):
        return ""


def _one_line(value: str) -> str:
    """The value without line breaks; bytes without a declared encoding are read as UTF-8 or else windows-1252."""
    data = value.encode("utf-8", "surrogateescape")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return " ".join(text.split())


def _has_defects(message: Message) -> bool:
    return any(part.defects for part in message.walk())
