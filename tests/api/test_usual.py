"""Settings of a model's `generation_config.json`: used where a request sets nothing, named where unsupported."""

import json
import logging
import shutil

import pytest
import transformers
from transformers import GenerationConfig

import lavra
from lavra.api.usual import usual_settings, with_usual
from lavra.base.types import GenerateRequest, SamplingConfig
from lavra.cli.main import main
from lavra.model.checkpoint import save_checkpoint
from lavra.server.conversation.requests import sampling_of
from lavra.server.schemas import CompletionBody
from tests.generate.tiny import tiny_model, tiny_tokenizer

SAID = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1}


@pytest.mark.parametrize(
    ("generation", "settings"),
    [
        ({}, {}),
        ({"_from_model_config": True, "eos_token_id": [2, 7], "use_cache": True, "max_length": 4096}, {}),
        (SAID, {name: value for name, value in SAID.items() if name != "do_sample"}),
        ({**SAID, "do_sample": False}, {"repetition_penalty": 1.1}),
        ({"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.9}),
        ({"do_sample": True, "top_p": None}, {"temperature": 1.0}),
        ({"max_new_tokens": 77}, {"max_tokens": 77}),
    ],
)
def test_settings_of_a_file_are_read(generation, settings, caplog) -> None:
    assert usual_settings(generation) == settings
    assert caplog.text == ""


def test_unsupported_settings_are_named(caplog) -> None:
    usual_settings(
        {"num_beams": 4, "no_repeat_ngram_size": 3, "typical_p": 1.0, "bad_words_ids": [[5]], "min_length": 0}
    )
    named = "bad_words_ids=[[5]], no_repeat_ngram_size=3, num_beams=4"
    assert f"lavra does not support {named}, so texts may differ" in caplog.text


def test_every_setting_of_transformers_is_known_or_would_be_named(caplog) -> None:
    """No default of `GenerationConfig` is named as unsupported, because defaults change nothing."""
    usual_settings({**GenerationConfig().to_dict(), "transformers_version": transformers.__version__})
    assert caplog.text == ""


def test_a_request_wins_over_the_model() -> None:
    usual = usual_settings({**SAID, "max_new_tokens": 5})
    asked = GenerateRequest(prompt="x", max_tokens=9, sampling=SamplingConfig(temperature=0.3, seed=1))
    assert with_usual(asked, usual, {"max_tokens", "temperature", "seed"}) == GenerateRequest(
        prompt="x",
        max_tokens=9,
        sampling=SamplingConfig(temperature=0.3, top_p=0.9, top_k=20, repetition_penalty=1.1, seed=1),
    )
    greedy = GenerateRequest(prompt="x")
    assert with_usual(greedy, usual, {"temperature"}).sampling == SamplingConfig(repetition_penalty=1.1)
    beams = GenerateRequest(prompt="x", num_beams=3)
    assert with_usual(beams, usual, {"num_beams"}) == GenerateRequest(prompt="x", num_beams=3, max_tokens=5)


def test_over_http_the_model_stands_between_the_request_and_openais_defaults() -> None:
    usual = usual_settings(SAID)
    assert sampling_of(CompletionBody(prompt="x"), {}) == SamplingConfig(temperature=1.0)
    assert sampling_of(CompletionBody(prompt="x", top_p=0.5, seed=3), usual) == SamplingConfig(
        temperature=0.6, top_p=0.5, top_k=20, repetition_penalty=1.1, seed=3
    )
    assert sampling_of(CompletionBody(prompt="x", temperature=0), usual) == SamplingConfig(repetition_penalty=1.1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain")
    save_checkpoint(tiny_model(), path)
    tiny_tokenizer().save(path)
    return path


@pytest.fixture
def sampled(plain, tmp_path):
    """A tiny model whose folder has sampling settings."""
    folder = shutil.copytree(plain, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({**SAID, "max_new_tokens": 6}))
    return folder


def test_generate_takes_the_models_settings(plain, sampled, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="lavra"):
        model = lavra.load(sampled)
        found = model.generate("Lily", seed=5)
    assert "temperature=0.6, top_k=20, top_p=0.9, repetition_penalty=1.1, max_tokens=6" in caplog.text
    named = {"temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "max_tokens": 6, "seed": 5}
    assert found.tokens == lavra.load(plain).generate("Lily", **named).tokens
    assert len(found.tokens) == 6
    greedy = lavra.load(plain).generate("Lily", max_tokens=6)
    assert model.generate("Lily", temperature=0, repetition_penalty=1.0).tokens == greedy.tokens


def test_the_command_line_says_which_settings_are_the_models(sampled, capsys) -> None:
    assert main(["generate", str(sampled), "Lily", "--seed", "5", "--top-p", "1"]) == 0
    out = capsys.readouterr()
    assert "note: temperature=0.6, top_k=20, repetition_penalty=1.1, max_tokens=6 of the model's" in out.err
    greedy = ["--temperature", "0", "--repetition-penalty", "1", "--max-tokens", "4"]
    assert main(["generate", str(sampled), "Lily", *greedy]) == 0
    assert "note" not in capsys.readouterr().err
