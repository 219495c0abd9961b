"""Settings in a model's folder for sampling and prompts apply over HTTP where a request sets nothing."""

import json
import shutil

import httpx2
import pytest

import lavra
from lavra.adapt.embedding_folder import EmbeddingConfig, write_embedding_config
from lavra.model.checkpoint import save_checkpoint
from lavra.verbs.serving import open_model
from lavra.verbs.settings.serve import ServeSettings
from tests.generate.tiny import tiny_model, tiny_tokenizer
from tests.server.conftest import running

PROMPT = "The "


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    for name, family in (("plain", "llama"), ("encoder", "bert")):
        save_checkpoint(tiny_model(family), made / name)
        tiny_tokenizer(family).save(made / name)
    shutil.copytree(made / "plain", made / "sampled")
    usual = {"do_sample": True, "temperature": 0.7, "top_k": 5, "max_new_tokens": 7}
    (made / "sampled" / "generation_config.json").write_text(json.dumps(usual))
    write_embedding_config(made / "encoder", EmbeddingConfig(prompts={"query": PROMPT}, default_prompt="query"))
    return made


@pytest.fixture(scope="module")
def http(folders):
    names = ("plain", "sampled", "encoder")
    settings = ServeSettings(cache_tokens=512)
    models = [open_model(str(folders / name), settings) for name in names]
    with running(models) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield client
    for model in models:
        if model.engine is not None:
            model.engine.close()


def written(http, model, **settings):
    body = {"model": model, "prompt": "Lily", "seed": 4, **settings}
    return http.post("/v1/completions", json=body).json()["choices"][0]["text"]


def test_the_models_sampling_settings_are_the_defaults_of_a_request(http):
    named = {"temperature": 0.7, "top_k": 5, "max_tokens": 7}
    assert written(http, "sampled") == written(http, "plain", **named)
    assert written(http, "sampled", temperature=0) == written(http, "plain", temperature=0, max_tokens=7)
    assert written(http, "sampled", max_tokens=3, top_k=0) == written(http, "plain", temperature=0.7, max_tokens=3)


def test_the_list_of_models_tells_the_settings_that_a_folder_names(http):
    told = {one["id"]: one["default_sampling_params"] for one in http.get("/v1/models").json()["data"]}
    assert told == {"plain": {}, "sampled": {"temperature": 0.7, "top_k": 5, "max_tokens": 7}, "encoder": {}}


def test_the_default_prompt_stands_before_every_text_and_is_counted(http, folders):
    answer = http.post("/v1/embeddings", json={"model": "encoder", "input": ["girl"]}).json()
    model = lavra.load(folders / "encoder")
    wanted = model.embed([PROMPT + "girl"], prompt="")[0]
    assert answer["data"][0]["embedding"] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert answer["usage"]["prompt_tokens"] == len(model.tokenizer.encode(PROMPT + "girl", add_special_tokens=True))
