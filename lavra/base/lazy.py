"""What is imported when it is first asked for: names of packages (PEP 562), and functions by reference.

Settings of a verb stand beside what they are settings of.  So that the command line can read them without paying for
torch, a package that has both gives its names out lazily: `from lavra.train import Parallel` imports one module of it.

A task names its functions by reference, and a loaded model what only torch does with it: text such as
`lavra.tasks.learning.losses:tag_loss`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its `__name__`.
        modules: module of the package that has each name, by name.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get


Reference = str | Callable[..., Any]
"""A function, or where it is: `module:name`."""


def resolve(reference: Reference) -> Callable[..., Any]:
    """The function behind a reference; its module is imported now."""
    if callable(reference):
        return reference
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
