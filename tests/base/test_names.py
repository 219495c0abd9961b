"""Models by name, in a workspace made of empty folders."""

import json
import os

import pytest

from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.names import ModelNames, check_name, kind_of
from lavra.base.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "ws")


def put(workspace, name, *, kind="model", file="config.json", config=None, parents=None):
    """A folder that looks like a model, newer than those before."""
    folder = workspace.folder("models") / name
    folder.mkdir()
    (folder / file).write_text("{}")
    write_card(folder, kind=kind, parents=parents or {}, config={"name": name, **(config or {})})
    age = len(list(workspace.models.iterdir()))
    os.utime(folder / "lavra.json", (age, age))
    return folder


def test_a_folder_is_a_name_and_a_name_may_be_given(workspace):
    one, two = put(workspace, "pretrain-3fa2"), put(workspace, "reviews")
    names = ModelNames(workspace)
    assert names.find("reviews") == two
    assert names.find("books") is None
    assert names.give("books", one) is None
    assert names.find("books") == names.find("pretrain-3fa2") == one
    assert ModelNames(workspace).name_of(one) == "books"
    assert [model.name for model in names.models] == ["reviews", "books"]
    assert names.known() == ["books", "reviews", "pretrain-3fa2", "latest"]
    assert names.give("books", two) == "pretrain-3fa2"  # moved, and said
    names.forget(two)
    assert ModelNames(workspace).find("books") is None


def test_latest_is_the_newest_and_no_by_product_of_up(workspace):
    assert ModelNames(workspace).find("latest") is None
    old = put(workspace, "old")
    adapter = put(workspace, "taught", kind="adapter", file="adapter_config.json")
    put(workspace, "encoder-1", config={"stage": {"name": "encoder"}})
    put(workspace, "export", kind="onnx", file="model.onnx")
    assert ModelNames(workspace).find("latest") == adapter
    assert ModelNames(workspace).find("latest", whole=True) == old


@pytest.mark.parametrize("name", ["latest", "a/b", "../x", "", ".hidden", "x.gguf", "-x"])
def test_invalid_names_are_refused_and_never_found(name, workspace):
    put(workspace, "old")
    with pytest.raises(InputError, match="choose another"):
        check_name(name)
    if name != "latest":
        assert ModelNames(workspace).find(name) is None


def test_a_name_that_is_another_models_folder_is_taken(workspace):
    one, two = put(workspace, "one"), put(workspace, "two")
    names = ModelNames(workspace)
    with pytest.raises(InputError, match="'two' is taken"):
        names.give("two", one)
    assert names.give("two", two) is None


def test_names_of_folders_that_are_gone_are_no_names(workspace):
    put(workspace, "one")
    (workspace.models / "names.json").write_text(json.dumps({"gone": "nowhere", "uno": "one"}))
    assert list(ModelNames(workspace).given) == ["uno"]
    (workspace.models / "names.json").write_text("{")
    with pytest.raises(InputError, match=r"names.json is damaged .* models keep their folders"):
        ModelNames(workspace).find("uno")


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["config.json"], "model"),
        (["adapter_config.json"], "adapter"),
        (["config.json", "adapter_config.json"], "model"),
        (["config.json", "model.onnx"], "onnx"),
        (["model.gguf", "quality.json"], "gguf"),
        (["quality.json"], None),
        ([], None),
    ],
)
def test_the_kind_of_a_folder_is_recognised(files, kind, tmp_path):
    for file in files:
        (tmp_path / file).write_text("{}")
    assert kind_of(tmp_path) == kind
