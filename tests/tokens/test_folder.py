"""Folders, in both directions with transformers; and refusals."""

import json
import pickle
from pathlib import Path

import pytest
import tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    FalconConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from lavra.base.errors import CheckpointError
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE
from lavra.tokens.config import TokenizerConfig
from lavra.tokens.tokenizer import Tokenizer
from lavra.tokens.train import train_tokenizer

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
FAMILIES = {
    "llama3-bpe": (LlamaConfig, MistralConfig, GPT2Config, FalconConfig),
    "gpt2-bpe": (GPT2Config, RobertaConfig),
    "wordpiece": (BertConfig,),
    "unigram": (T5Config,),
}


def same_ids(ours: Tokenizer, theirs, texts) -> None:
    for text in texts:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text, add_special_tokens=True) == theirs(text)["input_ids"]
        ids = ours.encode(text, add_special_tokens=True)
        for skip in (False, True):
            assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)


def same_roles(ours: Tokenizer, theirs) -> None:
    assert {role: getattr(ours, f"{role}_id") for role in ROLES} == {
        role: getattr(theirs, f"{role}_token_id") for role in ROLES
    }


@pytest.fixture
def texts(corpus, held_out):
    return [*held_out, corpus[2][:5000], *corpus[-2:], "<|endoftext|>x</s>[MASK]<extra_id_0> y <mask>"]


def test_transformers_opens_what_we_save(trained, tokenizer, texts, tmp_path) -> None:
    name = next(name for name, value in trained.items() if value is tokenizer)
    tokenizer.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    same_ids(tokenizer, theirs, texts)
    same_roles(tokenizer, theirs)
    assert len(theirs) == tokenizer.vocab_size
    assert set(theirs.all_special_ids) <= tokenizer.special_ids
    assert ("token_type_ids" in theirs("x")) == (name == "wordpiece")  # LLaMA's forward would refuse them


@pytest.mark.parametrize(("name", "config"), [(n, c) for n, configs in FAMILIES.items() for c in configs])
def test_transformers_opens_it_inside_a_model_folder(trained, texts, tmp_path, name, config) -> None:
    """With a model's config.json beside it, AutoTokenizer may prefer the family's class with its own pre-tokenizer."""
    trained[name].save(tmp_path)
    config().save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    same_ids(trained[name], theirs, texts)
    same_roles(trained[name], theirs)


def test_we_open_what_transformers_saved(tokenizer, texts, tmp_path) -> None:
    tokenizer.save(tmp_path / "ours")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "ours")
    theirs.add_special_tokens({"additional_special_tokens": ["<|tool|>"]})
    theirs.add_tokens(["plainaddition"])
    theirs.chat_template = "{{ messages[0]['content'] }}"
    theirs.save_pretrained(tmp_path / "theirs")
    back = Tokenizer.load(tmp_path / "theirs")
    same_ids(back, theirs, [*texts, "a<|tool|>b plainaddition c"])
    same_roles(back, theirs)
    assert back.vocab_size == tokenizer.vocab_size + 2
    assert back.id("<|tool|>") in back.special_ids
    assert back.id("plainaddition") not in back.special_ids
    assert back.chat_template == theirs.chat_template


def test_saved_and_opened_is_the_same(tokenizer, tmp_path) -> None:
    tokenizer.with_chat_template(DEFAULT_CHAT_TEMPLATE).save(tmp_path / "a")
    back = Tokenizer.load(tmp_path / "a")
    assert back.fingerprint == tokenizer.fingerprint
    assert back.special == tokenizer.special
    assert back.chat_template == DEFAULT_CHAT_TEMPLATE
    back.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_other_files_of_a_model_folder_are_left_alone(trained, tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    trained["gpt2-bpe"].save(tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_a_file_by_itself_has_the_usual_roles(trained, tmp_path) -> None:
    for name, roles in {
        "gpt2-bpe": {"bos": 0, "eos": 0},
        "wordpiece": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
        "unigram": {"pad": 0, "eos": 1, "unk": 2},
    }.items():
        trained[name].save(tmp_path / name)
        tokenizer = Tokenizer.load(tmp_path / name / "tokenizer.json")
        found = {role: getattr(tokenizer, f"{role}_id") for role in ROLES}
        assert {role: value for role, value in found.items() if value is not None} == roles


def test_older_folders_name_roles_in_the_special_tokens_map(trained, tmp_path) -> None:
    trained["llama3-bpe"].save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30, "eos_token": "<|fim_middle|>"}')
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "mask_token": mask}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.eos_id == tokenizer.id("<|fim_middle|>")  # the config wins
    assert tokenizer.mask_id == 1000  # not in the vocabulary: added behind it
    assert tokenizer.encode("a<mask>b")[1] == 1000
    assert tokenizer.bos_id is None
    assert tokenizer.max_length is None


def test_tokens_declared_in_the_config_only_are_added(trained, tmp_path, caplog) -> None:
    tokenizer = trained["gpt2-bpe"]
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
    declared = {"1001": {"content": "<b>", **flags}, "1000": {"content": "<a>", **flags}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"added_tokens_decoder": declared}))
    back = Tokenizer.load(tmp_path)
    assert (back.id("<a>"), back.id("<b>"), back.vocab_size) == (1000, 1001, 1002)
    same_ids(back, AutoTokenizer.from_pretrained(tmp_path), ["x<b>y<a>"])
    declared = {"5000": {"content": "<c>", **flags}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"added_tokens_decoder": declared}))
    assert Tokenizer.load(tmp_path).id("<c>") == 1000
    assert "declared as id 5000 but takes id 1000" in caplog.text


def test_several_templates_in_both_layouts(trained, tmp_path) -> None:
    tokenizer = trained["gpt2-bpe"]
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    listed = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools {{ tools | length }}"}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": listed}))
    back = Tokenizer.load(tmp_path)
    assert back.apply_chat_template([]) == "plain"
    assert back.apply_chat_template([], tools=[{}, {}]) == "tools 2"
    back.save(tmp_path / "again")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert theirs.chat_template == {"default": "plain", "tool_use": "tools {{ tools | length }}"}
    assert Tokenizer.load(tmp_path / "again").apply_chat_template([], tools=[{}]) == "tools 1"


def test_a_template_survives_without_its_file(trained, tmp_path) -> None:
    trained["gpt2-bpe"].with_chat_template("hello {{ bos_token }}").save(tmp_path)
    assert (tmp_path / "chat_template.jinja").read_text() == "hello {{ bos_token }}"
    (tmp_path / "chat_template.jinja").unlink()
    assert Tokenizer.load(tmp_path).chat_template == "hello {{ bos_token }}"
    assert PreTrainedTokenizerFast.from_pretrained(tmp_path).chat_template == "hello {{ bos_token }}"


def test_length_and_side_are_kept(trained, tmp_path) -> None:
    trained["gpt2-bpe"].save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    extra = {"model_max_length": 512, "padding_side": "left", "auto_map": {"AutoTokenizer": ["evil.Code", None]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | extra))
    back = Tokenizer.load(tmp_path)
    assert back.max_length == 512
    back.save(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert (written["model_max_length"], written["padding_side"]) == (512, "left")
    assert "auto_map" not in written


# ---- refusals -----------------------------------------------------------------------------------------------


def refused(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(path)


def test_absent_things_are_named(tmp_path) -> None:
    refused(tmp_path / "nowhere", "nowhere does not exist; name a folder")
    refused(tmp_path, "holds no tokenizer.json")
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n")
    refused(tmp_path, r"tokenizer.model \(3 bytes\) is not a SentencePiece model")
    (tmp_path / "tokenizer.model").rename(tmp_path / "sentencepiece.bpe.model")
    refused(tmp_path, r"holds sentencepiece.bpe.model but no tokenizer.json.*convert it once")


@pytest.mark.parametrize("size", [0, 1, 100, 5000, 20_000])
def test_truncated_files_are_damaged(trained, tmp_path, size) -> None:
    trained["gpt2-bpe"].save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:size])
    refused(tmp_path, r"tokenizer.json \(\d+ bytes\) is damaged")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "no model with a vocabulary"),
        ({"model": {"type": "BPE"}}, "no model with a vocabulary"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "zz"]]}}, "not a tokenizer this version reads"),
        ({"model": {"type": "Sorcery", "vocab": {}}}, "not a tokenizer this version reads"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "////"}}, "not a tokenizer this version reads"),
        (
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}},
            "reads",
        ),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 9}}, "not a tokenizer this version reads"),
    ],
)
def test_a_wrong_definition_is_an_error_not_a_crash(trained, tmp_path, change, message) -> None:
    raw = json.loads(trained["gpt2-bpe"].backend.to_str()) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    refused(tmp_path, message)


def test_other_json_and_other_encodings_are_damaged(trained, tmp_path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("[1, 2]")
    refused(tmp_path, "holds a JSON list, not an object")
    path.write_bytes("{}".encode("utf-16") + b"\xff")
    refused(tmp_path, "is damaged")
    trained["gpt2-bpe"].save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    refused(tmp_path, r"tokenizer_config.json \(1 bytes\) is damaged")


def test_pickles_are_refused_unopened(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    for name in ("tokenizer.pkl", "tokenizer.json", "model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        refused(tmp_path / name, "looks like a pickle")
    refused(tmp_path, "looks like a pickle")


def test_a_real_library_file_opens(tmp_path) -> None:
    """A definition made by the library alone, with no part from lavra."""
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("a b") == [0, 1]
    assert tokenizer.unk_id == 1
    assert not tokenizer.is_lossless


def test_training_and_saving_twice_gives_the_same_files(corpus, tmp_path) -> None:
    for name in ("one", "two"):
        train_tokenizer(corpus, TokenizerConfig(vocab_size=500)).save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
