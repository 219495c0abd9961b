"""The documented functions and classes of a Python source, each with its docstring.

A document is parsed (`ast`), never run or imported.  A definition counts where it has a docstring with a sentence in
it; definitions without one are counted, not taken.
A signature is on one line, as `ast.unparse` writes it, so it has no layout, comments or decorators.
Overloads have no docstring and so are not taken.

Deliberately absent: other languages, docstring dialects (the first paragraph is enough here), and comments.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import Final

from lavra.text.definitions import DefinitionNode, nested_definitions, parse_python

LEAST_WORDS: Final = 3  # length of a description; "Constructor." is too short to search for

_LIKELY: Final = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+", re.MULTILINE)
_SENTENCE: Final = re.compile(r"(.+?[.!?])(?:\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeDefinition:
    """A function or class with a docstring.

    Attributes:
        name: name in its `def` or `class` (`read_text`).
        qualified: name with the names of the definitions around it (`Path.read_text`).
        signature: on one line, without decorators and the last colon (`def read_text(self, encoding=None)`).
        description: the first paragraph of its docstring, on one line.
        rest: the rest of the docstring.
        body: source of a function after the docstring, moved to the left margin; empty where there is no code to write
            (a class, a lone `pass`, `...` or `raise`, a body on the line of its `def`).
        line: line number in the document, from 1.
    """

    name: str
    qualified: str
    signature: str
    description: str
    rest: str
    body: str
    line: int

    @property
    def question(self) -> str:
        """The first sentence of the description."""
        found = _SENTENCE.match(self.description)
        return found.group(1) if found else self.description


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The definitions of one document.

    Attributes:
        found: documented definitions in the order of the source; inner definitions follow the outer one.
        undocumented: number of definitions without a usable docstring.
    """

    found: tuple[CodeDefinition, ...]
    undocumented: int


def read_definitions(text: str) -> Definitions | None:
    """The documented functions and classes of a Python source; None where the text is not Python or defines none."""
    if _LIKELY.search(text) is None:
        return None
    tree = parse_python(text)
    if tree is None:
        return None
    lines = re.split(r"\r\n|\r|\n", text)  # as the parser counts them
    read = [_read(node, name, lines) for node, name in nested_definitions(tree)]
    found = tuple(one for one in read if one is not None)
    return Definitions(found=found, undocumented=len(read) - len(found)) if read else None


def _read(node: DefinitionNode, qualified: str, lines: list[str]) -> CodeDefinition | None:
    docstring = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip()
    first, _, rest = docstring.partition("\n\n")
    description = " ".join(first.split())
    if len(description.split()) < LEAST_WORDS or description.startswith(">>>"):
        return None
    return CodeDefinition(
        name=node.name,
        qualified=qualified,
        signature=_signature(node),
        description=description,
        rest=rest.strip(),
        body="" if isinstance(node, ast.ClassDef) else _body(node, lines),
        line=node.lineno,
    )


def _signature(node: DefinitionNode) -> str:
    if isinstance(node, ast.ClassDef):
        given = ", ".join(ast.unparse(one) for one in (*node.bases, *node.keywords))
        return f"class {node.name}({given})" if given else f"class {node.name}"
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{word} {node.name}({ast.unparse(node.args)}){returns}"


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    docstring, *statements = node.body
    if not statements or (len(statements) == 1 and _is_blank(statements[0])):
        return ""
    start, stop = docstring.end_lineno, node.end_lineno
    if start is None or stop is None or statements[0].lineno <= start or docstring.lineno == node.lineno:
        return ""
    written = [line.rstrip() for line in lines[start:stop]]
    first = next(line for line in written if line)
    indent = len(first) - len(first.lstrip())
    moved = [line[indent:] if not line[:indent].strip() else line for line in written]
    return "\n".join(moved).strip("\n")


def _is_blank(statement: ast.stmt) -> bool:
    """Whether a statement is an empty body: `pass`, `...`, a lone `raise`."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Raise)
