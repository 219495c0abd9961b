"""The chat page's files: a strict policy, packed into the wheel, and equal to their table."""

from __future__ import annotations

import hashlib
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import pytest

from lavra.server.chat_page.page import CHAT_FILES, HERE
from tests.server.conftest import running, served
from tests.server.search.toy_index import toy_index

ROOT = Path(__file__).resolve().parents[2]
VENDOR = HERE / "vendor"
SOURCE_MAP = re.compile(rb"^//# sourceMappingURL=.*\n?\Z", re.MULTILINE)


@pytest.fixture(scope="module")
def client():
    with running([served("writer")], api_keys=("secret",)) as url, httpx2.Client(base_url=url) as client:
        yield client


def test_every_file_is_served_to_everybody_and_under_a_strict_policy(client) -> None:
    for path, file in CHAT_FILES.items():
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, file.read_bytes()), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        kind = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}[file.suffix]
        assert answer.headers["Content-Type"].startswith(kind)
        assert client.head(path).status_code == 200


def test_every_file_of_the_page_is_served() -> None:
    asked = set()
    for file in CHAT_FILES.values():
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".html":
            asked |= set(re.findall(r'(?:src|href)="(/[^"]+)"', text))
        elif file.suffix == ".js" and VENDOR not in file.parents:
            asked |= {f"/chat/{name}" for name in re.findall(r'(?:from|import\()\s*"\./([^"]+)"', text)}
    assert asked <= set(CHAT_FILES)
    own = {path for path in CHAT_FILES if path.endswith(".js")}
    assert own <= asked, "a module that nobody imports"


def test_the_html_has_neither_inline_scripts_nor_styles() -> None:
    text = (HERE / "chat.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:|https?://", text)


def test_only_indexes_lead_to_the_search_page() -> None:
    with running([], indexes=[toy_index()]) as url:
        answer = httpx2.get(f"{url}/")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/search")


def test_every_file_goes_into_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = [*settings["package-data"]["*"], *settings["package-data"]["lavra.server.chat_page"]]
    for file in (one for one in HERE.rglob("*") if one.is_file() and one.suffix not in (".py", ".pyc")):
        name = file.relative_to(HERE).as_posix()
        assert any(fnmatch(name, pattern) for pattern in patterns), name


def test_the_modules_of_others_are_those_their_table_names() -> None:
    rows = [
        [cell.strip(" `") for cell in line.strip("|\n ").split("|")]
        for line in (VENDOR / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    assert {row[0] for row in rows} == {file.name for file in VENDOR.glob("*.js")}
    for name, _, _, licences, _, checksum in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == checksum, name
        assert all((VENDOR / one).is_file() for one in re.findall(r"LICENSE\.\w+", licences))
        assert re.search(r"LICENSE\.\w+", licences)
    assert not any(SOURCE_MAP.search(file.read_bytes()) for file in VENDOR.glob("*.js"))
