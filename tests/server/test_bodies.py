"""Decompression, types and nesting of request bodies, each against Python's own reading of the same bytes."""

import gzip
import json
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.server.bodies import MOST_NESTING, check_nesting, check_type, nesting, unpacked
from lavra.server.errors import BodyError

TEXT = b'{"prompt": "Once upon a time"}'


def bare(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("Deflate ", bare),
    ],
)
def test_a_packed_body_is_read_as_it_was(coding, pack):
    assert unpacked(pack(TEXT), coding, 1000) == TEXT
    assert unpacked(b"", coding, 1000) == b""


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sampled_from([bare, zlib.compress]))
def test_both_meanings_of_deflate_are_distinguished(data, pack):
    assert unpacked(pack(data), "deflate", 1000) == data


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bare])
def test_a_bomb_is_refused_before_it_is_unpacked(pack):
    bomb = pack(b"[" * 20_000_000)
    began = time.process_time()
    with pytest.raises(BodyError) as refused:
        unpacked(bomb, "gzip" if pack is gzip.compress else "deflate", 10_000)
    assert refused.value.status_code == 413
    assert time.process_time() - began < 0.05
    assert unpacked(pack(b"a" * 10_000), "gzip" if pack is gzip.compress else "deflate", 10_000) == b"a" * 10_000


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(TEXT, mtime=0)[:-1], "gzip", 400),
        (gzip.compress(TEXT, mtime=0) + b"more", "gzip", 400),
        (TEXT, "gzip", 400),
        (TEXT, "br", 415),
        (gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0), "gzip, gzip", 415),
    ],
    ids=["cut", "longer", "not packed", "brotli", "packed twice"],
)
def test_undecodable_bodies_are_refused(body, coding, status):
    with pytest.raises(BodyError) as refused:
        unpacked(body, coding, 1000)
    assert refused.value.status_code == status
    assert (refused.value.headers or {}).get("Accept-Encoding") == ("gzip, deflate" if status == 415 else None)


def test_a_type_that_is_no_json_is_named():
    for kind in ("application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"):
        check_type(kind)
    for kind, says in (
        ("", "has no Content-Type"),
        ("text/plain", "'text/plain'"),
        ("application/x-www-form-urlencoded", "urlencoded"),
        ("application/jsonp", "jsonp"),
        ("image/x+json", "image"),
    ):
        with pytest.raises(BodyError, match=says) as refused:
            check_type(kind)
        assert refused.value.status_code == 415
        assert "Content-Type: application/json" in refused.value.detail


json_values = st.recursive(
    st.none() | st.text() | st.floats(allow_nan=False) | st.text(alphabet='[]{}"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\a'), inner, max_size=3),
    max_leaves=20,
)


def depth(value):
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@settings(max_examples=50)
@given(json_values, st.booleans())
def test_nesting_is_that_of_the_parsed_value(value, ascii_only):
    assert nesting(json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")) == depth(value)


def test_only_what_is_nested_too_deep_is_refused():
    check_nesting(b"[" * MOST_NESTING + b"]" * MOST_NESTING)
    check_nesting(b"[" + b"[]," * 5000 + b"[]]")
    check_nesting(json.dumps({"a": "[" * 5000}).encode())
    with pytest.raises(BodyError, match="more than 128"):
        check_nesting(b"[" * (MOST_NESTING + 1) + b"]" * (MOST_NESTING + 1))


def test_the_largest_body_is_looked_through_at_once():
    for text in (b"[" + b'["a\\\\\\"["],' * 80_000, b'"' + b"\\\\" * 400_000, b'["' * 400_000):
        began = time.process_time()
        nesting(text)
        assert time.process_time() - began < 0.2
