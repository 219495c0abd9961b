"""`import lavra`: its names, its cost, and no module that replaces a function."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import lavra
from lavra.base.convert import field_docs
from lavra.base.errors import ConfigError
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.verbs.keywords import read_keywords
from tests.house.test_imports import LAVRA, modules

FUNCTIONS = (
    "ask",
    "compress",
    "distill",
    "evaluate",
    "finetune",
    "index",
    "load",
    "predict",
    "predict_file",
    "pretrain",
    "serve",
    "up",
)


def test_every_public_name_is_listed_and_there() -> None:
    assert dir(lavra) == sorted(lavra.__all__)
    for name in lavra.__all__:
        found = getattr(lavra, name)
        assert not isinstance(found, types.ModuleType), f"lavra.{name} is a module"
        assert name == "__version__" or (inspect.getdoc(found) or "").strip(), f"lavra.{name} says nothing of itself"
    assert set(FUNCTIONS) == {name for name in lavra.__all__ if inspect.isfunction(getattr(lavra, name))}
    with pytest.raises(AttributeError, match=r"no attribute 'embed'; a model has it: lavra\.load\(MODEL\)\.embed"):
        lavra.embed  # noqa: B018
    assert all(callable(getattr(lavra.TextModel, name)) for name in lavra._MODEL_METHODS)
    with pytest.raises(AttributeError, match=r"no attribute 'pipelines'; dir\(lavra\) lists"):
        lavra.pipelines  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'finetun'"):
        lavra.finetun  # noqa: B018


@pytest.mark.slow
def test_no_module_takes_a_functions_name() -> None:
    """Importing a submodule binds its name in the package: after all imports, each function is still a function."""
    names = [name for folder in sorted(LAVRA.iterdir()) if folder.is_dir() for name in modules(folder.name)]
    code = """if True:
        import importlib, sys, types
        first, second = sys.argv[1].split(","), sys.argv[2].split(",")
        for name in second:
            importlib.import_module(name)
        import lavra
        for name in first:
            assert isinstance(getattr(lavra, name), types.FunctionType), name
            try:
                getattr(lavra, name)(no_such_argument=1)
            except (TypeError, ValueError):
                pass
    """
    arguments = [sys.executable, "-c", code, ",".join(FUNCTIONS), ",".join(names)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=LAVRA.parent)
    assert done.returncode == 0, done.stderr


def test_no_package_or_module_beside_it_bears_a_functions_name() -> None:
    beside = {path.stem for path in LAVRA.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not beside & set(lavra.__all__)


def test_importing_lavra_is_light() -> None:
    heavy = ["torch", "numpy", "rich", "yaml"]
    code = f"import lavra, sys; dir(lavra); print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LAVRA.parent)
    assert done.stdout.strip() == "[]"


def test_a_function_shows_every_setting() -> None:
    shown = inspect.signature(lavra.finetune).parameters
    assert shown["epochs"].default == 3.0
    assert shown["method"].default is None
    assert shown["rank"].default == 8
    assert "fields" not in shown
    assert f"epochs: {field_docs(FinetuneConfig)['epochs']}" in (lavra.finetune.__doc__ or "")
    assert "rank: of lora, dora: R, channels between the two thin matrices" in (lavra.finetune.__doc__ or "")
    assert {"family", "budget"} <= set(inspect.signature(lavra.pretrain).parameters)


def test_a_function_shows_types_as_one_may_give_them() -> None:
    shown = {name: str(one.annotation) for name, one in inspect.signature(lavra.finetune).parameters.items()}
    assert shown["task"] == "TaskSpec | str"
    assert shown["heldout"] == "str | Path | None"
    assert shown["columns"] == "list[str] | tuple[str, ...]"
    assert inspect.signature(lavra.pretrain).parameters["budget"].annotation == "float | str"
    for name in lavra.__all__:
        if inspect.isfunction(getattr(lavra, name)):
            annotations = [str(one.annotation) for one in inspect.signature(getattr(lavra, name)).parameters.values()]
            assert not [one for one in annotations if "lavra." in one or "pathlib." in one], name


def test_settings_are_read_as_in_a_file_and_names_win_over_all_of_them() -> None:
    found = read_keywords(FinetuneConfig, None, {"task": "ner", "data": "a.csv", "epochs": "1e1", "method": "lora"})
    assert (found.task.name, found.data, found.epochs, found.method) == ("tag", Path("a.csv"), 10.0, lavra.LoraConfig())
    other = read_keywords(FinetuneConfig, found, {"epochs": 2})
    assert (other.epochs, other.method) == (2.0, lavra.LoraConfig())
    given = {"task": "ner", "data": "a.csv", "method": "lora", "rank": 4}
    assert read_keywords(FinetuneConfig, None, given).method == lavra.LoraConfig(rank=4)
    assert read_keywords(FinetuneConfig, found, {"method": lavra.IA3Config()}).method == lavra.IA3Config()
    written = lavra.FinetuneConfig(task="ner", data="a.csv")  # as in a file
    assert read_keywords(FinetuneConfig, written, {}) == read_keywords(FinetuneConfig, None, vars(written))
    assert read_keywords(FinetuneConfig, written, {"epochs": 2}).data == Path("a.csv")
    assert lavra.UpConfig(budget="1m").budget == 60.0
    with pytest.raises(ConfigError, match="settings is of type dict; give a FinetuneConfig"):
        lavra.finetune("anything", settings={"task": "tag"})
    with pytest.raises(ConfigError, match=r"unknown setting 'epoch'.*did you mean 'epochs'"):
        lavra.finetune("anything", "a.csv", task="tag", epoch=1)
    with pytest.raises(ConfigError, match="parallel is ddp, which needs a launcher"):
        lavra.up(parallel="ddp", progress=False)


def test_a_completion_is_its_text_and_shows_itself_in_a_line() -> None:
    found = lavra.Completion(text="a" * 100, tokens=(1, 2, 3), finish_reason=lavra.FinishReason.STOP)
    assert str(found) == "a" * 100
    assert repr(found) == f"Completion({'a' * 60 + '…'!r}, 3 tokens, stop)"
