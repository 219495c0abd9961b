"""Find the definitions of classes and functions in source code.

Python is parsed (`ast`).  Other languages, and Python that does not parse, are read by line: a line that looks like the
head of a definition begins one, and the definition goes on while lines are indented deeper, up to the bracket or `end`
that closes it.  That is right for code as formatters write it; errors touch only names and borders; no text is lost.

Deliberately absent: a grammar for each language.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PYTHON: Final = frozenset({".py", ".pyi", ".pyw"})
_MOST_PARSED: Final = 2_000_000  # characters; the tree takes a hundred times that


DefinitionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionSpan:
    """A class, a function or a similar definition.

    Attributes:
        name: name qualified by the definitions around it (`Store.add`).
        level: depth of nesting; 1 is the outermost.
        start: place of its first line, with its decorators and the comment right above it.
        end: place behind its last line.
    """

    name: str
    level: int
    start: int
    end: int


def find_definitions(text: str, extension: str) -> list[DefinitionSpan]:
    """The definitions of a source file, in the order they begin; each lies within the definitions around it.

    Args:
        text: text of the file.
        extension: extension of the file's name, in lower case with the dot.
    """
    lines = _Lines(text)
    if extension in PYTHON and len(text) <= _MOST_PARSED:
        tree = parse_python(text)
        if tree is not None:
            return _nested(list(_of_tree(tree, lines)))
    return _nested(list(_by_lines(lines)))


class _Lines:
    """The lines of a text by number, from 0, as Python and editors count them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def start(self, number: int) -> int:
        return self.starts[number] if number < len(self.starts) else len(self.text)

    def line(self, number: int) -> str:
        return self.text[self.start(number) : self.start(number + 1)]

    def number(self, place: int) -> int:
        return bisect_right(self.starts, place) - 1

    def with_comment(self, number: int) -> int:
        """The first line of the comment or decorators right above a line, or the line itself."""
        indent = _indent(self.line(number))
        while number and _ABOVE.match(self.line(number - 1)) and _indent(self.line(number - 1)) == indent:
            number -= 1
        return number


_LINE_END: Final = re.compile(r"\r\n?|\n")
_ABOVE: Final = re.compile(r"[ \t]*(?:#(?!!)|//|/\*|\*|--|;;|@\w|\[\w)")


def parse_python(text: str) -> ast.Module | None:
    """The tree of a Python source; `None` where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes, which are the author's concern
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def nested_definitions(node: ast.AST, within: str = "") -> Iterator[tuple[DefinitionNode, str]]:
    """Every definition in a tree with its qualified name; definitions inside `if` or `try` count too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DefinitionNode):
            name = f"{within}.{child.name}" if within else child.name
            yield child, name
            yield from nested_definitions(child, name)
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from nested_definitions(child, within)


def _of_tree(tree: ast.Module, lines: _Lines) -> Iterator[DefinitionSpan]:
    for node, name in nested_definitions(tree):
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1
        start, end = lines.start(lines.with_comment(first)), lines.start(node.end_lineno or node.lineno)
        yield DefinitionSpan(name=name, level=1 + name.count("."), start=start, end=end)


_MODIFIER: Final = (
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub(?:\([^)]*\))?|unsafe|extern"
    r"|override|virtual|inline|open|sealed|data|declare|partial|local|suspend|case|constexpr|const)\s+)*"
)
_NAME: Final = r"(?P<name>[^\W\d][\w$.:?!~-]*)"
_HEADS: Final = (
    re.compile(
        rf"[ \t]*{_MODIFIER}(?:class|struct|interface|enum|trait|impl|namespace|module|mod|protocol|extension|object"
        r"|record|def|defp|defmodule|function|fn|func|fun|sub|procedure|proc|type)\b\s*(?:\*|<[^>]*>|\([^)]*\))?\s*"
        + _NAME
    ),
    re.compile(r"[ \t]*(?i:create)\s+(?i:or\s+replace\s+)?(?i:table|view|function|procedure|trigger)\s+" + _NAME),
    re.compile(
        rf"[ \t]*{_MODIFIER}(?:const|let|var)\s+{_NAME}\s*=\s*(?:async\s*)?(?:function\b|\([^)]*\)\s*=>|\w+\s*=>)"
    ),
    re.compile(rf"{_NAME}\s*(?:<-|=)\s*function\b"),
    # Of C and its kin: a type, a name, parameters, and no semicolon that would make it a call or a promise.
    re.compile(
        r"[ \t]*(?![#@/*])[\w:<>,*&\[\]~ \t]*[\w>*&\]][ \t*&]+(?P<name>[^\W\d][\w:~]*)\s*\([^;=]*(?:\{|\)|,|\()\s*$"
    ),
    re.compile(rf"[ \t]*(?:(?:async|static|get|set)\s+)*{_NAME}\s*\([^;]*\)\s*\{{\s*$"),  # a method, a shell function
)
_WITHOUT_PARAMETERS: Final = 4  # the first patterns need no parenthesis; the others take long to reject a line
_NO_HEAD: Final = re.compile(
    r"[ \t}]*(?:if|else|elif|elsif|for|foreach|while|until|switch|match|case|when|return|throw|new|do|try|catch|except"
    r"|with|using|lock|await|yield|delete|print|echo|import|from|package|require|include)\b"
)
_CLOSER: Final = re.compile(r"[ \t]*(?:\}|end\b|\);)")
_CONTINUES: Final = re.compile(r"[ \t]*(?:[{)\]]|#|//|/\*|\*|--|\w+:\s*$|where\b)")


def _by_lines(lines: _Lines) -> Iterator[DefinitionSpan]:
    within: list[tuple[str, int]] = []  # names around a line and where they end
    for number in range(len(lines.starts)):
        name = _name(lines.line(number))
        if not name:
            continue
        first, end = lines.start(lines.with_comment(number)), lines.start(_last_line(lines, number) + 1)
        while within and within[-1][1] <= lines.start(number):
            within.pop()
        qualified = f"{within[-1][0]}.{name}" if within else name
        within.append((qualified, end))
        yield DefinitionSpan(name=qualified, level=len(within), start=first, end=end)


def _name(line: str) -> str:
    """The name that a line defines; empty for other lines."""
    if len(line) > 400 or _NO_HEAD.match(line):  # machines write long lines
        return ""
    heads = _HEADS if "(" in line else _HEADS[:_WITHOUT_PARAMETERS]
    found = next((match for head in heads if (match := head.match(line))), None)
    return found["name"].rstrip(":") if found else ""


def _last_line(lines: _Lines, head: int) -> int:
    """The last line of the definition that a line begins."""
    indent, last = _indent(lines.line(head)), head
    for number in range(head + 1, len(lines.starts)):
        line = lines.line(number)
        if not line.strip():
            continue
        if _indent(line) > indent:
            last = number
        elif _indent(line) == indent and _CLOSER.match(line):
            return number
        elif not _CONTINUES.match(line):
            return last
    return last


def _indent(line: str) -> int:
    """Columns before the first letter; a tab goes to the next multiple of eight."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(8))


def _nested(found: list[DefinitionSpan]) -> list[DefinitionSpan]:
    """The definitions that begin behind one another and end within the definitions around them."""
    kept: list[DefinitionSpan] = []
    around: list[DefinitionSpan] = []
    for one in sorted(found, key=lambda each: (each.start, -each.end)):
        while around and around[-1].end <= one.start:
            around.pop()
        if (kept and one.start <= kept[-1].start) or (around and one.end > around[-1].end):
            continue
        kept.append(one)
        around.append(one)
    return kept
