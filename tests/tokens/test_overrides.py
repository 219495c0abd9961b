"""Settings of `tokenizer_config.json`, tokens declared beside `tokenizer.json`: ids of `transformers`, or a warning."""

import gzip
import itertools
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lavra.tokens.tokenizer import Tokenizer
from tests.tokens.test_real import TEXTS

SAID = [
    *TEXTS,
    "Naïve Café HELLO World",
    "x日本語y",
    " a  b ",
    "<mask> [MASK] a<mask>b",
    "München Ação e\u0301 İ ß ﬁ",
]


@pytest.fixture(scope="module")
def texts(corpus) -> list[str]:
    return [*SAID, *(line for text in corpus for line in text.splitlines()[:60])]


def folder_of(folder: Path, definition: str, model_type: str, **config) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(definition, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def same_ids(folder: Path, texts: list[str]) -> Tokenizer:
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.encode_batch(texts, add_special_tokens=True) == theirs(texts)["input_ids"]
    return ours


ROLES = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}


@pytest.mark.parametrize(
    ("lower", "accents", "chinese"), list(itertools.product([True, False], [None, True, False], [True, False]))
)
def test_berts_settings_are_applied(trained, texts, tmp_path, caplog, lower, accents, chinese) -> None:
    """The twelve combinations, over a definition that is cased."""
    fields = {"do_lower_case": lower, "strip_accents": accents, "tokenize_chinese_chars": chinese}
    definition = trained["wordpiece"].backend.to_str()
    folder = folder_of(tmp_path / "t", definition, "bert", tokenizer_class="BertTokenizer", **ROLES, **fields)
    ours = same_ids(folder, texts)
    ours.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").encode_batch(texts) == ours.encode_batch(texts)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("kind", "model_type"),
    [("GPT2Tokenizer", "gpt2"), ("PreTrainedTokenizerFast", "gpt2"), ("TokenizersBackend", "llama")],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_a_prefix_space_is_put_where_the_class_does_it(
    trained, texts, tmp_path, caplog, kind, model_type, wanted
) -> None:
    definition = json.loads(trained["gpt2-bpe"].backend.to_str())
    definition["post_processor"] = None
    folder = folder_of(
        tmp_path / "t", json.dumps(definition), model_type, tokenizer_class=kind, add_prefix_space=wanted
    )
    same_ids(folder, texts)
    assert ("add_prefix_space=True" in caplog.text) == (wanted is True and kind != "GPT2Tokenizer")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind", "config"),
    [
        ("roberta-base", "RobertaTokenizer", {"add_prefix_space": True}),
        ("roberta-base", "RobertaTokenizer", {"add_prefix_space": False}),
        ("t5-small", "T5Tokenizer", {"add_prefix_space": False}),
        ("t5-small", "T5Tokenizer", {"do_lower_case": True}),
    ],
)
def test_published_definitions(lavra_data, texts, tmp_path, name, kind, config) -> None:
    definition = gzip.decompress((lavra_data / "tokenizers" / name / "tokenizer.json.gz").read_bytes()).decode()
    same_ids(
        folder_of(tmp_path / "t", definition, kind.removesuffix("Tokenizer").lower(), tokenizer_class=kind, **config),
        texts,
    )


@pytest.mark.parametrize("setting", ["do_lower_case", "tokenize_chinese_chars", "strip_accents"])
def test_a_general_class_takes_the_definition_and_the_setting_is_named(
    trained, texts, tmp_path, caplog, setting
) -> None:
    definition = trained["wordpiece"].backend.to_str()
    value = setting != "tokenize_chinese_chars"
    same_ids(
        folder_of(tmp_path / "t", definition, "bert", tokenizer_class="PreTrainedTokenizerFast", **{setting: value}),
        texts,
    )
    assert f"says {setting}={value}, and tokenizer.json otherwise" in caplog.text


@pytest.mark.parametrize(("first", "last"), [(None, True), (True, False), (False, None)])
def test_the_frame_is_the_definitions_and_another_one_is_named(trained, texts, tmp_path, caplog, first, last) -> None:
    """`transformers` 5 reads `add_bos_token` only where there is no `tokenizer.json`."""
    stated = {"add_bos_token": first, "add_eos_token": last}
    config = {name: value for name, value in stated.items() if value is not None}
    definition = trained["llama3-bpe"].backend.to_str()
    folder = folder_of(
        tmp_path / "t", definition, "llama", tokenizer_class="PreTrainedTokenizerFast",
        bos_token="<|endoftext|>", eos_token="<|fim_middle|>", **config,
    )  # fmt: skip
    same_ids(folder, texts)
    assert ("add_bos_token=False" in caplog.text) == (first is False)  # the definition has one
    assert ("add_eos_token=True" in caplog.text) == (last is True)


def test_settings_without_effect_are_named(trained, tmp_path, caplog) -> None:
    Tokenizer.load(folder_of(tmp_path / "t", trained["gpt2-bpe"].backend.to_str(), "gpt2", do_lower_case=True))
    assert "do_lower_case=True has no effect" in caplog.text
    Tokenizer.load(folder_of(tmp_path / "t", trained["gpt2-bpe"].backend.to_str(), "gpt2", truncation_side="left"))
    assert "truncation_side='left' is not applied" in caplog.text


def test_tokens_of_the_older_files_are_added(trained, texts, tmp_path) -> None:
    """`added_tokens.json` counts where the config declares none; named tokens without an id come last."""
    folder = folder_of(
        tmp_path / "t", trained["gpt2-bpe"].backend.to_str(), "llama", tokenizer_class="PreTrainedTokenizerFast",
        pad_token="<pad>", eos_token="<|endoftext|>",
    )  # fmt: skip
    (folder / "added_tokens.json").write_text(json.dumps({"World": 1001, "HELLO": 1000}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["[MASK]"]}))
    ours = same_ids(folder, texts)
    assert [ours.id(token) for token in ("HELLO", "World", "<pad>", "[MASK]")] == [1000, 1001, 1002, 1003]


def test_a_word_of_the_vocabulary_that_is_declared_is_taken_whole(trained, texts, tmp_path) -> None:
    word = next(token for token in ("self", "return", "import") if trained["gpt2-bpe"].backend.token_to_id(token))
    flags = {"lstrip": True, "rstrip": False, "single_word": False, "normalized": False, "special": False}
    token_id = trained["gpt2-bpe"].backend.token_to_id(word)
    folder = folder_of(
        tmp_path / "t", trained["gpt2-bpe"].backend.to_str(), "llama", tokenizer_class="PreTrainedTokenizerFast",
        added_tokens_decoder={str(token_id): {"content": word, **flags}},
    )  # fmt: skip
    ours = same_ids(folder, [*texts, f"a {word}x"])
    assert ours.encode(f"a {word}x")[1] == token_id
