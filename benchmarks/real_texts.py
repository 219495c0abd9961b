"""Distinct passages of real text in English and Portuguese, from the folder that `LAVRA_DATA` names.

Books, inaugural addresses, plays, articles of Wikipedia, news, abstracts and questions' paragraphs are cut into windows
of words.  Windows that overlap by half give twice as many: 100,000 passages need them.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from labelled_tasks import AbsentDataError


def distinct_passages(data: Path, characters: int, count: int, *, overlapping: bool = False) -> list[str]:
    """Distinct passages of real text, each of about `characters` characters, drawn from all texts by a seed.

    Args:
        data: the folder of public data.
        characters: characters of a passage, about.
        count: number of passages.
        overlapping: whether each passage begins in the middle of the one before.

    Raises:
        AbsentDataError: there are fewer passages.
    """
    found = dict.fromkeys(
        passage
        for text in _texts(data)
        for passage in _windows(text.split(), characters, overlapping=overlapping)
        if len(passage) > characters // 3
    )
    if len(found) < count:
        raise AbsentDataError(f"{data} has {len(found):,} distinct passages of {characters} characters, not {count:,}")
    return random.Random(0).sample(sorted(found), count)


def questions(data: Path) -> list[str]:
    """Real questions in both languages, mixed."""
    found = [
        question["question"].strip()
        for name in ("xquad/xquad.en.json", "faquad/dataset.json")
        for article in json.loads((data / "qa" / name).read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return random.Random(0).sample(list(dict.fromkeys(found)), 1000)


def _windows(words: list[str], characters: int, *, overlapping: bool) -> Iterator[str]:
    starts, size = [0], 0
    for place, word in enumerate(words):
        size += len(word) + 1
        if size > characters:
            starts.append(place + 1)
            size = 0
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        yield " ".join(words[start:end])
        if overlapping:
            middle = (start + end) // 2
            yield " ".join(words[middle : middle + end - start])


def _texts(data: Path) -> Iterator[str]:
    for path in sorted((data / "lm").rglob("*.txt*")):
        yield _plain(path)
    for path in sorted((data / "lm").rglob("*.zip")):
        yield from _zipped(path)
    for name in ("xquad/xquad.en.json", "faquad/dataset.json"):
        for article in json.loads((data / "qa" / name).read_text(encoding="utf-8"))["data"]:
            yield "\n".join(paragraph["context"] for paragraph in article["paragraphs"])
    abstracts = _plain(data / "retrieval" / "cranfield" / "cran.all.1400.xml.gz")
    yield from re.findall(r"<text>(.*?)</text>", abstracts, re.DOTALL)
    for path in sorted((data / "summarization" / "t0_samples").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["prompt"]


def _plain(path: Path) -> str:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return raw.decode("utf-8", "replace")


def _zipped(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".xml") or re.search(r"(eng|english|por|portuguese)[^/]*\.txt$|\d{4}-[^/]*\.txt$", name):
                yield re.sub(r"<[^>]+>", " ", archive.read(name).decode("utf-8", "replace"))
