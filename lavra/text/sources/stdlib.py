"""The running Python's own source: some 11 MB of text on every machine that can run lavra.

Left out are installed packages, the test suites (many distributions strip them, and a corpus should not depend on
that), and generated tables: `pydoc_data/topics.py`, and the build settings of the machine that compiled this Python.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from lavra.base.errors import InputError
from lavra.text.sources.source import FolderSource
from lavra.text.tally import Tally

MIN_BYTES = 5_000_000
EXCLUDE_FOLDERS = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test"})
GENERATED = ("pydoc_data/topics.py", "_sysconfigdata*.py")
REMEDY = "give your own text with `text FOLDER`"


def stdlib_source(folder: Path | None = None) -> FolderSource:
    """The standard library of the running Python as a source of code.

    Args:
        folder: folder of the library; the default is Python's own answer.

    Raises:
        InputError: the library is zipped, stripped, or smaller than 5 MB.
    """
    root = folder or Path(sysconfig.get_path("stdlib"))
    if not root.is_dir():
        raise InputError(f"the standard library at {root} is not a folder (zipped or removed); {REMEDY}")
    source = FolderSource(
        path=root,
        label=f"python{sys.version_info.major}.{sys.version_info.minor}",
        exclude_folders=EXCLUDE_FOLDERS,
        exclude_files=frozenset(path.relative_to(root).as_posix() for name in GENERATED for path in root.glob(name)),
        only=frozenset({".py"}),
    )
    num_bytes = sum(file.path.stat().st_size for file in source.files(Tally()))
    if num_bytes < MIN_BYTES:
        raise InputError(
            f"the standard library at {root} has {num_bytes / 1e6:.1f} MB of source, and {MIN_BYTES / 1e6:.0f} MB are "
            f"needed (it was stripped); {REMEDY}"
        )
    return source
