"""`lavra ask` on an index of a few documents, searched by words alone."""

import io
import json
import sys
from types import SimpleNamespace

import pytest

from lavra.base.card import add_metrics, read_card, write_card
from lavra.base.retrieval import Answer, AnswerMode, Citation
from lavra.base.types import Completion
from lavra.cli.ask import source_lines
from lavra.cli.main import main
from lavra.ground.entailment import METRIC
from lavra.rag.answering.writer import AnswerWriter
from lavra.verbs import answering, serving
from tests.rag.answering.library import TEXTS
from tests.rag.answering.models import Scripted, lay_out
from tests.server.conftest import running
from tests.tasks.heads import head_folder

BRIDGE = "When was the Tyne Bridge opened?"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with an index, and the indexed folder."""
    folder = tmp_path_factory.mktemp("asked")
    for name, text in TEXTS.items():
        path = folder / "docs" / name.replace(".pdf", ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "docs" / "secret.txt").write_text("The Tyne Bridge was sold to a baker.\n")
    workspace = folder / "workspace"
    access = "docs/secret.txt=board"
    command = ["index", str(folder / "docs"), "--workspace", str(workspace), "--encoder", "none", "--access", access]
    assert main(command) == 0
    return SimpleNamespace(docs=folder / "docs", workspace=workspace, folder=workspace / "indexes" / "docs")


@pytest.fixture
def ask(place, capsys):
    def run(*words, model="none"):
        status = main(["ask", *words, "--workspace", str(place.workspace), "--model", model])
        return status, *capsys.readouterr()

    return run


def test_an_answer_and_its_sources(ask):
    status, said, _ = ask(BRIDGE)
    answer, _, sources = said.partition("\n\n")
    assert status == 0
    assert answer.startswith("The Tyne Bridge was opened in 1928 by King George V.")
    assert answer.endswith("[1]")
    assert sources.startswith('[1] docs/history/bridges.txt, line 3: "The Tyne Bridge was opened in 1928')


def test_json_has_what_was_promised(ask, place):
    status, said, _ = ask(BRIDGE, "--json")
    found = json.loads(said)
    assert status == 0
    assert list(found) == [
        "answer",
        "mode",
        "abstained",
        "short",
        "sentences",
        "citations",
        "passages",
        "left_out",
        "warnings",
    ]
    assert (found["mode"], found["abstained"], found["short"]["text"]) == ("extractive", False, "1928")
    (sentence,) = found["sentences"]
    assert (sentence["supported"], sentence["citations"]) == (True, [0])
    (citation,) = found["citations"]
    text = TEXTS["history/bridges.txt"]
    assert citation["text"] == text[citation["start"] : citation["end"]]
    assert (citation["document"], citation["page"], citation["line"]) == ("docs/history/bridges.txt", None, 3)
    assert found["passages"][0]["scores"]["bm25"] > 0


def test_no_answer_says_so(ask):
    status, said, _ = ask("Which enzyme digests lactose in infants?")
    assert (status, said) == (0, "The documents do not say.\n")


def test_conditions_and_groups(ask):
    everything = json.loads(ask(BRIDGE, "--json")[1])
    stranger = json.loads(ask(BRIDGE, "--group", "nobody", "--json")[1])
    member = json.loads(ask(BRIDGE, "--group", "board", "--json")[1])
    seen = [{one["document"] for one in found["passages"]} for found in (everything, stranger, member)]
    assert ["docs/secret.txt" in names for names in seen] == [True, False, True]
    elsewhere = json.loads(ask(BRIDGE, "--where", "document=docs/report.txt", "--json")[1])
    assert {one["document"] for one in elsewhere["passages"]} <= {"docs/report.txt"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([" "], "the question is empty"),
        (["why " * 12_500], "the question has 50,000 characters"),
        ([BRIDGE, "--where", "colour=red"], "no document has a field 'colour'"),
        ([BRIDGE, "--where", "red"], "is not a condition"),
        ([BRIDGE, "--k", "0"], "it must be at least 1"),
        ([BRIDGE, "--index", "dogs"], "lavra index FOLDER --index dogs"),
        ([BRIDGE, "--mode", "generated"], "there is no model"),
        ([BRIDGE, "--mode", "guessed"], "guessed"),
        (["--json"], "none is given"),
    ],
)
def test_errors_are_refused_with_one_line(ask, words, told):
    status, said, complaint = ask(*words)
    assert (status, said) == (2, "")
    assert told in complaint
    assert "Traceback" not in complaint


def test_no_index_names_the_command(tmp_path, capsys):
    assert main(["ask", BRIDGE, "--workspace", str(tmp_path / "empty")]) == 2
    assert "lavra index FOLDER" in capsys.readouterr().err


def test_an_absent_file_is_reported(ask, place):
    path = place.docs / "history" / "bridges.txt"
    path.rename(place.docs / "kept")
    try:
        status, said, notes = ask(BRIDGE)
        assert status == 0
        assert "1928" in said
        assert "docs/history/bridges.txt was deleted after it was indexed" in notes
    finally:
        (place.docs / "kept").rename(path)


def test_a_conversation(ask, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{BRIDGE}\n\nAnd who designed it?\n/clear\n/help\n/exit\nnever\n"))
    status, said, notes = ask()
    assert status == 0
    assert said.count("[1] docs/history/bridges.txt") == 2
    assert "understood as" in notes
    assert "never" not in said


@pytest.fixture
def scripted(monkeypatch):
    """A model that writes a given text, wherever a model is opened."""
    models = []

    def use(says):
        def opened(place, held):
            models.append(Scripted(says))
            return AnswerWriter(
                model=models[-1], name=place.name, lay_out=lay_out, count=lambda text: len(text.split())
            )

        monkeypatch.setattr(answering, "_open_writer", opened)
        monkeypatch.setattr(answering, "_model_hash", lambda place: place.name)
        return models

    return use


def test_the_mode_is_decided_once(ask, place, scripted):
    models = scripted(lambda prompt: "It is all green cheese.")
    status, said, notes = ask(BRIDGE, model="cheese")
    assert status == 0
    assert "1928" in said
    assert "extractive: cheese scored 0.0" in notes
    (kept,) = read_card(place.folder).metrics["answer_modes"].values()
    assert (kept["model"], kept["generated"]) == ("cheese", 0.0)
    assert len(models) == 1
    _, again, notes_again = ask(BRIDGE, model="cheese")
    assert len(models) == 1  # the card says that no model is needed
    assert again == said
    assert "cheese scored" in notes_again


def test_a_model_writes_where_it_is_asked_to(ask, scripted):
    scripted(lambda prompt: "The Tyne Bridge was opened in 1928. Elon Musk bought it.")
    status, said, _ = ask(BRIDGE, "--mode", "generated", model="writer")
    assert status == 0
    assert said.startswith("The Tyne Bridge was opened in 1928. [1] Elon Musk bought it. [?]\n")
    _, said, _ = ask(BRIDGE, "--mode", "generated", "--unsupported", "remove", model="writer")
    assert "Musk" not in said


def test_sources_steer_no_terminal():
    one = Citation(document="a.txt", start=0, end=20, text="red \x1b[31m\nin 1928 so", line=1, page=3)
    short = Citation(document="a.txt", start=13, end=17, text="1928", line=2, page=3)
    answer = Answer(text="", mode=AnswerMode.EXTRACTIVE, citations=(one,), short=short)
    assert list(source_lines(answer)) == ["", '[1] a.txt, page 3, line 1: "red [31m in 1928 so"']
    assert "\x1b[1m1928\x1b[0m" in list(source_lines(answer, bold=True))[1]


def test_a_name_that_means_another_model_is_decided_anew(tmp_path, monkeypatch):
    keys = []
    for number in (1, 2):
        folder = tmp_path / f"model-{number}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"number": number}))
        monkeypatch.setattr(answering, "find_folder", lambda name, folder=folder: folder)
        keys.append(answering._model_hash(answering._ModelPlace(name="latest", place="latest")))
    assert keys[0] != keys[1]


def test_an_entailment_head_is_asked_where_its_card_says_so_alone(ask, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(answering, "_head", lambda name, task: asked.append(name) or SimpleNamespace(task=task))
    for measured, opened in (
        ({"english": 0.7, "portuguese": 0.74}, False),
        ({"english": 0.76, "portuguese": 0.6}, True),
    ):
        head = tmp_path / f"head-{opened}"
        head.mkdir()
        write_card(head, kind="model", parents={}, config={})
        add_metrics(head, {METRIC: measured})
        status, _, told = ask(BRIDGE, "--entailment", str(head))
        assert status == 0
        assert f"asked in {'english' if opened else 'no language'}" in told
        assert asked == ([str(head)] if opened else [])
    (tmp_path / "unmeasured").mkdir()
    write_card(tmp_path / "unmeasured", kind="model", parents={}, config={})
    status, _, told = ask(BRIDGE, "--entailment", str(tmp_path / "unmeasured"))
    assert (status, "was not measured" in told) == (2, True)


class Rewording:
    """A model that always writes the same text, and keeps its prompts."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def generate(self, requests):
        self.asked += requests
        return [[Completion(text=self.text)] for _ in requests]


@pytest.fixture
def reworded(monkeypatch):
    def use(text):
        model = Rewording(text)
        writer = AnswerWriter(model=model, name="toy", lay_out=lay_out, count=lambda text: len(text.split()))
        monkeypatch.setattr(answering, "_open_writer", lambda place, held: writer)
        return model

    return use


VAGUE = "Whatever became of yonder contraption?"


@pytest.mark.parametrize(
    ("flags", "written", "count"),
    [
        (("--multi-query", "2"), "When was the Tyne Bridge opened?", 2),
        (("--hyde",), "The Tyne Bridge was opened in 1928 by King George V.", 1),
    ],
)
def test_a_models_rewordings_are_searched_too(ask, reworded, flags, written, count):
    quoting = ("--json", "--mode", "extractive")
    plain = json.loads(ask(VAGUE, *quoting)[1])
    model = reworded(written)
    helped = json.loads(ask(VAGUE, *quoting, *flags, model="toy")[1])
    assert len(model.asked) == count
    assert VAGUE in model.asked[0].prompt
    assert plain["passages"][0]["document"] != "docs/history/bridges.txt"
    assert helped["passages"][0]["document"] == "docs/history/bridges.txt"


def test_a_reranker_here_or_behind_a_url_orders_the_passages(ask, tmp_path):
    folder = head_folder("rerank", tmp_path)
    with running([serving.open_model(f"rank={folder}", serving.ServeSettings())]) as url:
        asked = [BRIDGE, "--json", "--reranker"]
        here, there, second = (
            json.loads(ask(*asked, one)[1])["passages"] for one in (str(folder), f"{url}/v1#rank", f"{url}/v2")
        )
    plain = json.loads(ask(BRIDGE, "--json")[1])["passages"]
    scores = [one["scores"]["rerank"] for one in here]
    assert scores == sorted(scores, reverse=True)
    places = [[(one["document"], one["start"]) for one in found] for found in (here, there, second)]
    assert places[0] == places[1] == places[2]
    assert "rerank" not in plain[0]["scores"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--hyde",), "--hyde has a model write"),
        (("--multi-query", "2", "--hyde"), "choose one"),
        (("--multi-query", "-1"), "--multi-query is -1"),
        (("--reranker-key", "KEY"), "no reranker"),
        (("--reranker", "http://127.0.0.1:1/v1", "--reranker-key", "KEY_THAT_IS_NOT_SET"), "KEY_THAT_IS_NOT_SET"),
    ],
)
def test_helpers_that_cannot_be_are_refused(ask, flags, told):
    status, _, said = ask(BRIDGE, *flags)
    assert (status, told in said) == (2, True), said
