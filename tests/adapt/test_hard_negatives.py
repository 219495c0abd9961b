"""Hard negatives: the best-scored passages that are neither known nor likely to be right."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.adapt.hard_negatives import MiningConfig, mine_hard_negatives, relevance_samples
from lavra.adapt.passage_scores import Bm25Scores
from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import HeadKind, Problem
from lavra.data.labelled.samples import PairSample, Place
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.texts import text_rows
from lavra.model.heads import add_task_head
from lavra.model.task_config import TaskConfig
from lavra.tasks.learning.losses import task_loss
from tests.generate.tiny import tiny_model, tiny_tokenizer

PASSAGES = tuple("abcdefgh")

RELEVANCE = TaskConfig.of(HeadKind.SEQUENCE, problem=Problem.REGRESSION, task="rerank")


class Table:
    """Fixed scores: a row for each query, and one row for all unknown queries."""

    def __init__(self, rows, passages=PASSAGES):
        self.passages, self.rows = passages, rows

    def scores(self, queries):
        return np.array([self.rows[query] for query in queries], dtype=np.float32)


def pair(anchor, positive, *negatives, score=None):
    return PairSample(anchor=anchor, positive=positive, negatives=negatives, score=score, place=Place(line=3))


SCORES = {"q": [0.9, 0.8, 0.87, 0.5, 0.95, 0.1, 0.5, 0.0], "other": [0.0] * 8}


def mined(pairs, **settings):
    return mine_hard_negatives(pairs, Table(SCORES), MiningConfig(**settings))


def test_the_best_passages_that_are_not_right_and_not_nearly_so():
    """0.95 is above the positive's score and 0.87 within 5 % of it: both passages may be right."""
    found = mined([pair("q", "a")], num_negatives=3)
    assert found.samples[0].negatives == ("b", "d", "g")  # equal ones in the order of the passages
    assert (found.num_found, found.num_short, found.num_too_close, found.num_known) == (3, 0, 2, 1)
    assert found.num_looked_at == 7
    assert found.positive_score == pytest.approx(0.9)
    assert found.negative_score == pytest.approx((0.8 + 0.5 + 0.5) / 3)
    assert "2 scored too close" in str(found)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"relative_margin": None}, "ecb"),
        ({"relative_margin": 0.0}, "cbd"),
        ({"relative_margin": None, "absolute_margin": 0.2}, "dgf"),
        ({"relative_margin": None, "skip": 1}, "cbd"),
        ({"relative_margin": None, "depth": 2}, "ec"),
        ({"depth": 3}, "b"),
        ({"relative_margin": 1.0}, "h"),
    ],
)
def test_settings(settings, expected):
    found = mined([pair("q", "a")], num_negatives=3, **settings)
    assert "".join(found.samples[0].negatives) == expected
    assert found.num_short == (len(expected) < 3)


def test_a_negative_score_of_the_positive_still_leaves_a_margin():
    table = Table({"q": [-1.0, -1.02, -1.2, -2.0, -3.0, -0.5, -4.0, -5.0]})
    (sample,) = mine_hard_negatives([pair("q", "a")], table).samples
    assert sample.negatives == ("c",)


def test_known_positives_are_no_negatives():
    """Not negatives: positives of the same anchor in other pairs, its given negatives, and its own text."""
    table = Table({"a": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]})
    pairs = [pair("a", "b"), pair("a", "c", "d")]
    found = mine_hard_negatives(pairs, table, MiningConfig(num_negatives=2))
    assert [one.negatives for one in found.samples] == [("d", "e"), ("d", "e", "f")]
    assert found.num_known == 3 + 4
    assert found.samples[1].place == Place(line=3)


@given(
    rows=st.lists(st.lists(st.integers(-5, 5), min_size=8, max_size=8), min_size=1, max_size=4),
    num_negatives=st.integers(1, 4),
    depth=st.integers(1, 9),
    margin=st.sampled_from([None, 0.0, 0.5]),
    seed=st.none() | st.integers(0, 9),
)
def test_negatives_are_always_allowed_different_and_the_same_again(rows, num_negatives, depth, margin, seed):
    table = Table({str(number): row for number, row in enumerate(rows)})
    pairs = [pair(str(number), PASSAGES[number]) for number in range(len(rows))]
    config = MiningConfig(num_negatives=num_negatives, depth=depth, relative_margin=margin, seed=seed)
    found = mine_hard_negatives(pairs, table, config)
    for number, sample in enumerate(found.samples):
        row, right = rows[number], rows[number][number]
        bound = math.inf if margin is None else right - margin * abs(right)
        order = sorted((place for place in range(8) if place != number), key=lambda place: (-row[place], place))
        allowed = [PASSAGES[place] for place in order[:depth] if row[place] <= bound]
        assert set(sample.negatives) <= set(allowed)
        assert len(set(sample.negatives)) == len(sample.negatives) == min(num_negatives, len(allowed))
        if seed is None:
            assert list(sample.negatives) == allowed[:num_negatives]
    assert found == mine_hard_negatives(pairs, table, config) or math.isnan(found.negative_score)
    assert found.num_found == sum(len(one.negatives) for one in found.samples)


def test_a_draw_takes_other_candidates_than_the_best():
    drawn = {mined([pair("q", "a")], seed=seed).samples[0].negatives for seed in range(60)}
    assert {one for (one,) in drawn} == set("bdfgh")


def test_bm25_finds_passages_of_the_same_words():
    passages = ["how to read a file", "read a book", "the weather", "open a file in python"]
    found = mine_hard_negatives(
        [pair("read a file in python", passages[3])], Bm25Scores(passages), MiningConfig(num_negatives=1)
    )
    assert found.samples[0].negatives == ("how to read a file",)


def test_wrong_pairs_are_refused():
    with pytest.raises(InputError, match="no pairs"):
        mined([])
    with pytest.raises(InputError, match=r"sample 3: its positive 'z' is not among the 8 passages"):
        mined([pair("q", "z")])
    with pytest.raises(InputError, match=r"score 0\.5"):
        mined([pair("q", "a", score=0.5)])
    with pytest.raises(InputError, match="not numbers"):
        mine_hard_negatives([pair("q", "a")], Table({"q": [math.nan] * 8}))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_negatives": 0},
        {"depth": 0},
        {"skip": -1},
        {"skip": 5, "depth": 5},
        {"relative_margin": -0.1},
        {"absolute_margin": math.inf},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError):
        MiningConfig(**settings)


def test_a_cross_encoder_learns_from_right_and_wrong_passages():
    pairs = [pair("q", "a", "b", "c"), pair("q", "c"), pair("r", "d", score=0.25)]
    made = relevance_samples(pairs)
    assert [(one.text, one.pair, one.label) for one in made.samples] == [
        ("q", "a", 1.0),
        ("q", "b", 0.0),
        ("q", "c", 1.0),
        ("r", "d", 0.25),
    ]
    assert [issue.what for issue in made.issues] == ["negative 'c' is a positive of the same query elsewhere: left out"]
    assert (made.num_read, made.num_dropped) == (5, 1)
    with pytest.raises(InputError, match=r"relevance 4\.0 is outside 0 to 1"):
        relevance_samples([pair("q", "a", score=4.0)])


def test_a_reranker_learns_from_them_by_binary_cross_entropy():
    """From pairs to the loss of a cross-encoder that reads query and passage together."""
    made = relevance_samples([pair("Lily", "loved to play", "def add"), pair("a", "girl", score=0.3)])
    tokenizer = tiny_tokenizer("bert")
    form = RowFormat(tokenizer=tokenizer, max_tokens=32, num_token_types=2)
    rows = text_rows(made.samples, form, labels=(), problem=Problem.REGRESSION)
    torch.manual_seed(0)
    model = add_task_head(copy.deepcopy(tiny_model("bert")), RELEVANCE).eval()
    batch = rows.batch([0, 1, 2])
    expected = 0.0
    for number, relevance in enumerate((1.0, 0.0, 0.3)):
        one = rows.batch([number])
        logits = model(one.input_ids, attention_mask=one.attention_mask, token_type_ids=one.token_type_ids)
        logit = logits.item()
        chance = 1 / (1 + math.exp(-logit))
        expected -= relevance * math.log(chance) + (1 - relevance) * math.log(1 - chance)
    assert batch.num_targets == 3
    assert task_loss(model, batch).item() == pytest.approx(expected, rel=1e-4)
