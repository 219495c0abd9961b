"""Hidden states and attention equal those of `transformers`, and the distances between two models'."""

import pytest
import torch
from torch.nn import functional

from lavra.base.errors import ConfigError
from lavra.distillation.config import AttentionConfig, DistillConfig, HiddenConfig
from lavra.distillation.inside import attention_scores
from lavra.distillation.match import as_deep
from lavra.distillation.training_task import DistillationTask
from lavra.distillation.watch import BlockRecorder, stacks
from lavra.model.transformer import EncoderDecoder
from tests.distillation.distilled import KINDS, Made, batch_of, model_of, task_batch, task_model
from tests.model.variants import ALL, VOCAB, ours_of, theirs

IDS = torch.randint(4, VOCAB, (2, 7), generator=torch.Generator().manual_seed(0))
NAMES = ("llama", "llama-grouped", "mistral", "qwen2", "gpt2", "gpt2-scaled-by-layer", "falcon-7b", "bert", "roberta")


@pytest.mark.parametrize("variant", [one for one in ALL if one.name in (*NAMES, "t5-v1.0")], ids=str)
@torch.no_grad()
def test_watched_states_equal_those_of_transformers(variant, tmp_path):
    model = ours_of(theirs(variant), tmp_path)
    peer = variant.model.from_pretrained(tmp_path, attn_implementation="eager").eval()
    places = [(stack, layer) for stack, blocks in stacks(model).items() for layer in range(len(blocks))]
    watch = BlockRecorder(model, states=places, attention=places)
    wanted = {"output_hidden_states": True, "output_attentions": True}
    if isinstance(model, EncoderDecoder):
        model(IDS, IDS[:, :5])
        out = peer(IDS, decoder_input_ids=IDS[:, :5], **wanted)
        states = {"encoder": out.encoder_hidden_states, "decoder": out.decoder_hidden_states}
        maps = {"encoder": out.encoder_attentions, "decoder": out.decoder_attentions}
    else:
        model(IDS)
        out = peer(IDS, **wanted)
        (stack,) = stacks(model)
        states, maps = {stack: out.hidden_states}, {stack: out.attentions}
    for stack, layer in places:
        found = torch.softmax(attention_scores(watch.attention[stack, layer]), -1)
        torch.testing.assert_close(found, maps[stack][layer], atol=1e-4, rtol=1e-3)
        last = layer == len(stacks(model)[stack]) - 1
        if not last or "bert" in variant.name:  # elsewhere transformers shows the last one behind the final norm
            torch.testing.assert_close(watch.states[stack, layer], states[stack][layer + 1], atol=1e-4, rtol=1e-3)
    watch.close()
    assert not watch.states
    assert all("_attend" not in vars(block.attention) for block in model.blocks)
    assert not any(block._forward_hooks for block in model.blocks)


CONFIGS = {
    "mse": DistillConfig(share=0.5, hidden=HiddenConfig(weight=2.0)),
    "cosine": DistillConfig(share=0.5, hidden=HiddenConfig(distance="cosine")),
    "maps": DistillConfig(share=0.5, attention=AttentionConfig(layers="all")),
    "relations": DistillConfig(share=0.5, attention=AttentionConfig(compare="relations")),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("family", KINDS)
def test_a_model_is_not_far_from_itself_and_another_is(family, name):
    batch = batch_of(family)
    teacher = model_of(family, layers=2)
    found = []
    for seed in (0, 1):
        student = model_of(family, layers=2, seed=seed)
        with DistillationTask(student, teacher, Made(lambda _: batch), CONFIGS[name]) as training_task:
            whole = training_task.objective.loss(training_task.student, batch)
        with DistillationTask(student, teacher, Made(lambda _: batch), DistillConfig(share=0.5)) as training_task:
            added = (whole - training_task.objective.loss(training_task.student, batch)) / batch.num_targets
        added.backward()
        found.append(added.item())
        assert (seed == 0) == (abs(found[-1]) < 1e-5)
        gradients = [one.grad.abs().max() for one in student.parameters() if one.grad is not None]
        assert all(one.isfinite() for one in gradients)
        assert (max(gradients) > 1e-4) == (seed == 1)


@torch.no_grad()
def test_the_whole_loss_adds_up_for_a_task():
    """Against `BlockRecorder` and plain tensor code, without padding."""
    student, teacher = task_model(layers=1, hidden=32, seed=1), task_model(layers=2, hidden=48, seed=2)
    batch = task_batch()
    config = DistillConfig(
        share=1.0, hidden=HiddenConfig(weight=0.5), attention=AttentionConfig(weight=3.0, compare="maps")
    )
    with DistillationTask(student, teacher, Made(lambda _: batch), config) as training_task:
        whole = training_task.objective.loss(training_task.student, batch)
        projection = training_task.student.projections["encoder_0"].weight
    with DistillationTask(student, teacher, Made(lambda _: batch), DistillConfig(share=1.0)) as training_task:
        plain = training_task.objective.loss(training_task.student, batch)
    seen = []
    for model in (student, teacher):
        last = len(model.backbone.blocks) - 1
        watch = BlockRecorder(model, states=[("encoder", last)], attention=[("encoder", last)])
        model.backbone.hidden(batch.input_ids, attention_mask=batch.attention_mask)
        seen.append((watch.states["encoder", last], watch.attention["encoder", last]))
        watch.close()
    distances, divergences = [], []
    for row, length in enumerate(batch.attention_mask.sum(1).tolist()):
        ours, others = seen[0][0][row, :length] @ projection.T, seen[1][0][row, :length]
        distances.extend(((ours - others) ** 2).mean(-1))
        maps = [torch.softmax(attention_scores(one)[row, :, :length, :length], -1) for _, one in seen]
        divergences.extend(functional.kl_div(maps[0].log(), maps[1], reduction="none").sum(-1).mean(0))
    expected = plain + batch.num_targets * (0.5 * torch.stack(distances).mean() + 3 * torch.stack(divergences).mean())
    torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-3)


def test_layers_are_matched_by_depth():
    assert as_deep(6, 12) == (1, 3, 5, 7, 9, 11)
    assert as_deep(3, 4) == (0, 1, 3)
    assert as_deep(2, 2) == (0, 1)


def test_relations_take_other_widths_and_maps_do_not():
    student, teacher = model_of(hidden=32, heads=2), model_of(hidden=48, heads=4)
    made = Made(lambda _: batch_of())
    with DistillationTask(student, teacher, made, CONFIGS["relations"]) as training_task:
        assert training_task.objective.loss(training_task.student, batch_of()).isfinite()
    for attention, message in (
        (AttentionConfig(), "2 heads cannot be compared with those of 4"),
        (AttentionConfig(compare="relations", relation_heads=5), "32 wide, which 5"),
    ):
        with pytest.raises(ConfigError, match=message):
            DistillationTask(student, teacher, made, DistillConfig(attention=attention))
    with pytest.raises(ConfigError, match="give 2 numbers from 0 to 1"):
        DistillationTask(student, teacher, made, DistillConfig(hidden=HiddenConfig(layers=(1,))))
    student, teacher = task_model(family="gpt2"), task_model(family="bert")
    with pytest.raises(ConfigError, match="stacks"):
        DistillationTask(student, teacher, made, DistillConfig(hidden=HiddenConfig()))
