"""Mail against Python's own writer: the reader returns what `email` wrote."""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from email.message import EmailMessage
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.text.sources.kinds import as_file
from lavra.text.sources.mail import MailMessage, read_letters
from lavra.text.sources.reading import File, ReadConfig, UnreadableError
from lavra.text.sources.source import FolderSource
from lavra.text.tally import Tally
from tests.text.made import read

LINES = "Olá João,\n\no orçamento é de 1.200 €: não há outro.\n\nAté já,\nMaria\n"


def message(body: str = LINES, **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = headers.get("subject", "Orçamento da obra — versão final")
    made["From"] = headers.get("sender", '"Silva, Maria" <maria@example.org>')
    made["To"] = headers.get("to", "João <joao@example.org>, ana@example.org")
    made["Date"] = "Fri, 03 May 2024 10:22:05 +0200"
    made.set_content(body, cte=headers.get("cte", "quoted-printable"))
    return made


def letters(path: Path) -> tuple[list[MailMessage], Tally]:
    file, tally = as_file(path, path.name), Tally()
    assert isinstance(file, File)
    return list(read_letters(file, tally)), tally


def only(path: Path, data: bytes) -> tuple[MailMessage, Tally]:
    path.write_bytes(data)
    found, tally = letters(path)
    assert len(found) == 1
    return found[0], tally


@pytest.mark.parametrize("cte", ["quoted-printable", "base64", "8bit"])
def test_a_message_is_read_as_it_was_written(tmp_path: Path, cte: str) -> None:
    letter, _ = only(tmp_path / "a.eml", bytes(message(cte=cte)))
    assert letter.subject == "Orçamento da obra — versão final"
    assert letter.sender == "Silva, Maria <maria@example.org>"
    assert letter.recipients == ("João <joao@example.org>", "ana@example.org")
    assert letter.date == "2024-05-03T08:22:05Z"
    assert letter.body == LINES.strip()


def test_headers_and_text_of_old_encodings(tmp_path: Path) -> None:
    made = MIMEText("coração".encode("latin-1"), "plain", "iso-8859-1")
    data = bytes(made).replace(b"\n\n", b"\nSubject: =?iso-8859-1?q?Cora=E7=E3o?= e\n =?utf-8?b?w6FndWE=?=\n\n", 1)
    letter, _ = only(tmp_path / "a.eml", data)
    assert (letter.subject, letter.body) == ("Coração e água", "coração")
    raw = "Subject: Coração\nFrom: José <j@x.pt>\n\nação".encode("cp1252")  # without any encoding said
    letter, tally = only(tmp_path / "b.eml", raw)
    assert (letter.subject, letter.sender, letter.body) == ("Coração", "José <j@x.pt>", "ação")
    assert tally.encoding_issues["not utf-8, read as windows-1252"] == 1


def test_the_plain_alternative_is_read_and_else_the_html(tmp_path: Path) -> None:
    both = message("plain words")
    both.add_alternative("<p>marked <b>words</b></p>", subtype="html")
    assert only(tmp_path / "a.eml", bytes(both))[0].body == "plain words"
    blank = message(" \n")
    blank.add_alternative("<html><head><style>p {}</style></head><p>caf&eacute; <b>e</b> p&atilde;o</p></html>", "html")
    assert only(tmp_path / "b.eml", bytes(blank))[0].body == "café e pão"


def test_attachments_are_named_counted_and_left_out(tmp_path: Path) -> None:
    made = message("see the report")
    made.add_attachment(b"%PDF-1.4 ...", maintype="application", subtype="pdf", filename="relatório.pdf")
    made.add_attachment("secret notes", filename="notes.txt")
    made.add_attachment(message("an earlier mail"))
    letter, tally = only(tmp_path / "a.eml", bytes(made))
    assert letter.body == "see the report"
    assert letter.attachments == ("relatório.pdf", "notes.txt", "message/rfc822")
    assert tally.rows_skipped["attachment of a mail: .pdf"] == 1
    assert sum(tally.rows_skipped.values()) == 3


def test_a_box_has_its_messages_and_their_quoted_lines(tmp_path: Path) -> None:
    bodies = ["one\n\nFrom here on it is fine.\n", "two\n>From the start: 10:00\n>>From afar\n", "three"]
    box = b"".join(
        b"From a@b.c Fri May  3 10:22:05 2024\n" + bytes(message(body, subject=f"s{place}", cte="7bit")) + b"\n"
        for place, body in enumerate(bodies)
    )
    (tmp_path / "Inbox").write_bytes(box)  # as mail programs name it
    found, _ = letters(tmp_path / "Inbox")
    assert [each.number for each in found] == [1, 2, 3]
    assert [each.body for each in found] == [
        "one\n\nFrom here on it is fine.",
        "two\nFrom the start: 10:00\n>From afar",
        "three",
    ]
    documents, _ = read(tmp_path / "Inbox")
    assert [each.source for each in documents] == ["Inbox#1", "Inbox#2", "Inbox#3"]
    assert documents[2].text == "s2\n\nthree\n"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
def test_a_message_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path: Path, share: float) -> None:
    made = message("first part " * 40)
    made.add_alternative(f"<p>{'marked words ' * 200}</p>", subtype="html")
    made.add_attachment(b"x" * 4000, maintype="application", subtype="pdf", filename="a.pdf")
    data = bytes(made)
    letter, tally = only(tmp_path / "a.eml", data[: int(len(data) * share)])
    assert letter.body.startswith("first part first part")
    assert tally.file_issues["mail malformed or cut short"] == 1


def test_malformed_messages_are_counted_and_the_others_read(tmp_path: Path) -> None:
    odd = [
        b"From: =?utf-8?b?????=\nTo: <<>@,;:\nSubject: =?x-none?q?=ZZ?=\nDate: yesterday\n\nodd headers",
        b'Content-Type: multipart/mixed; boundary="nowhere"\nSubject: no border\n\nlost text',
        b"Content-Type: text/plain; charset=no-such\nContent-Transfer-Encoding: base64\nSubject: x\n\n@@@@ not base64",
        b"no headers at all",
        b"Content-Type: application/pkcs7-mime\nSubject: locked\n\nAAAA",
        b"Subject: nothing\n\n \n",
        bytes(message("a good one")),
    ]
    (tmp_path / "box.mbox").write_bytes(
        b"".join(b"From x@y.z Fri May  3 10:22:05 2024\n" + one + b"\n\n" for one in odd)
    )
    found, tally = letters(tmp_path / "box.mbox")
    assert [each.number for each in found] == [1, 2, 3, 7]
    assert [each.body for each in found[:2]] == ["odd headers", "lost text"]
    assert (found[0].date, found[-1].body) == ("", "a good one")
    assert tally.rows_skipped == {"mail without headers": 1, "encrypted mail": 1, "mail without text": 1}


@pytest.mark.slow
def test_parts_nested_without_end_are_counted(tmp_path: Path) -> None:
    deep = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(1500))
    (tmp_path / "a.eml").write_text(f"Subject: deep\n{deep}\nhello\n")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(
        1000
    )  # Python's own; some libraries raise it for the whole process, and such mail is then read
    try:
        found, tally = letters(tmp_path / "a.eml")
    finally:
        sys.setrecursionlimit(limit)
    assert (found, tally.rows_skipped) == ([], {"mail nested too deep": 1})


def test_a_message_with_random_damage_is_read_or_refused(tmp_path: Path) -> None:
    made, draw = message(), random.Random(0)
    made.add_alternative("<p>x</p>", subtype="html")
    made.add_attachment(b"abc", maintype="application", subtype="pdf", filename="ç.pdf")
    read_ones = 0
    for _ in range(50):
        data = bytearray(bytes(made))
        for _ in range(draw.randint(1, 12)):
            place = draw.randrange(len(data))
            new = bytes(draw.choices(b'\n:;=?"<>@,()\\ \xe7-', k=3))
            data[place : place + draw.choice([0, 1, 20])] = new if draw.random() < 0.6 else b""
        (tmp_path / "a.eml").write_bytes(bytes(data))
        with suppress(UnreadableError):  # a name of every header is damaged
            read_ones += bool(letters(tmp_path / "a.eml")[0])
    assert read_ones > 30


def test_a_file_that_is_no_mail_says_so_and_does_not_stop_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text("just words\nand more\n")
    (tmp_path / "b.eml").write_bytes(bytes(message()))
    (tmp_path / "c.eml").write_bytes(b"")
    tally, skipped = Tally(), list[tuple[str, str, str]]()
    tally.on_skip = lambda *told: skipped.append(told)
    documents = list(FolderSource(path=tmp_path).documents(ReadConfig(), tally))
    assert [each.source.rpartition("/")[2] for each in documents] == ["b.eml"]
    assert [(name.rpartition("/")[2], reason) for name, reason, _ in skipped] == [
        ("a.eml", "not a mail"),
        ("c.eml", "empty"),
    ]
    with pytest.raises(InputError, match=r"a\.eml cannot be read: not a mail"):
        read(tmp_path / "a.eml")
