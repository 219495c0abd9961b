"""Opening the native runner's library: a C library takes its place, and the compiler reports the header's layout."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from lavra.base import native_library as native
from lavra.base.errors import ConfigError

INCLUDE = Path(__file__).resolve().parents[2] / "native" / "include"
HEADER = (INCLUDE / "lavra_native.h").read_text(encoding="utf-8")
STRUCTURES = {
    "lavra_config": native.NativeConfig,
    "lavra_tensor": native.NativeTensor,
    "lavra_row": native.NativeRow,
    "lavra_batch": native.NativeBatch,
    "lavra_sampling": native.NativeSampling,
    "lavra_choice": native.NativeChoice,
}
compiled = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc)")


def library(folder: Path, *, abi: int = 0, without: str = "") -> Path:
    """A shared library with every function of the interface, which does nothing."""
    bodies = {
        "lavra_abi": f"unsigned lavra_abi(void) {{ return {abi}u; }}",
        "lavra_isas": 'const char *lavra_isas(void) { return "avx2,portable"; }',
        "lavra_error": 'const char *lavra_error(void) { return "rows: -1 is less than 1"; }',
    }
    empty = {name: f"int {name}(void) {{ return 0; }}" for name in native.FUNCTIONS if name not in bodies}
    source, target = folder / "stand_in.c", folder / "stand_in.so"
    source.write_text("\n".join(text for name, text in (bodies | empty).items() if name != without), encoding="utf-8")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", target], check=True)
    return target


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAVRA_ISA", raising=False)
    monkeypatch.delenv("LAVRA_NATIVE", raising=False)
    native.native_library.cache_clear()
    yield
    native.native_library.cache_clear()


@compiled
def test_structures_lie_as_the_compiler_lays_them(tmp_path: Path) -> None:
    fields = [(name, field[0]) for name, made in STRUCTURES.items() for field in made._fields_]
    prints = "".join(f'printf("%zu ", offsetof({name}, {field}));' for name, field in fields)
    sizes = "".join(f'printf("%zu ", sizeof({name}));' for name in STRUCTURES)
    source = tmp_path / "layout.c"
    source.write_text(f'#include <stdio.h>\n#include "lavra_native.h"\nint main(void) {{ {prints} {sizes} }}')
    subprocess.run(["gcc", f"-I{INCLUDE}", source, "-o", tmp_path / "layout"], check=True)
    found = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout.split()
    ours = [getattr(STRUCTURES[name], field).offset for name, field in fields]
    assert [int(one) for one in found] == ours + [ctypes.sizeof(made) for made in STRUCTURES.values()]


def test_functions_are_those_of_the_header() -> None:
    code = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    assert set(re.findall(r"\b(lavra_\w+)\(", code)) == set(native.FUNCTIONS)


@compiled
def test_a_failing_status_raises_the_librarys_own_words(tmp_path: Path) -> None:
    opened = native.NativeLibrary(library(tmp_path))
    assert (opened.isas, opened.isa) == (("avx2", "portable"), "avx2")
    opened.check(0)
    assert opened.made(5) == 5
    with pytest.raises(native.NativeError, match="rows: -1 is less than 1"):
        opened.check(1)
    with pytest.raises(native.NativeError, match="rows: -1"):
        opened.made(None)


@compiled
def test_an_instruction_set_is_forced_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(native, "LIBRARY", library(tmp_path))
    monkeypatch.setenv("LAVRA_ISA", "portable")
    opened = native.native_library()
    assert opened is not None
    assert opened.isa == "portable"
    assert native.native_library() is opened
    native.native_library.cache_clear()
    monkeypatch.setenv("LAVRA_ISA", "avx1024")
    with pytest.raises(ConfigError, match=r"avx1024.*there are: avx2, portable"):
        native.native_library()


def test_it_is_switched_off(monkeypatch: pytest.MonkeyPatch, fresh: None, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LAVRA_NATIVE", "0")
    assert native.native_library() is None
    assert not caplog.records
    native.native_library.cache_clear()
    monkeypatch.setenv("LAVRA_NATIVE", "no")
    with pytest.raises(ConfigError, match="LAVRA_NATIVE=no"):
        native.native_library()


def test_a_missing_library_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "lavra" / "lavra_native.so")
    with caplog.at_level(logging.WARNING):
        assert native.native_library() is None
        assert native.native_library() is None
    assert len(caplog.records) == 1
    assert "not built; install g++ or clang++" in caplog.records[0].getMessage()


@compiled
def test_a_library_that_lacks_a_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(native.NativeError, match="no function lavra_linear"):
        native.NativeLibrary(library(tmp_path, without="lavra_linear"))


@compiled
def test_a_library_of_another_header_is_refused(tmp_path: Path) -> None:
    header = tmp_path / "native" / "include" / "lavra_native.h"
    for folder in (header.parent, tmp_path / "lavra"):
        folder.mkdir(parents=True)
    header.write_text(HEADER, encoding="utf-8")
    path = library(tmp_path / "lavra", abi=zlib.crc32(header.read_bytes()))
    native.NativeLibrary(path)
    header.write_text(HEADER + "int lavra_more(void);\n", encoding="utf-8")
    os.utime(header, (1, 1))
    with pytest.raises(native.NativeError, match=r"built with another lavra_native\.h .*native/build\.py|reinstall"):
        native.NativeLibrary(path)


@compiled
def test_a_library_older_than_its_sources_is_refused(tmp_path: Path) -> None:
    for folder in ("lavra", "native/src"):
        (tmp_path / folder).mkdir(parents=True)
    path = library(tmp_path / "lavra")
    (tmp_path / "native" / "src" / "model.cpp").touch()
    os.utime(path, (1, 1))
    with pytest.raises(native.NativeError, match=r"older than its source .*model\.cpp.*native/build\.py|reinstall"):
        native.NativeLibrary(path)


def test_a_damaged_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lavra_native.so").write_bytes(b"\x7fELF but no more")
    with pytest.raises(native.NativeError, match="cannot be opened"):
        native.NativeLibrary(tmp_path / "lavra_native.so")
