"""Texts for measuring and calibrating: the ones a user names, or those that the model's own card leads to."""

import pytest

from lavra.base.card import write_card
from lavra.base.errors import InputError
from lavra.base.workspace import Workspace
from lavra.compression.texts import corpus_texts, heldout_texts, named_texts
from lavra.text.config import CorpusConfig
from lavra.text.corpus import Corpus, build_corpus


@pytest.fixture
def workspace(tmp_path):
    """A corpus, its tokens and a model trained on them, with their cards."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(40):
        words = " ".join(f"word{number}x{place}" for place in range(60))
        (folder / f"{number}.txt").write_text(f"Document {number} says {words}.\n")
    made = Workspace.open(tmp_path / "workspace")
    config = CorpusConfig(heldout_fraction=0.25, filters=None)
    corpus = build_corpus([folder], made.folder("corpora") / "corpus-1", config)
    tokens = artifact(made.folder("corpora") / "tokens-1", "tokens", {"corpus": corpus.id})
    artifact(made.folder("models") / "mine", "model", {"tokens": tokens.id})
    return made


def artifact(folder, kind, parents):
    folder.mkdir()
    (folder / "data.bin").write_text(kind)
    return write_card(folder, kind=kind, parents=parents, config={})


def test_a_models_card_leads_to_its_own_heldout_and_training_text(workspace):
    model = workspace.models / "mine"
    corpus = Corpus.open(workspace.corpora / "corpus-1")
    found = {}
    for split in ("train", "heldout"):
        texts = corpus_texts(model, [workspace], split, max_tokens=10**6)
        found[split] = list(texts.documents())
        assert found[split] == [document.text for document in corpus.documents(split)]
        assert list(texts.documents()) == found[split], "it can be read again"
        assert corpus.id in texts.name
    assert found["heldout"]
    assert not set(found["heldout"]) & set(found["train"])
    assert list(heldout_texts(model, None, [workspace], 10**6).documents()) == found["heldout"]


def test_few_tokens_are_taken_from_all_over_a_corpus(workspace):
    texts = list(corpus_texts(workspace.models / "mine", [workspace], "train", max_tokens=200).documents())
    everything = list(corpus_texts(workspace.models / "mine", [workspace], "train", max_tokens=10**6).documents())
    assert 1 < len(texts) < len(everything)
    places = [everything.index(text) for text in texts]
    assert places == list(range(0, len(everything), places[1]))


def test_texts_named_by_the_user_win(workspace, tmp_path):
    (tmp_path / "other.txt").write_text("Something else.")
    texts = heldout_texts(workspace.models / "mine", tmp_path / "other.txt", [workspace], 100)
    assert [text.strip() for text in texts.documents()] == ["Something else."]
    with pytest.raises(InputError, match="does not exist"):
        named_texts(tmp_path / "nowhere")


def test_a_model_from_elsewhere_needs_text(workspace, tmp_path):
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    assert corpus_texts(stranger, [workspace], "train", 100) is None
    with pytest.raises(InputError, match=r"name a file or folder .* `text`"):
        heldout_texts(stranger, None, [workspace], 100)
    with pytest.raises(InputError, match="`text`"):
        heldout_texts(workspace.models / "mine", None, [Workspace.open(tmp_path / "empty")], 100)
