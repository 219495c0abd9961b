"""The corpus: every input is on one side of the split, or in a count."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lavra.base.card import read_card, write_card
from lavra.base.config import from_mapping, to_mapping
from lavra.base.errors import ConfigError, InputError
from lavra.base.types import Document
from lavra.text.config import CorpusConfig
from lavra.text.corpus import Corpus, build_corpus
from lavra.text.dedup import DedupConfig, Remove
from lavra.text.filters import FilterConfig
from lavra.text.planted import edited
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import MemorySource
from lavra.text.store import DocumentWriter
from tests.text.conftest import MakeDocument, MakeText
from tests.text.naive import naive_shingles


@pytest.fixture
def source(make_text: MakeText, make_document: MakeDocument) -> MemorySource:
    """60 documents, 20 near-copies, 10 exact copies, 5 too short."""
    chooser = random.Random(0)
    texts = [make_text(seed, 150) for seed in range(60)]
    near = [edited(text, 0.005, chooser) for text in texts[:20]]
    documents = [*texts, *near, *texts[20:30], *["short"] * 5]
    return MemorySource(name="m", given=[make_document(text, f"doc-{n:03d}") for n, text in enumerate(documents)])


def both(corpus: Corpus) -> list[Document]:
    return [*corpus.documents("train"), *corpus.documents("heldout")]


def test_every_document_is_kept_or_accounted_for(source: MemorySource, tmp_path: Path) -> None:
    corpus = build_corpus([source], tmp_path / "c", CorpusConfig(heldout_fraction=0.2))
    kept, dropped = [document.id for document in both(corpus)], list(corpus.dropped())
    assert sorted([*kept, *(row["id"] for row in dropped)]) == [document.id for document in source.given]
    assert sorted(kept) == [f"doc-{number:03d}" for number in range(60)]  # the first of each cluster
    counts = corpus.counts
    assert {reason: drop["documents"] for reason, drop in counts["dropped"].items()} == {
        "near-duplicate": 20,
        "exact duplicate": 10,
        "too short": 5,
    }
    assert counts["documents"]["read"] == 95
    assert counts["documents"]["kept"] == 60
    assert counts["duplicates"]["clusters"] == 30
    assert counts["duplicates"]["planted_found"] >= 0.95 * counts["duplicates"]["planted"] > 0
    for row in dropped[5:]:
        assert row["of"] == f"doc-{int(row['id'][4:]) - 60:03d}"
        assert 0 <= row["value"] <= 1
    for split in ("train", "heldout"):
        documents = list(corpus.documents(split))
        assert corpus.num_documents(split) == len(documents) > 0
        assert corpus.num_bytes(split) == sum(len(document.text.encode()) for document in documents)


@pytest.mark.parametrize("remove", Remove)
def test_no_near_duplicate_straddles_the_split(source: MemorySource, tmp_path: Path, remove: Remove) -> None:
    config = CorpusConfig(heldout_fraction=0.4, dedup=DedupConfig(remove=remove), filters=None)
    corpus = build_corpus([source], tmp_path / "c", config)
    train, heldout = list(corpus.documents("train")), list(corpus.documents("heldout"))
    assert len(train) + len(heldout) == {Remove.ALL: 61, Remove.EXACT: 81, Remove.NONE: 95}[remove]
    left, right = ([set(naive_shingles(document.text)) for document in side] for side in (train, heldout))
    assert all(len(a & b) < 0.8 * len(a | b) for a in left for b in right)


def test_the_split_is_stable_and_depends_on_the_seed_alone(source: MemorySource, tmp_path: Path) -> None:
    def heldout(seed: int, given: MemorySource) -> set[str]:
        config = CorpusConfig(seed=seed, heldout_fraction=0.3)
        return {document.text for document in build_corpus([given], tmp_path / "c", config).documents("heldout")}

    backwards = MemorySource(name="m", given=source.given[:60][::-1])
    forwards = MemorySource(name="m", given=source.given[:60])
    assert heldout(0, forwards) == heldout(0, backwards)
    sides = [heldout(seed, forwards) for seed in range(3)]
    assert all(a != b for a, b in combinations(sides, 2))


def test_the_same_input_gives_the_same_artifact(source: MemorySource, tmp_path: Path) -> None:
    first, second = (build_corpus([source], tmp_path / name) for name in ("a", "b"))
    assert first.id == second.id
    assert build_corpus([source], tmp_path / "c", CorpusConfig(seed=1)).id != first.id


def test_the_folder_holds_what_it_says(source: MemorySource, tmp_path: Path) -> None:
    corpus = build_corpus([source], tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "counts.json",
        "dropped.jsonl",
        "files.jsonl",
        "heldout.parquet",
        "lavra.json",
        "skipped.jsonl",
        "train.parquet",
    ]
    table = pq.read_table(tmp_path / "c" / "train.parquet")
    assert table.column_names == ["id", "source", "kind", "text"]
    assert pq.ParquetFile(tmp_path / "c" / "train.parquet").metadata.row_group(0).column(3).compression == "ZSTD"
    card = read_card(tmp_path / "c")
    assert card.kind == "corpus"
    assert card.id == corpus.id == Corpus.open(tmp_path / "c").id
    assert from_mapping(CorpusConfig, {k: v for k, v in card.config.items() if k != "sources"}) == CorpusConfig()
    json.dumps(to_mapping(CorpusConfig()), allow_nan=False)


def test_text_is_stored_as_normalised(tmp_path: Path, make_text: MakeText, make_document: MakeDocument) -> None:
    texts = [make_text(seed, 100) for seed in range(12)]
    given = [make_document(text.replace("\n", "  \r\n"), str(n)) for n, text in enumerate(texts)]
    corpus = build_corpus([MemorySource(name="m", given=given)], tmp_path / "c")
    assert {document.text for document in both(corpus)} == {text + "\n" for text in texts}
    assert corpus.counts["normalized"]["newlines unified"]["documents"] == 12


def test_row_groups_are_bounded(source: MemorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = both(build_corpus([source], tmp_path / "a"))
    monkeypatch.setattr("lavra.text.store.ROW_GROUP_BYTES", 5000)
    corpus = build_corpus([source], tmp_path / "b")
    assert pq.ParquetFile(corpus.path / "train.parquet").num_row_groups > 5
    assert both(corpus) == whole


def test_bytes_are_those_of_utf_8(tmp_path: Path) -> None:
    """The denominator of bits per byte: an accented letter has two bytes, an apple emoji four."""
    texts = ("Era uma vez uma menina chamada Lília.", "São maçãs: 🍎🍏")
    with DocumentWriter(tmp_path / "few.parquet") as writer:
        sizes = [writer.write(Document(id=text, text=text, source="m", kind="text")) for text in texts]
    assert sizes == [len(texts[0]) + 1, len(texts[1]) + 3 + 2 * 3] == [len(text.encode()) for text in texts]
    assert writer.num_bytes == sum(sizes)


def test_progress_is_reported_in_order(
    tmp_path: Path, make_text: MakeText, make_document: MakeDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lavra.text.build.PROGRESS_BYTES", 10_000)
    given = [make_document(make_text(seed, 300), str(seed)) for seed in range(30)]
    told: list[tuple[str, int, int | None]] = []
    build_corpus([MemorySource(name="m", given=given)], tmp_path / "c", None, lambda *each: told.append(each))
    assert [stage for stage, _, _ in told] == sorted(
        (stage for stage, _, _ in told), key=["read", "compare", "write"].index
    )
    for stage in ("read", "write"):
        done = [done for each, done, _ in told if each == stage]
        assert done == sorted(done)
        assert len(done) >= 3
    assert told[-1][1] == told[-1][2]


def test_files_of_every_kind_and_a_summary_for_people(tmp_path: Path, make_text: MakeText) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for seed in range(20):
        (folder / f"{seed}.txt").write_text(make_text(seed, 120))
    (folder / "latin.txt").write_bytes((make_text(99, 120) + " não é ação").encode("cp1252"))
    (folder / "rows.jsonl").write_text("\n".join(json.dumps({"text": make_text(seed, 80)}) for seed in range(50, 60)))
    (folder / "copy.md").write_text(make_text(3, 120))
    (folder / "image.png").write_bytes(b"\x89PNG")
    corpus = build_corpus([folder, folder / "rows.jsonl"], tmp_path / "c")
    rows = dict(corpus.summary_rows())
    assert rows["files read"] == "24"
    assert rows["files skipped: not text: an image"] == "1"
    assert rows["encoding issue: not utf-8, read as windows-1252"] == "1"
    assert rows["dropped: exact duplicate"].startswith("11 documents")
    assert rows["duplicates found"] == "11 exact, 0 near, in 11 clusters"
    assert "of" in rows["planted near-duplicates found"]
    (skipped,) = corpus.skipped()
    assert (skipped["source"], skipped["reason"]) == ("texts/image.png", "not text: an image")
    assert "OCR" in skipped["detail"]
    assert all(isinstance(label, str) and value for label, value in corpus.summary_rows())


def test_one_file_can_be_split(tmp_path: Path, make_text: MakeText) -> None:
    (tmp_path / "novel.txt").write_text("\n\n".join(make_text(seed, 100) for seed in range(50)))
    corpus = build_corpus([tmp_path / "novel.txt"], tmp_path / "c", CorpusConfig(read=ReadConfig(piece_chars=4000)))
    assert corpus.counts["split"]["divided"] == 1
    kept = corpus.num_bytes("heldout") + corpus.num_bytes("train")
    assert corpus.num_bytes("heldout") == pytest.approx(kept / 10, rel=0.1)  # a twentieth would be very little
    train = "".join(document.text for document in corpus.documents("train"))
    assert all(document.text.strip() not in train for document in corpus.documents("heldout"))


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path, make_document: MakeDocument) -> None:
    given = MemorySource(name="m", given=[make_document("short", "1")])
    with pytest.raises(InputError, match=r"no document is left of 1 read \(too short: 1\)"):
        build_corpus([given], tmp_path / "work" / "c")
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("copies", [1, 3])
def test_one_distinct_document_is_divided_and_too_short_a_one_refused(
    tmp_path: Path, make_text: MakeText, make_document: MakeDocument, copies: int
) -> None:
    given = [make_document(make_text(1, 100), str(number)) for number in range(copies)]
    corpus = build_corpus([MemorySource(name="m", given=given)], tmp_path / "c")
    assert len(make_text(1, 100)) - 20 <= corpus.num_bytes("train") + corpus.num_bytes("heldout")
    assert corpus.counts["split"]["divided"] == 1
    given = [make_document(make_text(1, 20), str(number)) for number in range(copies)]
    with pytest.raises(
        InputError, match=r"has 1 document of \d+ bytes after cleaning.*needs at least 2; give more text"
    ):
        build_corpus([MemorySource(name="m", given=given)], tmp_path / "c")


def test_errors_say_what_to_do(tmp_path: Path, source: MemorySource) -> None:
    with pytest.raises(InputError, match="no sources were given"):
        build_corpus([], tmp_path / "c")
    with pytest.raises(InputError, match="is not an artifact lavra wrote"):
        Corpus.open(tmp_path)
    (tmp_path / "m").mkdir()
    write_card(tmp_path / "m", kind="model", parents={}, config={})
    with pytest.raises(InputError, match="kind 'model', not a corpus"):
        Corpus.open(tmp_path / "m")
    corpus = build_corpus([source], tmp_path / "c")
    with pytest.raises(InputError, match="'test' is not a split of a corpus; it has train and heldout"):
        corpus.documents("test")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="heldout_fraction is 1"):
        CorpusConfig(heldout_fraction=1)
    with pytest.raises(ConfigError, match="seed is -1"):
        CorpusConfig(seed=-1)


def test_a_changed_bound_leaves_the_other_bounds_of_code_alone() -> None:
    config = from_mapping(CorpusConfig, {"filters": {"code": {"max_line": 5000}}})
    assert config.filters is not None
    assert config.filters.code.max_line == 5000
    assert config.filters.code.max_repeated_lines == FilterConfig().code.max_repeated_lines


def test_torch_is_not_needed() -> None:
    code = "import sys, lavra.text; assert not {'torch', 'trafilatura'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_benchmark_measures_itself() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "corpus_memory.py"
    done = subprocess.run([sys.executable, script, "--mb", "8", "--json"], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["holds"]
    assert result["planted"] > 0
    assert result["recall"] > 0.9
    assert result["unplanted_dropped"] == 0
