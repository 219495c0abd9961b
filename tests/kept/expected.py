"""Outputs of kept files when they were made, and the calls that compute them again.

All calls are public (`lavra.load` and the command line), so that modules may move.  `record` wrote the expected numbers
beside the files, and the tests repeat the same calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import platform
from pathlib import Path

import numpy as np
import torch

import lavra
from lavra.cli.main import main

KEPT = Path(__file__).parent / "files"
MADE_AT = 1_700_000_000_000_000_000  # time of change of the text, in ns: `up` knows a text by names, sizes and times
UP_SETTINGS = {
    "budget": 10.0,
    "sequence_length": 128,
    "heldout_fraction": 0.4,
    "hidden_size": 64,
    "num_layers": 1,
    "compile": "off",
    "num_samples": 2,
}
UP_SIZES = {"llama": 320, "bert": 200, "t5": 512}
FAMILIES = ("gpt2", "llama", "mistral", "qwen2", "falcon", "bert", "roberta", "t5")
ENCODERS = ("bert", "roberta")
IDS = (75, 41, 90, 33, 60, 19, 64, 51)
SOURCE, TARGET = (75, 41, 90, 33), (60, 19, 64, 51)
TEXTS = ("the film was good", "who is in lisbon and saw ana")
ASKED = {
    "classify": ["a good day", "the film was awful and sad"],
    "several": ["a good day", "the film was awful and sad"],
    "number": ["good fine great lovely", "bad poor good sad"],
    "pair": ["the good day", "it was bad", "--pair"],
    "ner": ["ana saw the film in lisbon", "rui was in porto"],
    "qa": ["who is it", "the film was in ana and a day"],
    "choice": ["the film was", "bad", "good"],
    "rerank": ["where is ana", "in lisbon a good day", "in porto a bad day", "in faro a great day"],
}


def up_settings(family: str) -> dict[str, object]:
    """Settings of the kept `up` run, without the text."""
    return {**UP_SETTINGS, "family": family, "vocab_size": UP_SIZES[family]}


def machine() -> dict[str, object]:
    """Properties of the machine that the last bits of a result depend on, from PyTorch."""
    found = torch.cpu.get_capabilities()
    return {
        "torch": str(torch.__version__),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "capabilities": {flag: bool(found.get(flag)) for flag in ("avx512_bf16", "amx_bf16")},
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def said(*arguments: object) -> dict:
    """The JSON output of a command."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = main([*map(str, arguments), "--json"])
    assert status == 0, errors.getvalue()
    return json.loads(out.getvalue())


def hash_json(value: object) -> str:
    """The hash in cards and identities, rewritten from the documentation: sha256 of sorted, compact JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def loaded(folder: Path, base: Path | None = None):
    known = inspect.signature(lavra.load).parameters  # trees that made what is kept had no runners to choose
    runner = {"runner": "torch"} if "runner" in known else {}
    return lavra.load(folder, dtype="float32", device="cpu", base=base, **runner)


@torch.no_grad()
def logits(model, family: str) -> np.ndarray:
    """(T, V) logits of the whole fixed text; (U, V) of an encoder-decoder."""
    parts = (SOURCE, TARGET) if family == "t5" else (IDS,)
    return model.port.model(*(torch.tensor([part]) for part in parts))[0].float().numpy()


def numbers(model, family: str) -> dict[str, np.ndarray]:
    """Outputs of a model without a head: log-probabilities, vectors and greedy tokens."""
    given = {"given": TEXTS[0]} if family == "t5" else {}
    scored = model.score(TEXTS[1], **given).logprobs
    found = {
        "scores": np.array([np.nan if one is None else one for one in scored], dtype=np.float32),
        "embedding": model.embed(list(TEXTS)),
    }
    if family in ENCODERS:
        (best,) = model.fill_mask("the film was [MASK]", top_k=3)
        return {**found, "filled": np.array([one.logprob for one in best], dtype=np.float32)}
    return {**found, "written": np.array(model.generate(TEXTS[0], max_tokens=12).tokens)}


def predicted(folder: Path, kind: str, *more: object) -> dict:
    """Output of `lavra predict` for texts, and for a file of labelled samples."""
    texts = said("predict", folder, *ASKED[kind], *more)
    file = said("predict", folder, "--input", folder.parents[1] / "data" / f"{kind}.jsonl", *more)
    return {"texts": texts, "predictions": file["predictions"][:6], "scores": file["scores"]}


def head_folders(files: Path) -> list[Path]:
    return sorted((files / "heads").iterdir())


def headed(folder: Path) -> bool:
    """Whether an adapter has a task's head."""
    return "head" in json.loads((folder / "lavra.json").read_text(encoding="utf-8"))["config"]


def adapter_numbers(folder: Path, base: Path) -> dict[str, np.ndarray]:
    family, task, method = folder.name.split("-")
    model = loaded(folder, base)
    if task == "embed":
        return {"embedding": model.embed(list(TEXTS))}
    found = numbers(model, family)
    return found if method in ("prompt", "prefix") else {**found, "logits": logits(model, family)}


# One step each, with settings that are not the usual ones; card ids are hashes of what the card says of them.
COMMANDS = {
    "finetune-head": "finetune heads/bert-classify --task classify --data data/classify.jsonl --seed 3 --max-tokens 32 "
    "--on-long drop --weight-decay 0.1 --warmup 0.2 --columns text=text label=label --heldout-fraction 0.25 "
    "--problem single_label_classification --batch-size 4 --accumulation 2",
    "finetune-tags": "finetune families/bert --task ner --data data/ner.jsonl --heldout-fraction 0.3 --eval-every 1 "
    "--patience 2 --epochs 2",
    "finetune-lora": "finetune families/llama --task chat --data data/chat.jsonl --method lora --rank 3 --alpha 5 "
    "--dropout 0.1 --targets q_proj v_proj --rslora",
    "finetune-prefix": "finetune families/t5 --task text2text --data data/text2text.jsonl --method prefix "
    "--virtual-tokens 2",
    "finetune-encoder": "finetune families/bert --task embed --data data/embed.jsonl --embed.pooling cls "
    "--embed.sizes 8 16 --embed.symmetric",
    "distill": "distill heads/bert-classify --task classify --data data/classify.jsonl --temperature 3 --share 0.7 "
    "--hidden 0.5 --hidden-distance cosine --attention 0.5 --attention-compare relations --layers 1",
}


def card(folder: Path) -> dict:
    return json.loads((folder / "lavra.json").read_text(encoding="utf-8"))


def settings_hashed(name: str) -> dict[str, object]:
    """Settings in the card of a command's model; run in the folder of the kept files."""
    out = Path("made") / name
    said(*COMMANDS[name].split(), "--steps", 1, "--out", out)
    found = {part: card(out)[part] for part in ("kind", "parents", "config")}
    return {**found, "id": hash_json(found)}


ANSWERS = "answers families/llama --data data/text2text.jsonl --max-tokens 12 --batch-size 4 --stop day"
EXPORTS = ("gguf:f32", "gguf:q8_0")


def export_hash(to: str) -> str:
    """Hash of a kept model's GGUF file; run in the folder of the kept files."""
    out = Path("made") / to.replace(":", "-")
    said("compress", "families/llama", "--to", to, "--text", "data/heldout.txt", "--allow-miss", "--out", out)
    (path,) = out.glob("*.gguf")
    return hash_file(path)


def prompt_record(files: Path) -> dict:
    """Fields of a kept prompt, including its fingerprint."""
    path, model = files / "prompts/sentiment.yaml", files / "families/llama-wide"
    shots = ["--shots", 1, "--var", "review=so so"]
    return {
        "rendered": said("prompt", "render", path, *shots),
        "inspected": said("prompt", "inspect", path, "--model", model, *shots),
    }


def record(files: Path) -> None:
    """Write the expected numbers beside the files."""
    arrays: dict[str, np.ndarray] = {}
    for family in FAMILIES:
        model = loaded(files / "families" / family)
        found = {**numbers(model, family), "logits": logits(model, family)}
        arrays |= {f"families/{family}/{name}": value for name, value in found.items()}
    for folder in sorted((files / "quantized").iterdir()):
        family = folder.name.split("-")[0] if folder.name.startswith(("bert", "t5")) else "llama"
        arrays[f"quantized/{folder.name}/logits"] = logits(loaded(folder), family)
    predictions = {
        f"heads/{folder.name}": predicted(folder, folder.name.split("-")[1]) for folder in head_folders(files)
    }
    for folder in sorted((files / "adapters").iterdir()):
        family, kind, _ = folder.name.split("-")
        base = files / "families" / family
        if headed(folder):
            predictions[f"adapters/{folder.name}"] = predicted(folder, kind, "--base", base)
        else:
            found = adapter_numbers(folder, base)
            arrays |= {f"adapters/{folder.name}/{name}": value for name, value in found.items()}
    arrays["encoder/embedding"] = loaded(files / "encoder").embed(list(TEXTS))
    np.savez_compressed(files / "numbers.npz", **arrays)
    text = json.dumps(predictions, indent=1, ensure_ascii=False)
    (files / "predictions.json").write_text(text + "\n", encoding="utf-8")
