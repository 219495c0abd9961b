"""Encodings: detection of a file's encoding, and no repair without a count."""

from __future__ import annotations

import codecs
import io
import random
import struct
import tokenize
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.text.encoding import Encoding, detect_encoding, html_charset, python_cookie, valid_unicode
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource
from lavra.text.tally import Tally

PORTUGUESE = "Não há razão para corações aflitos: é só ação.\n" * 3


def detect(data: bytes, declared: str | None = None) -> Encoding | None:
    return detect_encoding(lambda: io.BytesIO(data), declared)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"plain ascii", "utf-8"),
        (PORTUGUESE.encode(), "utf-8"),
        (PORTUGUESE.encode("utf-8-sig"), "utf-8-sig"),
        (PORTUGUESE.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + PORTUGUESE.encode("utf-16-be"), "utf-16"),
        (PORTUGUESE.encode("utf-32"), "utf-32"),
        (PORTUGUESE.encode("utf-16-le"), "utf-16-le"),
        (PORTUGUESE.encode("utf-16-be"), "utf-16-be"),
        (PORTUGUESE.encode("cp1252"), "cp1252"),
        ((PORTUGUESE + "\x81").encode("latin-1"), "latin-1"),
        (b"", "utf-8"),
    ],
)
def test_text_comes_back(data: bytes, name: str) -> None:
    encoding = detect(data)
    assert encoding is not None
    assert encoding.name == name
    assert encoding.num_invalid == 0
    assert data.decode(encoding.name) in (PORTUGUESE, PORTUGUESE + "\x81", "plain ascii", "")


def test_a_few_bad_bytes_in_utf8_are_counted_not_guessed() -> None:
    data = PORTUGUESE.encode() + b"\xff broken \xfe" + "genuine \ufffd".encode()
    encoding = detect(data)
    assert encoding == Encoding(name="utf-8", num_invalid=2)


RANDOM = random.Random(0)
JUNK = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "every byte": bytes(range(256)) * 4,
    "elf": b"\x7fELF\x02\x01\x01\0",
    "counts of two bytes": struct.pack("<9000h", *(RANDOM.randrange(200) for _ in range(9000))),
    "the same, most significant byte first": struct.pack(">9000h", *(RANDOM.randrange(200) for _ in range(9000))),
    "a mark and noise": codecs.BOM_UTF16_LE + RANDOM.randbytes(50_000),
    "high bytes": bytes(RANDOM.randrange(128, 256) for _ in range(9000)),
    "text, then noise": b"plain text " * 1000 + RANDOM.randbytes(50_000),
    "text, then nothing": b"plain text " * 1000 + bytes(5000),
}


@pytest.mark.parametrize("data", JUNK.values(), ids=JUNK)
def test_binary_is_not_text(data: bytes) -> None:
    assert detect(data) is None


def test_a_character_across_two_blocks_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lavra.text.encoding.BLOCK_BYTES", 1)
    assert detect("€€€".encode()) == Encoding(name="utf-8")


@given(st.text())
def test_every_text_in_utf8_is_read_as_it_is(text: str) -> None:
    encoding = detect(("x" * 9000 + text).encode())  # the head of the file decides whether it is binary
    assert encoding == Encoding(name="utf-8")


@given(st.binary(max_size=200))
def test_the_count_is_of_what_python_replaces(data: bytes) -> None:
    encoding = detect(b"x" * 9000 + data)
    assert encoding is not None
    if encoding.name == "utf-8":
        decoded = data.decode("utf-8", "replace")
        assert encoding.num_invalid == decoded.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    else:
        assert encoding.issues
        data.decode(encoding.name)


@pytest.mark.parametrize(
    "head",
    [
        b"# -*- coding: latin-1 -*-\n",
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n",
        b"\n# coding=iso-8859-15\n",
        b"import os\n# coding: latin-1\n",
        b'"""doc"""\n',
        b"#!/bin/sh\r\n# coding: utf-8\r\n",
    ],
)
def test_python_cookie_agrees_with_tokenize(head: bytes) -> None:
    expected, _ = tokenize.detect_encoding(io.BytesIO(head).readline)
    declared = python_cookie(head) or "utf-8"
    assert "".encode(declared) == b""
    normal = {"latin-1": "iso-8859-1"}.get(declared, declared)
    assert normal == expected


@pytest.mark.parametrize(
    ("head", "charset"),
    [
        (b'<html><meta charset="utf-8">', "utf-8"),
        (b'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=ISO-8859-1">', "cp1252"),
        (b"<html><title>charset</title>", None),
    ],
)
def test_html_charset(head: bytes, charset: str | None) -> None:
    assert html_charset(head) == charset


def test_a_declaration_that_does_not_fit_is_not_believed() -> None:
    wrong = detect("não".encode(), declared="ascii")
    assert wrong == Encoding(name="utf-8", issues=("declared encoding does not fit",))
    assert detect(b"x", declared="no-such-codec").issues == ("declared encoding does not fit",)  # type: ignore[union-attr]
    assert detect(b"x", declared="hex").name == "utf-8"  # type: ignore[union-attr]  a codec, but not of text
    assert detect("ж".encode("koi8-r"), declared="koi8-r") == Encoding(name="koi8-r")


@given(st.text(st.characters(codec=None)))
def test_valid_unicode_leaves_no_surrogate(text: str) -> None:
    mended = valid_unicode(text)
    mended.encode()
    if all(not 0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert mended == text


def test_troubles_reach_the_tally(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("ação e coração, não".encode("cp1252"))
    tally = Tally()
    (document,) = FileSource(path=path).documents(ReadConfig(), tally)
    assert document.text == "ação e coração, não"
    assert tally.encodings == {"cp1252": 1}
    assert tally.encoding_issues == {"not utf-8, read as windows-1252": 1}
