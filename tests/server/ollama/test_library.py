"""Served folders in Ollama's client, against the files themselves and Ollama's own listings."""

import json
import math
import re
import shutil
from dataclasses import replace

import ollama
import pytest
import safetensors

from lavra.base.model_facts import ModelFacts
from lavra.model.checkpoint import save_checkpoint
from lavra.verbs.serving import open_model
from lavra.verbs.settings.serve import ServeSettings
from tests.generate.tiny import tiny_model, tiny_tokenizer
from tests.server.conftest import running

SIZES = {
    "134.52M": 134_515_008,  # smollm2:135m
    "1.2B": 1_235_814_432,  # llama3.2:1b
    "137M": 137_000_000,
    "8B": 8_000_000_000,
    "14K": 14_400,
    "999": 999,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    for family in ("llama", "bert", "t5"):
        save_checkpoint(tiny_model(family), made / family)
        tiny_tokenizer(family).save(made / family)
    shutil.copytree(made / "llama", made / "twin")
    shutil.copytree(made / "llama", made / "other")
    weights = made / "other" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    return made


@pytest.fixture(scope="module")
def listed(folders):
    models = [open_model(str(folder), ServeSettings(cache_tokens=64)) for folder in sorted(folders.iterdir())]
    llama = next(model for model in models if model.name == "llama")
    sizes = {name: ModelFacts(num_parameters=count, stored="bfloat16") for name, count in SIZES.items()}
    sized = [replace(llama, name=name, facts=facts) for name, facts in sizes.items()]
    with running([*models, llama.with_adapter("adapted", version="1"), *sized]) as url:
        yield {one.model.removesuffix(":latest"): one for one in ollama.Client(url).list().models}, ollama.Client(url)
    for model in models:
        if model.engine is not None:
            model.engine.close()


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_a_folder_is_listed_with_its_family_and_size(folders, listed, family):
    details = listed[0][family].details
    with safetensors.safe_open(folders / family / "model.safetensors", "np") as file:
        names = file.keys()
        count = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    info = listed[1].show(family).modelinfo
    assert info["general.parameter_count"] == count
    assert details.parameter_size == f"{count / 1000:.0f}K"
    config = json.loads((folders / family / "config.json").read_text())
    assert (details.family, details.families) == (config["model_type"], [config["model_type"]])
    assert info[f"{family}.embedding_length"] == config.get("hidden_size") or config["d_model"]
    assert (details.format, details.quantization_level) == ("safetensors", "F32")


def test_equal_files_have_one_digest_and_others_another(listed):
    digests = {name: one.digest for name, one in listed[0].items()}
    assert digests["llama"] == digests["twin"]
    assert len({digests[name] for name in ("llama", "other", "adapted", "bert", "t5")}) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for name, digest in digests.items() if name not in SIZES)


def test_sizes_are_written_as_ollama_writes_them(listed):
    found = {name: one for name, one in listed[0].items() if name in SIZES}
    assert {name: one.details.parameter_size for name, one in found.items()} == {name: name for name in SIZES}
    assert {one.details.quantization_level for one in found.values()} == {"BF16"}
    assert {(one.digest, one.details.family) for one in found.values()} == {("", "")}
