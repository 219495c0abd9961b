"""Chat templates that many models were taught, by name, for a model whose folder has none or a wrong one.

Each is a Jinja file in `templates/`.  A model was trained on its own template; a user chooses a named
template, or it stands in for a missing one (`DEFAULT_NAME`).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from lavra.base.errors import InputError, nearest
from lavra.tokens.chat import DEFAULT_CHAT_TEMPLATE, parsed_template
from lavra.tokens.conversation import begins_texts
from lavra.tokens.tokenizer import Tokenizer

DEFAULT_NAME: Final = "chatml"
"""The template that stands in for a missing one."""

_FOLDER: Final = resources.files("lavra.tokens").joinpath("templates")
TEMPLATE_NAMES: Final = tuple(sorted(["lavra", *(file.name.removesuffix(".jinja") for file in _FOLDER.iterdir())]))
"""Names of `named_template`; `lavra finetune` gives `lavra` to a model without a template."""


def named_template(name: str) -> str:
    """The Jinja source of a name.

    Raises:
        InputError: no template has the name.
    """
    if name == "lavra":
        return DEFAULT_CHAT_TEMPLATE
    if name not in TEMPLATE_NAMES:
        known = ", ".join(TEMPLATE_NAMES)
        raise InputError(f"there is no chat template called {name!r}{nearest(name, TEMPLATE_NAMES)}; known are {known}")
    return _FOLDER.joinpath(f"{name}.jinja").read_text(encoding="utf-8")


def find_template(name_or_file: str) -> str:
    """The Jinja source of a name, or of a file.

    Raises:
        InputError: it is neither a name nor a file, or the file is not a template.
    """
    if name_or_file in TEMPLATE_NAMES:
        return named_template(name_or_file)
    path = Path(name_or_file)
    if not path.is_file():
        known = ", ".join(TEMPLATE_NAMES)
        raise InputError(
            f"{name_or_file!r} is neither a file nor a chat template's name{nearest(name_or_file, TEMPLATE_NAMES)}; "
            f"known are {known}"
        )
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); name a text file with a Jinja template") from None
    parsed_template(source)
    return source


def fitted_template(template: str, tokenizer: Tokenizer) -> str:
    """A template for a tokenizer: its beginning-of-text token is written where every text begins with it."""
    if "bos_token" in template or not begins_texts(tokenizer):
        return template
    return "{{- bos_token }}" + template
