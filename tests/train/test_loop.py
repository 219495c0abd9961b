"""The loop against a loop written by hand, accumulation against the big batch, and its stops with their reasons."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from lavra.base.errors import InputError, TrainingError
from lavra.data.batch import IGNORE
from lavra.model.config import Dropout
from lavra.train import loop
from lavra.train.checkpoint import checkpoint_folders
from lavra.train.config import OptimizerConfig
from lavra.train.loop import train
from lavra.train.objective import Objective, token_loss
from lavra.train.parallel import ProcessGroup
from lavra.train.schedule import ScheduleConfig
from tests.train.tiny import FLAT, Ragged, Recorder, assert_same_bits, ragged, settings, tiny_model, weights


def run(objective=None, config=None, *, model=None, **more):
    model = model or tiny_model()
    recorder = more.pop("recorder", None) or Recorder()
    result = train(model, objective or ragged(), config or settings(), hooks=[recorder], **more)
    return model, recorder, result


def by_hand(batches, num_steps, accumulation):
    """AdamW on the mean over all targets, full logits, as in a textbook."""
    model = tiny_model()
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(num_steps):
        parts = [batches.batch(step * accumulation + number) for number in range(accumulation)]
        logits = torch.cat([model(part.input_ids) for part in parts]).flatten(0, 1)
        labels = torch.cat([part.labels for part in parts]).flatten()
        loss = functional.cross_entropy(logits, labels, ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append((loss.item(), norm.item()))
    return model, losses


def test_every_step_is_that_of_a_loop_written_by_hand():
    model, recorder, result = run(config=settings(8, accumulation=2))
    theirs, losses = by_hand(Ragged(batch_size=2), 8, 2)
    for (step, metrics), (loss, norm) in zip(recorder.steps, losses, strict=True):
        assert metrics["loss"] == pytest.approx(loss, abs=2e-6 * loss), step
        assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    for (name, ours), other in zip(model.named_parameters(), theirs.parameters(), strict=True):
        # Adam makes a step of a gradient that is nothing but rounding: a number in ten thousand may be further off.
        near = torch.isclose(ours, other, rtol=1e-4, atol=2e-5).double().mean()
        assert near > 0.9995, name
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=2e-4, msg=name)
    assert losses[-1][0] < losses[0][0] - 0.3  # it did learn
    assert result.steps == 8
    assert result.loss == recorder.losses[-1]
    assert result.tokens == sum(Ragged(batch_size=2).batch(n).num_targets for n in range(16))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 2), (2, 4), (1, 8)])
def test_accumulation_is_the_big_batch_with_ragged_targets(batch_size, accumulation, kind):
    optimizer = OptimizerConfig(kind=kind, learning_rate=3e-3)
    _, big, _ = run(ragged(8), settings(5, optimizer=optimizer))
    _, small, _ = run(ragged(batch_size), settings(5, accumulation=accumulation, optimizer=optimizer))
    counts = {Ragged(batch_size=batch_size).batch(n).num_targets for n in range(accumulation)}
    assert len(counts) == accumulation  # or the test would prove nothing
    # The first loss sees the same weights; later ones the rounding of earlier updates (Muon's iteration is bf16).
    assert small.losses[0] == pytest.approx(big.losses[0], rel=1e-6)
    assert small.losses == pytest.approx(big.losses, rel=2e-6 if kind == "adamw" else 1e-4)
    norms = [[metrics["gradient_norm"] for _, metrics in recorder.steps] for recorder in (big, small)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5 if kind == "adamw" else 1e-3)


def test_clipping_bounds_the_gradient_and_zero_leaves_it_alone():
    seen = {}
    for limit in (0.0, 0.05, 1e9):
        sgd_like = OptimizerConfig(kind="adamw", learning_rate=1e-3, beta1=0.0, beta2=0.0, eps=1e3, weight_decay=0.0)
        model = tiny_model()
        before = weights(model)
        _, recorder, _ = run(config=settings(1, clip_norm=limit, optimizer=sgd_like), model=model)
        moved = math.sqrt(sum(float((weights(model)[n] - before[n]).double().square().sum()) for n in before))
        seen[limit] = (recorder.steps[0][1]["gradient_norm"], moved)
    # With eps far over the gradient AdamW is gradient descent at rate lr / eps, so the way moved is the clipped norm.
    assert seen[0.0] == seen[1e9]
    norm, moved = seen[0.0]
    assert moved == pytest.approx(norm * 1e-6, rel=0.02)
    assert seen[0.05] == (norm, pytest.approx(0.05e-6, rel=0.02))


def test_the_learning_rate_follows_the_schedule():
    schedule = ScheduleConfig(kind="cosine", warmup=0.25, final=0.1)
    _, recorder, _ = run(config=settings(8, schedule=schedule))
    rates = [metrics["learning_rate"] for _, metrics in recorder.steps]
    assert rates[:2] == pytest.approx([1e-3, 2e-3])
    assert rates[2] == 3e-3
    assert rates[-1] == pytest.approx(3e-3 * (0.1 + 0.45 * (1 + math.cos(math.pi * 5 / 6))))


def test_evaluation_comes_when_due_and_at_the_end():
    modes = []

    def evaluate(model):
        def measure():
            modes.append((model.training, torch.is_grad_enabled()))
            return {"score": 1.0 / len(modes)}

        return measure

    model = tiny_model()
    _, recorder, result = run(config=settings(7, eval_every=3), model=model, evaluate=evaluate(model))
    assert [step for step, _ in recorder.evals] == [3, 6, 7]
    assert modes == [(False, False)] * 3
    assert model.training
    assert result.evaluation == {"score": 1.0 / 3}
    model = tiny_model()
    _, recorder, _ = run(config=settings(4, eval_every=2), model=model, evaluate=evaluate(model))
    assert [step for step, _ in recorder.evals] == [2, 4]


def test_early_stopping_waits_for_its_patience():
    values = iter([5.0, 4.0, 4.5, 4.0, 9.0])
    config = settings(20, eval_every=1, patience=2)
    _, recorder, result = run(config=config, evaluate=lambda: {"score": next(values)})
    assert result.stopped_early
    assert result.steps == 4  # 4.5 and an equal 4.0 are no improvement
    assert recorder.summary["stopped_early"]


def test_a_hook_may_stop_the_run_and_it_stays_stopped(tmp_path):
    config = settings(9, eval_every=2)
    _, _, result = run(config=config, evaluate=lambda: {"x": 1.0}, recorder=Recorder(stop_at=4), folder=tmp_path)
    assert (result.steps, result.stopped_early) == (4, True)
    _, again, second = run(config=config, evaluate=lambda: {"x": 1.0}, folder=tmp_path)
    assert (second.steps, second.stopped_early, again.steps) == (4, True, [])
    assert (second.loss, second.evaluation) == (result.loss, {"x": 1.0})


def test_a_finished_run_is_not_run_again_and_still_knows_its_result(tmp_path):
    config = settings(4, eval_every=2)
    first_model, _, first = run(config=config, evaluate=lambda: {"x": 2.0}, folder=tmp_path)
    second_model, recorder, second = run(config=config, evaluate=lambda: {"x": 3.0}, folder=tmp_path)
    assert recorder.steps == recorder.evals == []
    assert (second.loss, second.evaluation, second.resumed_from) == (first.loss, {"x": 2.0}, 4)
    assert_same_bits(weights(first_model), weights(second_model))


def test_an_evaluation_without_metrics_is_refused():
    with pytest.raises(TrainingError, match="no metric"):
        run(evaluate=dict)


def test_the_last_state_is_saved_even_when_saving_is_not_due(tmp_path):
    _, recorder, _ = run(config=settings(5, save_every=2, keep_checkpoints=5), folder=tmp_path)
    assert recorder.saves == [2, 4, 5]
    assert [path.name for path in checkpoint_folders(tmp_path / "checkpoints")] == [
        "step-00000002",
        "step-00000004",
        "step-00000005",
    ]


def failing(at, value):
    """The usual loss, multiplied by `value` for micro-batch `at`."""
    count = iter(range(1000))

    def loss(model, batch):
        return token_loss(model, batch) * (value if next(count) == at else 1.0)

    return Objective(batches=Ragged(batch_size=2), loss=loss)


@pytest.mark.parametrize(("value", "what"), [(math.nan, "loss is nan"), (math.inf, "loss is inf"), (8.0, "exploded")])
def test_a_bad_loss_stops_with_step_batch_and_advice(tmp_path, value, what):
    recorder = Recorder()
    with pytest.raises(TrainingError, match=what) as caught:
        run(failing(5, value), settings(9, save_every=2), recorder=recorder, folder=tmp_path)
    message = str(caught.value)
    for part in ("step 5:", "row 10, row 11", "lower learning rate", "step-00000004", "inspect-batch"):
        assert part in message
    assert [step for step, _ in recorder.steps] == [0, 1, 2, 3, 4]
    assert recorder.saves == [2, 4]


def test_a_loss_that_doubles_from_little_is_no_explosion():
    """Finetuning starts with a low loss, and a ragged batch may be twice as hard as the first."""
    count = iter(range(100))

    def loss(model, batch):
        return token_loss(model, batch) * (0.05 if next(count) == 0 else 0.2)

    _, recorder, _ = run(Objective(batches=Ragged(batch_size=2), loss=loss), settings(3))
    assert recorder.losses[1] > 3 * recorder.losses[0]


def test_the_checkpoint_of_exploded_weights_is_set_aside(tmp_path):
    """Weights saved after step 4 turn out bad in step 4: the next run must start from the ones before."""
    with pytest.raises(TrainingError, match="bad-step-00000004"):
        run(failing(4, 50.0), settings(9, save_every=2), folder=tmp_path)
    folder = tmp_path / "checkpoints"
    assert [path.name for path in checkpoint_folders(folder)] == ["step-00000002"]
    assert (folder / "bad-step-00000004" / "weights.safetensors").exists()
    _, recorder, result = run(ragged(), settings(9, save_every=2), folder=tmp_path)
    assert (result.resumed_from, recorder.steps[0][0]) == (2, 2)


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    class Ruin(Recorder):
        def on_step(self, step, metrics):
            super().on_step(step, metrics)
            if step == 3:
                with torch.no_grad():
                    model.head_weight[0, 0] = math.inf

    model = tiny_model()
    with pytest.raises(TrainingError, match=r"step 4.*embedding.token.weight.*step-00000002"):
        run(config=settings(9, save_every=2), model=model, recorder=Ruin(), folder=tmp_path)
    assert [path.name for path in checkpoint_folders(tmp_path / "checkpoints")] == ["step-00000002"]


def test_a_gradient_that_is_no_number_stops_before_the_update():
    model = tiny_model()
    model.decoder.norm.weight.register_hook(lambda gradient: gradient * math.nan)
    before = weights(model)
    with pytest.raises(TrainingError, match="gradient's norm is nan"):
        run(model=model)
    assert_same_bits(before, weights(model))


def test_the_first_loss_is_remembered_across_a_resume(tmp_path):
    """The first loss of the *run* judges explosions, not the first after resuming."""
    small = failing(-1, 1.0)
    with pytest.raises(RuntimeError, match="power"):
        run(small, settings(9, save_every=1), recorder=Recorder(fail_at=2), folder=tmp_path)
    with pytest.raises(TrainingError, match=r"first step's was 5\.\d+"):
        run(failing(0, 3.0), settings(9, save_every=1), folder=tmp_path)  # its first step is the third of the run


def test_nothing_to_predict_is_said():
    class Empty(Ragged):
        def batch(self, index):
            batch = super().batch(index)
            batch.labels.fill_(IGNORE)
            return batch

    with pytest.raises(TrainingError, match="nothing to predict"):
        run(Objective(batches=Empty(batch_size=2), loss=token_loss))


def test_parameters_to_train_must_be_float32():
    with pytest.raises(InputError, match=r"bfloat16.*float32"):
        run(model=tiny_model().bfloat16())


class Same(Ragged):
    """Returns the same batch for every request."""

    def batch(self, index):
        return super().batch(0)


def test_dropout_draws_other_masks_each_step_but_the_same_each_run():
    losses = []
    for seed in (0, 0, 1):
        model = tiny_model(dropout=Dropout(residual=0.3, feed_forward=0.2))
        torch.rand(seed + 3)  # earlier draws do not matter
        config = settings(3, seed=seed, optimizer=OptimizerConfig(kind="adamw", learning_rate=1e-12, weight_decay=0.0))
        losses.append(run(Objective(batches=Same(batch_size=2), loss=token_loss), config, model=model)[1].losses)
    assert losses[0] == losses[1] != losses[2]
    assert len(set(losses[0])) == 3


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_each_process_draws_its_own_dropout(monkeypatch, share):
    """All read the same batch with the same weights, so that losses differ by the masks alone."""

    def first_loss(rank):
        class OneOfMany(ProcessGroup):
            def __init__(self, parallel, device):
                super().__init__(parallel, device)
                self.rank = rank

        monkeypatch.setattr(loop, "ProcessGroup", OneOfMany)
        model = tiny_model(dropout=Dropout(residual=share))
        return run(Objective(batches=Same(batch_size=2), loss=token_loss), settings(1), model=model)[2].loss

    losses = [first_loss(rank) for rank in (0, 1, 2, 1)]
    assert losses[1] == losses[3]
    assert len(set(losses)) == (3 if share else 1)


def test_bf16_stays_near_float32():
    """Bound: after ten steps the losses differ by under 1 %."""
    losses = {}
    for precision in ("float32", "bf16"):
        losses[precision] = run(config=settings(10, precision=precision, schedule=FLAT))[1].losses
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.01)
    assert losses["bf16"] != losses["float32"]
