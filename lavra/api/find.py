"""Find the folder or file that a user's word names: a path, the name of a model of the workspace, or a hub id."""

from __future__ import annotations

from pathlib import Path

from lavra.api.adapter_folder import AdapterFolder
from lavra.base.errors import InputError, nearest
from lavra.base.gguf_file import SUFFIX, is_gguf
from lavra.base.lazy import resolve
from lavra.base.names import ModelNames, kind_of
from lavra.base.workspace import Workspace


def find_folder(name: str, *, workspace: Workspace | None = None, whole: bool = False) -> Path:
    """The folder or GGUF file that a word names: a path, the name of a model of the workspace, or a hub id.

    Args:
        name: the word; a hub id is fetched.
        workspace: workspace with the names; that of `LAVRA_WORKSPACE`, or `./lavra-workspace`, unless given.
        whole: find a model that stands by itself, and no adapter; only `latest` depends on it.

    Raises:
        InputError: the word is none of these, or names two things at once.
    """
    path, names = Path(name).expanduser(), ModelNames(workspace or Workspace.open())
    is_word = Path(name).name == name
    named = names.find(name, whole=whole) if is_word else None
    if kind_of(path) is None and named is not None:
        return _file_in(named)
    if named is not None and named.resolve() != path.resolve():
        raise InputError(
            f"{name!r} is a model's folder here and the name of {named}; write ./{name} for the one here, "
            "or the other's path"
        )
    if path.is_dir() or is_gguf(path):
        return _file_in(path)
    if path.exists():
        raise InputError(f"{name} is a file; give the folder that holds config.json and the weights, or a GGUF file")
    if is_hub_id(name):
        found: Path = resolve("lavra.api.hub:fetch")(name)  # the hub's client is imported only for a hub id
        return found
    raise InputError(
        f"{name} is neither a folder here nor a hub id of the form owner/model; check the path"
        + (_names_instead(name, names) if is_word else "")
    )


def _names_instead(name: str, names: ModelNames) -> str:
    """The message's part about the workspace, for a word that is not a name in it."""
    known = names.known()
    if not known:
        return f" (and {names.workspace.path} has no models, so no names)"
    return f", or name a model of {names.workspace.path}{nearest(name, known)}"


def _file_in(folder: Path) -> Path:
    """The only GGUF file of a folder without another model; else the folder.

    Raises InputError for a folder with several GGUF files.
    """
    if kind_of(folder) != "gguf" or folder.is_file():
        return folder
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        raise InputError(f"{folder} holds {len(files)} GGUF files; name one: {', '.join(str(one) for one in files)}")
    return files[0]


def is_hub_id(name: str) -> bool:
    """Whether a name looks like `owner/model` rather than like a path."""
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and owner not in (".", "..", "~")


def find_base(adapter: AdapterFolder) -> Path:
    """The model of an adapter, from the path in its folder; a model that the user did not name is never fetched.

    Raises:
        InputError: the folder names no model, or the model is missing.
    """
    if adapter.base is None:
        raise InputError(f"{adapter.folder} does not say which model it belongs to; name it with base=")
    folder = Path(adapter.base).expanduser()
    if not folder.is_dir() and not is_gguf(folder):
        raise InputError(
            f"the adapter {adapter.folder} belongs to {adapter.base!r}, which is not a folder here; name it with "
            "base=, by its folder or by its id on the Hugging Face hub"
        )
    return folder
