"""Folders: order, links, omissions with reasons; and the standard library as one folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.base.types import Document
from lavra.text.sources.reading import ReadConfig, UnreadableError, make_document
from lavra.text.sources.source import FolderSource, MemorySource, as_source, read_or_skip
from lavra.text.sources.stdlib import stdlib_source
from lavra.text.tally import Tally


def fill(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(root: Path, config: ReadConfig | None = None) -> tuple[list[Document], Tally]:
    tally = Tally()
    return list(as_source(root).documents(config or ReadConfig(), tally)), tally


def test_a_mixed_folder_in_sorted_order(tmp_path: Path) -> None:
    root = tmp_path / "texts"
    fill(root, {"z.txt": "z", "b/c.md": "c", "a.py": "a", "b/a.jsonl": '{"text": "row"}', "c.csv": "text\nrow two\n"})
    documents, tally = read(root)
    assert [document.source for document in documents] == [
        "texts/a.py",
        "texts/b/a.jsonl#1",
        "texts/b/c.md",
        "texts/c.csv#2",
        "texts/z.txt",
    ]
    assert [document.kind for document in documents] == ["code", "record", "markdown", "record", "text"]
    assert tally.files_read == 5


def test_skipped_files_are_counted_by_reason_and_named(tmp_path: Path) -> None:
    fill(
        tmp_path / "t",
        {
            "a.txt": "text",
            "binary.txt": b"\0\1\2" * 99,
            "empty.md": "",
            "image.png": b"\x89PNG",
            "weather.nc": b"CDF\1",
            ".git/config.txt": "x",
            "__pycache__/a.txt": "x",
            "rows.jsonl": '{"other": 1}',
            "half.txt.gz": b"\x1f\x8b\x08 broken",
        },
    )
    tally, seen = Tally(), []
    tally.on_skip = lambda source, reason, detail: seen.append((source, reason))
    documents = list(FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally))
    assert [document.text for document in documents] == ["text"]
    assert tally.files_skipped == {
        "binary": 1,
        "empty": 1,
        "not text: an image": 1,
        "unknown type": 1,
        "excluded folder": 2,
        "no field 'text'": 1,
        "damaged gzip": 1,
    }
    assert ("t/image.png", "not text: an image") in seen
    assert ("t/weather.nc", "unknown type") in seen
    assert len(seen) == 8


def test_a_file_damaged_halfway_keeps_its_good_rows_and_says_so(tmp_path: Path) -> None:
    import gzip

    data = gzip.compress(b"".join(b'{"text": "row %d"}\n' % number for number in range(20_000)))
    fill(tmp_path / "t", {"a.jsonl.gz": data[: len(data) // 2], "b.txt": "after"})
    details = []
    tally = Tally(on_skip=lambda source, reason, detail: details.append(detail))
    documents = list(FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally))
    assert documents[-1].text == "after"
    assert tally.files_skipped == {"damaged gzip": 1}
    assert tally.files_read == 1
    assert len(documents) >= 1
    assert details


def test_links_are_followed_once_and_loops_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, outside = tmp_path / "t", tmp_path / "outside"
    fill(root, {"a/one.txt": "one"})
    fill(outside, {"two.txt": "two"})
    (root / "a" / "loop").symlink_to(root)
    (root / "again.txt").symlink_to(root / "a" / "one.txt")
    (root / "broken.txt").symlink_to(tmp_path / "nothing")
    (root / "out").symlink_to(outside)
    documents, tally = read(root)
    assert [document.text for document in documents] == ["one", "two"]
    assert tally.files_skipped == {"reached twice (a link)": 2, "broken link": 1}
    (warning,) = caplog.messages
    assert warning == f"t/out is a link out of the folder, to {outside.resolve()}; the files there are read too"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "a", "b.txt": "b"})
    (tmp_path / "t" / "a.txt").chmod(0)
    documents, tally = read(tmp_path / "t")
    assert [document.text for document in documents] == ["b"]
    assert tally.files_skipped == {"permission denied": 1}


def test_a_corpus_does_not_feed_on_an_earlier_one(tmp_path: Path) -> None:
    root = tmp_path / "t"
    card = "{}"
    fill(root, {"a.txt": "mine", "corpus/lavra.json": card, "corpus/b.txt": "made", "lavra-workspace/c.txt": "made"})
    fill(root, {"other/.lock": "", "other/runs/log.jsonl": '{"text": "made"}', "other/corpora/x/d.txt": "made"})
    documents, tally = read(root)
    assert [document.text for document in documents] == ["mine"]
    assert tally.files_skipped == {"made by lavra": 3}
    assert [document.text for document in read(root / "corpus")[0]] == ["made"]  # unless it is asked for by name


def test_pipes_are_not_read(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "a"})
    os.mkfifo(tmp_path / "t" / "pipe.txt")
    _, tally = read(tmp_path / "t")
    assert tally.files_skipped == {"not a regular file": 1}


def test_ids_do_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    for place in ("here/t", "there/t"):
        fill(tmp_path / place, {"a.txt": "a", "b/c.txt": "c"})
    assert read(tmp_path / "here" / "t")[0] == read(tmp_path / "there" / "t")[0]


def test_a_fingerprint_changes_with_the_files_that_are_read(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "a"})
    source = as_source(tmp_path / "t")
    before = source.fingerprint()
    assert source.fingerprint() == before
    fill(tmp_path / "t", {"ignored.png": "x"})
    assert source.fingerprint() == before
    fill(tmp_path / "t", {"b.txt": "b"})
    assert source.fingerprint() != before


def test_documents_in_memory() -> None:
    tally = Tally()
    given = [Document(id="1", text="a"), Document(id="2", text="b\ud800")]
    source = MemorySource(name="given", given=given)
    assert [document.text for document in source.documents(ReadConfig(), tally)] == ["a", "b\ufffd"]
    assert tally.encoding_issues == {"lone surrogates replaced": 1}
    assert tally.documents_read == 2


def test_the_standard_library(tmp_path: Path) -> None:
    try:
        source = stdlib_source()
    except InputError:
        pytest.skip("this Python has no source of its standard library")
    files = {file.source for file in source.files(Tally())}
    label = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert f"{label}/argparse.py" in files
    assert f"{label}/asyncio/base_events.py" in files
    assert not any(part in name for name in files for part in ("/test/", "/tests/", "site-packages", "_sysconfigdata"))
    assert f"{label}/pydoc_data/topics.py" not in files


def test_a_stripped_or_zipped_standard_library_asks_for_text(tmp_path: Path) -> None:
    fill(tmp_path, {"os.py": "import sys\n", "test/test_os.py": "x" * 6_000_000})
    with pytest.raises(InputError, match=r"0\.0 MB of source, and 5 MB are needed .*`text FOLDER`"):
        stdlib_source(tmp_path)
    with pytest.raises(InputError, match=r"python311\.zip is not a folder .*`text FOLDER`"):
        stdlib_source(tmp_path / "python311.zip")


def test_a_folder_that_is_being_written_to(tmp_path: Path) -> None:
    fill(tmp_path / "t", {f"{name}.txt": f"text of {name}" for name in "abcde"})
    skipped: list[tuple[str, str]] = []
    tally = Tally(on_skip=lambda source, reason, detail: skipped.append((source, reason)))
    documents = FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally)
    texts = [next(documents).text]
    (tmp_path / "t" / "b.txt").unlink()  # listed already
    texts.append(next(documents).text)
    with (tmp_path / "t" / "c.txt").open("a") as file:
        file.write(" and more")
    (tmp_path / "t" / "f.txt").write_text("too late for this pass")
    texts += [document.text for document in documents]
    assert texts == ["text of a", "text of c", "text of d", "text of e"]
    assert skipped == [("t/b.txt", "unreadable")]
    assert tally.file_issues == {"changed while it was read": 1}
    assert tally.files_read == 4


def test_a_file_that_vanishes_between_listing_and_reading(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "a", "b.pdf": b"%PDF-1.4", "c.txt": "c"})
    source = FolderSource(path=tmp_path / "t")
    tally = Tally()
    files = list(source.files(tally))
    for name in ("a.txt", "b.pdf"):
        (tmp_path / "t" / name).unlink()
    object.__setattr__(source, "files", lambda tally: iter(files))
    assert [document.text for document in source.documents(ReadConfig(), tally)] == ["c"]
    assert tally.files_skipped == {"vanished before it was read": 2}


def test_a_fingerprint_of_files_that_come_and_go(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "a", "b.txt": "b"})
    source = FolderSource(path=tmp_path / "t")
    before = source.fingerprint()
    files = list(source.files(Tally()))
    (tmp_path / "t" / "b.txt").unlink()
    object.__setattr__(source, "files", lambda tally: iter(files))
    assert source.fingerprint() != before


def test_encodings_and_repairs_are_counted_of_files_that_gave_text_alone(tmp_path: Path) -> None:
    latin = "não é só isso, João".encode("cp1252")
    fill(tmp_path / "t", {"a.txt": "text", "b.txt": latin, "c.jsonl": '{"other": 1}', "d.csv": b"id,caf\xe9\n1,2\n"})
    fill(tmp_path / "t", {"damaged.pdf": b"%PDF-1.4\n1 0 obj\n<< /T"})
    _, tally = read(tmp_path / "t")
    assert tally.files_read == 2
    assert tally.encodings == {"utf-8": 1, "cp1252": 1}
    assert tally.encoding_issues == {"not utf-8, read as windows-1252": 1}
    assert not tally.file_issues
    assert sum(tally.files_skipped.values()) == 3


def test_a_file_that_gave_text_up_to_a_damaged_place_is_read_and_skipped_and_counted_as_both(tmp_path: Path) -> None:
    fill(tmp_path / "t", {"a.txt": "text"})
    tally = Tally()
    (file,) = FolderSource(path=tmp_path / "t").files(tally)

    def reading() -> Iterator[Document]:
        tally.encodings["utf-8"] += 1
        yield make_document(file, "first", "1", tally)
        raise UnreadableError("damaged", "row 2")

    assert len(list(read_or_skip(file, reading(), tally))) == 1
    files = tally.as_counts()["files"]
    assert files == {"read": 1, "in_part": 1, "skipped": {"damaged": 1}}
    assert tally.encodings == {"utf-8": 1}
