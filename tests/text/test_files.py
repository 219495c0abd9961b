"""The outcome of each file: used, or not used with a reason, from disk and in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

from lavra.text.corpus import Corpus, build_corpus
from lavra.text.files import FileAccount, file_accounts, file_table
from tests.text.naive import words_of


def make_folder(root: Path) -> Path:
    root.mkdir()
    (root / "a.txt").write_text(words_of(1, 300))
    (root / "b.txt").write_text(words_of(2, 200))
    (root / "copy of a.txt").write_text(words_of(1, 300))
    (root / "short.txt").write_text("tiny\n")
    (root / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (root / "empty.txt").write_text("")
    rows = [words_of(seed, 80) for seed in (5, 6, 1_000)] + ["x", words_of(5, 80)]
    (root / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in rows))
    return root


def build(tmp_path: Path) -> Corpus:
    return build_corpus([make_folder(tmp_path / "t")], tmp_path / "c")


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    corpus = build(tmp_path)
    accounts = {account.source: account for account in file_accounts(corpus.path)}
    assert {name for name, account in accounts.items() if account.is_used} == {"t/a.txt", "t/b.txt", "t/rows.jsonl"}
    assert {name: account.reason for name, account in accounts.items() if not account.is_used} == {
        "t/copy of a.txt": "exact duplicate",
        "t/short.txt": "too short",
        "t/photo.jpg": "not text: an image",
        "t/empty.txt": "empty",
    }
    rows = accounts["t/rows.jsonl"]
    assert (rows.documents_read, rows.documents, rows.reader) == (5, 3, "jsonl")
    assert rows.detail == "exact duplicate: 1 of 5 documents, too short: 1 of 5 documents"
    assert "OCR" in accounts["t/photo.jpg"].detail


def test_documents_of_the_files_are_those_of_the_corpus(tmp_path: Path) -> None:
    corpus = build(tmp_path)
    table = corpus.file_table()
    assert sum(account.documents for account in table.used) == corpus.counts["documents"]["kept"]
    assert sum(account.bytes for account in table.used) == corpus.counts["bytes"]["kept"]
    held = [document for split in ("train", "heldout") for document in corpus.documents(split)]
    for account in table.used:
        mine = [document for document in held if document.source.partition("#")[0] == account.source]
        assert account.documents == len(mine)
        assert account.bytes == sum(len(document.text.encode()) for document in mine)


def test_a_short_table_hides_no_reason(tmp_path: Path) -> None:
    def account(number: int, reason: str = "", size: int = 0) -> FileAccount:
        return FileAccount(source=f"{number}", documents=int(size > 0), bytes=size, reason=reason, facts={})

    many = [account(number, "binary") for number in range(50)] + [account(50, "empty"), account(51, "empty")]
    table = file_table([*many, *(account(100 + size, "", size) for size in range(1, 60))], 4)
    assert [(each.source, each.reason) for each in table.unused] == [
        ("0", "binary"),
        ("50", "empty"),
        ("1", "binary"),
        ("51", "empty"),
    ]
    assert [each.bytes for each in table.used] == [59, 58, 57, 56]
    assert (table.num_used, table.num_unused, table.reasons) == (59, 52, {"binary": 50, "empty": 2})


def test_a_table_of_many_files_is_small_in_memory() -> None:
    def accounts(number: int) -> int:
        stream = (
            FileAccount(
                source=f"folder/{n}", reason="" if n % 2 else f"reason {n % 7}", documents=n % 2, bytes=n, facts={}
            )
            for n in range(number)
        )
        tracemalloc.start()
        file_table(stream, 20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert accounts(20_000) < 1.2 * accounts(2_000)


def test_a_corpus_made_before_opens(tmp_path: Path) -> None:
    corpus = build(tmp_path)
    (corpus.path / "files.jsonl").unlink()
    table = Corpus.open(corpus.path).file_table()
    assert (table.num_used, table.num_unused) == (0, 2)
