"""`lavra serve` and `lavra chat` as a user runs them."""

from __future__ import annotations

import gc
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import httpx2
import numpy as np
import pytest

import lavra
from lavra.base.errors import InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest
from lavra.cli import serve
from lavra.cli.main import main
from lavra.model.checkpoint import save_checkpoint
from lavra.model.transformer import num_parameters
from lavra.server.served import ModelTable
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.verbs import serving
from tests.generate.tiny import tiny_in_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talker")
    model = tiny_in_process(max_positions=256)
    save_checkpoint(model.model, folder)
    model.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE).save(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_and_ends_on_a_signal(folder, how):
    command = [sys.executable, "-m", "lavra", "serve", f"mine={folder}", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = json.loads(process.stdout.readline())
        assert said["models"] == ["mine"]
        body = {"prompt": "She", "max_tokens": 3, "temperature": 0}
        answer = httpx2.post(f"{said['url']}/v1/completions", json=body, timeout=60)
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert said["url"].startswith("http://127.0.0.1:")
        process.send_signal(how)
        assert process.wait(timeout=30) in (0, -how)
        assert "Traceback" not in process.stderr.read()


def test_a_model_answers_to_every_name_it_is_given(folder):
    model = serving.open_model(f"mine, gpt-4o-mini,other={folder}", serving.ServeSettings(cache_tokens=512))
    table = ModelTable([model])
    try:
        assert [one.name for one in table] == ["mine"]
        assert all(table.named(name) is model for name in ("mine", "gpt-4o-mini", "other"))
    finally:
        table.close()
    for wrong in (f"mine,={folder}", f"={folder}"):
        with pytest.raises(InputError, match="empty name"):
            serving.open_model(wrong, serving.ServeSettings())


@pytest.mark.slow
@pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from /proc")
def test_a_decoder_is_served_without_torch(folder):
    command = [sys.executable, "-m", "lavra", "serve", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["url"]
            assert httpx2.get(f"{url}/v1/models", timeout=60).json()["data"][0]["runner"] == "native"
            asked = {"messages": [{"role": "user", "content": "She"}], "max_tokens": 3}
            answer = httpx2.post(f"{url}/v1/chat/completions", json=asked, timeout=60)
            assert answer.json()["usage"]["completion_tokens"] == 3
            loaded = Path(f"/proc/{process.pid}/maps").read_text()
        finally:
            process.kill()
    assert "lavra_native.so" in loaded
    assert not [name for name in ("/torch/", "/pandas/", "/pyarrow/", "/faiss/", "/matplotlib/") if name in loaded]


def test_keys_come_from_a_file_and_the_environment_only(tmp_path, monkeypatch):
    (tmp_path / "keys").write_text("one\n\n two \n")
    monkeypatch.setenv("LAVRA_API_KEYS", "three, four")
    assert list(serving.read_keys(tmp_path / "keys")) == ["three", "four", "one", "two"]
    monkeypatch.delenv("LAVRA_API_KEYS")
    assert serving.read_keys(None) == {}
    with pytest.raises(InputError, match="one key a line"):
        serving.read_keys(tmp_path / "nowhere")


def test_a_key_has_groups_behind_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LAVRA_API_KEYS", "three")
    (tmp_path / "keys").write_text("one crew,press\n  two\t*\nfour\n")
    assert serving.read_keys(tmp_path / "keys") == {"three": (), "one": ("crew", "press"), "two": ("*",), "four": ()}
    (tmp_path / "keys").write_text("\none crew, press\n")
    with pytest.raises(InputError, match=":2: a line is a key"):
        serving.read_keys(tmp_path / "keys")


def test_a_key_cannot_be_typed_where_others_read_it(folder, capsys):
    assert main(["serve", str(folder), "--api-keys", "secret"]) != 0
    assert "unknown flag" in capsys.readouterr().err


def test_settings_reach_server_engine_and_cache(folder):
    settings = serving.ServeSettings(max_running=3, cache_tokens=256, cache_type="int8", lookup_tokens=2)
    model = serving.open_model(f"mine={folder}", settings)
    with model.engine as engine:
        assert model.name == "mine"
        assert engine.config.max_running == 3
        assert engine.config.lookup_tokens == 2
        assert engine.stats().num_blocks == 16
    assert serving.open_model(str(folder), settings).name == folder.name


def test_a_draft_model_guesses_and_must_share_the_tokenizer(folder, tmp_path):
    settings = serving.ServeSettings(draft=str(folder), draft_tokens=3)
    model = serving.open_model(f"mine={folder}", settings, serving.open_draft(settings))
    with model.engine as engine:
        found = engine.submit(GenerateRequest(prompt="She", max_tokens=12)).completion()
        assert engine.stats().accepted_tokens > 6  # it is the same model
    plain = tiny_in_process(max_positions=256).generate([GenerateRequest(prompt="She", max_tokens=12)])
    assert found.tokens == plain[0][0].tokens
    other = tiny_in_process("t5")
    save_checkpoint(other.model, tmp_path)
    other.tokenizer.save(tmp_path)
    with pytest.raises(InputError, match="the model that it guesses for are both decoders"):
        serving.open_model(str(folder), serving.ServeSettings(), lavra.load(tmp_path))


def test_traces_without_their_extra_are_refused_before_a_model_is_opened(folder, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "lavra.server.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setattr(serving, "load", lambda *_, **__: pytest.fail("a model is opened"))
    assert main(["serve", str(folder), "--traces", "http://127.0.0.1:4318"]) == 2
    assert "pip install 'lavra[otel]'" in capsys.readouterr().err


def test_a_served_model_is_in_memory_once(folder, monkeypatch):
    """Engine and embedder share one fused copy; the original matrices are freed."""
    loaded = []

    def load(path, **how):
        model = lavra.load(path, **{**how, "runner": "torch"})
        loaded.append(weakref.ref(model.port.model))
        return model

    expected = lavra.load(folder).embed(["She loved"])
    monkeypatch.setattr(serving, "load", load)
    model = serving.open_model(f"mine={folder}", serving.ServeSettings())
    gc.collect()
    assert [one() for one in loaded] == [None]
    assert np.allclose(model.vectors().embed(["She loved"]), expected, atol=1e-5)
    model.vectors().close()
    model.engine.close()


def test_a_chat_template_is_chosen_by_name_or_file(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.jinja").write_text("{% for one in messages %}Q: {{ one.content }} {% endfor %}A:")
    tables = []

    def served(app, config, on_ready):
        tables.append(app.state.server_state.models)
        on_ready("http://127.0.0.1:1")

    monkeypatch.setattr(serving, "serve", served)
    said = [{"role": "user", "content": "why"}]
    for chosen, written in (("chatml", "<|im_start|>user\nwhy<|im_end|>"), (str(tmp_path / "mine.jinja"), "Q: why A:")):
        assert main(["serve", str(folder), "--cache-tokens", "256", "--chat-template", chosen]) == 0
        (model,) = tables[-1]
        assert written in model.conversation_writer.text(said)
        tables[-1].close()
    capsys.readouterr()
    assert main(["serve", str(folder), "--chat-template", "chatlm"]) == 2
    assert "did you mean 'chatml'" in capsys.readouterr().err
    assert main(["serve", f"a={folder}", f"b={folder}", "--chat-template", "chatml"]) == 2
    assert "one model's" in capsys.readouterr().err


def test_a_substitute_template_is_named_at_the_start(tmp_path, monkeypatch, capsys):
    plain = tiny_in_process(max_positions=256)
    save_checkpoint(plain.model, tmp_path)
    plain.tokenizer.save(tmp_path)

    def served(app, config, on_ready):
        on_ready("http://127.0.0.1:1")
        app.state.server_state.models.close()

    monkeypatch.setattr(serving, "serve", served)
    assert main(["serve", str(tmp_path), "--cache-tokens", "256"]) == 0
    assert "no chat template, so ChatML stands in" in capsys.readouterr().err


def test_a_fingerprint_changes_with_what_decides_an_answer(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "same")
    shutil.copytree(folder, tmp_path / "other")
    weights = tmp_path / "other" / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-3] ^= 1
    weights.write_bytes(changed)

    def fingerprint(place, **settings):
        model = serving.open_model(f"mine={place}", serving.ServeSettings(cache_tokens=256, **settings))
        ModelTable([model]).close()
        return model.fingerprint

    first = fingerprint(folder)
    assert first == fingerprint(tmp_path / "same")
    others = [
        fingerprint(tmp_path / "other"),
        fingerprint(folder, cache_type="int8"),
        fingerprint(folder, dtype="bfloat16", expand=False),
        fingerprint(folder, chat_template="chatml"),
    ]
    assert len({first, *others}) == 5


def test_one_draft_model_guesses_for_all(folder, monkeypatch):
    opened, tables = [], []
    monkeypatch.setattr(serving, "load", lambda path, **how: (opened.append(path), lavra.load(path, **how))[1])
    monkeypatch.setattr(serving, "serve", lambda app, config, on_ready: tables.append(app.state.server_state.models))
    helper = f"{folder}/."  # the same folder under a name of its own
    serve.serve_folders([f"one={folder}", f"two={folder}"], serving.ServeSettings(draft=helper, draft_tokens=3))
    assert opened.count(helper) == 1
    for model in tables[0]:
        with model.engine as engine:
            engine.submit(GenerateRequest(prompt="She", max_tokens=12)).completion()
            assert engine.stats().accepted_tokens > 6


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--port", "99999"], "port is 99999"),
        (["--traces", "collector:4318"], "traces is 'collector:4318'"),
        (["--max-running", "0"], "--max-running is 0"),
        (["--cache-type", "int3"], "cache.type"),
        (["--block-size", "0"], "--block-size is 0"),
        (["--max-batch-tokens", "4"], "under --max-running"),
    ],
)
def test_settings_out_of_range_are_one_line(folder, capsys, flags, says):
    assert main(["serve", str(folder), *flags]) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(says, error)


def talk(monkeypatch, capsys, folder, *lines, flags=()):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    assert main(["chat", str(folder), "--temperature", "0", "--max-tokens", "5", *flags]) == 0
    return capsys.readouterr()


def expected(messages):
    tokenizer = tiny_in_process(max_positions=256).tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE)
    prompt = tuple(tokenizer.encode(tokenizer.apply_chat_template(messages)))
    return tiny_in_process(max_positions=256).generate([GenerateRequest(prompt=prompt, max_tokens=5)])[0][0].text


def test_a_conversation_is_remembered(monkeypatch, capsys, folder):
    first = expected([{"role": "user", "content": "She"}])
    history = [
        {"role": "user", "content": "She"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "a"},
    ]
    said = talk(monkeypatch, capsys, folder, "She", "a", "/exit", "never read")
    assert said.out == f"{first}\n{expected(history)}\n"


def test_a_conversation_can_be_cleared_and_begun_with_a_system_message(monkeypatch, capsys, folder):
    alone = expected([{"role": "user", "content": "a"}])
    said = talk(monkeypatch, capsys, folder, "She", "/clear", "a")
    assert said.out.endswith(f"\n{alone}\n")
    told = expected([{"role": "system", "content": "Be"}, {"role": "user", "content": "a"}])
    assert talk(monkeypatch, capsys, folder, "a", flags=("--system", "Be")).out == f"{told}\n"


def test_a_conversation_says_which_model_it_is_and_can_be_saved(monkeypatch, capsys, folder, tmp_path):
    path = tmp_path / "kept.jsonl"
    lines = ("/save", "/help", f"/save {path}", "She", f"/save {path}", f"/save {path}", "/hlep", " /She")
    said = talk(monkeypatch, capsys, folder, *lines)
    told = said.err.splitlines()
    parameters = num_parameters(tiny_in_process(max_positions=256).model) / 1e6
    assert (
        told[0]
        == f"{folder}: {parameters:.1f}M parameters, float32, runner {lavra.load(folder).runner}, 256 tokens of context"
    )
    for part in ("/save FILE", "there is no conversation yet", f"saved {path}", "exists; name another file"):
        assert any(part in line for line in told)
    assert any("unknown command '/hlep'; did you mean '/help'?" in line for line in told)
    first = expected([{"role": "user", "content": "She"}])
    messages = [{"role": "user", "content": "She"}, {"role": "assistant", "content": first}]
    assert json.loads(path.read_text()) == {"messages": messages}
    assert said.out.count("\n") == 2  # two answers, no command among them


def test_a_model_without_a_template_goes_on_with_the_text(monkeypatch, capsys, folder, tmp_path):
    plain = tiny_in_process(max_positions=256)
    save_checkpoint(plain.model, tmp_path)
    plain.tokenizer.save(tmp_path)
    text = plain.generate([GenerateRequest(prompt="She", max_tokens=5)])[0][0].text
    said = talk(monkeypatch, capsys, tmp_path, "She")
    assert said.out == f"She{text}\n"
    assert "no chat template" in said.err
