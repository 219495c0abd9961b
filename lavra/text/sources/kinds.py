"""Which files are text, of which kind, and who reads them: by name, never by guessing from content.

The table of readers is lazy, so that a corpus of code never imports an HTML parser.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from lavra.base.errors import InputError, nearest
from lavra.text.sources.reading import DocumentReader, File

READERS = {
    "plain": "lavra.text.sources.plain:read_plain",
    "jsonl": "lavra.text.sources.jsonl:read_jsonl",
    "csv": "lavra.text.sources.csv_file:read_csv",
    "parquet": "lavra.text.sources.parquet:read_parquet",
    "html": "lavra.text.sources.html:read_html",
}

_PROSE = ".txt .text"
_MARKUP = ".md .markdown .mdx .rst .adoc .tex .org"
_CODE = """
    .py .pyi .pyw .js .mjs .cjs .jsx .ts .tsx .c .h .cc .cpp .cxx .hh .hpp .hxx .cu .cuh .rs .go .java .kt .kts .scala
    .groovy .gradle .cs .fs .fsx .vb .swift .m .mm .rb .php .pl .pm .lua .r .jl .hs .lhs .ml .mli .elm .clj .cljs .cljc
    .erl .hrl .ex .exs .lisp .lsp .el .scm .rkt .dart .zig .nim .d .v .sv .vhd .vhdl .f .f90 .f95 .for .pas .ada .adb
    .ads .cob .asm .s .sh .bash .zsh .fish .ps1 .bat .cmd .awk .sed .tcl .sql .css .scss .sass .less .vue .svelte .sol
    .proto .thrift .graphql .cmake .mk .mak .nix .toml .yaml .yml .ini .cfg .conf .tf .hcl .dockerfile .vim
"""
_FAMILIES = (("plain", "text", _PROSE), ("plain", "markdown", _MARKUP), ("plain", "code", _CODE))

EXTENSIONS: dict[str, tuple[str, str]] = {
    **{extension: (reader, kind) for reader, kind, names in _FAMILIES for extension in names.split()},
    **dict.fromkeys((".jsonl", ".ndjson"), ("jsonl", "record")),
    **dict.fromkeys((".csv", ".tsv"), ("csv", "record")),
    **dict.fromkeys((".parquet", ".pq"), ("parquet", "record")),
    **dict.fromkeys((".html", ".htm", ".xhtml"), ("html", "html")),
}
NAMES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("readme", "license", "licence", "copying", "notice", "authors", "changelog"), ("plain", "text")),
    **dict.fromkeys(("makefile", "gnumakefile", "dockerfile", "rakefile", "gemfile", "justfile"), ("plain", "code")),
}

DATA_EXTENSIONS = (".csv", ".html", ".jsonl", ".md", ".parquet", ".tsv", ".txt")

_import_module: Callable[[str], object] = importlib.import_module


def extension_of(path: Path) -> tuple[str, bool]:
    """The file's extension in lower case without `.gz`, and whether `.gz` was there."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_gzip = bool(suffixes) and suffixes[-1] == ".gz"
    rest = suffixes[:-1] if is_gzip else suffixes
    return (rest[-1] if rest else ""), is_gzip


def as_file(path: Path, source: str) -> File | None:
    """The file with its kind, or None when no reader knows such files."""
    extension, is_gzip = extension_of(path)
    known = EXTENSIONS.get(extension) if extension else NAMES.get(path.name.lower().removesuffix(".gz"))
    if known is None:
        return None
    return File(path=path, source=source, extension=extension, kind=known[1], is_gzip=is_gzip)


def reader_for(file: File) -> DocumentReader:
    """The reader of a file that `as_file` knew."""
    known = EXTENSIONS.get(file.extension) or NAMES[file.path.name.lower().removesuffix(".gz")]
    module, name = READERS[known[0]].split(":")
    return cast(DocumentReader, getattr(_import_module(module), name))


def unknown_type_error(path: Path) -> InputError:
    """The error for a file the user named and nobody can read."""
    extension, _ = extension_of(path)
    if not extension:
        return InputError(f"{path} has no file extension, so its type is unknown; rename it, for example to .txt")
    close = nearest(extension, DATA_EXTENSIONS)
    hint = close if close.startswith("; did") else f"{close}, and source code"
    return InputError(f"{path} is of unknown type {extension!r}{hint}")
