"""The losses of sentence encoders against loops over samples in plain Python, and their known optima."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.adapt.embedding import EmbeddingModel
from lavra.adapt.embedding_losses import (
    Cosent,
    Distance,
    EmbeddingLoss,
    InBatchNegatives,
    Matryoshka,
    ScoredCosine,
    Triplets,
    known_positives,
)
from lavra.base.errors import ConfigError, InputError
from lavra.data.rows.batch import TaskBatch
from tests.generate.tiny import tiny_model

WIDTH = 6


def batch_of(texts, group, labels=None):
    """A batch whose rows are lists of tokens, padded with 0."""
    width = max(map(len, texts))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in texts])
    count = len(texts) // group
    return TaskBatch(
        input_ids=ids,
        attention_mask=torch.arange(width)[None] < torch.tensor([len(row) for row in texts])[:, None],
        labels=torch.arange(count) if labels is None else torch.tensor(labels, dtype=torch.float32),
        num_targets=count,
        sample_ids=tuple(f"sample {number + 1}" for number in range(count)),
        group=group,
    )


def distinct(count, group, labels=None):
    return batch_of([[5, number + 7] for number in range(count * group)], group, labels)


def vectors_of(count, group, seed=0):
    torch.manual_seed(seed)
    return torch.randn(count * group, WIDTH)


def cosine(one, other):
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def naive_in_batch(rows, texts, group, scale, symmetric):
    """Loss of each anchor's positive among all positives and negatives, except those known to be right too."""
    anchors, positives = range(0, len(rows), group), range(1, len(rows), group)
    negatives = [place for place in range(len(rows)) if place % group > 1]
    right = {(tuple(texts[a]), tuple(texts[p])) for a, p in zip(anchors, positives, strict=True)}
    total = 0.0
    for a, p in zip(anchors, positives, strict=True):
        others = [c for c in [*positives, *negatives] if c != p and (tuple(texts[a]), tuple(texts[c])) not in right]
        total -= scale * cosine(rows[a], rows[p])
        total += math.log(sum(math.exp(scale * cosine(rows[a], rows[c])) for c in [p, *others]))
        if symmetric:
            others = [c for c in anchors if c != a and (tuple(texts[c]), tuple(texts[p])) not in right]
            total -= scale * cosine(rows[a], rows[p])
            total += math.log(sum(math.exp(scale * cosine(rows[c], rows[p])) for c in [a, *others]))
    return total / 2 if symmetric else total


@given(
    count=st.integers(1, 4),
    group=st.integers(2, 4),
    symmetric=st.booleans(),
    scale=st.sampled_from([1.0, 20.0]),
    draw=st.data(),
)
def test_in_batch_negatives_equal_loops_also_with_equal_texts(count, group, symmetric, scale, draw):
    names = draw.draw(st.lists(st.integers(7, 10), min_size=count * group, max_size=count * group))
    texts, vectors = [[5, name] for name in names], vectors_of(count, group)
    found = InBatchNegatives(scale=scale, symmetric=symmetric)(vectors, batch_of(texts, group))
    expected = naive_in_batch(vectors.tolist(), texts, group, scale, symmetric)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_without_the_guard_known_positives_are_negatives_as_in_sentence_transformers():
    batch = batch_of([[5], [7], [6], [7], [5], [8]], 2)  # an equal positive, and an anchor with two positives
    assert known_positives(batch).tolist() == [[False, True, True], [True, False, False], [True, True, False]]
    vectors = vectors_of(3, 2)
    unlike = naive_in_batch(vectors.tolist(), [[number] for number in range(6)], 2, 20.0, False)
    assert float(InBatchNegatives(skip_known=False)(vectors, batch)) == pytest.approx(unlike, rel=1e-5)
    assert float(InBatchNegatives()(vectors, batch)) < unlike


def test_padding_is_no_part_of_a_text():
    """[5, 0] with a real 0 is a different text from [5] padded with 0."""
    assert not known_positives(batch_of([[1], [5], [2], [5, 0]], 2)).any()
    assert known_positives(batch_of([[1], [5], [2], [5]], 2)).sum() == 2


@pytest.mark.parametrize("distance", list(Distance))
@pytest.mark.parametrize("group", [3, 5])
def test_triplets_equal_loops(distance, group):
    vectors, margin = vectors_of(4, group), 0.7
    rows, expected = vectors.tolist(), 0.0

    def far(one, other):
        return 1 - cosine(one, other) if distance is Distance.COSINE else math.dist(one, other)

    for first in range(0, len(rows), group):
        anchor, positive, *negatives = rows[first : first + group]
        hinges = [max(0.0, far(anchor, positive) - far(anchor, one) + margin) for one in negatives]
        expected += sum(hinges) / len(hinges)
    found = Triplets(margin=margin, distance=distance)(vectors, distinct(4, group))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_triplets_that_are_far_enough_apart_cost_nothing():
    vectors = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss = Triplets(margin=0.9)(vectors, distinct(1, 3))
    loss.backward()
    assert loss.item() == 0
    assert float(vectors.grad.abs().sum()) == 0


def test_scored_cosine_equals_a_loop_and_scales_scores():
    vectors, scores = vectors_of(3, 2), [0.0, 2.5, 5.0]
    rows = vectors.tolist()
    expected = sum((cosine(rows[2 * i], rows[2 * i + 1]) - score / 5) ** 2 for i, score in enumerate(scores))
    found = ScoredCosine(highest=5.0)(vectors, distinct(3, 2, scores))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_cosent_equals_a_loop_and_only_order_counts():
    vectors, scores = vectors_of(4, 2), [0.1, 0.9, 0.5, 0.5]
    rows = vectors.tolist()
    cosines = [cosine(rows[2 * i], rows[2 * i + 1]) for i in range(4)]
    terms = [math.exp(20 * (cosines[i] - cosines[j])) for i in range(4) for j in range(4) if scores[i] < scores[j]]
    found = Cosent()(vectors, distinct(4, 2, scores))
    assert float(found) == pytest.approx(4 * math.log(1 + sum(terms)), rel=1e-4)
    stretched = Cosent()(vectors, distinct(4, 2, [10 * score - 3 for score in scores]))
    assert float(stretched) == pytest.approx(float(found), rel=1e-6)
    assert float(Cosent()(vectors, distinct(4, 2, [1.0] * 4))) == 0


@pytest.mark.parametrize(
    ("loss", "group", "labels"),
    [(InBatchNegatives(), 3, None), (Triplets(), 3, None), (ScoredCosine(), 2, [0.0, 0.3, 1.0])],
    ids=["in-batch", "triplets", "scored"],
)
def test_matryoshka_is_the_weighted_sum_over_prefixes(loss, group, labels):
    vectors, batch = vectors_of(3, group), distinct(3, group, labels)
    expected = 2 * loss(vectors[:, :2], batch) + 0.5 * loss(vectors, batch)
    found = Matryoshka(loss=loss, sizes=(2, WIDTH), weights=(2.0, 0.5))(vectors, batch)
    torch.testing.assert_close(found, expected)
    with pytest.raises(InputError, match=r"vectors have 6 numbers; add 6 to them"):
        Matryoshka(loss=loss, sizes=(2, 4))(vectors, batch)


@given(st.integers(0, 100), st.permutations(range(4)))
def test_the_order_of_samples_does_not_matter(seed, order):
    vectors = vectors_of(4, 3, seed)
    moved = vectors.view(4, 3, WIDTH)[list(order)].flatten(0, 1)
    for loss in (InBatchNegatives(symmetric=True), Triplets()):
        torch.testing.assert_close(loss(moved, distinct(4, 3)), loss(vectors, distinct(4, 3)))


def words(count, group):
    """Rows of 2 to 21 tokens."""
    torch.manual_seed(1)
    lengths = [2 + 5 * number % 20 for number in range(count * group)]
    return batch_of([torch.randint(5, 100, (length,)).tolist() for length in lengths], group)


def gradients(model, loss, batch):
    model.zero_grad()
    value = loss(model, batch)
    value.backward()
    return value.detach(), {name: part.grad.clone() for name, part in model.named_parameters() if part.requires_grad}


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_chunks_give_the_gradients_of_the_whole_batch(family, chunk_rows):
    model = EmbeddingModel(copy.deepcopy(tiny_model(family))).eval()  # without dropout, which chunks draw anew
    batch = words(4, 3)
    whole, expected = gradients(model, EmbeddingLoss(loss=InBatchNegatives()), batch)
    found, parts = gradients(model, EmbeddingLoss(loss=InBatchNegatives(), chunk_rows=chunk_rows), batch)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4)
    for name, part in parts.items():
        torch.testing.assert_close(part, expected[name], rtol=1e-3, atol=1e-4)


class DropsTokens(torch.nn.Module):
    """A linear layer over randomly dropped tokens, in float64: its loss is smooth."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(100, WIDTH, dtype=torch.float64))

    def forward(self, input_ids, *, attention_mask, token_type_ids):
        del attention_mask, token_type_ids
        return torch.nn.functional.dropout(self.weight[input_ids], 0.5).mean(dim=1)


def test_with_dropout_the_second_computation_drops_what_the_first_one_did():
    """The gradient is the gradient of the returned loss: a finite difference along it agrees."""
    model, batch = DropsTokens(), words(3, 2)
    loss = EmbeddingLoss(loss=lambda vectors, batch: InBatchNegatives(scale=2.0)(vectors, batch), chunk_rows=2)

    def value():
        torch.manual_seed(7)
        return loss(model, batch)

    value().backward()
    step = 0.05 * model.weight.grad / model.weight.grad.norm()
    with torch.no_grad():
        model.weight += step
        up = float(value())
        model.weight -= 2 * step
        down = float(value())
    assert (up - down) / 0.1 == pytest.approx(float(model.weight.grad.norm()), rel=0.02)


def saved_bytes(loss, model, batch):
    """Bytes autograd keeps between the passes."""
    kept = []

    def pack(tensor):
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(model, batch)
    return sum(kept)


def test_chunks_keep_no_activations():
    model, batch = EmbeddingModel(copy.deepcopy(tiny_model("bert"))), words(8, 2)
    whole = saved_bytes(EmbeddingLoss(loss=InBatchNegatives()), model, batch)
    assert saved_bytes(EmbeddingLoss(loss=InBatchNegatives(), chunk_rows=2), model, batch) < whole / 20


def test_bfloat16_runs_compare_vectors_in_float32():
    model, batch = EmbeddingModel(copy.deepcopy(tiny_model("bert"))).eval(), words(4, 2)
    seen = []

    def look(vectors, batch):
        seen.append((vectors @ vectors.T).dtype)
        return vectors.sum() + len(batch.labels)

    with torch.autocast("cpu", torch.bfloat16):
        EmbeddingLoss(loss=look)(model, batch)
    assert seen == [torch.float32]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InBatchNegatives()(vectors_of(2, 1), distinct(2, 1)), "1 texts each"),
        (lambda: Triplets()(vectors_of(2, 2), distinct(2, 2)), "an anchor, a positive and a negative"),
        (lambda: ScoredCosine()(vectors_of(2, 2), distinct(2, 2)), "have no scores"),
        (lambda: Cosent()(vectors_of(2, 3), distinct(2, 3, [0.0, 1.0])), "leave negatives out"),
        (lambda: ScoredCosine()(vectors_of(2, 2), distinct(2, 2, [0.5, 4.0])), "sample 2: score 4 is outside 0 to 1"),
        (
            lambda: ScoredCosine()(vectors_of(2, 2), replace(distinct(2, 2), labels=torch.zeros(3))),
            "have no scores",
        ),
    ],
)
def test_batches_of_another_kind_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    "make",
    [
        lambda: InBatchNegatives(scale=0.0),
        lambda: Cosent(scale=math.inf),
        lambda: Triplets(margin=2.5),
        lambda: Triplets(margin=-1.0, distance=Distance.EUCLIDEAN),
        lambda: ScoredCosine(lowest=1.0, highest=1.0),
        lambda: Matryoshka(loss=Triplets(), sizes=()),
        lambda: Matryoshka(loss=Triplets(), sizes=(8, 8)),
        lambda: Matryoshka(loss=Triplets(), sizes=(8, 16), weights=(1.0,)),
        lambda: EmbeddingLoss(loss=Triplets(), chunk_rows=0),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ConfigError, match=r"; |with"):
        make()
