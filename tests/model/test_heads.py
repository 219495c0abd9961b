"""Models with a task's head: `transformers` computes the same logits, and folders go in both directions."""

import dataclasses

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from lavra.base.errors import CheckpointError, ConfigError
from lavra.base.tasks import HeadKind, Problem
from lavra.model.build import build_model
from lavra.model.checkpoint import load_checkpoint, save_checkpoint
from lavra.model.families.table import FAMILIES, family
from lavra.model.first_token import first_hidden
from lavra.model.heads import TaskModel, add_task_head
from lavra.model.task_config import HEADS, TaskConfig
from lavra.model.task_files import task_in
from lavra.model.task_folder import load_task_model, save_task_model
from tests.model.variants import ALL, PAD, VOCAB, save_theirs, scale_weights, theirs

NAMES = (
    "bert", "roberta", "gpt2", "falcon-7b", "falcon-new", "llama", "llama-grouped", "mistral", "qwen2",
    "t5-v1.0", "t5-v1.1",
)  # fmt: skip
VARIANTS = [variant for variant in ALL if variant.name in NAMES]
LABELS = ("no", "maybe", "yes")
CLASSES = {
    HeadKind.SEQUENCE: hf.AutoModelForSequenceClassification,
    HeadKind.TOKEN: hf.AutoModelForTokenClassification,
    HeadKind.SPAN: hf.AutoModelForQuestionAnswering,
    HeadKind.CHOICE: hf.AutoModelForMultipleChoice,
}


def cases():
    return [
        pytest.param(variant, task, id=f"{variant}-{task.value}")
        for variant in VARIANTS
        for task in CLASSES
        if task is not HeadKind.CHOICE or "bert" in variant.name
    ]


def theirs_with_head(variant, task):
    torch.manual_seed(5)
    config = variant.config()
    if task is HeadKind.SEQUENCE or task is HeadKind.TOKEN:
        config.num_labels = 3
        config.id2label = dict(enumerate(LABELS))
        config.label2id = {label: index for index, label in enumerate(LABELS)}
    elif config.model_type == "t5":
        config.num_labels = 2
    if config.model_type == "t5":
        config.eos_token_id = 3
    model = CLASSES[task].from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale_weights(name, parameter)
    return model


def texts(t5=False):
    """(2, T) ids of different lengths, padded on the right, and the mask of real tokens; one </s> each for T5."""
    torch.manual_seed(3)
    ids = torch.randint(4, VOCAB, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 6:] = False
    if t5:
        ids[0, 8] = ids[1, 5] = 3
    return ids.masked_fill(~mask, PAD), mask


def logits_of(peer, ids, mask, task):
    if task is HeadKind.CHOICE:
        return peer(ids[:, None], attention_mask=mask[:, None].long()).logits
    out = peer(ids, attention_mask=mask.long())
    return torch.stack((out.start_logits, out.end_logits), -1) if task is HeadKind.SPAN else out.logits


@pytest.mark.parametrize(("variant", "task"), cases())
@torch.no_grad()
def test_the_logits_and_the_folders_are_those_of_transformers(variant, task, tmp_path):
    peer = theirs_with_head(variant, task)
    peer.save_pretrained(tmp_path / "theirs")
    assert task_in(tmp_path / "theirs").head is task
    model = load_task_model(tmp_path / "theirs")
    ids, mask = texts(t5="t5" in variant.name)
    expected = logits_of(peer, ids, mask, task)
    real = mask if task in (HeadKind.TOKEN, HeadKind.SPAN) else torch.ones(2, dtype=torch.bool)
    torch.testing.assert_close(model(ids, attention_mask=mask)[real], expected[real], atol=2e-5, rtol=2e-4)
    if task in (HeadKind.SEQUENCE, HeadKind.TOKEN):
        assert model.task.labels == LABELS

    save_task_model(model, tmp_path / "ours")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "ours"))
    unused = {name for name in before if "pooler" in name and name not in after}
    assert set(before) - unused == set(after)
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    reopened = CLASSES[task].from_pretrained(tmp_path / "ours").eval()
    assert type(reopened) is type(peer)
    torch.testing.assert_close(logits_of(reopened, ids, mask, task)[real], expected[real], atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("task", list(HeadKind), ids=lambda task: task.value)
@torch.no_grad()
def test_a_fresh_head_is_saved_and_opened_again(variant, task, tmp_path):
    save_theirs(theirs(variant), tmp_path / "base")
    model, _ = load_checkpoint(tmp_path / "base")
    config = TaskConfig.of(task, LABELS)
    torch.manual_seed(0)
    made = add_task_head(model, config, pad_id=PAD).eval()
    save_task_model(made, tmp_path / "made")
    again = load_task_model(tmp_path / "made")
    assert dataclasses.replace(again.task, dropout=None) == config
    assert task_in(tmp_path / "made") == again.task
    ids, mask = texts()
    assert torch.equal(again(ids, attention_mask=mask), made(ids, attention_mask=mask))


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("task", [HeadKind.SEQUENCE, HeadKind.TOKEN, HeadKind.SPAN], ids=lambda task: task.value)
def test_padding_changes_nothing(variant, task, tmp_path):
    save_theirs(theirs(variant), tmp_path)
    model, _ = load_checkpoint(tmp_path)
    made = add_task_head(model, TaskConfig.of(task, LABELS)).eval()
    ids, mask = texts()
    together = made(ids, attention_mask=mask)
    alone = made(ids[1:, :6])
    found = together[1:, :6] if task in (HeadKind.TOKEN, HeadKind.SPAN) else together[1:]
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_token_types_reach_the_encoder(tmp_path):
    bert = next(variant for variant in VARIANTS if variant.name == "bert")
    peer = theirs_with_head(bert, HeadKind.SEQUENCE)
    peer.save_pretrained(tmp_path)
    model = load_task_model(tmp_path)
    ids, mask = texts()
    types = (torch.arange(9) > 3).long().expand(2, 9)
    expected = peer(ids, attention_mask=mask.long(), token_type_ids=types).logits
    torch.testing.assert_close(model(ids, attention_mask=mask, token_type_ids=types), expected, atol=2e-5, rtol=2e-4)


def test_a_fresh_head_is_drawn_as_transformers_draws_it():
    bert = next(variant for variant in VARIANTS if variant.name == "bert")
    config = dataclasses.replace(load_config_of(bert), init_std=0.02)
    torch.manual_seed(0)
    made = add_task_head(build_model(config), TaskConfig.of(HeadKind.SEQUENCE, tuple(map(str, range(500)))))
    assert made.head.output.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not made.head.output.bias.any()


def load_config_of(variant):
    return load_checkpoint_of(variant)[1]


def load_checkpoint_of(variant):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_theirs(theirs(variant), folder)
        return load_checkpoint(folder)


def test_labels_of_a_folder_are_read(tmp_path):
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == "llama"))
    made = add_task_head(model, TaskConfig.of(HeadKind.SEQUENCE, LABELS, Problem.MULTI_LABEL), pad_id=PAD)
    save_task_model(made, tmp_path)
    config = hf.AutoConfig.from_pretrained(tmp_path)
    assert config.id2label == dict(enumerate(LABELS))
    assert config.problem_type == "multi_label_classification"
    assert config.pad_token_id == PAD
    assert load_task_model(tmp_path).task.problem is Problem.MULTI_LABEL


def test_a_language_model_is_no_task_model(tmp_path):
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == "llama"))
    save_checkpoint(model, tmp_path)
    assert task_in(tmp_path) is None
    with pytest.raises(CheckpointError, match="no head of a task"):
        load_task_model(tmp_path)


@pytest.mark.parametrize(
    ("labels", "head", "problem", "words"),
    [
        ((), HeadKind.SEQUENCE, None, "at least one"),
        (("a", "a"), HeadKind.TOKEN, None, "each once"),
        (("a", "b"), HeadKind.CHOICE, None, "one output"),
        (("a", "b"), HeadKind.SEQUENCE, Problem.REGRESSION, "one output"),
    ],
)
def test_labels_that_make_no_head(labels, head, problem, words):
    with pytest.raises(ConfigError, match=words):
        TaskConfig(task="classify", head=head, labels=labels, problem=problem)


def test_every_architecture_is_a_class_of_transformers():
    for found in map(family, FAMILIES):
        assert set(found.heads) == set(HeadKind)
        for kind, form in found.heads.items():
            assert hasattr(hf, form.architecture), form.architecture
            assert kind in found.head_kinds(form.architecture)
        assert all(found.head_kinds(architecture) == [] for architecture in found.architectures)


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(("task", "head"), [*HEADS.items(), ("mood", HeadKind.CHOICE)])
def test_a_folder_says_which_task_its_head_is_for(family, task, head, tmp_path):
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == family))
    config = TaskConfig.of(head, LABELS, Problem.REGRESSION if task == "rerank" else None, task=task)
    save_task_model(add_task_head(model, config, pad_id=PAD), tmp_path)
    assert dataclasses.replace(task_in(tmp_path), dropout=None) == config
    assert TaskConfig.from_facts(config.to_facts()) == config
    assert ("head" in config.to_facts()) is (task == "mood")


def test_a_word_of_another_maker_says_nothing_of_the_head(tmp_path):
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == "llama"))
    save_task_model(add_task_head(model, TaskConfig.of(HeadKind.SEQUENCE, LABELS), pad_id=PAD), tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"classify"', '"mnli"'))
    assert dataclasses.replace(task_in(tmp_path), dropout=None) == TaskConfig.of(HeadKind.SEQUENCE, LABELS)


def test_the_backbone_loses_what_the_head_does_not_use():
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == "t5-v1.0"))
    made = add_task_head(model, TaskConfig.of(HeadKind.TOKEN, LABELS))
    assert isinstance(made, TaskModel)
    assert not [name for name, _ in made.named_parameters() if "decoder" in name or name.startswith("backbone.head")]


@torch.no_grad()
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_reading_the_first_token_alone_changes_nothing(name):
    """The shortened last block gives the first row of the whole pass."""
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == name))
    ids, mask = texts()
    for attention_mask in (mask, None):
        whole = model.hidden(ids, attention_mask=attention_mask)[:, :1]
        first = first_hidden(model, ids, attention_mask=attention_mask, token_type_ids=None)
        torch.testing.assert_close(first, whole, atol=1e-6, rtol=1e-5)


def test_the_shortened_block_learns_as_the_whole_one():
    """Gradients of everything below equal those of the whole pass; unread rows have none anyway."""
    model, _ = load_checkpoint_of(next(variant for variant in VARIANTS if variant.name == "bert"))
    ids, mask = texts()
    wanted = {}
    for name, hidden in (
        ("whole", model.hidden(ids, attention_mask=mask)[:, :1]),
        ("first", first_hidden(model, ids, attention_mask=mask, token_type_ids=None)),
    ):
        model.zero_grad()
        hidden.square().sum().backward()
        wanted[name] = {key: part.grad.clone() for key, part in model.named_parameters() if part.grad is not None}
    assert wanted["whole"].keys() == wanted["first"].keys()
    for key, gradient in wanted["whole"].items():
        torch.testing.assert_close(wanted["first"][key], gradient, atol=1e-4, rtol=1e-3)
