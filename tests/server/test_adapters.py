"""Adapters as separate models over HTTP: one engine, one tokenizer; the name selects the adapter."""

import json
import shutil
from functools import cache

import httpx2
import pytest

from lavra.adapt.peft_write import save_adapter
from lavra.base.card import write_card
from lavra.base.errors import CheckpointError, ConfigError, InputError
from lavra.base.native_library import native_library
from lavra.base.types import GenerateRequest
from lavra.cli import serve
from lavra.cli.main import main
from lavra.model.checkpoint import save_checkpoint
from lavra.server.served import ModelTable, ServedModel
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.verbs import serving
from tests.engine.adapted import adapted, logits_alone, written_alone
from tests.generate.tiny import tiny_in_process
from tests.server.conftest import running

NAMES = ("lora", "wide", "prompt", "prefix")


@cache
def in_process():
    return adapted(names=NAMES)


@cache
def said(adapter, most=8):
    tokens = written_alone(in_process(), GenerateRequest(prompt="Once upon", max_tokens=most, adapter=adapter))
    return in_process().tokenizer.decode(list(tokens), skip_special_tokens=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A base and its adapters, saved by lavra."""
    root = tmp_path_factory.mktemp("served")
    plain = tiny_in_process()
    save_checkpoint(plain.model, root / "base")
    plain.tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE).save(root / "base")
    for name in NAMES:
        save_adapter(in_process().model, name, root / name, base=str(root / "base"))
    return root


@pytest.fixture(scope="module", params=[4, 16], ids=["torch", "usual"])
def table(request, folders):
    """The native runner's blocks have 16 tokens; with other sizes torch computes."""
    settings = serving.ServeSettings(
        adapter=tuple(f"{name}={folders / name}" for name in NAMES), cache_tokens=1024, block_size=request.param
    )
    return serving.with_adapters(serving.open_model(f"base={folders / 'base'}", settings), settings)


@pytest.fixture(scope="module")
def http(table):
    with running(table) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield client
    stats = table[0].engine.stats()
    assert stats.free_blocks == stats.num_blocks


def test_each_adapter_is_a_model_with_its_base_as_parent(http):
    listed = {one["id"]: one for one in http.get("/v1/models").json()["data"]}
    assert [*listed] == ["base", *NAMES]
    assert listed["base"]["parent"] is None
    assert {listed[name]["parent"] for name in NAMES} == {"base"}
    assert {name: one["max_model_len"] for name, one in listed.items()} == {
        "base": 64,
        "lora": 64,
        "wide": 64,
        "prompt": 59,
        "prefix": 58,
    }
    assert [one["embeds"] for one in listed.values()] == [True, False, False, False, False]


def test_the_model_of_a_request_says_which_adapter_acts(http):
    body = {"prompt": "Once upon", "max_tokens": 8, "temperature": 0}
    for _ in range(2):
        for name in ("base", *NAMES):
            answer = http.post("/v1/completions", json={**body, "model": name}).json()
            assert answer["model"] == name
            assert answer["choices"][0]["text"] == said(None if name == "base" else name)
            assert answer["usage"]["prompt_tokens"] == len(in_process().encoding.prompt_ids("Once upon"))
            assert answer["usage"]["virtual_tokens"] == {"prompt": 5, "prefix": 6}.get(name, 0)
    assert answer["usage"]["response_cached"], "the second round: each name has answers of its own"
    assert len({said(name) for name in (None, *NAMES)}) == 1 + len(NAMES)


def test_nothing_virtual_is_echoed_or_scored(http):
    tokenizer = in_process().tokenizer
    ids = in_process().encoding.prompt_ids("Once upon")
    for name in ("prompt", "prefix", "lora"):
        body = {"model": name, "prompt": "Once upon", "max_tokens": 1, "echo": True, "logprobs": 0, "temperature": 0}
        choice = http.post("/v1/completions", json=body).json()["choices"][0]
        assert choice["text"].startswith("Once upon")
        assert len(choice["logprobs"]["tokens"]) == len(ids) + 1
        score = http.post("/score", json={"model": name, "text": ids}).json()
        rows = logits_alone(in_process(), name, ids).log_softmax(-1)
        wanted = [rows[place - 1, token].item() for place, token in enumerate(ids) if place]
        assert score["tokens"] == ids
        assert score["logprobs"][1:] == pytest.approx(wanted, abs=1e-3)
        assert choice["logprobs"]["token_logprobs"][1 : len(ids)] == pytest.approx(wanted, abs=1e-3)
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "Once upon"


def test_chats_streams_and_the_base_go_side_by_side(http):
    messages = [{"role": "user", "content": "a"}]
    texts = {}
    for name in ("base", "lora", "prefix"):
        body = {"model": name, "messages": messages, "max_tokens": 6, "temperature": 0}
        whole = http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
        events = http.post("/v1/chat/completions", json={**body, "stream": True}).text.split("data: ")
        chunks = [json.loads(one) for one in events if one.strip() and "[DONE]" not in one]
        assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == whole
        texts[name] = whole
    assert len(set(texts.values())) == 3


def test_an_adapter_talks_by_the_template_it_was_taught_with(folders, tmp_path):
    """Over a base without a template: finetuning on instructions made it a chat model."""
    plain = tiny_in_process()
    save_checkpoint(plain.model, tmp_path / "base")
    plain.tokenizer.save(tmp_path / "base")
    shutil.copytree(folders / "lora", tmp_path / "lora")
    mine = "{% for message in messages %}Q: {{ message.content }} {% endfor %}A:"
    plain.tokenizer.with_chat_template(mine).save(tmp_path / "lora")
    settings = serving.ServeSettings(adapter=(f"taught={tmp_path / 'lora'}",), cache_tokens=512)
    models = serving.with_adapters(serving.open_model(str(tmp_path / "base"), settings), settings)
    assert models[1].conversation_writer.text([{"role": "user", "content": "why"}]) == "Q: why A:"
    assert models[0].conversation_writer.stands_in
    for name in ("tokenizer_config.json", "special_tokens_map.json"):  # the same tokens, of which none ends a text
        fields = json.loads((tmp_path / "base" / name).read_text())
        fields.pop("eos_token", None)
        (tmp_path / "base" / name).write_text(json.dumps(fields))
    with pytest.raises(InputError, match="and its base with something else"):
        serving.open_model(str(tmp_path / "base"), settings)
    ModelTable(models).close()


def test_embeddings_are_the_bases(http, table):
    assert len(http.post("/v1/embeddings", json={"model": "base", "input": "She"}).json()["data"]) == 1
    refused = http.post("/v1/embeddings", json={"model": "lora", "input": "She"})
    assert refused.status_code == 400
    assert "ask base" in refused.json()["error"]["message"]
    assert http.post("/v1/completions", json={"model": "loro", "prompt": "a"}).status_code == 404
    assert {id(one.engine) for one in table} == {id(table[0].engine)}
    metrics = http.get("/metrics").text
    assert 'lavra_engine_num_blocks{model="base"}' in metrics
    assert 'lavra_engine_num_blocks{model="lora"}' not in metrics, "one engine is counted once"


@pytest.mark.skipif(native_library() is None, reason="the native library is not built here")
def test_the_native_runner_computes_the_adapters_it_can(folders, tmp_path):
    """With the usual cache; one adapter that it cannot compute leaves all of them to torch."""
    known = tuple(f"{name}={folders / name}" for name in NAMES)
    save_adapter(adapted(names=("ia3",)).model, "ia3", tmp_path / "ia3", base=str(folders / "base"))
    for given, runner in ((known, "native"), ((*known, f"ia3={tmp_path / 'ia3'}"), "torch")):
        model = serving.open_model(f"base={folders / 'base'}", serving.ServeSettings(adapter=given))
        with model.engine as engine:
            assert model.runner == runner
            requests = [GenerateRequest(prompt="Once upon", max_tokens=8, adapter=name) for name in (None, *NAMES)]
            assert [found[0].text for found in engine.generate(requests)] == [said(name) for name in (None, *NAMES)]
        model.embedder.close()


def test_a_draft_model_guesses_for_adapters_too(folders):
    settings = serving.ServeSettings(
        adapter=(f"prompt={folders / 'prompt'}",), draft=str(folders / "base"), cache_tokens=512
    )
    model = serving.open_model(str(folders / "base"), settings, serving.open_draft(settings))
    with model.engine as engine:
        for name in (None, "prompt"):
            request = GenerateRequest(prompt="Once upon", max_tokens=8, adapter=name)
            assert engine.submit(request).completion().text == said(name)
        assert engine.stats().accepted_tokens > 0
    model.embedder.close()


def test_foreign_adapters_are_refused_with_the_reason(folders, tmp_path):
    def opening(folder, base=folders / "base", name="x"):
        return lambda: serving.open_model(
            str(base), serving.ServeSettings(adapter=(f"{name}={folder}",), cache_tokens=512)
        )

    other = tiny_in_process(seed=1)
    save_checkpoint(other.model, tmp_path / "other")
    other.tokenizer.save(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"was made for .*base, whose weights are not those of .*other"):
        opening(folders / "lora", base=tmp_path / "other")()
    translator = adapted("t5", names=("wide",))
    save_adapter(translator.model, "wide", tmp_path / "t5")
    with pytest.raises(CheckpointError):
        opening(tmp_path / "t5")()
    save_adapter(in_process().model, "lora", tmp_path / "words")
    translator.tokenizer.save(tmp_path / "words")
    with pytest.raises(InputError, match="has another tokenizer than its base"):
        opening(tmp_path / "words")()
    with pytest.raises(ConfigError, match="cannot name an adapter"):
        opening(folders / "lora", name="a.b")()
    with pytest.raises(CheckpointError, match=r"no adapter_config\.json"):
        opening(folders / "base")()


def test_cards_tell_whose_adapter_it_is(folders, tmp_path, caplog):
    base = tmp_path / "carded"
    save_checkpoint(tiny_in_process().model, base)
    tiny_in_process().tokenizer.save(base)
    card = write_card(base, kind="model", parents={}, config={})
    for name, parent in (("mine", card.id), ("foreign", "0123456789abcdef")):
        save_adapter(in_process().model, "lora", tmp_path / name, base="/gone/model")
        write_card(tmp_path / name, kind="adapter", parents={"model": parent}, config={})
    settings = [
        serving.ServeSettings(adapter=(str(tmp_path / name),), cache_tokens=512) for name in ("mine", "foreign")
    ]
    model = serving.open_model(str(base), settings[0])
    assert model.engine.adapters == ("mine",)
    assert "not here to be compared" not in caplog.text
    ModelTable([model]).close()
    with pytest.raises(CheckpointError, match="was made for the model 0123456789abcdef"):
        serving.open_model(str(base), settings[1])
    save_adapter(in_process().model, "lora", tmp_path / "elsewhere", base="somebody/model")
    told = serving.open_model(
        str(base), serving.ServeSettings(adapter=(str(tmp_path / "elsewhere"),), cache_tokens=512)
    )
    ModelTable([told]).close()
    assert "made for somebody/model, which is not here to be compared" in caplog.text


def test_an_adapters_folder_is_served_as_the_model_it_makes(folders):
    settings = serving.ServeSettings(cache_tokens=512)
    models = serving.with_adapters(serving.open_model(f"mine={folders / 'lora'}", settings), settings)
    assert [one.name for one in models] == ["mine"]
    with models[0].engine as engine:
        assert engine.submit(GenerateRequest(prompt="Once upon", max_tokens=8)).completion().text == said("lora")
    ModelTable(models).close()
    with pytest.raises(InputError, match="has an adapter already"):
        serving.open_model(str(folders / "lora"), serving.ServeSettings(adapter=(f"x={folders / 'wide'}",)))


def test_flags_are_repeated_and_need_one_base(folders, monkeypatch, capsys):
    seen = {}
    monkeypatch.setattr(serve, "serve_folders", lambda models, settings, as_json: seen.update(settings=settings))
    assert main(["serve", "base", "--adapter", "a=x", "--adapter", "b=y"]) == 0
    assert seen["settings"].adapter == ("a=x", "b=y")
    assert serving.named_adapters(("a=x", f"{folders}/lora")) == {"a": "x", "lora": f"{folders}/lora"}
    with pytest.raises(InputError, match="two are called 'a'"):
        serving.named_adapters(("a=x", "a=y"))
    monkeypatch.undo()
    assert main(["serve", "one", "two", "--adapter", "a=x"]) != 0
    assert "nothing says which of them it is for" in capsys.readouterr().err


def test_an_engine_is_closed_once_for_all_its_names(table):
    class Counting:
        closed = 0

        def close(self):
            self.closed += 1

    engine = Counting()
    base = ServedModel(name="b", tokenizer=table[0].tokenizer, engine=engine)
    ModelTable([base, base.with_adapter("x"), base.with_adapter("y")]).close()
    assert engine.closed == 1
