"""Runs that the old code stopped half-way continue, its caches are read, and hashes of settings stay.

Exact, on any machine: the step from which a run resumes, the settings in cards, ids, an unchanged cache, exported
files, prompts' texts, greedy answers.  Weights of a resumed and of an uninterrupted run, and of a student trained on a
kept cache and the kept student, are equal to the last bit on a machine like the one that wrote the files
(`machine.json`), else within 1e-3, because instruction sets add in different orders.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.kept.expected import (
    ANSWERS,
    COMMANDS,
    EXPORTS,
    KEPT,
    card,
    export_hash,
    hash_file,
    prompt_record,
    said,
    settings_hashed,
)
from tests.kept.identities import identities

IDENTITIES = json.loads((KEPT / "identities.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-3  # of weights that ten steps of 0.01 have moved
USUAL = "--steps 10 --batch-size 8 --save-every 3 --learning-rate 0.01"
STOPPED = {
    "finetune": f"finetune heads/bert-classify --task classify --data data/classify.jsonl {USUAL}",
    "finetune-lora": "finetune families/llama --task chat --data data/chat.jsonl --method lora --rank 2 --dropout 0.1 "
    + USUAL,
    "distill": f"distill heads/bert-classify --task classify --data data/classify.jsonl --hidden 1 {USUAL}",
}
CACHES = {
    "head": "distill heads/bert-classify --task classify --data data/classify.jsonl "
    "--steps 4 --batch-size 8 --learning-rate 0.01 --cache-top-k 8",
    "text": "distill families/gpt2 --task text2text --data data/text2text.jsonl "
    "--steps 4 --batch-size 8 --learning-rate 0.01 --cache-top-k 8",
}


def weights(folder: Path) -> dict[str, np.ndarray]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], *, exact: bool) -> None:
    """Equal to the last bit, or within the tolerance; biases of keys are then left out.

    Softmax ignores such a bias, so its gradient is only rounding, which Adam scales to whole steps.
    """
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if exact:
            assert np.array_equal(ours[name], value), name
        elif not name.endswith("key.bias"):
            found, wanted = ours[name], value
            if name.endswith("c_attn.bias"):  # GPT-2's queries, keys and values
                found, wanted = (np.delete(one.reshape(3, -1), 1, axis=0) for one in (found, wanted))
            np.testing.assert_allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def differ(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return any(np.abs(ours[name] - value).max() > 10 * TOLERANCE for name, value in theirs.items())


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hash_file(path) for path in sorted(folder.iterdir())}


@pytest.mark.usefixtures("as_made")
@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_run_goes_on(name, here, same_machine, caplog):
    """The finished model equals the model of an uninterrupted run."""
    scratch = here / f"went-on/.{name}-training"
    shutil.copytree(KEPT / "stopped" / scratch.name, scratch)
    with caplog.at_level(logging.INFO, logger="lavra"):
        said(*STOPPED[name].split(), "--out", f"went-on/{name}")
    assert "step-00000006" in caplog.text
    assert not scratch.exists()
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="lavra"):
        said(*STOPPED[name].split(), "--out", f"whole/{name}")
    assert "step-00000006" not in caplog.text
    same(weights(here / "went-on" / name), weights(here / "whole" / name), exact=same_machine)
    ours, theirs = (card(here / folder / name) for folder in ("went-on", "whole"))
    assert ours["config"] == theirs["config"]
    assert (ours["id"] == theirs["id"]) or not same_machine


@pytest.mark.usefixtures("as_made")
def test_a_stopped_run_is_not_gone_on_with_by_other_settings(here, capsys):
    """Hashed settings distinguish runs, so the resume above is no accident."""
    from lavra.cli.main import main

    shutil.copytree(KEPT / "stopped/.finetune-training", here / "made/.finetune-training")
    changed = [*STOPPED["finetune"].split(), "--weight-decay", "0.5", "--out", "made/finetune"]
    assert main(changed) == 2
    assert "other settings (optimizer.weight_decay: 0.01 -> 0.5)" in capsys.readouterr().err


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_of_a_teacher_teaches_as_it_did(name, here, same_machine):
    shutil.copytree(KEPT / "caches" / name, here / "caches" / name)
    before = hashes(here / "caches" / name)
    command = [*CACHES[name].split(), "--cache", f"caches/{name}"]
    said(*command, "--out", f"students/{name}")
    assert hashes(here / "caches" / name) == before
    ours, kept = card(here / "students" / name), card(KEPT / "students" / name)
    assert ours["config"] == kept["config"]
    same(weights(here / "students" / name), weights(KEPT / "students" / name), exact=same_machine)
    words = here / "caches" / name / ("logits.bin" if name == "head" else "logprobs.bin")
    words.write_bytes(bytes(words.stat().st_size))  # a teacher who says something else, so what is kept is read
    said(*command, "--out", "students/other")
    assert differ(weights(here / "students/other"), weights(KEPT / "students" / name))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("here")
def test_settings_in_a_card_are_what_they_were(name):
    assert settings_hashed(name) == IDENTITIES["settings"][name]


YAML = """task: ner
data: data/ner.jsonl
heldout_fraction: 0.3
eval_every: 1
patience: 2
epochs: 2
steps: 1
"""


def test_settings_in_a_file_are_those_of_flags(here):
    (here / "run.yaml").write_text(YAML, encoding="utf-8")
    said("finetune", "families/bert", "--config", "run.yaml", "--out", "made")
    assert card(here / "made")["config"] == IDENTITIES["settings"]["finetune-tags"]["config"]


CHANGED = {"corpus", "tokenizer", "instructions", "plan", "adapt", "encoder", "evaluate", "compress"}
"""Stages of `up` that have come to mean something else since the files were kept, each with a raised version."""


@pytest.mark.usefixtures("as_made", "here")
def test_stages_and_training_settings_have_their_old_identities():
    found = identities(Path("text"))
    for which, stages in IDENTITIES["stages"].items():
        changed = {name for name, identity in stages.items() if found["stages"][which][name] != identity}
        # Without baselines it is no decoder, and evaluated by its holes, as it was.
        assert changed == (CHANGED if "baselines" in stages else CHANGED - {"evaluate"}) & set(stages)
    assert found["training"] == IDENTITIES["training"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("to", EXPORTS)
def test_an_exported_file_is_the_same_to_the_byte(to):
    assert export_hash(to) == IDENTITIES["exports"][to]


def test_a_prompt_has_its_fingerprint_and_its_text():
    assert prompt_record(KEPT) == IDENTITIES["prompt"]


def told(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "date"} for row in rows]


def test_answers_that_broke_off_go_on(here):
    """The eight answered prompts are not repeated, and the others get the same answers as before."""
    shutil.copytree(KEPT / "answers", here / "answers")
    found = said(*ANSWERS.split(), "--out", "answers/stopped.jsonl")
    assert found["resumed"] == 8
    assert found["kept"] > 0
    for kind in ("jsonl", "left-out.jsonl"):
        assert told(here / f"answers/stopped.{kind}") == told(here / f"answers/whole.{kind}")
