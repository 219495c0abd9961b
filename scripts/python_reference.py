"""Write the reference part of docs/api.md from the docstrings of the public API.

    python scripts/python_reference.py          # writes
    python scripts/python_reference.py --check  # checks that the page agrees with the docstrings

Signatures, sections and settings come from the package, so a setting is explained in one place: its dataclass.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lavra
from lavra.base.convert import default_of, field_docs, setting_fields

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
BEGIN, END = "<!-- reference: written by scripts/python_reference.py -->", "<!-- end of the reference -->"
FUNCTIONS = (
    "load", "up", "pretrain", "finetune", "distill", "compress", "predict", "predict_file", "evaluate", "index", "ask",
    "serve",
)  # fmt: skip
SETTINGS = {
    "up": "UpConfig",
    "finetune": "FinetuneConfig",
    "distill": "DistillRunConfig",
    "compress": "CompressConfig",
    "predict": "PredictConfig",
    "evaluate": "EvaluateConfig",
    "index": "IndexSettings",
    "ask": "AskConfig",
    "serve": "ServeSettings",
}


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is out of date")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    fresh = with_reference(text)
    if args.check:
        print("up to date" if fresh == text else f"{PAGE} is out of date; run python scripts/python_reference.py")
        return int(fresh != text)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def with_reference(text: str) -> str:
    """A page with a newly written reference part."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([before + BEGIN, "", *reference(), "", END]) + after


def reference() -> Iterator[str]:
    """The lines of the reference."""
    yield "## Functions"
    for name in FUNCTIONS:
        yield from entry(f"lavra.{name}", getattr(lavra, name))
        if name in SETTINGS:
            yield from settings_table(getattr(lavra, SETTINGS[name]))
    yield "\n## `TextModel`: what `lavra.load` returns"
    for name, method in inspect.getmembers(lavra.TextModel, inspect.isfunction):
        if not name.startswith("_"):
            yield from entry(f"model.{name}", method)
    yield from entry("model.num_parameters", lavra.TextModel.num_parameters)
    yield "\n## Classes\n"
    yield "| class | what it is |"
    yield "|---|---|"
    for name in lavra.__all__:
        found = getattr(lavra, name)
        if inspect.isclass(found) and name != "TextModel":
            yield f"| `{name}` | {inspect.cleandoc(found.__doc__ or '').splitlines()[0]} |"


def entry(name: str, found: Any) -> Iterator[str]:
    """Lines of one function or method: its call, and its docstring's sections."""
    doc = inspect.cleandoc(found.__doc__ or "").partition("\nSettings (fields of")[0]
    yield f"\n### `{name}{call_of(found)}`\n"
    for section in re.split(r"\n\n(?=(?:Args|Returns|Raises|Example):\n)", doc.strip()):
        head, _, body = section.partition(":\n")
        if head not in ("Args", "Returns", "Raises", "Example"):
            yield section.strip()
        elif head == "Example":
            yield "\n```pycon\n" + inspect.cleandoc("\n" + body) + "\n```"
        elif head == "Returns":
            yield "\nReturns: " + " ".join(body.split())
        else:
            yield f"\n{head}:\n" if head == "Raises" else ""
            yield from items(body)


def items(body: str) -> Iterator[str]:
    """`name: text` entries as a list."""
    for found in re.findall(r"^    (\*{0,2}\w+): (.*(?:\n {5,}.*)*)", body, re.MULTILINE):
        yield f"- `{found[0]}`: {' '.join(found[1].split())}"


def call_of(found: Any) -> str:
    """Parameters of a call without types; settings have their own table."""
    if not inspect.isfunction(found):
        return ""
    fields = {name for one in SETTINGS.values() for name in setting_fields(getattr(lavra, one))}
    shown = found.__code__.co_varnames[: found.__code__.co_argcount + found.__code__.co_kwonlyargcount]
    written: list[str] = []
    keyword = False
    for parameter in inspect.signature(found).parameters.values():
        if parameter.name == "self" or (parameter.name in fields and parameter.name not in shown):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword and not any(one.startswith("*") for one in written):
            written.append("*")
        keyword = keyword or parameter.kind is parameter.KEYWORD_ONLY
        written.append(_written(parameter))
    return f"({', '.join(written)})"


def _written(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


def settings_table(cls: type) -> Iterator[str]:
    """The settings of a function."""
    docs = field_docs(cls)
    yield f"\nSettings, by name or as `settings=lavra.{cls.__name__}(…)`:\n"
    yield "| setting | default | |"
    yield "|---|---|---|"
    for name, field in setting_fields(cls).items():
        value = default_of(field)
        shown = "required" if value is dataclasses.MISSING else f"`{_plain(value)}`"
        yield f"| `{name}` | {shown} | {docs.get(name, '').replace('|', chr(92) + '|')} |"


def _plain(value: Any) -> str:
    return f"{type(value).__name__}()" if dataclasses.is_dataclass(value) else repr(getattr(value, "value", value))


if __name__ == "__main__":
    sys.exit(main())
