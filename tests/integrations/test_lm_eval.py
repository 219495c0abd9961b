"""lavra inside lm-evaluation-harness, item by item against its own `hf` model: shipped tasks on real rows."""

import pytest

from lavra.base.errors import ConfigError
from tests.model.smollm2 import needs_smollm2

pytest.importorskip("lm_eval", reason="lm-eval is not installed")
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from lavra.integrations.lm_eval import HarnessModel
from tests.integrations.beside import beside, peer

TASKS = [  # all four output types; with shots, with contexts that differ instead of choices
    "arc_easy",
    "piqa",
    "openbookqa",
    "winogrande",
    "social_iqa",
    "mmlu_astronomy",
    "lambada_openai",
    "wikitext",
    "triviaqa",
    "gsm8k",
]
FEW = 3


def compare(folder, tasks, limit, **settings):
    beside(HarnessModel(folder, dtype="float32", device="cpu"), peer(folder), tasks, limit, **settings)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("task", TASKS)
def test_each_item_is_what_the_harness_finds_on_a_model_that_begins_with_a_token(stories, task):
    compare(stories, [task], FEW)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("task", [task for task in TASKS if task not in ("gsm8k", "wikitext")])
def test_each_item_is_what_the_harness_finds_on_a_real_model(smollm2, task):
    compare(smollm2, [task], 1)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
def test_a_chat_template_is_the_models_own(smollm2):
    compare(smollm2, ["arc_easy", "triviaqa"], 1, apply_chat_template=True)


@pytest.mark.data
def test_it_is_registered_and_refuses_what_it_cannot_do(stories):
    assert get_model("lavra") is HarnessModel
    with pytest.raises(ConfigError, match="max_length=9999 is over"):
        HarnessModel(stories, max_length=9999)
    model = HarnessModel(stories, max_length=40)
    request = Instance(
        request_type="generate_until", doc={}, arguments=("Once", {"until": ["."], "num_beams": 3}), idx=0
    )
    with pytest.raises(ConfigError, match="num_beams"):
        model.generate_until([request])
    assert model.tok_encode("<s>Once") == model.tok_encode("Once")
