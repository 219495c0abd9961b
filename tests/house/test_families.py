"""A family is one file and a line in the table: no module outside `lavra/model/families/` names one in code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lavra.model.families.table import FAMILIES, family

LAVRA = Path(__file__).resolve().parents[2] / "lavra"
OWN = LAVRA / "model" / "families"
MODULES = sorted(path for path in LAVRA.rglob("*.py") if OWN not in path.parents)
FOUND = [family(name) for name in FAMILIES]
CLASSES = {name for one in FOUND for name in (*one.architectures, *(form.architecture for form in one.heads.values()))}
NAMES = {name.lower() for name in {*FAMILIES, *CLASSES}}
FILES = {place.partition(":")[0] for place in FAMILIES.values()}

# Words that are a family's name and mean something else.
ALLOWED = {
    "tokens/config.py": {"gpt2"},  # the regular expression that cuts text, as `--pattern` names it
    "tokens/train.py": {"gpt2"},  # the same
    # llama.cpp's kinds of tokenizers, and its names of how text is cut
    "compression/gguf_tokenizer.py": {"gpt2", "llama", "bert"},
    "tokens/gguf_tokenizer.py": {"gpt2", "llama", "bert"},
    "tokens/gguf_cuts.py": {"gpt2", "qwen2", "falcon"},
}


def named_in(code: str) -> set[str]:
    """Whole strings and imported names in code; docstrings and messages are longer."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lower() in NAMES:
            found.add(node.value)
        if isinstance(node, ast.ImportFrom) and node.module in FILES:
            found.add(str(node.module))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(LAVRA).as_posix())
def test_no_other_module_names_a_family(path: Path) -> None:
    assert named_in(path.read_text(encoding="utf-8")) == ALLOWED.get(path.relative_to(LAVRA).as_posix(), set())


@pytest.mark.parametrize(
    "code",
    [
        'if config.family == "falcon": ...',
        'TABLE = {"mistral": 1}',
        'name.startswith("T5")',
        'cls = "BertForMaskedLM"',
        'cls = "LlamaForTokenClassification"',
        "from lavra.model.families.bert import BERT",
    ],
)
def test_such_a_name_would_be_found(code: str) -> None:
    assert named_in(code)


@pytest.mark.parametrize("module", ["pipeline/settings.py", "cli/arguments/pretrain.py"])
def test_the_help_names_every_family(module: str) -> None:
    text = (LAVRA / module).read_text(encoding="utf-8")
    assert [name for name in FAMILIES if name not in text] == []
