"""Texts scored through their shared prefixes, against each alone by `transformers` or by our plain pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.model import prefix_tree
from lavra.model.prefix_tree import plan_prefixes
from lavra.model.score import judge_sequences
from tests.generate.tiny import tiny_model
from tests.model.variants import DECODERS, VOCAB, ours_of, theirs


@st.composite
def trees(draw):
    """Texts with common beginnings of every shape: each continues the beginning of an earlier one."""
    texts = [draw(st.lists(st.integers(4, 30), min_size=2, max_size=40))]
    for _ in range(draw(st.integers(0, 9))):
        base = draw(st.sampled_from(texts))
        kept = draw(st.integers(0, len(base)))
        texts.append((base[:kept] + draw(st.lists(st.integers(4, 8), min_size=1, max_size=8)))[:50])
    return [text for text in texts if len(text) > 1]


def branching(seed, longest=60):
    """Few-shot prompts: a long beginning, questions after it, choices after each, some of one token."""
    random = np.random.default_rng(seed)

    def some(least, most):
        return random.integers(4, VOCAB, random.integers(least, most)).tolist()

    texts = []
    for _ in range(2):
        shots = some(20, 30)
        texts.append(shots)
        for _ in range(3):
            question = shots + some(4, 12)
            texts += [question + some(1, 4) for _ in range(4)]
    return [text[:longest] for text in texts]


def check(model, peer, texts, firsts, *, window=64, batch_size=4):
    found = judge_sequences(
        model, texts, window=window, strides=[32] * len(texts), batch_size=batch_size, first=firsts, top=3, share=True
    )
    for ids, first, scores in zip(texts, firsts, found, strict=True):
        with torch.inference_mode():
            logits = peer(torch.tensor([ids[:-1]]))
        logprobs = getattr(logits, "logits", logits)[0].float().log_softmax(-1)[first - 1 :]  # (T, V)
        labels = torch.tensor(ids[first:])
        torch.testing.assert_close(-scores.nll, logprobs[torch.arange(len(labels)), labels], atol=1e-4, rtol=0)
        torch.testing.assert_close(scores.top_logprobs, logprobs.topk(3).values, atol=1e-4, rtol=0)
        assert torch.equal(scores.greedy, logprobs.argmax(-1) == labels)


@pytest.fixture
def eager(monkeypatch):
    """Share every prefix that may be shared."""
    monkeypatch.setattr(prefix_tree, "_TRUNK", 1.0)
    monkeypatch.setattr(prefix_tree, "_REPEATED", 0.0)


@settings(max_examples=60, deadline=None)
@given(trees(), st.sampled_from(["llama", "gpt2", "falcon"]), st.sampled_from([1.0, 4.0, 24.0]), st.data())
def test_sharing_changes_nothing(texts, family, trunk, data):
    firsts = [data.draw(st.integers(1, len(ids) - 1)) for ids in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_tree, "_TRUNK", trunk)
        check(tiny_model(family), tiny_model(family), texts, firsts)


@pytest.mark.parametrize("variant", DECODERS, ids=str)
@pytest.mark.usefixtures("eager")
def test_every_decoder_scores_what_transformers_scores(variant, tmp_path):
    peer = theirs(variant)
    texts = branching(1)
    check(ours_of(peer, tmp_path), peer, texts, [max(1, len(text) - 3) for text in texts])


@pytest.mark.usefixtures("eager")
def test_rotary_frequencies_that_follow_the_length_of_a_text_are_each_texts_own(tmp_path):
    (variant,) = (one for one in DECODERS if one.name == "llama-rope-dynamic")
    model = ours_of(theirs(variant), tmp_path)
    texts = branching(2) + [text * 2 for text in branching(3)]  # longer than the 64 it was made for
    check(model, model, texts, [1] * len(texts), window=128)


def tokens_read(trunk):
    own = 0 if trunk.row is None else len(trunk.row.tokens)
    return own + sum(len(row.tokens) for row in trunk.rows) + sum(map(tokens_read, trunk.trunks))


def test_a_beginning_that_many_share_is_read_once():
    random = np.random.default_rng(0)
    shots = random.integers(0, 1000, 600)
    questions = [np.concatenate((shots, [number], random.integers(0, 1000, 80))) for number in range(50)]
    choices = [np.concatenate((question, [number, 5])) for question in questions for number in range(4)]
    root = plan_prefixes(choices, longest_row=1024, longest_trunk=10**6)
    assert tokens_read(root) == 600 + 50 * (81 + 4 * 2)
    (trunk,) = root.trunks
    assert (root.rows, trunk.length, len(trunk.rows)) == ([], 600, 50)
    none_held = plan_prefixes(choices, longest_row=1024, longest_trunk=0)
    assert none_held.trunks == []
    assert tokens_read(none_held) == 50 * (681 + 4 * 2)


def test_texts_with_short_common_prefixes_are_read_apart():
    texts = [np.array([1, 2, number, *[number] * 60]) for number in range(3, 20)]
    root = plan_prefixes(texts, longest_row=1024, longest_trunk=10**6)
    assert len(root.rows) == len(texts)
    assert all(row.sees is None for row in root.rows)


@settings(max_examples=100, deadline=None)
@given(trees(), st.integers(1, 60), st.sampled_from([0, 20, 10**6]))
def test_each_text_is_in_one_row_and_sees_itself_alone(texts, longest_row, longest_trunk):
    unique = [np.array(ids) for ids in dict.fromkeys(map(tuple, texts))]
    found: dict[int, list[int]] = {}

    def follow(trunk, before):
        for row in trunk.rows:
            for number, columns in row.columns.items():
                found[number] = [*before.get(number, []), *row.tokens[columns].tolist()]
                assert row.positions[columns].tolist() == list(range(trunk.length, trunk.length + len(columns)))
                if row.sees is not None:
                    assert [np.flatnonzero(row.sees[column]).tolist() for column in columns] == [
                        columns[: place + 1].tolist() for place in range(len(columns))
                    ]
        for below in trunk.trunks:
            own = {number: before.get(number, []) + below.row.tokens.tolist() for number in below.row.columns}
            found.update({number: ids for number, ids in own.items() if len(ids) == len(unique[number])})
            follow(below, own)

    root = plan_prefixes(unique, longest_row=longest_row, longest_trunk=longest_trunk)
    follow(root, {})
    assert found == {number: ids.tolist() for number, ids in enumerate(unique)}


def test_prefixes_of_prefixes_do_not_pile_up():
    """A thousand texts, each one token longer than the last: deeper than Python's recursion limit."""
    texts = [np.arange(count) for count in range(1, 1000)]
    root = plan_prefixes(texts, longest_row=64, longest_trunk=100)
    assert tokens_read(root) >= 999


def test_logits_are_made_once_for_choices_of_one_token(monkeypatch):
    model, rows = tiny_model(), []
    plain = type(model).logits
    monkeypatch.setattr(type(model), "logits", lambda self, hidden: rows.append(hidden.shape[1]) or plain(self, hidden))
    texts = [[9, 8, 7, choice] for choice in (20, 21, 22, 23)]
    judge_sequences(model, texts, window=64, strides=[32] * 4, first=[3] * 4, share=True)
    assert sum(rows) == 1
