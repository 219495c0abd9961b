"""`write_tokens` and `TokenDataset`, against plain Python lists and the `tokenizers` library."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.card import read_card
from lavra.base.errors import InputError
from lavra.base.types import Document
from lavra.data.pretraining import dataset as module
from lavra.data.pretraining.dataset import TokenDataset, write_tokens
from tests.data.fakes import BOS, EOS, EOT, ByteTokenizer, dataset_of


def documents_of(texts):
    return [Document(id=f"id{number}\n", text=text) for number, text in enumerate(texts)]


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_documents_come_back_as_they_were(texts, tmp_path_factory):
    data = write_tokens(tmp_path_factory.mktemp("tokens") / "out", documents_of(texts), ByteTokenizer())
    kept = [text for text in texts if text]
    assert data.num_documents == len(kept)
    assert data.num_empty_dropped == len(texts) - len(kept)
    assert data.num_bytes == sum(len(text.encode()) for text in kept) == int(data.document_bytes.sum())
    assert data.num_tokens == data.num_bytes + len(kept)
    assert data.num_unknown == sum(text.count("?") for text in kept)
    for index, text in enumerate(kept):
        expected = ByteTokenizer().ids(text)
        assert data.document(index).tolist() == [EOT, *expected]
        assert data.content(index).tolist() == expected
    assert data.document_ids == [f"id{number}\n" for number, text in enumerate(texts) if text]


@pytest.mark.parametrize(
    ("bos", "eos", "expected"),
    [
        (EOT, EOT, [EOT, 97, 98]),
        (BOS, EOS, [BOS, 97, 98, EOS]),
        (None, EOS, [EOS, 97, 98]),
        (BOS, None, [BOS, 97, 98]),
        (None, None, [97, 98]),
    ],
)
def test_frame_of_a_document(tmp_path, bos, eos, expected):
    data = write_tokens(tmp_path / "t", documents_of(["ab"]), ByteTokenizer(bos_id=bos, eos_id=eos))
    assert data.document(0).tolist() == expected
    assert data.content(0).tolist() == [97, 98]
    begin, end = data.content_bounds
    assert data.tokens[begin[0] : end[0]].tolist() == [97, 98]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_ids_take_the_smallest_type_that_holds_the_vocabulary(tmp_path, vocab_size, dtype):
    class Wide(ByteTokenizer):
        def ids(self, text):
            return [vocab_size - 1]

    data = write_tokens(tmp_path / "t", documents_of(["x"]), Wide(vocab_size=vocab_size))
    assert data.tokens.dtype == dtype
    assert data.content(0).tolist() == [vocab_size - 1]


def test_documents_are_read_as_a_stream_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(module, "BATCH_CHARACTERS", 50)
    read, seen = [], []

    def stream():
        for number, length in enumerate([10, 10, 10, 45, 10, 1]):
            read.append(number)
            yield Document(id=str(number), text="a" * length)

    write_tokens(
        tmp_path / "t", stream(), ByteTokenizer(), lambda *shown: seen.append((*shown, len(read))), num_bytes=86
    )
    # three documents; then 55 characters reach the bound; then the rest. Never more read than tokenised.
    assert seen == [("tokenise", 30, 86, 3), ("tokenise", 85, 86, 5), ("tokenise", 86, 86, 6)]


def test_special_tokens_that_come_out_of_the_text_are_counted(tmp_path, caplog):
    class Spelling(ByteTokenizer):
        def ids(self, text):
            return [EOT if byte == ord("#") else byte for byte in text.encode()]

    data = write_tokens(tmp_path / "t", documents_of(["a#b#", "c"]), Spelling())
    assert data.num_special_inside == 2
    assert "2 special tokens came out of the text" in caplog.text


def test_the_card_is_the_identity(tmp_path):
    first, again = dataset_of(tmp_path / "a", [5, 6]), dataset_of(tmp_path / "b", [5, 6])
    other = dataset_of(tmp_path / "c", [5, 7])
    assert first.card.id == again.card.id != other.card.id
    assert read_card(tmp_path / "a").kind == "tokens"


def test_an_empty_corpus_is_a_dataset_of_nothing(tmp_path):
    data = write_tokens(tmp_path / "t", [], ByteTokenizer())
    assert (data.num_documents, data.num_tokens, data.num_bytes) == (0, 0, 0)


def test_a_truncated_file_is_refused(tmp_path):
    dataset_of(tmp_path / "t", [100])
    path = tmp_path / "t" / "tokens.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"200 bytes; its card says 101 tokens of 2 bytes: it is damaged"):
        TokenDataset.open(tmp_path / "t")


def test_another_artifact_is_refused(tmp_path):
    dataset_of(tmp_path / "t", [3])
    card = json.loads((tmp_path / "t" / "lavra.json").read_text())
    with pytest.raises(InputError, match=r"no lavra\.json"):
        TokenDataset.open(tmp_path)
    card["kind"] = "corpus"
    (tmp_path / "t" / "lavra.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="was edited"):
        TokenDataset.open(tmp_path / "t")


def test_a_failure_leaves_the_old_tokens(tmp_path):
    dataset_of(tmp_path / "t", [3])

    def broken():
        yield Document(id="0", text="fine")
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        write_tokens(tmp_path / "t", broken(), ByteTokenizer())
    assert TokenDataset.open(tmp_path / "t").num_tokens == 4
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
