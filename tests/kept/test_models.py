"""Kept models, adapters and quantized folders open with the same outputs as when they were made.

Exact: tokens written greedily, labels, JSON keys, ids and hashes.  Within 1e-5, relative and absolute: logits,
log-probabilities, vectors, probabilities.  On a machine unlike the one that made the files (`machine.json`) within
1e-4, because instruction sets add in different orders (SSE and AVX512 differ by 3e-5 here).  Where activations are
rounded to integers as well (int8-dynamic), such a difference may tip one over: within 2 % of the largest logit.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lavra
from tests.kept.expected import (
    FAMILIES,
    KEPT,
    TEXTS,
    adapter_numbers,
    card,
    hash_file,
    hash_json,
    head_folders,
    headed,
    loaded,
    logits,
    numbers,
    predicted,
)

NUMBERS = dict(np.load(KEPT / "numbers.npz"))
PREDICTIONS = json.loads((KEPT / "predictions.json").read_text(encoding="utf-8"))
ADAPTERS = sorted((KEPT / "adapters").iterdir())
CARDS = sorted(path.parent for path in KEPT.rglob("lavra.json"))


def name(path: Path) -> str:
    return path.relative_to(KEPT).as_posix()


@pytest.fixture
def tolerance(same_machine: bool) -> float:
    return 1e-5 if same_machine else 1e-4


def compare(found: dict[str, np.ndarray], place: str, tolerance: float) -> None:
    wanted = {key.rpartition("/")[2]: value for key, value in NUMBERS.items() if key.startswith(f"{place}/")}
    assert set(found) == set(wanted)
    for part, value in wanted.items():
        if value.dtype.kind == "i":
            assert found[part].tolist() == value.tolist(), part
        else:
            np.testing.assert_allclose(found[part], value, rtol=tolerance, atol=tolerance, err_msg=part)


def compare_json(found: object, wanted: object, tolerance: float, place: str = "") -> None:
    """Every old key is present with the same value; new keys are allowed.

    Scores of choices were once keyed by number; they are a list now, as they always were in the server.
    """
    if isinstance(wanted, dict) and isinstance(found, list) and place.endswith(".scores"):
        compare_json(found, list(wanted.values()), tolerance, place)
    elif isinstance(wanted, dict):
        assert isinstance(found, dict), place
        for key, value in wanted.items():
            assert key in found, f"{place}.{key} is gone"
            compare_json(found[key], value, tolerance, f"{place}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), place
        assert len(found) == len(wanted), place
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            compare_json(one, other, tolerance, f"{place}[{number}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance), place
    else:
        assert found == wanted, place


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_what_it_said(family, tolerance):
    model = loaded(KEPT / "families" / family)
    compare({**numbers(model, family), "logits": logits(model, family)}, f"families/{family}", tolerance)


@pytest.mark.parametrize("folder", head_folders(KEPT), ids=name)
def test_a_head_predicts_what_it_predicted(folder, tolerance):
    compare_json(predicted(folder, folder.name.split("-")[1]), PREDICTIONS[name(folder)], tolerance)


@pytest.mark.parametrize("folder", ADAPTERS, ids=name)
def test_an_adapter_does_what_it_did(folder, tolerance):
    family, kind, _ = folder.name.split("-")
    base = KEPT / "families" / family
    if headed(folder):
        compare_json(predicted(folder, kind, "--base", base), PREDICTIONS[name(folder)], tolerance)
    else:
        compare(adapter_numbers(folder, base), name(folder), tolerance)


@pytest.mark.parametrize("folder", sorted((KEPT / "quantized").iterdir()), ids=name)
def test_a_quantized_folder_gives_its_logits(folder, tolerance):
    family = folder.name.split("-")[0] if folder.name.startswith(("bert", "t5")) else "llama"
    dynamic = "dynamic" in folder.name  # its inputs are rounded while it is packed, as they were then
    packed = {"dtype": "float32", "device": "cpu", "expand": False, "runner": "torch"}
    model = lavra.load(folder, **packed) if dynamic else loaded(folder)
    found, wanted = logits(model, family), NUMBERS[f"{name(folder)}/logits"]
    loose = 0.02 * np.abs(wanted).max() if dynamic else tolerance
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=loose)


def test_a_sentence_encoder_embeds_as_it_did(tolerance):
    compare({"embedding": loaded(KEPT / "encoder").embed(list(TEXTS))}, "encoder", tolerance)


@pytest.mark.parametrize("folder", CARDS, ids=name)
def test_a_card_has_its_id_and_the_hashes_of_its_files(folder):
    told = card(folder)
    assert hash_json({part: told[part] for part in ("kind", "parents", "config", "files")}) == told["id"]
    assert {path: hash_file(folder / path) for path in told["files"]} == told["files"]
