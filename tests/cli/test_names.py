"""Names in the verbs: `lavra list`, `lavra rm`, and the meaning of a word in place of a model."""

import json
from types import SimpleNamespace

import pytest

from lavra.adapt.inject import add_adapter
from lavra.adapt.methods.lora import LoraConfig
from lavra.adapt.peft_write import save_adapter
from lavra.api.find import find_folder
from lavra.api.load import load
from lavra.base.errors import InputError
from lavra.base.events import subscribed
from lavra.base.names import ModelNames
from lavra.base.workspace import Workspace
from lavra.cli.main import main
from lavra.compression.gguf import GgufOptions, export_gguf
from lavra.model.build import build_model
from lavra.model.checkpoint import save_checkpoint
from lavra.model.families.table import preset
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.train import train_tokenizer
from lavra.verbs.up import give_names

TEXT = "One day a girl named Lily went to the park. " * 20


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """`mine`, a model with a name; `copy`, saved from it; `taught`, an adapter over it; `small`, a GGUF file of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "ws"))
    workspace = Workspace.open()
    models = workspace.folder("models")
    model = build_model(preset("llama", vocab_size=300, hidden_size=32, num_layers=1, num_heads=2, max_positions=64))
    tokenizer = train_tokenizer([TEXT], TokenizerConfig(vocab_size=300))
    save_checkpoint(model, tmp_path / "raw")
    tokenizer.save(tmp_path / "raw")
    (models / "small").mkdir()
    export_gguf(model, tokenizer, models / "small" / "model.gguf", GgufOptions(kind="q8_0"))
    load(tmp_path / "raw").save(models / "pretrain-3fa2")
    load(models / "pretrain-3fa2").save(models / "copy")
    add_adapter(model, "default", LoraConfig())
    save_adapter(model, "default", models / "taught", base=str(models / "pretrain-3fa2"))
    ModelNames(workspace).give("mine", models / "pretrain-3fa2")
    return workspace


def said(capsys, *arguments):
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    assert main([*arguments]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_list_says_what_each_model_is(workspace, capsys):
    found = {one["name"]: one for one in json.loads(said(capsys, "list", "--json"))["models"]}
    assert set(found) == {"mine", "copy", "taught", "small"}
    mine = found["mine"]
    count = sum(one.numel() for one in load("mine", runner="torch").port.model.parameters())
    assert (mine["kind"], mine["family"], mine["num_parameters"]) == ("model", "llama", count)
    assert mine["num_bytes"] == sum(path.stat().st_size for path in (workspace.models / "pretrain-3fa2").iterdir())
    assert found["copy"]["source"] == "mine"
    assert (found["taught"]["kind"], found["taught"]["family"]) == ("adapter", "lora")
    assert (found["small"]["kind"], found["small"]["num_parameters"]) == ("gguf", count)
    text = said(capsys, "list")
    assert len(text.splitlines()) == 7
    assert "4 models, " in text


def test_an_empty_workspace_has_no_models_and_says_how_to_make_one(tmp_path, capsys):
    assert "make one: lavra up" in said(capsys, "list", "--workspace", str(tmp_path / "none"))


def test_a_name_opens_its_model(workspace):
    prompt = (5, 6, 7)
    written = load("mine").generate(prompt, max_tokens=5).tokens
    assert load(workspace.models / "pretrain-3fa2").generate(prompt, max_tokens=5).tokens == written
    assert find_folder("small") == workspace.models / "small" / "model.gguf"
    assert load("small").folder == workspace.models / "small" / "model.gguf"
    assert find_folder("latest", whole=True) in (workspace.models / "copy", workspace.models / "pretrain-3fa2")
    assert find_folder("mine", workspace=workspace) == workspace.models / "pretrain-3fa2"


def test_a_word_that_means_two_models_is_refused(workspace, tmp_path):
    (tmp_path / "mine").mkdir()
    assert find_folder("mine") == workspace.models / "pretrain-3fa2"  # a folder of text has no model in it
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"folder here and the name of .*pretrain-3fa2; write ./mine"):
        find_folder("mine")
    assert find_folder("./mine").resolve() == tmp_path / "mine"


def test_an_unknown_name_is_refused_with_the_nearest(workspace, capsys):
    assert "did you mean 'taught'?" in refused(capsys, "generate", "taugth", "x")
    (workspace.models / "small" / "a.gguf").write_text("")
    with pytest.raises(InputError, match=r"holds 2 GGUF files; name one: .*a.gguf, .*model.gguf"):
        find_folder("small")


def test_a_model_is_removed_whole_with_its_names(workspace, capsys):
    assert "copy, taught were made from mine; remove them too, or say --force" in (
        refused(capsys, "rm", "mine", "--yes").replace("taught, copy", "copy, taught")
    )
    assert "say --yes" in refused(capsys, "rm", "copy")  # no terminal, so no confirmation
    assert "did you mean 'mine'" in refused(capsys, "rm", "mien", "--yes")
    assert (workspace.models / "pretrain-3fa2").is_dir()
    removed = json.loads(said(capsys, "rm", "mine", "taught", "copy", "--yes", "--json"))["removed"]
    assert len(removed) == 3
    assert {path.name for path in workspace.models.iterdir()} == {"small", "names.json"}
    assert json.loads((workspace.models / "names.json").read_text()) == {}


def test_force_removes_what_others_were_made_from(workspace, capsys):
    assert "removed" in said(capsys, "rm", "mine", "--yes", "--force")
    assert not (workspace.models / "pretrain-3fa2").exists()


def test_it_asks_and_no_is_no(workspace, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert main(["rm", "copy"]) == 1
    assert (workspace.models / "copy").is_dir()
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert main(["rm", "copy"]) == 0
    assert not (workspace.models / "copy").exists()


def test_only_models_of_the_workspace_are_removed(workspace, tmp_path, capsys):
    assert "has no model called" in refused(capsys, "rm", str(tmp_path / "raw"), "--yes")
    assert "removed" in said(capsys, "rm", str(workspace.models / "copy"), "--yes")


def test_up_calls_what_it_made(workspace, capsys):
    stage = SimpleNamespace(stage="encoder", folder=workspace.models / "copy")
    skipped = SimpleNamespace(stage="compress", folder=workspace.models)
    made = SimpleNamespace(
        model=workspace.models / "pretrain-3fa2", adapter=workspace.models / "taught", stages=(stage, skipped)
    )
    give_names("books", made, workspace)
    given = ModelNames(workspace).given
    assert given == {
        "mine": "pretrain-3fa2",
        "books": "pretrain-3fa2",
        "books-taught": "taught",
        "books-encoder": "copy",
    }
    made.model = workspace.models / "copy"
    said: list[object] = []
    with subscribed(lambda name, fields: said.append((name, fields["text"]))):
        give_names("books", made, workspace)
    assert said == [("note", "books was pretrain-3fa2, and is copy now")]
    assert "cannot be a model's name" in refused(capsys, "up", "--name", "a/b")
