"""Streaming against the full decoding, and stop strings against a naive reader of the whole text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lavra.base.errors import InputError
from lavra.tokens.stream import TextStream
from lavra.tokens.tokenizer import Tokenizer

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)))
BYTE_LEVEL = ["gpt2-bpe", "llama3-bpe"]


def pieces(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.push([token_id]) for token_id in ids), stream.finish()]


def naive_stop(text: str, stop: list[str]) -> tuple[str, str | None]:
    """Read one more character at a time until some stop string is complete."""
    for end in range(len(text) + 1):
        complete = [string for string in stop if text[:end].endswith(string)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


@pytest.mark.parametrize("name", BYTE_LEVEL)
@SHARED
@given(data=st.data())
def test_any_ids_of_a_byte_level_tokenizer_stream_to_their_full_decoding(
    trained: dict[str, Tokenizer], name: str, data: st.DataObject
) -> None:
    tokenizer = trained[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))  # half characters and worse included
    for skip in (False, True):
        stream = TextStream(tokenizer, skip_special_tokens=skip)
        assert "".join(pieces(stream, ids)) == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("name", ["gpt2-bpe", "llama3-bpe", "wordpiece", "unigram"])
@SHARED
@given(text=ANY_TEXT)
def test_a_text_streams_to_its_full_decoding(trained: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = trained[name]
    ids = tokenizer.encode(text)
    assert "".join(pieces(TextStream(tokenizer), ids)) == tokenizer.decode(ids, skip_special_tokens=True)


@SHARED
@given(text=ANY_TEXT)
def test_no_piece_holds_half_a_character(trained: dict[str, Tokenizer], text: str) -> None:
    tokenizer = trained["gpt2-bpe"]
    clean = text.replace("\ufffd", "")
    for piece in pieces(TextStream(tokenizer), tokenizer.encode(clean)):
        assert "\ufffd" not in piece


def test_a_character_of_several_tokens_comes_whole(trained: dict[str, Tokenizer]) -> None:
    for name in (*BYTE_LEVEL, "unigram"):
        tokenizer = trained[name]
        ids = tokenizer.encode("a🦙b")
        assert len(ids) > 4
        assert [piece for piece in pieces(TextStream(tokenizer), ids) if piece] == ["a", "🦙", "b"]


def test_half_a_character_at_the_end_is_given_up_at_the_end(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["gpt2-bpe"]
    ids = tokenizer.encode("a🦙")[:-1]
    stream = TextStream(tokenizer)
    assert stream.push(ids) == "a"
    assert stream.finish() == "\ufffd"
    assert tokenizer.decode(ids) == "a\ufffd"


def test_broken_byte_fallback_keeps_what_was_given(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["unigram"]
    byte = {value: tokenizer.id(f"<0x{value:02X}>") for value in (*"🦙".encode(), 0xFF)}
    ids = [byte[value] for value in (*"🦙".encode(), 0xFF)]
    got = pieces(TextStream(tokenizer), ids)
    assert "".join(got).startswith("🦙")
    assert "".join(got).endswith("\ufffd")


@SHARED
@given(data=st.data())
def test_stop_strings_do_as_a_naive_reader(trained: dict[str, Tokenizer], data: st.DataObject) -> None:
    tokenizer = trained["gpt2-bpe"]
    text = data.draw(st.text("abé\n🦙", max_size=20))
    stop = data.draw(st.lists(st.text("abé\n🦙", min_size=1, max_size=4), min_size=1, max_size=3))
    ids = [token_id for char in text for token_id in tokenizer.encode(char)]
    size = data.draw(st.integers(1, 5))
    stream = TextStream(tokenizer, stop)
    got = "".join(stream.push(ids[start : start + size]) for start in range(0, len(ids), size)) + stream.finish()
    assert (got, stream.stop_string) == naive_stop(text, stop)
    assert stream.stopped == (stream.stop_string is not None)


@SHARED
@given(data=st.data())
def test_several_stop_strings_inside_one_token_do_as_a_naive_reader(
    trained: dict[str, Tokenizer], data: st.DataObject
) -> None:
    """A long token completes many at once: parts of each other, overlapping, ending together."""
    tokenizer = trained["gpt2-bpe"]
    ordinary = sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids)
    long = [token_id for token_id in ordinary if len(tokenizer.text_alone(token_id)) >= 5]
    ids = data.draw(st.lists(st.sampled_from(long), min_size=1, max_size=3))
    text = tokenizer.decode(ids)
    cut = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 6)).map(lambda at: text[at[0] : sum(at)])
    stop = data.draw(st.lists(cut, min_size=2, max_size=4))
    stream = TextStream(tokenizer, stop)
    got = "".join(pieces(stream, ids))
    assert (got, stream.stop_string) == naive_stop(text, stop)


@pytest.mark.parametrize(
    ("stop", "found", "text"),
    [
        (["eturn", "tu"], "tu", " re"),  # complete first, though the other begins first
        (["turn", "etu"], "etu", " r"),
        (["urn", "eturn"], "eturn", " r"),  # complete together: the longer one
        (["turn", "r"], "r", " "),
    ],
)
def test_of_overlapping_stop_strings_the_one_complete_first_counts(
    trained: dict[str, Tokenizer], stop: list[str], found: str, text: str
) -> None:
    tokenizer = trained["gpt2-bpe"]
    (token,) = tokenizer.encode(" return")
    for order in (stop, stop[::-1]):
        stream = TextStream(tokenizer, order)
        assert stream.push([token]) == text
        assert stream.stop_string == found


def test_a_stop_string_across_token_borders_is_never_shown(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["gpt2-bpe"]
    ids = [token_id for char in "one\n\nUser: two" for token_id in tokenizer.encode(char)]
    stream = TextStream(tokenizer, ["\n\nUser:"])
    got = pieces(stream, ids)
    assert "".join(got) == "one"
    assert stream.stopped
    assert stream.push(tokenizer.encode("more")) == ""


def test_the_beginning_of_an_incomplete_stop_string_is_given_in_the_end(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["gpt2-bpe"]
    stream = TextStream(tokenizer, ["\n\nUser:"])
    assert stream.push(tokenizer.encode("one\n\nUse")) == "one"
    assert stream.push(tokenizer.encode("ful")) == "\n\nUseful"
    assert stream.push(tokenizer.encode("\n")) == ""
    assert stream.finish() == "\n"
    assert not stream.stopped


def test_a_prompt_gives_context_and_is_not_repeated(trained: dict[str, Tokenizer]) -> None:
    bert = trained["wordpiece"]
    ids = bert.encode("return the value")
    stream = TextStream(bert, prompt=ids[:1])
    assert "".join(pieces(stream, ids[1:])) == " the value"


@pytest.mark.parametrize("stop", [[""], "a string", ["a", ""]])
def test_useless_stop_strings_are_refused(trained: dict[str, Tokenizer], stop: list[str]) -> None:
    with pytest.raises(InputError, match="stop is"):
        TextStream(trained["gpt2-bpe"], stop)


def test_a_long_stream_costs_the_same_at_every_step(trained: dict[str, Tokenizer]) -> None:
    tokenizer = trained["gpt2-bpe"]
    calls: list[int] = []

    class Counting(Tokenizer):
        def decode(self, ids, *, skip_special_tokens=False):  # type: ignore[no-untyped-def]
            calls.append(len(ids))
            return super().decode(ids, skip_special_tokens=skip_special_tokens)

    ids = tokenizer.encode("def f(x):\n    return x + 1  # não\n" * 200)
    stream = TextStream(Counting(tokenizer._parts))
    stream.push(ids)
    assert max(calls) <= 8
    assert len(calls) <= 2 * len(ids) + 2


@pytest.mark.parametrize("name", BYTE_LEVEL)
@SHARED
@given(data=st.data())
def test_tokens_of_whole_characters_need_no_window(
    trained: dict[str, Tokenizer], name: str, data: st.DataObject
) -> None:
    """After any prompt, even one that ends within a character, the short way gives the pieces of the long way."""
    tokenizer = trained[name]
    ids = st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=12)
    prompt, written = data.draw(ids), data.draw(ids)
    short, long = (TextStream(tokenizer, prompt=prompt) for _ in range(2))
    long._window._joins_bytes = False
    assert pieces(short, written) == pieces(long, written)
