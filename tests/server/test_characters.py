"""Bodies with half a character, against Python's own reading of JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.server.characters import check_characters
from lavra.server.errors import BodyError

PARTS = st.sampled_from(
    ["\\ud83d", "\\uDE00", "\\ude00", "\\\\", "\\n", "\\u0041", "\\\\ud83d", "ud83d", "é", "😀", "\\uD7FF"]
)


@given(st.lists(PARTS, max_size=6).map(lambda parts: f'"{"".join(parts)}"'))
def test_halves_are_found_where_python_cannot_encode_what_it_read(text):
    try:
        json.loads(text).encode()
    except UnicodeEncodeError:
        with pytest.raises(BodyError, match="half a character"):
            check_characters(text.encode())
    else:
        check_characters(text.encode())


@pytest.mark.parametrize(
    "body", ['{"a": "b"}'.encode("utf-16"), '{"a": 1}'.encode("utf-32-le"), b'"\xed\xa0\xbd"', b'"\xff"']
)
def test_other_encodings_are_refused(body):
    with pytest.raises(BodyError, match="UTF-8"):
        check_characters(body)
