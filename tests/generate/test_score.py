"""Scores against transformers' loss, windows against a naive computation of each token's own context."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lavra.model.token_scores
from lavra.adapt.inject import activate
from lavra.base.errors import ConfigError, ContextLengthError, InputError
from lavra.base.types import ScoreRequest
from lavra.engine.runners.adapted import front_of
from lavra.generate.in_process import InProcessModel
from lavra.model.checkpoint import save_checkpoint
from lavra.model.masked_copies import MaskedCopies
from lavra.model.score import score_masked, score_sequences, score_targets, score_tokens
from lavra.tokens.windows import plan_windows
from tests.engine.adapted import adapted, logits_alone
from tests.generate.tiny import tiny_in_process, tiny_model

transformers = pytest.importorskip("transformers")

IDS = torch.randint(5, 300, (100,), generator=torch.Generator().manual_seed(1))


def peer_of(family, cls, folder):
    save_checkpoint(tiny_model(family), folder)
    return cls.from_pretrained(folder).eval()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 20), st.data())
def test_windows_score_each_token_once_with_enough_context(num_tokens, window, data):
    stride = data.draw(st.integers(1, window))
    first = data.draw(st.integers(1, 30))
    windows = plan_windows(num_tokens, window=window, stride=stride, first=first)
    scored = [token for part in windows for token in range(part.first, part.end)]
    assert scored == list(range(first, num_tokens))
    for part in windows:
        assert part.end - 1 - part.start <= window
        assert part.start < part.first
        assert part.first - part.start >= min(part.first, window - stride + 1)


def test_a_window_must_hold_its_stride():
    with pytest.raises(ConfigError, match="stride=9"):
        plan_windows(5, window=8, stride=9)


def test_short_texts_equal_transformers_loss(tmp_path):
    peer = peer_of("llama", transformers.AutoModelForCausalLM, tmp_path)
    ids = IDS[:40]
    nll = score_tokens(tiny_model(), ids, window=64, stride=32)
    assert nll.shape == (39,)
    assert nll.mean().item() == pytest.approx(peer(ids[None], labels=ids[None]).loss.item(), abs=1e-4)


@pytest.mark.parametrize(("window", "stride", "batch_size"), [(16, 8, 3), (16, 16, 1), (7, 1, 8)])
def test_sliding_windows_equal_reading_each_context_apart(window, stride, batch_size):
    model = tiny_model()
    nll = score_tokens(model, IDS, window=window, stride=stride, batch_size=batch_size)
    with torch.inference_mode():
        for part in plan_windows(len(IDS), window=window, stride=stride):
            for token in range(part.first, part.end):
                logits = model(IDS[None, part.start : token])[0, -1]
                assert nll[token - 1].item() == pytest.approx(-logits.log_softmax(-1)[IDS[token]].item(), abs=1e-4)


def test_texts_of_unequal_length_share_batches():
    model = tiny_model()
    texts = [IDS[:1], IDS[:9], IDS[:100], IDS[20:33], IDS[:0]]
    together = score_sequences(model, texts, window=20, stride=10, batch_size=4)
    for ids, nll in zip(texts, together, strict=True):
        torch.testing.assert_close(nll, score_tokens(model, ids, window=20, stride=10), atol=1e-4, rtol=0)


def test_logits_in_small_chunks_change_nothing(monkeypatch):
    whole = score_tokens(tiny_model(), IDS, window=64, stride=32)
    monkeypatch.setattr(lavra.model.token_scores, "LOGITS_BYTES", 1)
    torch.testing.assert_close(score_tokens(tiny_model(), IDS, window=64, stride=32), whole, atol=1e-5, rtol=0)


def test_a_model_in_training_is_scored_without_dropout_and_left_in_training():
    model = tiny_model()
    model.train()
    try:
        first = score_tokens(model, IDS[:20], window=64, stride=32)
        assert model.training
    finally:
        model.eval()
    torch.testing.assert_close(first, score_tokens(model, IDS[:20], window=64, stride=32))


def test_pseudo_likelihood_equals_masking_by_hand(tmp_path):
    peer = peer_of("bert", transformers.AutoModelForMaskedLM, tmp_path)
    ids, mask, before, after = [10, 20, 30, 40, 50], 4, (2,), (3,)
    found = score_masked(
        tiny_model("bert"), ids, MaskedCopies(mask_id=mask, before=before, after=after, window=64), batch_size=2
    ).nll
    for place, token in enumerate(ids):
        row = [*before, *ids, *after]
        row[1 + place] = mask
        with torch.no_grad():
            expected = -peer(torch.tensor([row])).logits[0, 1 + place].log_softmax(-1)[token].item()
        assert found[place].item() == pytest.approx(expected, abs=1e-4)


def test_a_long_text_is_masked_within_a_window_around_each_token():
    model = tiny_model("bert")
    ids = (IDS % 80).tolist()
    found = score_masked(model, ids, MaskedCopies(mask_id=4, window=11), batch_size=7).nll
    for place in (0, 3, 50, 97, 99):
        start = min(max(0, place - 5), 100 - 11)
        row = ids[start : start + 11]
        row[place - start] = 4
        with torch.inference_mode():
            logits = model(torch.tensor([row]))[0, place - start]
        assert found[place].item() == pytest.approx(-logits.log_softmax(-1)[ids[place]].item(), abs=1e-4)


def test_targets_given_sources_equal_transformers_loss(tmp_path):
    peer = peer_of("t5", transformers.AutoModelForSeq2SeqLM, tmp_path)
    sources, targets = [[9, 8, 7, 1], [5, 1]], [[11, 12, 1], [13, 14, 15, 16, 1]]
    found = score_targets(tiny_model("t5"), sources, targets, start=[0], batch_size=2)
    for source, target, scores in zip(sources, targets, found, strict=True):
        nll = scores.nll
        loss = peer(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.item()
        assert nll.mean().item() == pytest.approx(loss, abs=1e-4)


def test_requests_of_a_decoder():
    model = tiny_in_process()
    text = "Once upon a time"
    (score,) = model.score([ScoreRequest(text=text)])
    assert score.tokens == tuple(model.tokenizer.encode(text))
    assert score.num_bytes == 16
    assert None not in score.logprobs
    (bare,) = model.score([ScoreRequest(text=score.tokens)])
    assert bare.logprobs[0] is None
    assert len(bare.logprobs) == len(bare.tokens)
    assert model.score([ScoreRequest(text="")])[0].logprobs == ()


def test_a_given_prefix_is_context_and_joins_at_the_border():
    model = tiny_in_process()
    (whole,) = model.score([ScoreRequest(text="Once upon a time")])
    (rest,) = model.score([ScoreRequest(text=" a time", given="Once upon")])
    assert rest.logprobs == pytest.approx(whole.logprobs[-len(rest.logprobs) :], abs=1e-4)
    assert rest.warnings == ()


def test_a_border_inside_a_token_is_reported():
    model = tiny_in_process()
    spelled = map(model.tokenizer.token, range(model.tokenizer.vocab_size))
    word = next(token for token in spelled if token.isascii() and token.isalpha() and len(token) > 2)
    (split,) = model.score([ScoreRequest(text=word[1:], given=word[:1])])
    assert "border" in split.warnings[0]
    assert split.tokens == tuple(model.tokenizer.encode(word[1:]))


def test_a_text_over_the_context_is_read_in_windows_and_says_so():
    (score,) = tiny_in_process().score([ScoreRequest(text="Lily loved to play. " * 40)])
    assert len(score.logprobs) > 64
    assert "windows of 64" in score.warnings[0]


def test_the_bytes_of_ids_are_those_of_what_they_spell():
    model = tiny_in_process()
    text = "maçãs 🍎 e Lília"
    ids = tuple(model.tokenizer.encode(text))
    by_text, by_ids = model.score([ScoreRequest(text=text), ScoreRequest(text=ids)])
    assert by_text.num_bytes == by_ids.num_bytes == len(text) + 3 + 3
    assert len(text) + 6 == len(text.encode())


def test_behind_virtual_tokens_a_text_may_fill_the_context_and_not_pass_it():
    """Windows of a longer text would not include them, so it is refused; a text's last token is scored, not read."""
    made = adapted(names=("prompt",))
    activate(made.model, "prompt")
    model = InProcessModel(made.model, made.config, made.tokenizer, front=front_of(made.model, "prompt"))
    ids = tuple(range(20, 20 + 60))  # a context of 64, 5 virtual tokens
    (score,) = model.score([ScoreRequest(text=ids)])
    expected = logits_alone(made, "prompt", ids[:-1]).log_softmax(-1)
    wanted = [float(row[token]) for row, token in zip(expected, ids[1:], strict=True)]
    assert score.logprobs[-59:] == pytest.approx(wanted, abs=1e-4)
    with pytest.raises(ContextLengthError, match="61 tokens and 60 fit behind 5 virtual ones"):
        model.score([ScoreRequest(text=(*ids, 7))])


def test_requests_of_an_encoder_are_pseudo_likelihoods():
    model = tiny_in_process("bert")
    (score,) = model.score([ScoreRequest(text="Lily loved to play")])
    assert score.kind == "pseudo_likelihood"
    assert len(score.logprobs) == len(score.tokens) == len(model.tokenizer.encode("Lily loved to play"))
    (unknown,) = model.score([ScoreRequest(text="漢")])
    assert "unknown" in unknown.warnings[0]


def test_an_encoder_decoder_needs_a_source():
    with pytest.raises(InputError, match="given="):
        tiny_in_process("t5").score([ScoreRequest(text="a")])
