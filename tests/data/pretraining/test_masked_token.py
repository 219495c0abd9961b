"""Masked-token batches: framing, proportions within binomial bounds, and transformers' collator for comparison."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.data.batch import IGNORE
from lavra.data.pretraining.masked_token import MaskedToken, MaskedTokenConfig, choose_words
from tests.data.fakes import CLS, EOS, MASK, PAD, SEP, ByteTokenizer, dataset_of

SPECIAL = sorted(ByteTokenizer().special_ids)


def original(batch):
    """The rows before masking."""
    return torch.where(batch.labels != IGNORE, batch.labels, batch.input_ids)


def within(count, total, share, deviations=4.5):
    return abs(count - share * total) <= deviations * (total * share * (1 - share)) ** 0.5


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=10), T=st.integers(3, 40), whole_words=st.booleans())
def test_rows_are_framed_pieces_of_documents(lengths, T, whole_words, tmp_path_factory):
    tokenizer = ByteTokenizer(bos_id=CLS, eos_id=SEP)  # as RoBERTa: the stored frame is stripped, not doubled
    data = dataset_of(tmp_path_factory.mktemp("t") / "t", lengths, tokenizer)
    maker = MaskedToken(data, MaskedTokenConfig(batch_size=1, sequence_length=T, whole_words=whole_words), tokenizer)
    seen: Counter[bytes] = Counter()
    shown = 0
    for index in range(len(maker)):
        batch = maker.batch(index)
        assert batch.input_ids.shape == batch.labels.shape == batch.positions.shape == batch.segments.shape == (1, T)
        ids, segments, positions = original(batch)[0], batch.segments[0], batch.positions[0]
        assert torch.all(ids[segments == 0] == PAD)
        assert torch.all(batch.labels[0][segments == 0] == IGNORE)
        assert torch.all(torch.diff(segments[segments > 0]) >= 0)
        for segment in range(1, int(segments.max()) + 1):
            piece = ids[segments == segment]
            assert piece[0] == CLS
            assert piece[-1] == SEP
            assert not torch.isin(piece[1:-1], torch.tensor(SPECIAL)).any()
            assert positions[segments == segment].tolist() == list(range(len(piece)))
            seen.update(bytes([token]) for token in piece[1:-1].tolist())
            shown += len(piece) - 2
        assert batch.num_targets >= 1
    begins, ends = data.content_bounds
    content = Counter(bytes([token]) for index in range(len(lengths)) for token in data.content(index).tolist())
    assert seen == content
    assert shown == int((ends - begins).sum())
    assert maker.dropped_per_epoch == 0


def test_proportions_are_berts(tmp_path):
    data = dataset_of(tmp_path / "t", [900] * 60)
    maker = MaskedToken(data, MaskedTokenConfig(batch_size=8, sequence_length=128), ByteTokenizer())
    counts: Counter[str] = Counter()
    for index in range(len(maker)):
        batch = maker.batch(index)
        chosen = batch.labels != IGNORE
        ordinary = ~torch.isin(original(batch), torch.tensor(SPECIAL))
        assert not torch.any(chosen & ~ordinary)
        # The number of targets is exact in every row, as in BERT's own data and unlike independent draws.
        assert chosen.sum(1).tolist() == [round(0.15 * int(row)) for row in ordinary.sum(1)]
        counts["chosen"] += int(chosen.sum())
        counts["hidden"] += int((batch.input_ids[chosen] == MASK).sum())
        same = batch.input_ids[chosen] == batch.labels[chosen]
        counts["same"] += int(same.sum())
        swapped = batch.input_ids[chosen & (batch.input_ids != MASK) & (batch.input_ids != batch.labels)]
        assert not torch.isin(swapped, torch.tensor(SPECIAL)).any()
        counts["swapped"] += len(swapped)
        assert torch.all(batch.input_ids[~chosen] == original(batch)[~chosen])
    assert counts["chosen"] > 7000
    assert within(counts["hidden"], counts["chosen"], 0.8)
    # A random ordinary token is the same one in a 256th of the cases.
    assert within(counts["swapped"], counts["chosen"], 0.1 * 255 / 256)
    assert within(counts["same"], counts["chosen"], 0.1 + 0.1 / 256)


def test_proportions_agree_with_transformers_collator(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {chr(97 + number): number for number in range(26)} | {
        "[PAD]": 26,
        "[MASK]": 27,
        "[CLS]": 28,
        "[SEP]": 29,
        "[UNK]": 30,
    }
    fast = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    reference = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="[PAD]",
        mask_token="[MASK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
    )
    collator = transformers.DataCollatorForLanguageModeling(reference, mlm_probability=0.15, seed=0)
    draw = np.random.default_rng(0)
    rows = [{"input_ids": [28, *draw.integers(0, 26, size=126).tolist(), 29]} for _ in range(400)]
    theirs = collator(rows)

    data = dataset_of(tmp_path / "t", [126] * 400)
    batch = MaskedToken(data, MaskedTokenConfig(batch_size=400, sequence_length=128), ByteTokenizer()).batch(0)

    def shares(input_ids, labels, mask_id):
        chosen = labels != IGNORE
        hidden, same = input_ids[chosen] == mask_id, input_ids[chosen] == labels[chosen]
        swapped = ~hidden & ~same
        return [float(share) for share in (chosen.float().mean(), hidden.float().mean(), swapped.float().mean())]

    ours, theirs_shares = shares(batch.input_ids, batch.labels, MASK), shares(theirs["input_ids"], theirs["labels"], 27)
    # 7,600 chosen of 51,200: standard deviations 0.0016, 0.0046 and 0.0034; and 1/26 of their swaps change nothing.
    for ours_share, theirs_share, bound in zip(ours, theirs_shares, (0.008, 0.025, 0.02), strict=True):
        assert abs(ours_share - theirs_share) < bound


def test_whole_words_are_hidden_together(tmp_path):
    data = dataset_of(tmp_path / "t", [400] * 20)
    config = MaskedTokenConfig(batch_size=4, sequence_length=100, whole_words=True)
    maker = MaskedToken(data, config, ByteTokenizer())
    total = ordinary_total = 0
    for index in range(len(maker)):
        batch = maker.batch(index)
        for ids, labels, segments in zip(original(batch), batch.labels, batch.segments, strict=True):
            chosen = (labels != IGNORE).tolist()
            state = None
            for place, token in enumerate(ids.tolist()):
                if token in SPECIAL:
                    assert not chosen[place]
                    state = None
                    continue
                if token == ord(" ") or state is None:
                    state = chosen[place]
                assert chosen[place] == state
            ordinary = int((~torch.isin(ids, torch.tensor(SPECIAL))).sum())
            assert sum(chosen) <= max(round(0.15 * ordinary), 40)
            assert int(segments.max()) >= 1
            total, ordinary_total = total + sum(chosen), ordinary_total + ordinary
    # The target of each row is rounded, by at most half a token in 98.
    assert 0.14 < total / ordinary_total < 0.155


def naive_choose(word, target, draw):
    """BERT's loop (create_pretraining_data.py), over the same shuffled order."""
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(word.tolist()):
        if number:
            groups.setdefault(number, []).append(place)
    masked: list[int] = []
    for number in draw.permutation(np.asarray(sorted(groups))).tolist():
        if len(masked) >= target:
            break
        if masked and len(masked) + len(groups[number]) > target:
            continue
        masked += groups[number]
    return sorted(masked)


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=20), target=st.integers(1, 15), seed=st.integers(0, 1000))
def test_words_are_chosen_as_bert_chooses_them(sizes, target, seed):
    word = np.concatenate([[0], np.repeat(np.arange(1, len(sizes) + 1), sizes), [0]])
    chosen = choose_words(word, target, np.random.default_rng(seed))
    assert np.flatnonzero(chosen).tolist() == naive_choose(word, target, np.random.default_rng(seed))


def test_masks_change_with_the_epoch_and_depend_on_the_index_alone(tmp_path):
    data = dataset_of(tmp_path / "t", [98])  # one row: any difference between epochs is the mask
    config = MaskedTokenConfig(batch_size=1, sequence_length=100, seed=4)

    def digest(maker, index):
        batch = maker.batch(index)
        return hashlib.sha256(batch.input_ids.numpy().tobytes() + batch.labels.numpy().tobytes()).hexdigest()

    maker = MaskedToken(data, config, ByteTokenizer())
    assert torch.equal(original(maker.batch(0)), original(maker.batch(1)))
    first = [digest(maker, index) for index in range(4)]
    assert len(set(first)) == 4
    assert [digest(MaskedToken(data, config, ByteTokenizer()), index) for index in (3, 0)] == [first[3], first[0]]


def test_a_missing_token_is_named(tmp_path):
    data = dataset_of(tmp_path / "t", [98])
    with pytest.raises(ConfigError, match=r"needs a mask token .* with \[MASK\]"):
        MaskedToken(data, MaskedTokenConfig(batch_size=1, sequence_length=10), ByteTokenizer(mask_id=None))
    with pytest.raises(ConfigError, match="needs a cls token"):
        MaskedToken(data, MaskedTokenConfig(batch_size=1, sequence_length=10), ByteTokenizer(cls_id=None, bos_id=EOS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 2}, "sequence_length is 2"),
        ({"mask_share": 0.0}, "mask_share is 0.0"),
        ({"hidden_share": 0.95}, "sum is at most 1"),
    ],
)
def test_bad_settings_name_the_value(settings, message):
    with pytest.raises(ConfigError, match=message):
        MaskedTokenConfig(**{"batch_size": 1, "sequence_length": 8, **settings})
