"""The fingerprint of a function of a Python file, from its text: the file is parsed, never run.

The fingerprint covers the function and the parts of its file that it uses: other functions, classes, constants and
imports.  White space and comments do not count.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from pathlib import Path

_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


def fingerprint(path: Path, name: str) -> str | None:
    """16 hex digits of a function or class, `None` if the file has no such name or is not Python.

    Args:
        path: path of the Python file.
        name: name of the function or class.
    """
    text = path.read_text(encoding="utf-8")
    try:
        definitions = _definitions(ast.parse(text))
    except SyntaxError:
        return None
    if name not in definitions:
        return None
    parts = [_bare(ast.get_source_segment(text, definitions[key]) or "") for key in sorted(_reached(name, definitions))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _definitions(tree: ast.Module) -> dict[str, _Definition]:
    found: dict[str, _Definition] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0]: node for alias in node.names}
    return found


def _reached(name: str, definitions: dict[str, _Definition]) -> set[str]:
    """The names that a definition uses, directly or through other definitions."""
    reached, waiting = {name}, [name]
    while waiting:
        used = {node.id for node in ast.walk(definitions[waiting.pop()]) if isinstance(node, ast.Name)}
        new = (used & definitions.keys()) - reached
        reached |= new
        waiting += sorted(new)
    return reached


def _bare(source: str) -> str:
    """Remove comments and white space from a piece of Python.

    Python 3.12 cuts f-strings into tokens; the joined text of the tokens is the same before and since that version.
    """
    lines = source.splitlines(keepends=True)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(token.start[0] - 1, token.start[1]) for token in tokens if token.type == tokenize.COMMENT]
    for row, column in comments:
        lines[row] = lines[row][:column]
    return "".join("".join(lines).split())
