"""Students made of some of a teacher's layers: equal with all layers, and equal to `transformers` without the rest."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError
from lavra.distillation.shrink import evenly_spaced, shrink
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.heads import add_task_head
from lavra.model.task_folder import load_task_model, save_task_model
from lavra.model.transformer import EncoderDecoder
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.labelled import head_config
from lavra.tasks.tag import TAG
from tests.model.variants import ALL, VOCAB, ours_of, theirs

IDS = torch.randint(4, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(model):
    return model(IDS, IDS[:, :5]) if isinstance(model, EncoderDecoder) else model(IDS)


@given(st.integers(1, 40), st.data())
def test_spacing_keeps_the_ends_and_is_even(total, data):
    number = data.draw(st.integers(1, total))
    found = evenly_spaced(total, number)
    assert len(set(found)) == len(found) == number
    assert found[0] == 0
    assert list(found) == sorted(found)
    assert found[-1] == (total - 1 if number > 1 else 0)
    gaps = {after - before for before, after in itertools.pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_spacing_is_that_of_shleifer_and_rush():
    assert evenly_spaced(12, 6) == (0, 2, 4, 7, 9, 11)
    assert evenly_spaced(12, 12) == tuple(range(12))
    assert evenly_spaced(12, 1) == (0,)


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_with_all_layers_it_is_the_teacher_and_a_copy(variant, tmp_path):
    teacher = ours_of(theirs(variant), tmp_path)
    student = shrink(teacher, layers=range(teacher.config.num_layers))
    assert torch.equal(logits(student), logits(teacher))
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_half_the_layers_are_what_transformers_computes_without_the_others(variant, tmp_path):
    """Its model with the second layer removed from its module list, or its decoder shortened in the same way."""
    peer = theirs(variant)
    teacher = ours_of(peer, tmp_path / "teacher")
    student = shrink(teacher, layers=[1])
    assert student.config.num_layers == 1
    assert len(student.blocks) == (1 if student.config.num_decoder_layers is None else 2)
    save_checkpoint(student, tmp_path / "student")
    again, _ = load_checkpoint(tmp_path / "student")
    assert torch.equal(logits(again), logits(student))
    small = type(peer).from_pretrained(tmp_path / "student").eval()
    with torch.no_grad():
        expected = small(IDS, decoder_input_ids=IDS[:, :5]) if student.config.num_decoder_layers else small(IDS)
    torch.testing.assert_close(logits(student), expected.logits, atol=2e-5, rtol=2e-4)


@torch.no_grad()
def test_the_layers_kept_are_the_ones_named(tmp_path):
    teacher = ours_of(theirs(next(one for one in ALL if one.name == "llama")), tmp_path)
    student = shrink(teacher, layers=[1])
    skipped = copy.deepcopy(teacher)
    del skipped.decoder.blocks[0]
    assert torch.equal(logits(student), logits(skipped))


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "llama", "qwen2-windows", "t5-v1.1"])
@pytest.mark.parametrize("task", [CLASSIFY, TAG])
def test_a_task_model_keeps_its_head(name, task, tmp_path):
    backbone = ours_of(theirs(next(one for one in ALL if one.name == name)), tmp_path)
    teacher = add_task_head(backbone, head_config(task, ("a", "b", "c")), pad_id=1).eval()
    ids = IDS.clone()
    ids[:, -1] = 3
    with torch.no_grad():
        same = shrink(teacher, layers=range(teacher.config.num_layers))
        assert torch.equal(same(ids), teacher(ids))
        student = shrink(teacher, 1)
        save_task_model(student, tmp_path / "student")
        assert torch.equal(load_task_model(tmp_path / "student")(ids), student(ids))
    assert not student.training
    assert torch.equal(student.head.output.weight, teacher.head.output.weight)


def test_the_student_of_an_uneven_pair_keeps_the_share(tmp_path):
    teacher = ours_of(theirs(next(one for one in ALL if one.name == "t5-v1.0-asymmetric")), tmp_path)
    student = shrink(teacher, 1)
    assert (student.config.num_layers, student.config.num_decoder_layers) == (1, 1)


def test_absent_layers_are_refused(tmp_path):
    teacher = ours_of(theirs(next(one for one in ALL if one.name == "llama")), tmp_path)
    for arguments, message in (
        ({"num_layers": 3}, "3 layers are asked for"),
        ({"num_layers": 0}, "0 layers"),
        ({}, "give one of the two"),
        ({"num_layers": 1, "layers": [0]}, "give one of the two"),
        ({"layers": [1, 0]}, "rising"),
        ({"layers": [2]}, "from 0 to 1"),
        ({"layers": []}, "from 0 to 1"),
        ({"num_layers": 1, "num_decoder_layers": 1}, "leave them out"),
    ):
        with pytest.raises(ConfigError, match=message):
            shrink(teacher, **arguments)
    teacher.decoder.blocks[0].attention.query.lora = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="merge adapters"):
        shrink(teacher, 2)
