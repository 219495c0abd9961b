"""The reference pages say what the package says, and the files on them are files that the verbs read."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from lavra.base.config import from_mapping
from lavra.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
BY_PLACE = {"finetune": ["mine"], "generate": ["mine"], "chat": ["mine"], "doctor": ["mine"], "predict": ["mine"]} | {
    "distill": ["mine"],
    "answers": ["mine"],
    "compress": ["mine"],
    "prompt": ["render", "a.yaml"],
    "rate": ["new", "a.study"],
}
"""Arguments that a verb wants before it reads its settings."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("reference_pages")


@pytest.fixture
def settings(script: ModuleType) -> ModuleType:
    return importlib.import_module("reference.verb_settings")


def test_the_pages_are_up_to_date(script: ModuleType) -> None:
    pages = script.pages()
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make reference`"
    assert {path for path in pages if path.parent.name == "settings"} == set((ROOT / "docs/settings").iterdir())


def test_a_page_that_was_changed_by_hand_is_written_anew(script: ModuleType) -> None:
    page = importlib.import_module("reference.page")
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    commands = importlib.import_module("reference.commands")
    assert page.with_reference(text.replace("### lavra up", "### lavra down"), commands.command_lines()) == text
    with pytest.raises(ValueError, match="lacks"):
        page.with_reference("# A page without marks\n", [])


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_reads_the_file_with_every_setting(verb: str, settings: ModuleType, tmp_path: Path) -> None:
    parser = settings.parsers()[verb]
    for cls in settings.settings_classes(parser):
        name = settings.page_name(settings.verbs_by_settings()[cls][0])
        text = yaml_of(ROOT / "docs" / "settings" / name)
        required = {name: settings.REQUIRED[name] for name in required_fields(cls)}
        by_place = [] if verb == "doctor" and not required else BY_PLACE.get(verb, [])
        for written in [text, *alternatives(text)]:
            (tmp_path / "run.yaml").write_text(written, encoding="utf-8")
            args = parser.parse_args([*by_place, "--config", str(tmp_path / "run.yaml")])
            read = parser.get_default("settings_reader")(args)
            shown = from_mapping(cls, required | {name: "mine" for name in ("model",) if name in required})
            assert type(read) is cls
            assert written != text or read == shown
        assert keys_of(text) == {field.name for field in dataclasses.fields(cls) if field.init}


def yaml_of(page: Path) -> str:
    found = re.search(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def alternatives(text: str) -> list[str]:
    """The file with each line that may replace the line above it in its place."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines):
        key = re.match(r"( *)# (\w+): \{", line)
        if key is not None:
            above = max(at for at in range(number) if lines[at].startswith(f"{key[1]}{key[2]}:"))
            found.append("\n".join([*lines[:above], line.replace("# ", "", 1), *lines[above + 1 :]]))
    return found


def keys_of(text: str) -> set[str]:
    return set(re.findall(r"^(\w+):", text, re.MULTILINE))


def required_fields(cls: type) -> list[str]:
    return [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def test_the_file_of_finetune_shows_each_method() -> None:
    found = alternatives(yaml_of(ROOT / "docs" / "settings" / "lavra-finetune.md"))
    assert len(found) == 7
    assert any("\nmethod: {name: prefix" in text and "\nmethod: full" not in text for text in found)


def test_a_field_without_a_sentence_is_refused(script: ModuleType) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Half:
        """Settings.

        Attributes:
            told: a setting with a sentence.
        """

        told: int = 1
        bare: int = 2

    tree = importlib.import_module("reference.settings_tree")
    with pytest.raises(ValueError, match=r"Half\.bare has no sentence"):
        tree.settings_of(Half)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_page_of_commands_names_every_flag(verb: str, settings: ModuleType) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n### lavra {verb}\n")[2].partition("\n### ")[0]
    negated = re.sub(r"`--\[no-\]([\w.-]+)`", r"`--\1` `--no-\1`", section)
    for flag in settings.parsers()[verb]._option_string_actions:
        assert flag in ("-h", "--help") or re.search(rf"`{flag}[ `]", negated), flag


@pytest.fixture
def http(script: ModuleType) -> ModuleType:
    return importlib.import_module("reference.http_api")


def test_the_page_of_endpoints_has_every_field_of_a_request(http: ModuleType) -> None:
    page, described = (ROOT / "docs" / "http.md").read_text(encoding="utf-8"), http.description()
    schemas = described["components"]["schemas"]
    for path, item in described["paths"].items():
        for method, operation in item.items():
            section = page.partition(f"\n### `{method.upper()} {path}`\n")[2].partition("\n### ")[0]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = body.get("$ref", "").rpartition("/")[2]
            fields = [
                *schemas.get(name, {}).get("properties", {}),
                *(one["name"] for one in operation.get("parameters", ())),
            ]
            assert all(f"\n| `{field}` |" in section for field in fields), path
            assert all(f"`{status}`" in section for status in operation["responses"] if status != "200"), path
            assert "The answer" in section, path


@pytest.mark.parametrize("bare", ["the endpoint", "a field", "a parameter"])
def test_an_endpoint_without_a_sentence_is_refused(bare: str, http: ModuleType) -> None:
    described = http.description()
    operation = described["paths"]["/v1/responses/{identity}/input_items"]["get"]
    places = {
        "the endpoint": operation,
        "a field": described["components"]["schemas"]["ChatBody"]["properties"]["stop"],
        "a parameter": operation["parameters"][0],
    }
    del places[bare]["description"]
    with pytest.raises(ValueError, match="has no sentence"):
        list(http.endpoint_lines(described))


def test_a_schema_in_words(script: ModuleType) -> None:
    words = importlib.import_module("reference.json_schema").in_words
    assert words({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}) == "whole number, at least 0, at most 2^31-1"
    assert words({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "text; or `null`"
    assert words({"anyOf": [{"type": "string"}, {"type": "null"}]}, optional=True) == "text"
    bounded = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 16}
    assert words(bounded) == "list of texts (not empty), at most 16 items"
    assert words({"enum": ["", "json"]}) == '`""`, `json`'
    assert words({"$ref": "#/components/schemas/ChatBody"}) == "[`ChatBody`](#chatbody)"


def test_an_object_inside_an_answer_stands_below_its_field(script: ModuleType) -> None:
    shape = importlib.import_module("reference.json_schema").shape
    inner = {"properties": {"b": {"type": "integer"}, "again": {"$ref": "#/components/schemas/Inner"}}}
    outer = {"properties": {"a": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}}}
    assert list(shape(outer, {"Inner": inner})) == ["a: list of objects", "  b: whole number", "  again: object"]
