"""The benchmark runner: its demands on a benchmark, its rule for a worse result, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import run_all
from benchmarks.run_all import (
    BEGIN,
    END,
    PAGE,
    BenchmarkError,
    NotMeasuredError,
    is_much_worse,
    load,
    parse,
    record,
    run,
    scripts,
    small_runs,
    smoke,
    table,
    write_table,
)

RESULT = {
    "claim": "faster | than it",
    "ours": 4000.0,
    "peers": {"it": 1000.0},
    "ratio": 4.0,
    "bar": 3.5,
    "holds": True,
    "machine": {"cores": 2},
    "versions": {"torch": "2"},
}


def test_the_last_line_is_the_result() -> None:
    assert parse("warming up\n" + json.dumps(RESULT) + "\n", "x.py") == RESULT


@pytest.mark.parametrize("output", ["", "no json", '{"claim": "x"}', json.dumps(RESULT) + "\ndone"])
def test_anything_else_is_refused(output: str) -> None:
    with pytest.raises(BenchmarkError, match=r"x\.py --json"):
        parse(output, "x.py")


def test_only_twice_as_bad_is_worse() -> None:
    assert not is_much_worse({"ratio": 2.1}, {"ratio": 4.0})
    assert is_much_worse({"ratio": 1.9}, {"ratio": 4.0})
    assert is_much_worse({"ratio": 2.1, "better": "lower"}, {"ratio": 1.0})
    assert not is_much_worse({"ratio": 0.4, "better": "lower"}, {"ratio": 1.0})


def test_a_slower_machine_alone_is_not_worse() -> None:
    """Seconds over a fixed bar double on a slower machine; their ratio to a peer of the same run does not."""
    recorded = {"ratio": 0.16, "steady": 0.03, "better": "lower"}
    assert not is_much_worse({"ratio": 0.5, "steady": 0.035, "better": "lower"}, recorded)
    assert is_much_worse({"ratio": 0.5, "steady": 0.07, "better": "lower"}, recorded)


def test_a_benchmark_that_fails_or_hangs_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    (tmp_path / "slow.py").write_text("import time; time.sleep(30)")
    with pytest.raises(BenchmarkError, match="status 3"):
        run(tmp_path / "broken.py", smoke=True)
    with pytest.raises(BenchmarkError, match="took over"):
        run(tmp_path / "slow.py", smoke=True, timeout=0.2)


def test_sizes_are_distinguished(tmp_path: Path) -> None:
    script = tmp_path / "claim.py"
    script.write_text(f"import json, sys\nprint(json.dumps({{**{RESULT!r}, 'ratio': float('--smoke' in sys.argv)}}))")
    assert run(script, smoke=True)["ratio"] == 1.0
    assert run(script, smoke=False)["ratio"] == 0.0


def test_small_sizes_are_recorded_beside_the_full_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, records, page = tmp_path / "claim.py", tmp_path / "recorded.json", tmp_path / "page.md"
    script.write_text(f"import json, sys\nprint(json.dumps({{**{RESULT!r}, 'ratio': 2.5 + ('--smoke' in sys.argv)}}))")
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(run_all, "RECORDED", records)
    monkeypatch.setattr(run_all, "PAGE", page)
    records.write_text(json.dumps({"claim.py": {"full": {**RESULT, "date": "2020-01-01"}}}))
    assert record([script], ("smoke",)) == []
    kept = load()["claim.py"]
    assert (kept["full"]["ratio"], kept["full"]["date"], kept["smoke"]["ratio"]) == (4.0, "2020-01-01", 3.5)
    assert record([script]) == []
    assert [load()["claim.py"][size]["ratio"] for size in ("full", "smoke")] == [2.5, 3.5]


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# before\n{BEGIN}\nstale row\n{END}\nafter\n")
    recorded = {"claim.py": {"full": {**RESULT, "date": "2020-01-01"}}}
    for _ in range(2):  # writing again changes nothing
        write_table(page, recorded)
    text = page.read_text()
    assert text.startswith("# before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "| faster \\| than it | 4,000 | it 1,000 | 4 | 3.5 | yes | `claim.py` | 2020-01-01 |" in text
    assert "cores 2; torch 2" in text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing here")
    with pytest.raises(BenchmarkError, match="lacks the markers"):
        write_table(tmp_path / "page.md", {})


def test_the_page_shows_what_is_recorded() -> None:
    assert table(load()) in PAGE.read_text(encoding="utf-8")


def test_recorded_benchmarks_still_exist() -> None:
    assert set(load()) | run_all.UNTIMED <= {script.name for script in scripts()}


def test_small_runs_that_share_the_machine_have_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("timed", "untimed"):
        (tmp_path / f"{name}.py").write_text(
            f"import json, os\nprint(json.dumps({{**{RESULT!r}, 'claim': os.environ.get('OMP_NUM_THREADS')}}))"
        )
    monkeypatch.setattr(run_all, "UNTIMED", {"untimed.py"})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    claims = {script.name: result["claim"] for script, result, _ in small_runs(sorted(tmp_path.glob("*.py")))}  # type: ignore[index]
    assert claims == {"timed.py": None, "untimed.py": "1"}


def test_a_benchmark_without_its_data_is_not_measured_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "absent.py").write_text("raise SystemExit(77)")
    with pytest.raises(NotMeasuredError, match="its data is not here"):
        run(tmp_path / "absent.py", smoke=True)
    assert smoke([tmp_path / "absent.py"]) == []
    assert "was not measured" in capsys.readouterr().out
