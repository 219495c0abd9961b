"""Adapters open over their models: folders of `lavra finetune` and of PEFT give the same logits as before saving."""

import json
import shutil

import numpy as np
import peft
import pytest
import torch
import transformers as hf

import lavra
from lavra.adapt.inject import add_adapter
from lavra.adapt.methods.prompt import PromptConfig
from lavra.adapt.methods.table import method_starts
from lavra.adapt.peft_write import save_adapter
from lavra.api.fill import mask_filler
from lavra.api.serving import start_engine
from lavra.base.card import read_card
from lavra.base.errors import CheckpointError, ContextLengthError, InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest, ScoreRequest
from lavra.model.checkpoint import load_checkpoint
from lavra.runs.finetune import finetune, prepare
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.learning.settings import FinetuneConfig
from lavra.tasks.predicting.headed import TextGroup
from lavra.tasks.table import task_named
from tests.adapt.peers import randomize
from tests.runs.tasks import base_folder, rows, write
from tests.tasks.heads import head_folder, peer

TEXTS = ["the film was good", "a sad day in porto", "it is"]
TASKS = {"several": "classify", "number": "classify", "pair": "classify"}


def tuned(tmp_path, kind, method="lora", family="bert", base=None):
    """A finetuned adapter, and the run that made it."""
    data = write(tmp_path / "data.jsonl", rows(kind, 24))
    config = FinetuneConfig(
        task=task_named(TASKS.get(kind, kind)),
        data=data,
        method=method_starts()[method],
        steps=2,
        batch_size=8,
        heldout_fraction=0.2,
    )
    run = prepare(config, base or base_folder(tmp_path / "base", family))
    randomize(run.recipe.module())
    finetune(run, tmp_path / "made", lambda *_: None)
    return run


def read(headed, texts=TEXTS):
    groups = [TextGroup(texts=[text], truncate=False, name="text") for text in texts]
    return np.stack([found.logits for found in headed.read(groups)])


@pytest.mark.parametrize(
    ("family", "method"),
    [
        pytest.param(family, method, id=f"{family}-{method}")
        for family in ("bert", "llama")
        for method in method_starts()
        if method != "full" and (family, method) != ("bert", "prefix")  # an encoder keeps no keys
    ],
)
def test_a_finetuned_classifier_opens_again_with_equal_logits(tmp_path, family, method):
    run = tuned(tmp_path, "classify", method, family)
    run.recipe.headed.virtual = run.recipe.virtual
    again = lavra.load(tmp_path / "made")
    assert np.allclose(read(again.predictor.headed), read(run.recipe.headed), atol=1e-5)
    assert again.predictor.labels == run.recipe.model.task.labels
    assert again.classify(TEXTS[0]).label in ("yes", "no")
    fresh = lavra.load(tmp_path / "base")
    assert fresh.predictor is None


@pytest.mark.parametrize("kind", ["several", "number", "rerank", "ner", "qa", "choice"])
def test_every_head_opens_again(tmp_path, kind):
    run = tuned(tmp_path, kind)
    again = lavra.load(tmp_path / "made", runner="torch").predictor
    assert again.headed.model.task == run.recipe.model.task
    torch.manual_seed(0)
    ids = torch.randint(5, 60, (2, 9))
    with torch.no_grad():
        assert torch.allclose(again.headed.model(ids), run.recipe.model.eval()(ids), atol=1e-5)


def test_an_adapter_over_a_model_with_that_head(tmp_path):
    """Further training of an existing head: it is saved with the adapter and replaces the base's."""
    first = tmp_path / "first"
    first.mkdir()
    data = write(first / "data.jsonl", rows("classify", 24))
    config = FinetuneConfig(task=CLASSIFY, data=data, steps=1, batch_size=8, heldout_fraction=0.2)
    finetune(prepare(config, base_folder(tmp_path / "plain")), tmp_path / "headed", lambda *_: None)
    run = tuned(tmp_path, "classify", base=tmp_path / "headed")
    assert np.allclose(read(lavra.load(tmp_path / "made").predictor.headed), read(run.recipe.headed), atol=1e-5)
    bare = lavra.load(tmp_path / "headed").predictor.headed
    assert not np.allclose(read(bare), read(run.recipe.headed), atol=1e-3)


def test_saved_again_it_opens_again(tmp_path):
    tuned(tmp_path, "classify")
    one = lavra.load(tmp_path / "made")
    one.save(tmp_path / "copy")
    card = read_card(tmp_path / "copy")
    assert (card.kind, card.parents["model"]) == ("adapter", read_card(tmp_path / "made").id)
    again = lavra.load(tmp_path / "copy")
    assert again.classify(TEXTS) == one.classify(TEXTS)
    one.save(tmp_path / "copy")


def test_writers_and_embedders_open_with_their_adapters(tmp_path):
    run = tuned(tmp_path, "text2text", family="llama")
    again = lavra.load(tmp_path / "made", runner="torch")
    ids = torch.randint(5, 60, (2, 9))
    with torch.no_grad():
        assert torch.equal(again.port.model(ids), run.recipe.module().eval()(ids))
    assert again.generate("where is ana", max_tokens=3).usage.completion_tokens <= 3
    other = tmp_path / "other"
    other.mkdir()
    run = tuned(other, "embed")
    assert lavra.load(other / "made").embed(TEXTS) == pytest.approx(run.recipe.embed(TEXTS), abs=1e-5)


@pytest.mark.parametrize("kind", ["classify", "ner", "qa"])
@torch.no_grad()
def test_peft_wrote_it(tmp_path, kind):
    """Over a base that has the head; a PEFT adapter's own files do not name the labels."""
    base = head_folder(kind, tmp_path / "base")
    model, tokenizer = peer(kind, base)
    names = {"classify": "SEQ_CLS", "ner": "TOKEN_CLS", "qa": "QUESTION_ANS"}
    whole = {"modules_to_save": ["qa_outputs"]} if kind == "qa" else {}
    config = peft.LoraConfig(task_type=names[kind], r=3, target_modules=["query", "value"], **whole)
    other = peft.get_peft_model(model, config).eval()
    randomize(other)
    other.save_pretrained(tmp_path / "made")
    row = tokenizer(TEXTS[0], return_tensors="pt")
    out = other(**row)
    expected = torch.stack((out.start_logits, out.end_logits), -1) if kind == "qa" else out.logits
    ours = lavra.load(tmp_path / "made", runner="torch").predictor.headed.model(row["input_ids"])
    assert (ours - expected).abs().max() < 1e-4


def test_its_model_may_be_elsewhere(tmp_path):
    tuned(tmp_path, "classify")
    expected = lavra.load(tmp_path / "made").classify(TEXTS)
    shutil.move(tmp_path / "base", tmp_path / "moved")
    with pytest.raises(
        InputError, match=r"the adapter .* belongs to .*, which is not a folder here; name it with base="
    ):
        lavra.load(tmp_path / "made")
    assert lavra.load(tmp_path / "made", base=tmp_path / "moved").classify(TEXTS) == expected
    with pytest.raises(InputError, match="is not an adapter; leave base out"):
        lavra.load(tmp_path / "moved", base=tmp_path / "made")


def test_unusable_folders_are_refused(tmp_path):
    tuned(tmp_path, "classify")
    path = tmp_path / "made" / "adapter_config.json"
    fields = json.loads(path.read_text())
    (tmp_path / "made" / "lavra.json").unlink()
    with pytest.raises(CheckpointError, match="open the model with the head"):
        lavra.load(tmp_path / "made")
    path.write_text(json.dumps({**fields, "base_model_name_or_path": None}))
    with pytest.raises(InputError, match="does not say which model it belongs to"):
        lavra.load(tmp_path / "made")
    path.write_text(json.dumps({**fields, "base_model_name_or_path": "owner/model"}))
    with pytest.raises(InputError, match="belongs to 'owner/model', which is not a folder here"):  # nothing is fetched
        lavra.load(tmp_path / "made")
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="holds a list instead of fields"):
        lavra.load(tmp_path / "made")


NATIVE = pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
RUNNERS = ["torch", pytest.param("native", marks=NATIVE)]
VIRTUAL = [("llama", "prompt"), ("llama", "prefix"), ("t5", "prompt"), ("t5", "prefix")]


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(("family", "method"), VIRTUAL)
def test_a_soft_prompt_of_a_writer_stands_before_every_text(tmp_path, family, method, runner):
    """Equal to whole passes over the model without a cache; its scores are the training's."""
    run = tuned(tmp_path, "text2text", method, family)
    opened = lavra.load(tmp_path / "made", runner=runner)
    port, sources = opened.port, ["where is ana", "who saw rui in the day"]
    requests = [GenerateRequest(prompt=source, max_tokens=6) for source in sources]
    plain = lavra.load(tmp_path / "base")
    written = [completions[0] for completions in port.generate(requests)]
    for request, found in zip(requests, written, strict=True):
        expected = written_alone(run.recipe, port, request)
        assert found.tokens == expected
        assert found.usage.prompt_tokens == plain.port.generate([request])[0][0].usage.prompt_tokens
    scored = opened.score("in porto", given=sources[0])
    assert sum(scored.logprobs) == pytest.approx(-nats_by_hand(run.recipe, port, scored.tokens, sources[0]), abs=1e-4)
    with start_engine(opened) as engine:
        assert [one[0].tokens for one in engine.generate(requests)] == [one.tokens for one in written]
        again = engine.score([ScoreRequest(text="in porto", given=sources[0])])[0]
    assert again.logprobs == pytest.approx(scored.logprobs, abs=1e-4)


def front_and_ids(recipe, port, request):
    """Virtual ids, the encoder's input (None for a decoder), and the decoder's first input."""
    front, encoding = list(recipe.virtual), port.encoding
    if encoding.decoder_start is None:
        return front, None, encoding.prompt_ids(request)
    if recipe.virtual_in_target:
        return front, encoding.source_ids(request), [encoding.decoder_start]
    return [], [*front, *encoding.source_ids(request)], [encoding.decoder_start]


@torch.no_grad()
def logits_by_hand(recipe, port, request, written):
    front, source, read = front_and_ids(recipe, port, request)
    ids = torch.tensor([[*front, *read, *written]])
    model = recipe.model.eval()
    found = model(ids) if source is None else model(torch.tensor([source]), ids)
    return found[0, len(front) + len(read) - 1 :]


def written_alone(recipe, port, request):
    written, num_tokens = [], 1 + max(port.tokenizer.backend.get_vocab(with_added_tokens=True).values())
    while len(written) < request.max_tokens and (not written or written[-1] not in port.stop_ids):
        written.append(int(logits_by_hand(recipe, port, request.prompt, written)[-1, :num_tokens].argmax()))
    return tuple(written)


def nats_by_hand(recipe, port, tokens, source):
    logits = logits_by_hand(recipe, port, source, tokens[:-1])
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(tokens), reduction="sum"))


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("method", ["prompt", "lora"])
def test_an_embedders_adapter(tmp_path, runner, method):
    run = tuned(tmp_path, "embed", method)
    assert lavra.load(tmp_path / "made", runner=runner).embed(TEXTS) == pytest.approx(run.recipe.embed(TEXTS), abs=1e-5)


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_encoders_soft_prompt_is_scored_with_and_nothing_else_ignores_it(tmp_path, runner):
    run = tuned(tmp_path, "embed", "prompt")
    opened, plain = lavra.load(tmp_path / "made", runner=runner), lavra.load(tmp_path / "base")
    reference = lavra.load(tmp_path / "made", runner="torch").port.model
    (score,) = opened.port.score([ScoreRequest(text="ana saw rui")])
    tokenizer, front = opened.tokenizer, list(run.recipe.virtual)
    ids = tokenizer.encode("ana saw rui", add_special_tokens=True)
    expected = []
    for place in range(1, len(ids) - 1):
        hidden = [*front, *ids[:place], tokenizer.mask_id, *ids[place + 1 :]]
        with torch.no_grad():
            logits = reference(torch.tensor([hidden]))[0, len(front) + place]
        expected.append(float(logits.log_softmax(-1)[ids[place]]))
    assert list(score.logprobs) == pytest.approx(expected, abs=1e-4)
    assert list(score.logprobs) != pytest.approx(list(plain.score("ana saw rui").logprobs), abs=1e-3)
    assert mask_filler(opened.port) is None
    with pytest.raises(InputError, match="not behind a soft prompt"):
        opened.fill_mask("ana saw [MASK]")


def test_a_soft_prompt_takes_the_models_room_and_not_the_texts(tmp_path):
    """A sentence encoder's own limit applies to texts: 16 tokens, after 20 virtual tokens."""
    run = tuned(tmp_path, "embed", "prompt")
    (tmp_path / "base" / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16}))
    (tmp_path / "base" / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer"}]))
    opened = lavra.load(tmp_path / "made")
    fits = " ".join(["day"] * 14)
    assert opened.embed([fits]) == pytest.approx(run.recipe.embed([fits]), abs=1e-5)
    with pytest.raises(ContextLengthError, match="15 tokens and this model embeds at most 14"):
        opened.embed([f"{fits} day"])


def test_a_soft_prompt_has_no_draft_model(tmp_path):
    tuned(tmp_path, "text2text", "prompt", "llama")
    with pytest.raises(InputError, match="the draft is a soft prompt"):
        start_engine(lavra.load(tmp_path / "base"), draft=lavra.load(tmp_path / "made"))


def test_texts_too_long_behind_a_soft_prompt_are_refused(tmp_path):
    tuned(tmp_path, "text2text", "prompt", "llama")
    opened = lavra.load(tmp_path / "made")  # 96 positions, 20 of them virtual
    written = opened.generate((7,) * 70, max_tokens=30)
    assert written.usage.prompt_tokens + written.usage.completion_tokens <= 76
    assert "max_tokens was lowered from 30 to 6" in written.warnings[0]
    with pytest.raises(ContextLengthError, match="the prompt has 76 tokens and the model's context 76"):
        opened.generate((7,) * 76)
    assert len(opened.score((7,) * 77).logprobs) == 77
    with pytest.raises(ContextLengthError, match="78 tokens and 77 fit behind 20 virtual ones"):
        opened.score((7,) * 78)


def test_a_soft_prompt_that_says_of_no_task_is_refused(tmp_path):
    run = tuned(tmp_path, "classify", "prompt")
    bare = base_folder(tmp_path / "bare")
    model, _ = load_checkpoint(bare)
    add_adapter(model, "default", PromptConfig(num_tokens=3))
    save_adapter(model, "default", tmp_path / "prompt", base=str(bare))
    run.tokenizer.save(tmp_path / "prompt")
    with pytest.raises(InputError, match="soft prompt of an encoder without a task's head"):
        lavra.load(tmp_path / "prompt")


def test_peft_opens_what_a_run_wrote_over_a_model_with_as_many_labels(tmp_path):
    run = tuned(tmp_path, "classify")
    model = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2)
    other = peft.PeftModel.from_pretrained(model, tmp_path / "made").eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        found = other(**tokenizer(TEXTS[0], return_tensors="pt")).logits
    assert found.numpy() == pytest.approx(read(run.recipe.headed)[0], abs=1e-4)
