"""Rows against those of `datasets`, and messages about broken data."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lavra.base.errors import ConfigError, InputError
from lavra.evaluation.task_files.documents import Documents
from lavra.evaluation.task_files.reading import read_task
from lavra.evaluation.task_files.yaml_file import RawFile

CSV = '''id,word,number,share,maybe,gap,date,code,big
1,"a, b",3,0.5,True,,2024-01-01,007,18446744073709551615
2,null,4,1,False,x,2024-01-02,8,1
3,"say ""no""",5,-2e3,True,NA,2024-01-03,9,2
4,"two
lines",,inf,,y,,10,3
'''
TSV = 'sentence\tlabel\nit \'s "so\t1\nvery" bad\t0\n'
JSONL = """{"a": 1, "b": "x", "c": {"d": [1, 2], "e": null}, "day": "2024-01-01 10:00:00", "mixed": 1}
{"a": 2.5, "c": {"d": [], "e": "y"}, "b": null, "day": "2024-01-02 10:00:00", "mixed": "one"}
{"a": 3, "b": "z", "c": {"d": [3], "e": "w"}, "new": true, "day": "2024-01-03 10:00:00", "mixed": 2}
"""
FREE = """{"scores": {"yes": 1, "no": 0}, "tags": [{"k": 1}, {"v": 2}]}
{"scores": {"maybe": 1}, "tags": []}
"""
LIST = json.dumps([{"a": 1, "b": [{"c": 1.5}]}, {"a": None, "b": []}])
FIELD = json.dumps({"about": "it", "examples": [{"input": "1", "n": 1}, {"input": "é", "n": 2}]}, indent=1)
TEXT = "one\n\ntwo\r\nthree\n\n\nfour\x85five"
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("csv", "plain.csv", CSV, {}),
    ("csv", "kept.csv", CSV, {"keep_default_na": False}),
    ("csv", "named.csv", CSV, {"column_names": list("abcdefghi"), "header": 0}),
    ("csv", "headless.csv", CSV, {"column_names": list("abcdefghi")}),
    ("csv", "tabs.tsv", TSV, {"delimiter": "\t", "quoting": 3}),
    ("csv", "short.csv", "a,b,a\n1,2,3\n4,5\n", {}),
    ("csv", "blank.csv", "a,b\n1, 2\n\n 3 ,x\n", {}),
    ("csv", "long.csv", "n,t\n" + "".join(f"{n},{n if n < 5 else 'w'}\n" for n in range(12_000)), {}),
    ("csv", "later.csv", "n,t\n" + "".join(f"{n},{'' if n > 10_500 else 'w'}\n" for n in range(12_000)), {}),
    ("json", "rows.jsonl", JSONL, {}),
    ("json", "free.jsonl", FREE, {}),
    ("json", "list.json", LIST, {}),
    ("json", "texts.json", '["a", "b"]', {}),
    ("json", "field.json", FIELD, {"field": "examples"}),
    ("text", "lines.txt", TEXT, {}),
    ("text", "ends.txt", "one\ntwo\n", {}),
    ("text", "kept.txt", "one\ntwo", {"keep_linebreaks": True}),
    ("text", "paragraphs.txt", TEXT, {"sample_by": "paragraph"}),
    ("text", "document.txt", TEXT, {"sample_by": "document"}),
]


def documents(folder: Path, kind: str, files: Any, **options: Any) -> Documents:
    values = {
        "task": "made",
        "dataset_path": kind,
        "dataset_kwargs": {"data_files": files, **options},
        "test_split": "test",
        "doc_to_text": "",
        "doc_to_target": "",
    }
    return Documents(read_task(RawFile(path=Path("made.yaml"), values=values)), folder)


def loaded(kind: str, files: Any, cache: Path, **options: Any) -> list[dict[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    return list(datasets.load_dataset(kind, data_files=files, cache_dir=str(cache), **options)["test"])


@pytest.mark.slow  # `datasets` takes seconds to import
@pytest.mark.parametrize(("kind", "name", "text", "options"), CASES, ids=[case[1] for case in CASES])
def test_rows_equal_those_of_datasets(tmp_path: Path, kind: str, name: str, text: str, options: dict[str, Any]) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode())
    rows = documents(tmp_path, kind, {"test": name}, **options).split("test")
    wanted = loaded(kind, {"test": str(file)}, tmp_path / "cache", **options)
    assert rows == wanted
    assert [list(row) for row in rows] == [list(row) for row in wanted]
    assert [[type(value) for value in row.values()] for row in rows] == [
        [type(value) for value in row.values()] for row in wanted
    ]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "pattern", "options"),
    [
        ("csv", "benchmarks/truthfulqa/*.csv", {}),
        ("csv", "mmlu/dev/*.csv", {}),
        ("csv", "glue/RTE/dev.tsv", {"delimiter": "\t", "quoting": 3}),
        ("csv", "safety/crows-pairs/*.csv*", {}),
        ("json", "superglue/ReCoRD/train.jsonl", {}),
        ("json", "superglue/MultiRC/val.jsonl", {}),
        ("json", "qa/faquad/*dev*", {"field": "data"}),
        ("json", "benchmarks/bbh/*.json", {"field": "examples"}),
        ("json", "benchmarks/llm-foundry/*/*.jsonl*", {}),
        ("json", "code/*/*.jsonl.gz", {}),
        ("json", "benchmarks/mt_bench/*.jsonl", {}),
    ],
)
def test_rows_of_real_files_equal_those_of_datasets(
    lavra_data: Path, tmp_path: Path, kind: str, pattern: str, options: dict[str, Any]
) -> None:
    files = sorted(file for file in lavra_data.glob(pattern) if file.is_file())
    assert files
    for file in files:
        rows = documents(lavra_data, kind, {"test": str(file.relative_to(lavra_data))}, **options).split("test")
        assert rows == loaded(kind, {"test": str(file)}, tmp_path, **options), file


@pytest.mark.slow
def test_parquet_rows_equal_those_of_datasets(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"a": 1, "b": {"c": ["x"]}, "d": None}, {"a": 2, "b": {"c": []}, "d": 1.5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert documents(tmp_path, "parquet", {"test": "rows.parquet"}).split("test") == loaded(
        "parquet", {"test": str(tmp_path / "rows.parquet")}, tmp_path / "cache"
    )


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_recognised_by_their_first_bytes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "rows.jsonl").write_bytes(pack(b'{"a": 1}\n'))
    assert documents(tmp_path, "json", {"test": "rows.jsonl"}).split("test") == [{"a": 1}]


def test_several_files_follow_one_another_and_share_their_columns(tmp_path: Path) -> None:
    for name, row in (("b.jsonl", {"a": 2, "c": 3}), ("a.jsonl", {"a": 1})):
        (tmp_path / name).write_text(json.dumps(row))
    rows = [{"a": 1, "c": None}, {"a": 2, "c": 3}]
    assert documents(tmp_path, "json", {"test": "*.jsonl"}).split("test") == rows
    assert documents(tmp_path, "json", {"test": ["a.jsonl", "b.jsonl"]}).split("test") == rows
    assert documents(tmp_path, "json", "*.jsonl").split("train") == rows


BROKEN = [
    ("json", '{"a": 1}\n{"a": 2\n', {}, r"rows:2: is not JSON: .* `field`"),
    ("json", "[1, 2", {}, r"rows:1: is not JSON"),
    ("json", '{"a": 1}\n[2]\n', {}, r"rows:2: is list; a row is an object"),
    ("json", '{"data": []}', {"field": "dta"}, r"has no field 'dta'; did you mean 'data'"),
    ("json", '{"data": {"a": 1}}', {"field": "data"}, r"holds dict where a list of rows is wanted"),
    ("json", "", {}, r"the split 'test' is empty; look at .*rows"),
    ("csv", "a,b\n1,2\n1,2,3\n", {}, r"rows:3: has 3 fields where there are 2 columns"),
    ("csv", "", {}, r"rows is empty"),
    ("csv", "a,b\n", {}, r"the split 'test' is empty"),
    ("csv", "a\n1\n", {"delimeter": ";"}, r"unknown option 'delimeter' of a csv file; did you mean 'delimiter'"),
    ("csv", "a\n" + "1\n" * 10_000 + "x\n", {}, r"rows:10002: column 'a' is int in the first 10000 lines and text"),
    ("csv", "a\n\xff\n", {"encoding": "ascii"}, r"rows:2: is not ascii at byte 2; name the encoding"),
    ("text", "a\n", {"sample_by": "word"}, r"sample_by='word'; it is 'line', 'paragraph' or 'document'"),
]


@pytest.mark.parametrize(("kind", "text", "options", "message"), BROKEN)
def test_broken_data_is_named(tmp_path: Path, kind: str, text: str, options: dict[str, Any], message: str) -> None:
    (tmp_path / "rows").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        documents(tmp_path, kind, {"test": "rows"}, **options).split("test")


def test_missing_files_and_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*no.json; .* give it with --data"):
        documents(tmp_path, "json", {"test": "no.json"}).split("test")
    with pytest.raises(ConfigError, match=r"no split 'tset'; did you mean 'test'"):
        documents(tmp_path, "json", {"test": "no.json"}).split("tset")
    with pytest.raises(ConfigError, match=r"has no `data_files`"):
        documents(tmp_path, "json", None).split("test")
    with pytest.raises(ConfigError, match=r"is an address; fetch the file"):
        documents(tmp_path, "json", "https://example.org/a.json").split("train")


def test_a_dataset_on_the_hub_is_refused_in_words_where_there_is_no_network() -> None:
    values = {
        "task": "far", "dataset_path": "allenai/ai2_arc", "dataset_name": "ARC-Easy", "test_split": "test",
        "doc_to_text": "", "doc_to_target": "",
    }  # fmt: skip
    data = Documents(read_task(RawFile(path=Path("far.yaml"), values=values)), Path())
    with pytest.raises(InputError, match=r"'allenai/ai2_arc' cannot be fetched .* `dataset_path: parquet`"):
        data.split("test")


def test_a_dataset_on_the_hub_is_read_from_its_parquet_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["ARC-Easy/test/0001.parquet", "ARC-Easy/test/0000.parquet", "ARC-Easy/train/0000.parquet", "README.md"]
    for number, name in enumerate(names[:3]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{"n": number}]), tmp_path / name)

    def fetched(dataset: str, name: str, *, repo_type: str, revision: str) -> str:
        assert (dataset, repo_type, revision) == ("allenai/ai2_arc", "dataset", "refs/convert/parquet")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda dataset, **how: names)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    values = {
        "task": "far", "dataset_path": "allenai/ai2_arc", "dataset_name": "ARC-Easy", "test_split": "test",
        "doc_to_text": "", "doc_to_target": "",
    }  # fmt: skip
    data = Documents(read_task(RawFile(path=Path("far.yaml"), values=values)), Path())
    assert data.split("test") == [{"n": 1}, {"n": 0}]
    with pytest.raises(InputError, match=r"no files in 'ARC-Easy/tset/'; did you mean 'ARC-Easy/test'"):
        data.split("tset")
