"""Duplicates: clusters against a naive search over all pairs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.base.types import Document
from lavra.text.dedup import Clusters, DedupConfig, DuplicateIndex, join
from lavra.text.planted import PlantedSample, edited, measure_recall
from lavra.text.shingles import Shingler
from tests.text.conftest import MakeText
from tests.text.naive import jaccard, naive_shingles, words_of


def clusters_of(texts: Sequence[str], config: DedupConfig | None = None) -> Clusters:
    with tempfile.TemporaryDirectory() as folder:
        index = DuplicateIndex(Path(folder), config or DedupConfig())
        for text in texts:
            index.add(text)
        return index.clusters()


@settings(max_examples=25)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_each_planted_cluster_is_found_whole_and_apart(sizes: list[int], chooser: random.Random) -> None:
    """Copies with one word changed: one cluster each, its first member the first to arrive."""
    planted = [(number, words_of(number, 120)) for number in range(len(sizes))]
    texts = [(n, text if copy == 0 else f"{text}\nadded{copy}") for n, text in planted for copy in range(sizes[n])]
    chooser.shuffle(texts)
    found = clusters_of([text for _, text in texts])
    owners = [owner for owner, _ in texts]
    assert found.first.tolist() == [owners.index(owner) for owner in owners]
    assert int((~found.is_exact & ~found.is_near).sum()) == len(sizes)


def test_exact_duplicates_point_at_the_first() -> None:
    found = clusters_of(["a b c", "x", "a b c", "y", "x", "a b c"])
    assert found.first_equal.tolist() == [0, 1, 0, 3, 1, 0]
    assert found.is_exact.tolist() == [False, False, True, False, True, True]
    assert not found.is_near.any()
    assert found.num_clusters == 2


def test_it_agrees_with_comparing_all_pairs(make_text: MakeText) -> None:
    chooser = random.Random(5)
    texts = []
    for seed in range(25):
        texts.append(make_text(seed, chooser.randint(80, 300)))
        texts.extend(edited(texts[-1], rate, chooser) for rate in (0.002, 0.01, 0.1))
    found = clusters_of(texts)
    sets = [set(naive_shingles(text)) for text in texts]
    missed = joined = 0
    for a in range(len(texts)):
        for b in range(a):
            similarity = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
            together = found.first[a] == found.first[b]
            missed += similarity >= 0.87 and not together  # two standard deviations above the threshold
            joined += similarity < 0.3 and together
    assert (missed, joined) == (0, 0)


def test_batches_do_not_show(make_text: MakeText, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [make_text(seed % 30, 100) + ("\nmore" if seed > 40 else "") for seed in range(60)]
    whole = clusters_of(texts)
    monkeypatch.setattr("lavra.text.dedup.BATCH_BYTES", 1500)
    monkeypatch.setattr("lavra.text.dedup.VERIFY_PAIRS", 7)
    pieces = clusters_of(texts)
    assert np.array_equal(whole.first, pieces.first)
    assert np.array_equal(whole.key, pieces.key)


def test_punctuation_alone_is_no_duplicate_of_other_punctuation() -> None:
    assert clusters_of(["!!! ???", "*** +++", "!!! ???"]).first.tolist() == [0, 1, 0]


def test_no_documents() -> None:
    assert len(clusters_of([])) == 0


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_joining_is_connected_components(size: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(a % size, b % size) for a, b in pairs]
    root = np.arange(size)
    half = len(pairs) // 2
    for part in (pairs[:half], pairs[half:]):
        join(root, *(np.array([pair[side] for pair in part], dtype=np.int64) for side in (0, 1)))
    expected = list(range(size))
    for _ in range(size):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert root.tolist() == expected


def test_planted_recall_is_counted(make_text: MakeText, tmp_path: Path) -> None:
    texts = [make_text(seed, 300) for seed in range(80)]
    recall = measure_recall(texts, tmp_path / "a", DedupConfig())
    assert recall.num_planted + recall.num_too_far == 80
    assert recall.num_planted >= 40
    assert recall.num_found >= 0.95 * recall.num_planted
    assert 0 < recall.num_hard < recall.num_planted
    assert recall == measure_recall(texts, tmp_path / "b", DedupConfig())


def test_planted_recall_can_fall(make_text: MakeText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that cannot find anything has recall 0."""
    monkeypatch.setattr("lavra.text.dedup.estimate_jaccard", lambda a, b: np.zeros(len(a)))
    recall = measure_recall([make_text(seed, 300) for seed in range(10)], tmp_path, DedupConfig())
    assert recall.num_planted > 0
    assert recall.num_found == 0


def test_edits_are_as_many_as_asked(make_text: MakeText) -> None:
    text = make_text(1, 1000)
    similar = [jaccard(text, edited(text, rate, random.Random(0))) for rate in (0.001, 0.01, 0.05)]
    assert 1 > similar[0] > similar[1] > similar[2]


@given(st.permutations(range(30)))
def test_the_sample_does_not_depend_on_the_order(order: list[int]) -> None:
    documents = [Document(id=f"{number}", text=words_of(number, 100)) for number in range(30)]
    first, second = PlantedSample(7), PlantedSample(7)
    assert list(first.watch(documents)) == documents
    list(second.watch(documents[number] for number in order))
    assert first.texts() == second.texts()
    assert len(first.texts()) == 7


def test_shingler_grows_with_its_texts(make_text: MakeText) -> None:
    small, large = Shingler(), Shingler()
    large([make_text(0, 30_000).encode()])
    text = [make_text(1, 50).encode()]
    assert np.array_equal(small(text)[0], large(text)[0])


@pytest.mark.parametrize(
    "settings", [{"threshold": 0.1}, {"shingle_words": 0}, {"num_permutations": 4}, {"num_planted": -1}]
)
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    name, value = next(iter(settings.items()))
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        DedupConfig(**settings)  # type: ignore[arg-type]


def chain(steps: int, make_text: MakeText) -> list[str]:
    """Texts of 100 words, each starting with the last 94 words of the one before: both ends share nothing."""
    words = make_text(1, 100 + 6 * steps).split()
    return [" ".join(words[6 * step : 6 * step + 100]) for step in range(steps)]


def test_a_chain_of_similar_texts_is_no_cluster(make_text: MakeText) -> None:
    """Each is compared with its representative: only texts near a representative are dropped."""
    texts = chain(40, make_text)
    found = clusters_of(texts)
    for number, first in enumerate(found.first.tolist()):
        assert found.first[first] == first  # a representative represents itself
        assert number == first or jaccard(texts[number], texts[first]) > 0.65
    kept = set(found.first.tolist())
    assert 10 <= len(kept) < 40
    covered = {word for number in kept for word in texts[number].split()}
    assert len(covered) > 0.95 * len({word for text in texts for word in text.split()})
    assert (found.linked == 0).all()  # where near-duplicates are kept, the chain must be on one side


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=25))
def test_dropped_texts_are_near_a_kept_one(places: list[tuple[int, int]]) -> None:
    """Windows on five texts: in any order, no text is dropped for one that is not similar."""
    config = DedupConfig()
    words = [words_of(seed, 250).split() for seed in range(5)]
    texts = [" ".join(words[owner][4 * place : 4 * place + 100]) for owner, place in places]
    with tempfile.TemporaryDirectory() as folder:
        index = DuplicateIndex(Path(folder), config)
        for text in texts:
            index.add(text)
        found = index.clusters()
        dropped = np.flatnonzero(found.is_near)
        similarity = index.similarity(dropped, found.first[dropped])
    assert (similarity >= config.accepted).all()
    assert (found.first[found.first] == found.first).all()
    assert (found.linked <= found.first).all()
    kept = np.flatnonzero(found.first == np.arange(len(texts)))
    for a in kept:
        for b in kept[kept < a]:
            assert jaccard(texts[a], texts[b]) < 0.9  # well over the threshold, a pair is found
