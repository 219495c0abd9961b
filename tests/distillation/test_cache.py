"""A teacher on disk equals the teacher on the batches that it has seen, and refuses others."""

import pytest
import torch

from lavra.base.errors import ConfigError, InputError
from lavra.data.batch import IGNORE
from lavra.distillation.cache import TeacherCache, TeacherCacheConfig, write_teacher_cache
from lavra.distillation.config import DistillConfig, HiddenConfig
from lavra.distillation.training_task import DistillationTask, distill
from lavra.model.checkpoint import save_checkpoint
from tests.distillation.distilled import KINDS, VOCAB, Made, batch_of, model_of
from tests.train.tiny import settings, weights


def made(family="llama", length=4, first=0):
    return Made(lambda number: batch_of(family, first + number), length)


def written(folder, family="llama", **settings):
    config = TeacherCacheConfig(**{"num_batches": 4, "top_k": VOCAB, "temperature": 2.0, **settings})
    return write_teacher_cache(model_of(family), made(family), folder / "cache", config)


@pytest.mark.parametrize("family", KINDS)
def test_with_all_tokens_kept_the_loss_is_the_teachers(family, tmp_path):
    cache, config = written(tmp_path, family), DistillConfig(temperature=2.0, share=0.7)
    for number in range(4):
        batch, found = batch_of(family, number), []
        for teacher in (model_of(family), cache):
            student = model_of(family, layers=1, seed=1)
            with DistillationTask(student, teacher, made(family), config) as training_task:
                loss = training_task.objective.loss(training_task.student, batch)
                loss.backward()
            found.append((loss.item(), student.embedding.token.weight.grad))
        assert found[1][0] == pytest.approx(found[0][0], rel=2e-3)  # sixteen bits
        difference = (found[0][1] - found[1][1]).norm() / found[0][1].norm()
        assert difference < 5e-3


def test_a_few_tokens_are_nearly_the_teacher_and_less_on_disk(tmp_path):
    few = written(tmp_path, top_k=8)
    assert len(few) == 4
    rows = sum(batch_of(seed=number).num_targets for number in range(4))
    assert (few.folder / "ids.bin").stat().st_size == rows * 8 * 2
    assert (few.folder / "logprobs.bin").stat().st_size == rows * 9 * 2
    said = few.of(batch_of(seed=2))
    total = said.logprobs.exp().sum(1) + said.log_rest.exp()
    torch.testing.assert_close(total, torch.ones_like(total))
    with torch.no_grad():
        asked = batch_of(seed=2)
        logits = model_of()(asked.input_ids, positions=asked.positions, segments=asked.segments)
    wanted = torch.log_softmax(logits[asked.labels != IGNORE] / 2.0, -1).topk(8)
    assert torch.equal(said.ids.sort().values, wanted.indices.sort().values)
    torch.testing.assert_close(said.logprobs, wanted.values, atol=1e-2, rtol=1e-2)


def test_a_student_learns_from_it_as_from_the_teacher(tmp_path):
    found = []
    for teacher in (model_of(), written(tmp_path)):
        student = model_of(layers=1, seed=1)
        distill(student, teacher, made(), DistillConfig(temperature=2.0), settings(4))
        found.append(weights(student))
    start = weights(model_of(layers=1, seed=1))
    moved, apart = (
        sum(float((found[0][name] - tensor).abs().sum()) for name, tensor in other.items())
        for other in (start, found[1])
    )
    assert apart < moved / 20


def test_progress_is_reported_and_equal_batches_are_kept_once(tmp_path):
    told = []
    cache = write_teacher_cache(
        model_of(), made(length=2), tmp_path / "cache", TeacherCacheConfig(num_batches=5), lambda *now: told.append(now)
    )
    assert told == [("teacher", number, 5) for number in range(1, 6)]
    assert len(cache) == 2


def test_other_data_a_longer_run_and_other_settings_are_refused(tmp_path):
    cache = written(tmp_path)
    student = model_of(layers=1)
    with pytest.raises(InputError, match="not this one"):
        DistillationTask(student, cache, made(first=100), DistillConfig())
    with pytest.raises(InputError, match="the run is longer"):
        distill(student, cache, Made(lambda number: batch_of(seed=number)), DistillConfig(), settings(5))
    with pytest.raises(ConfigError, match=r"written for 2\.0"):
        DistillationTask(student, cache, made(), DistillConfig(temperature=1.0))
    with pytest.raises(ConfigError, match="student: encoder, teacher: decoder"):
        DistillationTask(model_of("bert"), cache, made("bert"), DistillConfig())
    with pytest.raises(ConfigError, match="not in a teacher's cache"):
        DistillationTask(student, cache, made(), DistillConfig(hidden=HiddenConfig()))
    with pytest.raises(ConfigError, match="teacher knows 64 tokens"):
        written(tmp_path, top_k=VOCAB + 1)
    with pytest.raises(ConfigError, match="num_batches is 0"):
        TeacherCacheConfig(num_batches=0)


def test_a_damaged_or_another_folder_is_refused(tmp_path):
    cache = written(tmp_path)
    with (cache.folder / "ids.bin").open("ab") as file:
        file.write(b"00")
    with pytest.raises(InputError, match="bytes and should have"):
        TeacherCache(cache.folder)
    save_checkpoint(model_of(), tmp_path / "model")
    with pytest.raises(InputError, match=r"lavra\.json"):
        TeacherCache(tmp_path / "model")
