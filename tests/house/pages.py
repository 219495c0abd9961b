"""The pages of the documentation: their blocks of code, and the pages of each section of the site."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.pt-BR.md")} | {
    str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))
}
OPERATORS = re.compile(r"[();<>|&]+")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, body) of every fenced block."""
    return re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> Iterator[str]:
    """The commands of shell blocks, without comments; a command of several lines is joined."""
    for body in (body for language, body in blocks(text) if language == "sh"):
        kept = ""
        for line in body.replace("\\\n", " ").splitlines():
            kept += re.sub(r"(^|\s)#\s.*$", "", line) + "\n"
            if kept.count("'") % 2 == 0 and kept.strip():
                yield kept.strip()
            if kept.count("'") % 2 == 0:
                kept = ""


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, such as the two of `echo x | lavra generate m`, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    command: list[str] = []
    for word in lexer:
        if OPERATORS.fullmatch(word):
            yield command
            command = ["FILE"] if word[0] in "<>" else []
        elif command or not re.fullmatch(r"[A-Z_]+=\S*", word):
            command.append(word)
    yield command


def lavra_commands(text: str) -> list[list[str]]:
    """The words behind `lavra` in each command of a page's shell blocks."""
    commands = [command for line in shell_lines(text) for command in simple_commands(line)]
    return [words[1:] for words in commands if len(words) > 1 and words[0] in ("lavra", ".venv/bin/lavra")]


def section(name: str) -> list[str]:
    """The pages of a section of the site, in its order."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return [page for entry in site["nav"] for page in entry.get(name, []) for page in page.values()]
