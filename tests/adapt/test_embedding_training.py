"""A sentence encoder learns from pairs alone to find texts without a shared word: the known optimum is 1.

Queries and passages have no word in common; each query word stands for one passage word.  BM25 can only guess.  An
encoder that has learnt the dictionary finds every passage, including those of unseen pairs.
"""

import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import lavra
from lavra.adapt.embedding import EmbeddingModel
from lavra.adapt.embedding_folder import EmbeddingConfig
from lavra.adapt.embedding_losses import EmbeddingLoss, InBatchNegatives, Matryoshka
from lavra.adapt.embedding_saving import save_embedding_model
from lavra.adapt.hard_negatives import MiningConfig, mine_hard_negatives
from lavra.adapt.passage_scores import Bm25Scores, VectorScores
from lavra.api.embed import TorchEmbedder
from lavra.data.labelled.samples import PairSample
from lavra.data.rows.batches import RowBatches
from lavra.data.rows.encoding import RowFormat
from lavra.data.rows.order import OrderConfig
from lavra.data.rows.pairs import pair_rows
from lavra.generate.in_process import InProcessModel
from lavra.model.build import build_model
from lavra.model.families.table import preset
from lavra.tasks.scoring.retrieval import compare_with_bm25
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer
from lavra.train.config import TrainConfig
from lavra.train.loop import train
from lavra.train.objective import TaskObjective
from lavra.train.optim import OptimizerConfig

pytestmark = pytest.mark.slow

QUERY_WORDS = [first + second for first in "bcdfg" for second in "aeiou"]
PASSAGE_WORDS = [first + second for first in "klmnp" for second in "aeiou"]
HELD_OUT, PREFIX, WIDTH = 50, 8, 32


def all_pairs():
    chosen = random.Random(0).sample(list(itertools.combinations(range(len(QUERY_WORDS)), 2)), 250)
    return [
        PairSample(
            anchor=" ".join(QUERY_WORDS[word] for word in words),
            positive=" ".join(PASSAGE_WORDS[word] for word in reversed(words)),
        )
        for words in chosen
    ]


@dataclass(frozen=True)
class Trained:
    model: EmbeddingModel
    tokenizer: Tokenizer
    held_out: list[PairSample]
    learnt: list[PairSample]

    def embed(self, texts, batch_tokens=None):
        port = InProcessModel(self.model.backbone, self.model.config, self.tokenizer)
        return TorchEmbedder(port.model, port.encoding, EmbeddingConfig(), batch_tokens=batch_tokens).embed(texts)


def tokenizer_of_words():
    texts = [" ".join(QUERY_WORDS), " ".join(PASSAGE_WORDS)]
    return train_tokenizer(texts * 4, TokenizerConfig(kind="wordpiece", vocab_size=85))


def learn(pairs, tokenizer, *, num_steps=150):
    torch.manual_seed(0)
    config = preset(
        "bert", vocab_size=tokenizer.vocab_size, hidden_size=WIDTH, num_layers=1, num_heads=2, max_positions=32
    )
    model = EmbeddingModel(build_model(config))
    form = RowFormat(tokenizer=tokenizer, max_tokens=16, num_token_types=2)
    loss = Matryoshka(loss=InBatchNegatives(), sizes=(PREFIX, WIDTH))
    objective = TaskObjective(
        batches=RowBatches(pair_rows(pairs, form), OrderConfig(batch_size=25)),
        loss=EmbeddingLoss(loss=loss),
    )
    settings = TrainConfig(num_steps=num_steps, compile="off", optimizer=OptimizerConfig(learning_rate=5e-3))
    train(model, objective, settings)
    return model.eval()


@pytest.fixture(scope="module")
def trained():
    pairs, tokenizer = all_pairs(), tokenizer_of_words()
    return Trained(learn(pairs[HELD_OUT:], tokenizer), tokenizer, pairs[:HELD_OUT], pairs[HELD_OUT:])


@pytest.mark.parametrize("size", [None, PREFIX])
def test_every_held_out_passage_is_found_also_by_prefixes_and_bm25_finds_none(trained, size):
    found = compare_with_bm25(trained.held_out, trained.embed, size=size)
    assert found.ours.to_values()["recall@1"] > 0.95
    assert found.bm25.to_values()["recall@1"] == pytest.approx(1 / HELD_OUT)
    assert found.bm25.to_values()["recall@5"] == pytest.approx(5 / HELD_OUT)
    assert found.ahead["recall@1"].low > 0.9
    assert found.lost == ()


def test_an_untrained_model_finds_little(trained):
    fresh = Trained(
        learn(trained.learnt, trained.tokenizer, num_steps=1), trained.tokenizer, trained.held_out, trained.learnt
    )
    found = compare_with_bm25(trained.held_out, fresh.embed)
    assert found.ours.to_values()["recall@1"] < 0.3


def test_neighbours_do_not_change_a_texts_vector(trained):
    texts = [*(pair.anchor for pair in trained.held_out), " ".join(QUERY_WORDS[:12])]
    np.testing.assert_allclose(trained.embed(texts), trained.embed(texts, batch_tokens=1), atol=1e-5)


def test_the_saved_folder_gives_the_same_vectors(trained, tmp_path):
    texts = [pair.positive for pair in trained.held_out]
    save_embedding_model(trained.model, trained.tokenizer, tmp_path / "made", max_tokens=16)
    again = lavra.load(tmp_path / "made", runner="torch")
    np.testing.assert_array_equal(again.embed(texts), trained.embed(texts))
    np.testing.assert_allclose(lavra.load(tmp_path / "made").embed(texts), trained.embed(texts), atol=1e-5)
    assert again.embedder.config.max_tokens == 16


def test_the_passages_it_takes_for_alike_share_a_word(trained):
    """Half of the hard negatives of a model that knows the dictionary share a word; BM25 cannot select them."""
    passages = [pair.positive for pair in trained.learnt]
    mined = mine_hard_negatives(trained.learnt, VectorScores(trained.embed, passages), MiningConfig(num_negatives=2))
    assert mined.num_short == 0
    shared = [
        bool(set(one.split()) & set(sample.positive.split())) for sample in mined.samples for one in sample.negatives
    ]
    assert np.mean(shared) > 0.9
    assert mined.num_found == len(shared) == 2 * len(trained.learnt)
    by_words = mine_hard_negatives(trained.learnt, Bm25Scores(passages))
    assert by_words.negative_score == by_words.positive_score == 0
