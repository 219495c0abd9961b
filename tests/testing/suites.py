"""Parts shared by tests of the conformance suites: the failing tests of an implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Broken = Mapping[str, tuple[Callable[[], object], set[str]]]


def names(suite: object) -> set[str]:
    """Names of a suite's tests."""
    return {name.removeprefix("test_") for name in dir(suite) if name.startswith("test_")}


def failures(suite: object) -> set[str]:
    """Names of a suite's tests that do not pass."""
    found = set()
    for name in names(suite):
        try:
            getattr(suite, f"test_{name}")()
        except Exception:  # whatever a broken implementation does
            found.add(name)
    return found


def check(right: object, broken: Broken) -> None:
    """A right toy passes; each broken one fails the named tests; together they fail every test.

    A suite without an implementation fails altogether.
    """
    assert failures(right) == set()
    failed = set()
    for name, (make, expected) in broken.items():
        found = failures(make())
        assert found >= expected, f"{name} passes {expected - found}"
        failed |= found
    assert failed == names(right), f"no broken toy fails {names(right) - failed}"
    (suite,) = (kind for kind in type(right).__mro__ if kind.__name__.endswith("Conformance"))
    assert failures(suite()) == names(suite)
