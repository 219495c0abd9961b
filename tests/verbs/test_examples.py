"""Every public function, class and method has an example in its docstring, and the example runs."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import lavra

SLOW = ("CompressedModel", "QualityCard", "QualityError", "UpResult", "compress", "pretrain", "up")
"""They train for seconds, or measure the memory of new processes."""


def documented() -> Iterator[tuple[str, object]]:
    """Public functions and classes, and the methods of the class of models."""
    for name in lavra.__all__:
        if name != "__version__":
            yield name, getattr(lavra, name)
    for name, method in inspect.getmembers(lavra.TextModel):
        if not name.startswith("_") and (inspect.isfunction(method) or hasattr(method, "__doc__")):
            yield f"TextModel.{name}", method


def example(name: str, found: object) -> doctest.DocTest:
    text = inspect.getdoc(found) or ""
    return doctest.DocTestParser().get_doctest(text, {"lavra": lavra}, name, None, None)


ALL = dict(documented())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in sorted(ALL)]
)
def test_an_example_runs(examples: Path, name: str) -> None:
    test = example(name, ALL[name])
    assert test.examples, f"lavra.{name} has no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE)
    assert runner.run(test, out=said.append).failed == 0, "".join(said)


def test_an_example_that_is_wrong_is_noticed() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner().run(wrong, out=lambda _: None).failed == 1
