"""Definitions in code: Python against `inspect`, other languages by example."""

from __future__ import annotations

import inspect
import random
import re
import textwrap
from types import ModuleType

import pytest

from lavra.text.definitions import DefinitionSpan, find_definitions


def shown(text: str, extension: str) -> dict[str, str]:
    """Each name, and the first and last line of its text."""
    found = find_definitions(text, extension)
    check_nested(found, text)
    lines = {each.name: text[each.start : each.end].strip().splitlines() for each in found}
    return {name: f"{own[0].strip()} … {own[-1].strip()}" for name, own in lines.items()}


def check_nested(found: list[DefinitionSpan], text: str) -> None:
    around: list[DefinitionSpan] = []
    for one in found:
        while around and around[-1].end <= one.start:
            around.pop()
        assert 0 <= one.start < one.end <= (around[-1].end if around else len(text))
        around.append(one)


@pytest.mark.parametrize("module", [random, textwrap])
def test_python_has_the_functions_that_inspect_finds(module: ModuleType) -> None:
    text = inspect.getsource(module)
    found = {each.name: text[each.start : each.end] for each in find_definitions(text, ".py")}
    members = [each for _, each in inspect.getmembers(module) if inspect.isfunction(each) or inspect.isclass(each)]
    methods = [each for owner in members for _, each in inspect.getmembers(owner, inspect.isfunction)]
    checked = 0
    for each in (*members, *methods):
        if each.__module__ == module.__name__ and each.__qualname__ in found:
            source = re.sub(r"(\n\s*#.*)+$", "", textwrap.dedent(inspect.getsource(each)).strip())  # below it
            assert textwrap.dedent(found[each.__qualname__]).strip().endswith(source)
            checked += 1
    assert checked >= 8


def test_decorators_and_the_comment_above_belong_to_a_definition() -> None:
    text = "x = 1\n\n# says\n# more\n@cache\ndef f():\n    pass\n# below\n\nclass A: pass\n"
    assert shown(text, ".py") == {"f": "# says … pass", "A": "class A: pass … class A: pass"}


def test_python_that_does_not_parse_is_read_by_line() -> None:
    text = "print 'two'\n\nclass A(object):\n    def f(self):\n        print 'x'\n\n    def g(self): pass\n\ny = 1\n"
    expected = {"A": "class A(object): … def g(self): pass", "A.f": "def f(self): … print 'x'"}
    assert shown(text, ".py") == {**expected, "A.g": "def g(self): pass … def g(self): pass"}


RUST = (
    "use x;\n\n/// Adds.\n#[inline]\npub fn add(a: i32) -> i32 {\n    a\n}\n\n"
    "impl Store {\n    fn get(&self) {\n        1\n    }\n}\n"
)
GO = "package a\n\ntype Store struct {\n\tn int\n}\n\nfunc (s *Store) Add(n int) {\n\ts.n += n\n}\n"
SCRIPT = (
    "import a;\n\nexport class Store {\n  add(n) {\n    if (n) {\n      f(n);\n    }\n  }\n}\n\n"
    "const later = async (x) => {\n  g();\n};\n"
)
C = (
    "#include <x.h>\n\nstatic int add(int a,\n               int b)\n{\n    if (a) {\n        b();\n    }\n"
    "out:\n    return a;\n}\n\nint other(void);\n"
)
JAVA = "package a;\n\npublic class Store {\n  @Override\n  public int add(int n) throws X {\n    return n;\n  }\n}\n"
RUBY = "module A\n  class B\n    def c(x)\n      x\n    end\n  end\nend\n\nputs 1\n"
SHELL = "set -e\n\nbuild() {\n  make\n}\n\nbuild\n"
SQL = "CREATE TABLE people (\n  id int\n);\n\nselect 1;\n"


@pytest.mark.parametrize(
    ("extension", "text", "expected"),
    [
        (".rs", RUST, {"add": "/// Adds. … }", "Store": "impl Store { … }", "Store.get": "fn get(&self) { … }"}),
        (".go", GO, {"Store": "type Store struct { … }", "Add": "func (s *Store) Add(n int) { … }"}),
        (
            ".js",
            SCRIPT,
            {
                "Store": "export class Store { … }",
                "Store.add": "add(n) { … }",
                "later": "const later = async (x) => { … };",
            },
        ),
        (".c", C, {"add": "static int add(int a, … }"}),
        (
            ".java",
            JAVA,
            {"Store": "public class Store { … }", "Store.add": "@Override … }"},
        ),
        (".rb", RUBY, {"A": "module A … end", "A.B": "class B … end", "A.B.c": "def c(x) … end"}),
        (".sh", SHELL, {"build": "build() { … }"}),
        (".sql", SQL, {"people": "CREATE TABLE people ( … );"}),
        (".css", "a {\n  b: c;\n}\n", {}),
        (".py", "", {}),
    ],
)
def test_other_languages_are_read_by_line(extension: str, text: str, expected: dict[str, str]) -> None:
    assert shown(text, extension) == expected
