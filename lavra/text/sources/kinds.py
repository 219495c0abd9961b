"""Find the kind and the reader of a file: by its name, and by its content where the content is more certain.

Formats that begin with a mark of their own (PDF, zip, gzip, WARC, images …) are recognised by it, under any file name;
texts look alike, so among texts the name decides.  Source code is not opened to find its kind.  A file that cannot be
read is named, with the remedy.

The table of readers is lazy, so that a corpus of code never imports an HTML parser.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lavra.base.errors import InputError, nearest
from lavra.text.sources.compressed import Compression
from lavra.text.sources.reading import DocumentReader, File
from lavra.text.sources.sniff import NOT_TEXT, sniff

READERS = {
    "plain": "lavra.text.sources.plain:read_plain",
    "jsonl": "lavra.text.sources.jsonl:read_jsonl",
    "csv": "lavra.text.sources.csv_file:read_csv",
    "parquet": "lavra.text.sources.parquet:read_parquet",
    "html": "lavra.text.sources.html:read_html",
    "epub": "lavra.text.sources.epub:read_epub",
    "pdf": "lavra.text.sources.pdf:read_pdf",
    "docx": "lavra.text.sources.docx:read_docx",
    "mail": "lavra.text.sources.mail:read_mail",
    "warc": "lavra.text.sources.warc:read_warc",
    "wikipedia": "lavra.text.sources.wikipedia:read_wikipedia",
}

# The kind of the documents of formats that are recognised by their content.
KINDS = {"epub": "markdown", "pdf": "text", "docx": "markdown", "warc": "html", "wikipedia": "markdown"} | {
    "parquet": "record",
    "html": "html",
    "mail": "text",
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
    **dict.fromkeys((".eml", ".mbox"), ("mail", KINDS["mail"])),
    **dict.fromkeys((".warc", ".wet", ".arc"), ("warc", KINDS["warc"])),
    **{f".{name}": (name, KINDS[name]) for name in ("epub", "pdf", "docx")},
}
NAMES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("readme", "license", "licence", "copying", "notice", "authors", "changelog"), ("plain", "text")),
    **dict.fromkeys(("makefile", "gnumakefile", "dockerfile", "rakefile", "gemfile", "justfile"), ("plain", "code")),
}

DATA_EXTENSIONS = (
    *(".csv", ".docx", ".eml", ".epub", ".html", ".jsonl", ".mbox", ".md", ".parquet", ".pdf", ".tsv", ".txt"),
    *(".warc", ".wet"),
    ".xml.bz2 of Wikipedia",
)
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".bz2": "bz2"}

_import_module: Callable[[str], object] = importlib.import_module


@dataclass(frozen=True, kw_only=True)
class NotText:
    """A file without a reader.

    Attributes:
        reason: a phrase to count by.
        remedy: the user's next step.
    """

    reason: str
    remedy: str


def extension_of(path: Path) -> tuple[str, Compression]:
    """The file's extension in lower case without `.gz` or `.bz2`, and the compression that it named."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1], "") if suffixes else ""
    rest = suffixes[:-1] if compression else suffixes
    return (rest[-1] if rest else ""), compression


def as_file(path: Path, source: str) -> File | NotText:
    """The file with its kind and reader, or the reason why it has no reader."""
    extension, compression = extension_of(path)
    bare = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
    known = EXTENSIONS.get(extension) if extension else NAMES.get(bare)
    if known is not None and known[1] == "code":
        return _file(path, source, extension, known, compression)
    found = sniff(path, compression)
    if found.format in NOT_TEXT:
        return _not_text(found.format)
    if found.format in READERS and (known is None or found.is_certain):
        known = (found.format, KINDS[found.format])
    if known is not None:
        return _file(path, source, extension, known, found.compression)
    by_name = next((name for name, sort in NOT_TEXT.items() if extension in sort.extensions), "")
    return _not_text(by_name) if by_name else NotText(reason="unknown type", remedy=extension)


def reader_for(file: File) -> DocumentReader:
    """The reader of a file from `as_file`."""
    module, name = READERS[file.reader].split(":")
    return cast(DocumentReader, getattr(_import_module(module), name))


def is_named_otherwise(file: File) -> bool:
    """Whether a file's content is of another format than its extension."""
    known = EXTENSIONS.get(file.extension)
    return known is not None and known[0] != file.reader


def unreadable_type_error(path: Path, why: NotText) -> InputError:
    """The error for a file that the user named and that has no reader."""
    extension, _ = extension_of(path)
    if why.reason != "unknown type":
        return InputError(f"{path} is {why.reason}: {why.remedy}")
    if not extension:
        return InputError(f"{path} has no file extension, so its type is unknown; rename it, for example to .txt")
    close = nearest(extension, DATA_EXTENSIONS)
    hint = close if close.startswith("; did") else f"{close}, and source code"
    return InputError(f"{path} is of unknown type {extension!r}{hint}")


def _file(path: Path, source: str, extension: str, known: tuple[str, str], compression: Compression) -> File:
    reader, kind = known
    return File(path=path, source=source, extension=extension, reader=reader, kind=kind, compression=compression)


def _not_text(name: str) -> NotText:
    return NotText(reason=f"not text: {name}", remedy=NOT_TEXT[name].remedy)
