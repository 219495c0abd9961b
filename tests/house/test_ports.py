"""Every port with an implementation in the package has a conformance suite, and some test runs it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.syntax import ROOT, read

PORTS = ROOT / "lavra" / "base" / "ports.py"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def methods(node: ast.ClassDef) -> dict[str, list[str]]:
    """The methods of a class and their parameter names, required and optional."""
    return {
        one.name: [argument.arg for argument in one.args.posonlyargs + one.args.args][1:]
        for one in node.body
        if isinstance(one, Function) and one.name != "__init__"
    }


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in read("lavra")[path].body if isinstance(node, ast.ClassDef)]


def own_classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    """Every class of the package that is not a protocol."""
    return ((path, node) for path in read("lavra") for node in classes(path) if not is_protocol(node))


def ports() -> dict[str, dict[str, list[str]]]:
    return {node.name: methods(node) for node in classes(PORTS) if is_protocol(node)}


def has(own: dict[str, list[str]], port: dict[str, list[str]]) -> bool:
    """Whether a class has a port's methods, with parameters that begin with the port's."""
    return all(name in own and own[name][: len(wanted)] == wanted for name, wanted in port.items())


def implementations(port: dict[str, list[str]]) -> list[str]:
    """Classes of the package with a port's methods."""
    return [f"{path.relative_to(ROOT)}:{node.name}" for path, node in own_classes() if has(methods(node), port)]


def test_every_port_is_a_protocol_of_few_methods() -> None:
    assert len(ports()) >= 8
    assert all(len(port) <= 4 for port in ports().values())


@pytest.mark.parametrize("name", ports())
def test_an_implemented_port_has_a_suite_that_tests_run(name: str) -> None:
    found = implementations(ports()[name])
    assert found, f"nothing implements {name}; a port comes with its first implementation"
    suites = {node.name for path in (ROOT / "lavra" / "testing").glob("*.py") for node in classes(path)}
    assert f"{name}Conformance" in suites, f"{found} implement {name}; write {name}Conformance in lavra/testing"
    tests = (path for path in (ROOT / "tests").rglob("test_*.py") if "testing" not in path.parts)
    running = any(f"({name}Conformance)" in path.read_text(encoding="utf-8") for path in tests)
    assert running, f"no test holds {found} to {name}Conformance"


def test_implementations_are_found() -> None:
    found = {name: {one.partition(":")[2] for one in implementations(port)} for name, port in ports().items()}
    assert {"InProcessModel", "Engine", "RemoteModel"} <= found["LanguageModel"]
    assert {"PieceStream", "EngineStream", "RemoteStream"} <= found["Stream"]
    assert {"JsonlHook", "CallbackHook", "TensorBoardHook"} <= found["Hook"]
    assert found["Runner"] == {"NativeRunner", "TorchRunner"}
    assert found["Progress"] == {"Meter"}
    assert not has({"embed": ["images"]}, ports()["Embedder"])
