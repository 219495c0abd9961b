"""The embedding settings in a model's folder, in the layout of sentence-transformers, read and written.

    modules.json                        Transformer, Pooling, perhaps Normalize
    1_Pooling/config.json               the pooling
    sentence_bert_config.json           most tokens, lower case
    config_sentence_transformers.json   prompts, and the name of the default prompt

Saving a trained model is in `embedding_saving.py`.

Deliberately absent: other modules (dense layers, weighted layers), and poolings joined end to end.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lavra.base.errors import CheckpointError, ConfigError, nearest
from lavra.base.files import read_json, write_json
from lavra.base.gguf_file import is_gguf, read_gguf
from lavra.model.config_files import load_config
from lavra.model.pooling import Pooling
from lavra.model.sidecars import copy_sidecars

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """The settings of embedding.

    Attributes:
        pooling: pooling of tokens to a vector.
        normalize: whether vectors are scaled to length 1.
        max_tokens: most tokens read, special tokens included; None is the model's context.
        lowercase: whether texts are lowercased before they are tokenized.
        prompts: texts to put before a text, by name (`query`).
        default_prompt: name of the prompt for texts without a named prompt; None is not a prompt.
        pools_prompt: whether the mean is taken over the prompt's tokens too.
    """

    pooling: Pooling = Pooling.MEAN
    normalize: bool = True
    max_tokens: int | None = None
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    pools_prompt: bool = True

    def prompt(self, name: str | None = None) -> str:
        """The prompt of that name, by default the folder's own, empty without such a prompt.

        Raises ConfigError for an unknown name.
        """
        chosen = self.default_prompt if name is None else name
        if chosen is None:
            return ""
        if chosen not in self.prompts:
            known = f"{nearest(chosen, self.prompts)}; known: {', '.join(self.prompts)}" if self.prompts else ""
            raise ConfigError(f"prompt_name={chosen!r} is not one of the model's prompts{known or ', for it has none'}")
        return self.prompts[chosen]


_POOLING_FLAGS: Final = {
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_lasttoken": Pooling.LAST,
}
_OTHER_POOLINGS: Final = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
)
_SETTINGS: Final = "sentence_bert_config.json"
# The two settings that are used, and those about opening files or about abilities beyond text.
_KNOWN_SETTINGS: Final = frozenset(
    (
        "max_seq_length",
        "do_lower_case",
        "transformer_task",
        "modality_config",
        "module_output_name",
        "processing_kwargs",
    )
)
_LLAMA_CPP_POOLINGS: Final = {1: Pooling.MEAN, 2: Pooling.CLS, 3: Pooling.LAST}  # `gguf.PoolingType`
_FOLDERS: Final = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}


def read_embedding_config(folder: Path) -> EmbeddingConfig:
    """Read the settings of a sentence-transformers folder or of a GGUF file; without settings, the defaults.

    Raises:
        CheckpointError: the folder needs a module or a pooling that is not supported, or names a missing prompt.
    """
    if is_gguf(folder):
        pooled = read_gguf(folder).of_model("pooling_type")
        return EmbeddingConfig(pooling=_LLAMA_CPP_POOLINGS.get(pooled, Pooling.MEAN))
    modules_file = folder / "modules.json"
    if not modules_file.exists():
        return EmbeddingConfig()
    pooling, pools_prompt, normalize = Pooling.MEAN, True, False
    for module in read_json(modules_file):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        if kind == "Pooling":
            pooling, pools_prompt = _read_pooling(folder / module["path"] / "config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise CheckpointError(
                f"{modules_file} ends with a {kind} module; only Transformer, Pooling and Normalize are supported"
            )
    settings = _read_settings(folder)
    prompts, default_prompt = _read_prompts(folder / "config_sentence_transformers.json")
    return EmbeddingConfig(
        pooling=pooling,
        normalize=normalize,
        max_tokens=settings.get("max_seq_length"),
        lowercase=bool(settings.get("do_lower_case", False)),
        prompts=prompts,
        default_prompt=default_prompt,
        pools_prompt=pools_prompt,
    )


def _read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the Transformer module; older folders name the file after its model."""
    path = next(iter(sorted(folder.glob("sentence_*_config.json"), key=lambda one: one.name != _SETTINGS)), None)
    settings: dict[str, Any] = {} if path is None else read_json(path)
    unread = sorted(name for name, value in settings.items() if value and name not in _KNOWN_SETTINGS)
    if unread:
        log.warning(
            "%s: settings that lavra does not know are ignored, and vectors may differ: %s", path, ", ".join(unread)
        )
    return settings


def _read_prompts(path: Path) -> tuple[dict[str, str], str | None]:
    """Read the prompts by name, and the name of the default prompt."""
    facts: dict[str, Any] = read_json(path) if path.exists() else {}
    prompts = {str(name): str(text) for name, text in (facts.get("prompts") or {}).items()}
    usual = facts.get("default_prompt_name")
    if usual is not None and usual not in prompts:
        raise CheckpointError(
            f"{path}: default_prompt_name is {usual!r} and prompts has {', '.join(prompts) or 'none'}; "
            "add the prompt, or set default_prompt_name to null"
        )
    if usual is not None and prompts[usual]:
        log.info("%s: %r is put before every text to embed, unless another prompt is asked for", path, prompts[usual])
    return prompts, usual


def _read_pooling(path: Path) -> tuple[Pooling, bool]:
    """Read the pooling, and whether it takes the prompt's tokens too."""
    config = read_json(path)
    pools_prompt = bool(config.get("include_prompt", True))
    wanted = [name for name, value in config.items() if name.startswith("pooling_mode") and value is True]
    named = config.get("pooling_mode")  # newer folders name it
    if isinstance(named, str):
        return parse_pooling({"lasttoken": "last"}.get(named, named)), pools_prompt
    if len(wanted) == 1 and wanted[0] in _POOLING_FLAGS:
        return _POOLING_FLAGS[wanted[0]], pools_prompt
    raise CheckpointError(
        f"{path} asks for {' and '.join(wanted) or 'no pooling'}; supported is one of {', '.join(_POOLING_FLAGS)}"
    )


def write_embedding_config(folder: Path, config: EmbeddingConfig) -> None:
    """Write the embedding settings into a model's folder, as sentence-transformers does; other files stay.

    Args:
        folder: folder of a saved model; its `config.json` has the size of vectors.
        config: settings to write.

    Raises:
        CheckpointError: the folder holds no model.
    """
    flags = {name: pooling is config.pooling for name, pooling in _POOLING_FLAGS.items()}
    pooling = {
        "word_embedding_dimension": load_config(folder).hidden_size,
        **flags,
        **dict.fromkeys(_OTHER_POOLINGS, False),
    }
    if not config.pools_prompt:
        pooling["include_prompt"] = False
    kinds = ["Transformer", "Pooling", *(["Normalize"] if config.normalize else [])]
    for kind in kinds:
        (folder / _FOLDERS[kind]).mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / _SETTINGS, {"max_seq_length": config.max_tokens, "do_lower_case": config.lowercase})
    # Without "__version__": sentence-transformers would warn where its own version is older than the one named.
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": dict(config.prompts),
            "default_prompt_name": config.default_prompt,
            "similarity_fn_name": "cosine",
        },
    )
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": _FOLDERS[kind],
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)


def keep_embedding_config(source: Path, folder: Path) -> None:
    """Copy a source's embedding settings into a model's folder: a folder's own files, or a GGUF file's pooling."""
    if not is_gguf(source):
        copy_sidecars(source, folder)
    elif read_gguf(source).of_model("pooling_type"):
        write_embedding_config(folder, read_embedding_config(source))


def parse_pooling(name: str) -> Pooling:
    """The pooling of a name.

    Raises:
        ConfigError: no pooling has this name.
    """
    for pooling in Pooling:
        if pooling.value == name:
            return pooling
    raise ConfigError(f"pooling={name!r} is unknown{nearest(name, [pooling.value for pooling in Pooling])}")
