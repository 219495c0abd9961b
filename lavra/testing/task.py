"""Conformance suite of a task's spec (`lavra.tasks.spec`).

Subclass `TaskConformance` in a test module (with a name starting with `Test`), give it the spec and a few samples,
requests and values of predictions.  The tasks that lavra ships and a task of another program are held to the same
contract.

Deliberately absent: whether a model can learn the task.
"""

# ruff: noqa: D102 - the names of the tests say what they hold

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any


class TaskConformance:
    """The contract of every spec.

    Attributes:
        spec: describes the task under test.
    """

    spec: Any

    def samples(self) -> Sequence[Any]:
        """Samples with and without labels."""
        raise NotImplementedError("a conformance suite says which samples the task has")

    def requests(self) -> Sequence[Any]:
        """Requests of a task that answers requests; none for another task."""
        return ()

    def values(self) -> Sequence[Any]:
        """Values of predictions of a task that answers requests; none for another task."""
        return ()

    def test_every_reference_is_a_function(self) -> None:
        found = list(references(self.spec))
        assert found, f"{self.spec.name} computes nothing"
        for name, reference in found:
            assert callable(_resolved(reference)), f"{name} of {self.spec.name} is {reference}, which cannot be called"

    def test_it_says_what_it_is(self) -> None:
        assert self.spec.name.isidentifier()
        assert self.spec.name in self.spec.words
        assert self.spec.saved_as in self.spec.words
        assert self.spec.summary
        assert self.spec.tokens > 0
        assert self.spec.learning_rate > 0
        assert self.spec.form.columns.layouts, f"{self.spec.name} has no columns"

    def test_samples_have_texts_and_keys(self) -> None:
        samples = self.samples()
        assert samples, f"{self.spec.name} is tested without samples"
        for sample in samples:
            assert all(isinstance(text, str) for text in self.spec.texts(sample))
            assert all(isinstance(text, str) for text in (self.spec.key or self.spec.texts)(sample))
            assert all(isinstance(label, str | float) for label in self.spec.labels(sample))
            if self.spec.expected(sample) is not None:
                assert self.spec.is_known(sample), f"{sample} has a label and is not known"

    def test_requests_go_both_ways(self) -> None:
        asking = self.spec.asking
        assert bool(self.requests()) is (asking is not None)
        for request in self.requests():
            assert type(request) is asking.request
            assert asking.read_request(asking.write_request(request), _Options(request, asking.takes)) == request

    def test_answers_go_both_ways(self) -> None:
        asking = self.spec.asking
        assert bool(self.values()) is (asking is not None)
        for value in self.values():
            written = asking.write_answer(value)
            assert asking.read_answer(written) == value
            assert not set(asking.older_fields(value)) & set(written), "an older field says what a newer one says"

    def test_an_endpoint_is_under_v1(self) -> None:
        if self.spec.asking is not None:
            assert self.spec.asking.path.startswith("/v1/")


def references(part: Any) -> Iterator[tuple[str, Any]]:
    """Find the references of a spec and its parts by the types of fields: (field, `module:name` or a function)."""
    for field in fields(part):
        value = getattr(part, field.name)
        if field.type in ("Reference", "ByProblem"):
            many = value.values() if isinstance(value, Mapping) else (value,)
            yield from ((field.name, one) for one in many)
        elif field.type == "tuple[str, Reference]":
            yield field.name, value[1]
        elif field.name in ("head", "writing", "asking") and is_dataclass(value):
            yield from references(value)


def _resolved(reference: Any) -> Any:
    if callable(reference):
        return reference
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


class _Options:
    """The options that a request was made with."""

    def __init__(self, request: Any, names: frozenset[str]) -> None:
        for name in ("truncate", "allow_none"):
            setattr(self, name, getattr(request, name) if name in names else False)
