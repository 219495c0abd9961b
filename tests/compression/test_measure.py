"""Two models compared, and the resulting card."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from torch.nn import functional

from lavra.base.errors import InputError
from lavra.compression.card import BARS, QualityCard, QualityError, write_quality
from lavra.compression.measure import Comparison, compare_models
from lavra.compression.samples import QualitySample, ScoredBatch
from lavra.model.build import build_model
from lavra.model.families.table import preset
from tests.compression.quality import read_quality
from tests.model.variants import ALL, VOCAB, ours_of, theirs

FIVE = [one for one in ALL if one.name in ("gpt2", "bert", "t5-v1.1")]


def sample(encoder_decoder=False):
    draw = torch.Generator().manual_seed(2)

    def batch(rows, time):
        said = time - 3 if encoder_decoder else time
        scored = torch.rand(rows, said, generator=draw) < 0.5
        return ScoredBatch(
            input_ids=torch.randint(4, VOCAB, (rows, time), generator=draw),
            decoder_input_ids=torch.randint(4, VOCAB, (rows, said), generator=draw) if encoder_decoder else None,
            scored=scored,
            labels=torch.randint(4, VOCAB, (int(scored.sum()),), generator=draw),
        )

    batches = (batch(3, 24), batch(2, 9))
    number = sum(len(one.labels) for one in batches)
    return QualitySample(batches=batches, num_tokens=number, num_bytes=4 * number, unit="byte")


@pytest.mark.parametrize("variant", FIVE, ids=str)
def test_figures_are_those_of_transformers_logits(variant, tmp_path):
    peer, other = theirs(variant), theirs(variant)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    ours = [ours_of(one, tmp_path / str(index)) for index, one in enumerate((peer, other))]
    asked = sample(variant.name.startswith("t5"))
    found = compare_models(ours[0], ours[1], asked)
    rows = [[], []]
    with torch.no_grad():
        for batch in asked.batches:
            extra = {} if batch.decoder_input_ids is None else {"decoder_input_ids": batch.decoder_input_ids}
            for place, model in enumerate((peer, other)):
                rows[place].append(model(batch.input_ids, **extra).logits[batch.scored])
    before, after = (torch.cat(one).double() for one in rows)
    labels = torch.cat([batch.labels for batch in asked.batches])
    kl = functional.kl_div(after.log_softmax(-1), before.log_softmax(-1), log_target=True, reduction="none").sum(-1)
    assert found.mean_kl == pytest.approx(float(kl.mean()), rel=1e-3)
    assert found.p99_kl == pytest.approx(float(np.percentile(kl.numpy(), 99)), rel=1e-3)
    assert found.top1_agreement == pytest.approx(float((before.argmax(-1) == after.argmax(-1)).double().mean()))
    for ours_bits, logits in ((found.source_bits, before), (found.bits, after)):
        nats = float(functional.cross_entropy(logits, labels, reduction="sum"))
        assert ours_bits == pytest.approx(nats / np.log(2) / asked.num_bytes, rel=1e-4)
    assert found.num_tokens == len(labels)


def test_a_model_is_like_itself(tmp_path):
    model = ours_of(theirs(FIVE[0]), tmp_path)
    found = compare_models(model, model, sample())
    assert abs(found.mean_kl) < 1e-7
    assert found.top1_agreement == 1.0
    assert found.bits_increase == 0.0


def test_a_model_without_a_head_is_judged_by_the_means_of_the_tokens_asked_for():
    """Row by row; frame tokens, which are not requested, do not count."""
    config = replace(
        preset("bert", vocab_size=VOCAB, hidden_size=32, num_layers=1, num_heads=2, max_positions=32), has_head=False
    )
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(build_model(config).eval())
    with torch.no_grad():  # part of the way between the models: rows differ far less than random ones
        for ours, other in zip(models[1].parameters(), models[0].parameters(), strict=True):
            ours.copy_(0.7 * other + 0.3 * ours)
    asked, cosines = sample(), []
    with torch.no_grad():
        for batch in asked.batches:
            before, after = (model.hidden(batch.input_ids) for model in models)
            for row, wanted in enumerate(batch.scored):
                means = [hidden[row][wanted].mean(0) for hidden in (before, after)]
                cosines.append(float(functional.cosine_similarity(*means, dim=0)))
    found = compare_models(*models, asked)
    assert (found.unit, found.bits, found.mean_kl) == ("", None, None)
    assert max(cosines) - min(cosines) > 1e-3
    assert found.mean_cosine == pytest.approx(float(np.mean(cosines)), rel=1e-5)
    assert found.least_cosine == pytest.approx(min(cosines), rel=1e-5)


def test_speeds_count_every_token_that_is_read(monkeypatch):
    """Both the requested tokens and those that are only context."""
    model = build_model(
        preset("gpt2", vocab_size=VOCAB, hidden_size=32, num_layers=1, num_heads=2, max_positions=32)
    ).eval()
    ticks = count()
    monkeypatch.setattr("lavra.compression.measure.time.perf_counter", lambda: float(next(ticks)))
    found = compare_models(model, model, sample())  # two batches, a second each
    assert found.read_per_second == found.source_read_per_second == (3 * 24 + 2 * 9) / 2


def test_numbers_that_overflow_are_refused(tmp_path):
    model, broken = ours_of(theirs(FIVE[0]), tmp_path), ours_of(theirs(FIVE[0]), tmp_path)
    with torch.no_grad():
        broken.decoder.norm.weight.fill_(float("inf"))
    with pytest.raises(InputError, match=r"no finite .*fp16"):
        compare_models(model, broken, sample())


GOOD = Comparison(
    unit="byte", num_tokens=1000, num_bytes=4000, source_bits=1.0, bits=1.001, mean_kl=0.001, p99_kl=0.01,
    top1_agreement=0.99, source_read_per_second=10.0, read_per_second=9.0,
)  # fmt: skip


def card(target="int8", comparison=GOOD, **changes):
    facts = {
        "target": target, "layout": "native", "family": "llama", "calibration": "none", "text": "some",
        "source_bytes": 100, "bytes": 30, "matrix_ratio": 0.26, "comparison": comparison, "bars": BARS[target],
    }  # fmt: skip
    return QualityCard(**{**facts, **changes})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bits": 1.0031}, r"bits grew by 0\.31%, over the bar of 0\.30%"),
        ({"mean_kl": 0.0016}, r"mean KL is 0\.00160 nats, over the bar of 0\.00150"),
        ({"mean_kl": float("nan")}, "mean KL is nan"),
        ({"mean_cosine": 0.9989}, r"mean cosine is 0\.99890, under the bar of 0\.99900"),
    ],
)
def test_a_missed_bar_is_refused_by_name_with_a_remedy(change, words):
    card().check()
    bad = card(comparison=replace(GOOD, **change))
    assert not bad.holds
    with pytest.raises(QualityError, match=words + r".*`layout interchange`.*`allow_miss`"):
        bad.check()
    replace(bad, allowed_miss=True).check()


def test_four_bits_may_cost_more_and_the_remedy_is_calibration():
    dear = replace(GOOD, bits=1.02, mean_kl=0.03)
    card("int4", dear).check()
    with pytest.raises(QualityError, match="`calibration` text"):
        card("int4", replace(dear, mean_kl=0.06)).check()


def test_a_card_is_read_as_it_was_written(tmp_path):
    bad = card(comparison=replace(GOOD, mean_kl=0.5), allowed_miss=True)
    write_quality(bad, tmp_path)
    assert read_quality(tmp_path) == bad
    plain = bad.as_mapping()
    assert plain["holds"] is False
    assert plain["allowed_miss"] is True
    assert len(plain["misses"]) == 1
    assert plain["comparison"]["bits_increase"] == pytest.approx(0.001)


def test_rows_without_a_figure_are_left_out():
    names = [row[0] for row in card().rows()]
    assert "mean KL, nats" in names
    assert "mean cosine" not in names
    assert "peak memory" not in names
