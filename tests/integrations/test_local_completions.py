"""lm-evaluation-harness as a client of the server, item by item against its own model on the same folder."""

import pytest

pytest.importorskip("lm_eval", reason="lm-eval is not installed")
from lm_eval.models.openai_completions import LocalCompletionsAPI

from lavra import load
from lavra.api.serving import start_engine
from lavra.server.served import ServedModel
from tests.integrations.beside import beside, peer
from tests.model.smollm2 import needs_smollm2
from tests.server.conftest import running

TASKS = ["arc_easy", "piqa", "openbookqa", "winogrande", "social_iqa", "lambada_openai"]


def check(folder, tasks, limit, **settings):
    """The harness requests one token after each prompt, and ignores it."""
    model = load(folder, dtype="float32")
    with running([ServedModel(name="asked", tokenizer=model.tokenizer, engine=start_engine(model))]) as url:
        client = LocalCompletionsAPI(
            base_url=f"{url}/v1/completions",
            model="asked",
            tokenizer=folder,
            tokenizer_backend="huggingface",
            batch_size=3,
            max_length=511,
            **settings,
        )
        beside(client, peer(folder, add_bos_token=False), tasks, limit)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
def test_local_completions_score_what_the_harness_scores(stories):
    check(stories, TASKS, 3)


@needs_smollm2
@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("here")
def test_prompts_as_text_are_scored_the_same_where_nothing_is_put_in_front(smollm2):
    """A server adds a beginning token to a text, and the harness does not count it; this model has none."""
    check(smollm2, ["arc_easy", "lambada_openai"], 1, tokenized_requests=False)
