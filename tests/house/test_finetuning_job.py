"""The peer's input: rows of different lengths through a file, and settings that do not depend on folders."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from benchmarks.finetuning_job import FinetuneJob, load_ragged, save_ragged


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6), width=st.integers(0, 3))
def test_rows_come_back_as_they_were(lengths: list[int], width: int, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    shape = (width,) if width else ()
    rows = [np.arange(length * max(width, 1), dtype=np.int32).reshape(length, *shape) for length in lengths]
    save_ragged(path, {"ids": rows, "one": [np.array([0.5], dtype=np.float32)]})
    found = load_ragged(path)
    assert len(found["ids"]) == len(rows)
    for row, back in zip(rows, found["ids"], strict=True):
        np.testing.assert_array_equal(row, back)
        assert row.dtype == back.dtype
    assert found["one"][0].tolist() == [0.5]


def test_a_result_does_not_depend_on_where_files_were(tmp_path: Path) -> None:
    one = FinetuneJob(task="rte", seed=0, data="/a/data", base="/a/model", save="/a/out")
    other = FinetuneJob(task="rte", seed=0, data="/b/data", base="/b/model")
    assert one.settings() == other.settings()
    assert one.settings() != FinetuneJob(task="rte", seed=1, data="", base="/a/model").settings()
