"""Files of every format and task: samples read, rows refused, and their line numbers."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.base.tasks import Problem
from lavra.data.labelled.reading import read_samples
from lavra.data.labelled.samples import LabelledAnswer, PairSample, QuestionSample, RewriteSample, SampleSet, TextSample
from lavra.tasks.answer import ANSWER
from lavra.tasks.chat import CHAT
from lavra.tasks.choose import CHOOSE
from lavra.tasks.classify import CLASSIFY
from lavra.tasks.embed import EMBED
from lavra.tasks.rerank import RERANK
from lavra.tasks.rewrite import REWRITE
from lavra.tasks.spec import TaskSpec
from lavra.tasks.table import all_tasks
from lavra.tasks.tag import TAG


def write(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_lines(path: Path, *rows: Any) -> Path:
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def lines(found: SampleSet) -> list[tuple[int, bool]]:
    return [(issue.place.line, issue.dropped) for issue in found.issues]


def texts(found: SampleSet) -> list[tuple[str, Any]]:
    return [(one.text, one.label) for one in found.samples if isinstance(one, TextSample)]


ROWS = [{"text": "bom", "label": "pos"}, {"text": "mau", "label": "neg"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("a.json", json.dumps(ROWS)),
        ("b.json", json.dumps({"data": ROWS}, indent=2)),
        ("c.json", "".join(json.dumps(row) + "\n" for row in ROWS)),  # JSON lines under a wrong name
        ("a.csv", "text,label\nbom,pos\nmau,neg\n"),
        ("b.csv", "text;label\r\nbom;pos\r\n\r\nmau;neg"),
        ("a.tsv", "\ufefftext\tlabel\nbom\tpos\nmau\tneg\n"),
    ],
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_every_format_gives_the_same_samples(tmp_path: Path, name: str, content: str, end: str) -> None:
    found = read_samples(write(tmp_path / (name + end), content), CLASSIFY.form)
    assert texts(found) == [("bom", "pos"), ("mau", "neg")]
    assert (found.num_read, found.issues) == (2, ())
    assert found.fields["text"] == "text"
    assert found.fields["label"] == "label"


@pytest.mark.parametrize("zipped", [False, True])
def test_parquet_numbers_its_rows_and_reads_the_names_of_classes(tmp_path: Path, zipped: bool) -> None:
    features = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["a", "", "c"], "label": [1, 0, -1]})
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    if zipped:
        path = path.rename(tmp_path / "b.parquet")
        (tmp_path / "c.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "c.parquet.gz"
    found = read_samples(path, CLASSIFY.form)
    assert texts(found) == [("a", "pos")]
    assert lines(found) == [(2, True), (3, True)]  # an empty text; -1 is a class that is not known


def test_parquet_with_bytes_that_are_no_text_drops_that_row_only(tmp_path: Path) -> None:
    text = pa.array([b"ok", b"\xff\xfe", b"fim"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    found = read_samples(tmp_path / "a.parquet", CLASSIFY.form)
    assert (texts(found), lines(found)) == ([("ok", None), ("fim", None)], [(2, True)])


def test_one_bad_line_is_a_trouble_not_an_exception(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        '{"text": "a", "label": "x"}\nnot json\n\n[1]\n{"text": 5, "label": "x"}\n{"text": " ", "label": "x"}\n'
        '{"label": "x"}\n{"text": "b", "label": null}\n{"text": "\\ud800", "label": "x"}\n'
        '{"text": "z\u2028z", "label": "x"}',
    )
    found = read_samples(path, CLASSIFY.form)
    assert texts(found) == [("a", "x"), ("z\u2028z", "x")]
    assert lines(found) == [(2, True), (4, True), (5, True), (6, True), (7, True), (8, True), (9, True)]
    assert (found.num_read, found.num_dropped) == (9, 7)
    assert str(found.issues[0].place) == f"{path}:2"


def test_a_file_with_nothing_usable_is_an_error_that_shows_the_first_troubles(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "x\n" * 9)
    with pytest.raises(InputError, match=r"no usable sample:\n.*a\.jsonl:1: not JSON(.|\n)*and 4 more"):
        read_samples(path, CLASSIFY.form)
    with pytest.raises(InputError, match="empty"):
        read_samples(write(tmp_path / "b.jsonl", ""), CLASSIFY.form)
    with pytest.raises(InputError, match=r"none.jsonl does not exist; check the path"):
        read_samples(tmp_path / "none.jsonl", CLASSIFY.form)
    with pytest.raises(InputError, match=r"b\.json:2: not JSON"):
        read_samples(write(tmp_path / "b.json", '[{"text": "a"},\n oops]'), CLASSIFY.form)


def test_json_documents_know_the_line_of_each_sample(tmp_path: Path) -> None:
    rows = [{"text": "a", "more": {"x": [{"y": 1}]}}, {"text": ""}, "no object", {"text": "b"}]
    found = read_samples(write(tmp_path / "a.json", json.dumps(rows, indent=2)), CLASSIFY.form)
    text = json.dumps(rows, indent=2).split("\n")
    assert text[found.samples[1].place.line].strip() == '"text": "b"'  # the brace is on the line before
    assert [text[issue.place.line].strip() for issue in found.issues] == ['"text": ""'] * 2
    assert any("item 3" in issue.what for issue in found.issues)


CELL = st.text(st.sampled_from('ab ,"\n\rç'), min_size=1, max_size=6)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_csv_lines_are_real_lines_after_cells_of_many_lines(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    starts = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(["text", "label"])
        for row in [*cells, ("fim", "fim")]:
            starts.append(file.tell())
            writer.writerow(row)
    written = path.read_bytes().decode()
    # An independent count: line ends of any kind before the row's first character.
    expected = [
        len(written.encode()[:at].decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")) for at in starts
    ]
    found = read_samples(path, CLASSIFY.form)
    places = [one.place.line for one in (*found.samples, *found.issues)]
    assert sorted(places) == expected
    assert {(one.text, one.label) for one in found.samples} == {
        (text, label.strip()) for text, label in [*cells, ("fim", "fim")] if text.strip() and label.strip()
    }
    assert found.num_dropped == sum(issue.dropped for issue in found.issues)


def test_csv_rows_of_the_wrong_width_and_open_quotes_are_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\na,x\nb\n"c" d,x\ne,x\n"f,x\ng,x\n')
    found = read_samples(path, CLASSIFY.form)
    assert texts(found) == [("a", "x"), ("e", "x"), ("g", "x")]
    assert lines(found) == [(3, True), (4, True), (6, True)]
    assert "opens at line 6 is not closed" in found.issues[2].what


def test_tsv_quotes_are_text_unless_the_header_is_quoted(tmp_path: Path) -> None:
    found = read_samples(write(tmp_path / "a.tsv", 'text\tlabel\n"oi" disse\tx\n"\ty\n'), CLASSIFY.form)
    assert texts(found) == [('"oi" disse', "x"), ('"', "y")]
    found = read_samples(write(tmp_path / "b.tsv", '"text"\t"label"\n"a\tb"\t"x"\n'), CLASSIFY.form)
    assert texts(found) == [("a\tb", "x")]


def test_without_a_header_columns_go_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "g\t1\t\tfirst\ng\t0\t*\tsecond\n")
    found = read_samples(path, CLASSIFY.form, columns={"text": "4", "label": "2"}, header=False)
    assert texts(found) == [("first", "1"), ("second", "0")]
    assert found.fields["unused"] == "1, 3"
    with pytest.raises(InputError, match="header=False"):
        read_samples(path, CLASSIFY.form, columns={"text": "4"})
    with pytest.raises(InputError, match="header=False"):
        read_samples(path, CLASSIFY.form)


def test_bytes_that_are_not_utf8_are_read_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\nação,x\n".encode("cp1252"))
    found = read_samples(path, CLASSIFY.form)
    assert texts(found) == [("ação", "x")]
    assert "windows-1252" in found.issues[0].what
    path.write_bytes(b"\x00\x01\x02\x03" * 10)
    with pytest.raises(InputError, match="not text"):
        read_samples(path, CLASSIFY.form)


# ---------------------------------------------------------------- columns


def test_two_readings_of_the_columns_are_an_error_that_a_mapping_settles(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"text": "a", "sentence": "b", "label": "x", "score": 1})
    with pytest.raises(InputError, match=r"text=text\) or \(text=sentence"):
        read_samples(path, CLASSIFY.form)
    with pytest.raises(InputError, match="'label', 'score'"):
        read_samples(path, CLASSIFY.form, columns={"text": "sentence"})
    found = read_samples(path, CLASSIFY.form, columns={"text": "sentence", "label": "score"})
    assert texts(found) == [("b", "1")]
    with pytest.raises(ConfigError, match="'txt' is not a role of classify; did you mean 'text'"):
        read_samples(path, CLASSIFY.form, columns={"txt": "text"})
    with pytest.raises(InputError, match="no column 'sentense'; did you mean 'sentence'"):
        read_samples(path, CLASSIFY.form, columns={"text": "sentense"})


def test_half_a_mapping_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"a": "x", "b": "y", "text": "z"})
    with pytest.raises(InputError, match="columns name pair, and classify needs text as well"):
        read_samples(path, CLASSIFY.form, columns={"pair": "a"})
    with pytest.raises(InputError, match="columns name context, and answer needs question as well"):
        read_samples(path, ANSWER.form, columns={"context": "a"})


def test_a_pair_wins_over_one_of_its_halves_and_case_does_not_matter(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"Question": "q", "Sentence": "s", "Label": "yes"})
    found = read_samples(path, CLASSIFY.form)
    assert found.samples[0] == TextSample(text="q", pair="s", label="yes", place=found.samples[0].place)


def test_a_field_within_a_column_can_be_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"translation": {"en": "one", "pt": "um"}}, {"translation": {"en": "two"}})
    found = read_samples(path, REWRITE.form, columns={"source": "translation.en", "target": "translation.pt"})
    assert found.samples == (RewriteSample(source="one", target="um", place=found.samples[0].place),)
    assert lines(found) == [(2, True)]


def test_a_row_with_other_columns_does_not_decide_for_the_file(tmp_path: Path) -> None:
    odd = [{"text": "b", "text_pair": "c", "label": "x"}, {"sentence1": "d", "sentence2": "e", "score": 1}]
    found = read_samples(write_lines(tmp_path / "a.jsonl", *ROWS * 2, *odd), CLASSIFY.form)
    assert texts(found) == [("bom", "pos"), ("mau", "neg")] * 2 + [("b", "x")]
    assert lines(found) == [(6, True)]
    assert found.fields["unused"] == "text_pair, sentence1, sentence2, score"


def test_several_files_of_one_split_are_read_in_order(tmp_path: Path) -> None:
    first, second = write_lines(tmp_path / "1.jsonl", ROWS[0], {}), write_lines(tmp_path / "0.jsonl", {}, ROWS[1])
    found = read_samples([first, second], CLASSIFY.form)
    assert texts(found) == [("bom", "pos"), ("mau", "neg")]
    assert [str(issue.place) for issue in found.issues] == [f"{first}:2", f"{second}:1"]


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("written", "problem", "read"),
    [
        (["a", "b"], Problem.SINGLE_LABEL, ["a", "b"]),
        ([0, 1], Problem.SINGLE_LABEL, ["0", "1"]),
        (["0", "1"], Problem.SINGLE_LABEL, ["0", "1"]),
        ([True, False], Problem.SINGLE_LABEL, ["true", "false"]),
        ([0.5, 3], Problem.REGRESSION, [0.5, 3.0]),
        (["3.6", "0"], Problem.REGRESSION, [3.6, 0.0]),
        ([["a", "b"], []], Problem.MULTI_LABEL, [("a", "b"), ()]),
        (['["a"]', "[]"], Problem.MULTI_LABEL, [("a",), ()]),
    ],
)
def test_the_problem_is_seen_from_the_labels(
    tmp_path: Path, written: list[Any], problem: Problem, read: list[Any]
) -> None:
    path = write_lines(tmp_path / "a.jsonl", *({"text": "t", "label": label} for label in written))
    found = read_samples(path, CLASSIFY.form)
    assert [label for _, label in texts(found)] == read
    assert found.fields["problem"] == problem.value


def test_numbers_beyond_any_float_are_reported(tmp_path: Path) -> None:
    rows = [{"text": "t", "label": label} for label in (10**400, 0.5, "inf", "1_0")]
    found = read_samples(write_lines(tmp_path / "a.jsonl", *rows), CLASSIFY.form, problem=Problem.REGRESSION)
    assert (texts(found), lines(found)) == ([("t", 0.5)], [(1, True), (3, True), (4, True)])


def test_a_problem_asked_for_wins(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"text": "t", "label": 1}, {"text": "t", "label": "x"})
    found = read_samples(path, CLASSIFY.form, problem=Problem.REGRESSION)
    assert (texts(found), lines(found)) == ([("t", 1.0)], [(2, True)])
    path = write(tmp_path / "a.csv", "text,label\nt,a|b\nu,\n")
    found = read_samples(path, CLASSIFY.form, problem=Problem.MULTI_LABEL)
    assert texts(found) == [("t", ("a", "b")), ("u", ())]
    with pytest.raises(ConfigError, match="only classify has a problem"):
        read_samples(path, CHAT.form, problem=Problem.REGRESSION)


def test_whole_floats_are_doubted_and_vectors_of_zeros_and_ones_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"text": "t", "label": 0.0}, {"text": "t", "label": 1.0})
    found = read_samples(path, CLASSIFY.form)
    assert "2 whole values" in found.issues[0].what
    assert not found.issues[0].dropped
    assert [x for _, x in texts(read_samples(path, CLASSIFY.form, problem=Problem.SINGLE_LABEL))] == ["0", "1"]
    path = write_lines(tmp_path / "b.jsonl", {"text": "t", "labels": [0, 1, 1]}, {"text": "t", "labels": ["a"]})
    assert lines(read_samples(path, CLASSIFY.form)) == [(1, True)]


# ---------------------------------------------------------------- questions


def squad(*questions: dict[str, Any], context: str = "Ana mora em Lisboa. Ana canta.") -> dict[str, Any]:
    return {"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


@pytest.mark.parametrize(
    ("written", "start"),
    [(" Lisboa", 11), ("Lisboa ", 12), (" Lisboa ", 11), (" Lisboa", 12), ("Lisboa", 12)],
)
def test_blanks_at_an_answers_ends_are_cut_off(tmp_path: Path, written: str, start: int) -> None:
    context = "Ana mora em Lisboa ."
    row = {"question": "Onde?", "context": context, "answers": {"text": [written], "answer_start": [start]}}
    found = read_samples(write_lines(tmp_path / "a.jsonl", row), ANSWER.form)
    assert isinstance(found.samples[0], QuestionSample)
    assert found.samples[0].answers == (LabelledAnswer(text="Lisboa", start=12),)
    assert found.fields.get("answers with blanks at their ends, cut off") == ("1" if written != "Lisboa" else None)


def test_squad_answers_must_stand_where_they_are_said_to(tmp_path: Path) -> None:
    document = squad(
        {"id": "1", "question": "Onde?", "answers": [{"text": "Lisboa", "answer_start": 12}]},
        {
            "id": "2",
            "question": "Quem?",
            "answers": [{"text": "Ana", "answer_start": 1}, {"text": "Ana", "answer_start": 0}],
        },
        {"id": "3", "question": "Quando?", "answers": [], "is_impossible": True},
        {"id": "4", "question": "Quê?", "answers": [{"text": "Ana", "answer_start": 3}]},
        {"id": "1", "question": "Outra vez?", "answers": []},
        {"id": "6", "question": "Sem resposta dada?"},
    )
    path = write(tmp_path / "a.json", json.dumps(document, indent=1, ensure_ascii=False))
    found = read_samples(path, ANSWER.form)
    by_name = {one.name: one for one in found.samples if isinstance(one, QuestionSample)}
    assert {name: one.answers for name, one in by_name.items()} == {
        "1": (LabelledAnswer(text="Lisboa", start=12),),
        "2": (LabelledAnswer(text="Ana", start=0),),
        "3": (),
        "6": None,
    }
    kept, wrong, twice = found.issues
    assert "where 'na ' stands; it stands at 0, 20" in kept.what
    assert [kept.dropped, wrong.dropped, twice.dropped] == [False, True, True]
    text = path.read_text(encoding="utf-8").split("\n")
    assert [json.loads(text[one.place.line].strip(" ,").removeprefix('"id": ')) for one in found.issues] == [
        "2",
        "4",
        "1",
    ]


def test_questions_in_rows(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "context": "abc", "answers": {"text": ["b"], "answer_start": [1]}},
        {"question": "q", "context": "abc", "answers": {"text": [], "answer_start": []}},
        {"question": "q", "context": "abc", "answers": "b"},
    ]
    found = read_samples(write_lines(tmp_path / "a.jsonl", *rows), ANSWER.form)
    assert [one.answers for one in found.samples if isinstance(one, QuestionSample)] == [
        (LabelledAnswer(text="b", start=1),),
        (),
    ]
    assert lines(found) == [(3, True)]
    path = write(tmp_path / "a.csv", "question,context,answer,answer_start\nq,abc,b,1.0\nq,abc,,\nq,abc,b,x\n")
    found = read_samples(path, ANSWER.form)
    assert [one.answers for one in found.samples if isinstance(one, QuestionSample)] == [
        (LabelledAnswer(text="b", start=1),),
        (),
    ]
    assert "it stands at 1" in found.issues[0].what


# ---------------------------------------------------------------- embeddings, reranking, rewriting


def test_pairs_triplets_scores_and_lists_of_passages(tmp_path: Path) -> None:
    rows = [
        {"anchor": "a", "positive": "p", "negatives": ["n", "m"]},
        {"anchor": "a", "positive": "p", "negatives": [""]},
    ]
    found = read_samples(write_lines(tmp_path / "a.jsonl", *rows), EMBED.form)
    assert found.samples == (PairSample(anchor="a", positive="p", negatives=("n", "m"), place=found.samples[0].place),)
    rows = [{"sentence1": "a", "sentence2": "b", "score": 3}, {"sentence1": "a", "sentence2": "b", "score": "high"}]
    found = read_samples(write_lines(tmp_path / "b.jsonl", *rows), EMBED.form)
    assert [one.score for one in found.samples if isinstance(one, PairSample)] == [3.0]
    path = write_lines(
        tmp_path / "c.jsonl", {"query": "q", "pos": ["a", "b"], "neg": ["c"]}, {"query": "q", "pos": [], "neg": []}
    )
    found = read_samples(path, EMBED.form)
    assert [(one.positive, one.negatives) for one in found.samples if isinstance(one, PairSample)] == [
        ("a", ("c",)),
        ("b", ("c",)),
    ]
    assert (found.num_read, lines(found)) == (3, [(2, True)])
    found = read_samples(path, RERANK.form)
    assert [(one.pair, one.label) for one in found.samples if isinstance(one, TextSample)] == [
        ("a", 1.0),
        ("b", 1.0),
        ("c", 0.0),
    ]


def test_reranking_labels_are_numbers(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl", *({"query": "q", "passage": "p", "label": x} for x in (2, "0", "yes", None))
    )
    found = read_samples(path, RERANK.form)
    assert [label for _, label in texts(found)] == [2.0, 0.0]
    assert lines(found) == [(3, True), (4, True)]


def test_texts_to_be_rewritten(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Traduza.", "input": "one", "output": "um"},
        {"instruction": "Diga oi.", "input": "", "output": "oi"},
    ]
    found = read_samples(write_lines(tmp_path / "a.jsonl", *rows), REWRITE.form)
    assert [(x.source, x.target) for x in found.samples if isinstance(x, RewriteSample)] == [
        ("Traduza.\n\none", "um"),
        ("Diga oi.", "oi"),
    ]
    rows = [{"instruction": "Some.", "instances": [{"input": "1", "output": "2"}, {"input": "2", "output": ""}]}]
    found = read_samples(write_lines(tmp_path / "b.jsonl", *rows), REWRITE.form)
    assert (found.num_read, len(found.samples), lines(found)) == (2, 1, [(1, True)])
    found = read_samples(write_lines(tmp_path / "c.jsonl", {"prompt": "p"}), REWRITE.form)  # to be predicted
    assert found.samples == (RewriteSample(source="p", place=found.samples[0].place),)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "role", "start"]), inner),
    max_leaves=4,
)
NAMES = ["text", "label", "question", "context", "answers", "id", "messages", "tools", "words", "tags", "entities",
         "choices", "anchor", "positive", "negatives", "query", "passage", "source", "target"]  # fmt: skip


@given(st.sampled_from(all_tasks()), st.lists(st.dictionaries(st.sampled_from(NAMES), VALUE), min_size=1, max_size=4))
def test_any_content_of_fields_is_counted_never_raised(
    tmp_path_factory: pytest.TempPathFactory, task: TaskSpec, rows: list[dict[str, Any]]
) -> None:
    path = write_lines(tmp_path_factory.mktemp("any") / "a.jsonl", *rows)
    try:
        found = read_samples(path, task.form)
    except InputError:
        return
    assert found.num_dropped == sum(issue.dropped for issue in found.issues)
    assert found.num_read >= len(found.samples) > 0


GOOD: dict[TaskSpec, dict[str, Any]] = {
    CLASSIFY: {"text": "a", "label": "x"},
    TAG: {"words": ["a"], "tags": ["O"]},
    ANSWER: {"id": "good", "question": "q", "context": "c", "answers": []},
    CHOOSE: {"text": "t", "choices": ["a", "b"], "label": 0},
    EMBED: {"anchor": "a", "positive": "b", "negatives": ["c"]},
    RERANK: {"query": "q", "passage": "p", "label": 1},
    CHAT: {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]},
    REWRITE: {"source": "s", "target": "t"},
}


@given(st.sampled_from(all_tasks()), st.data())
def test_a_good_line_survives_any_bad_ones(
    tmp_path_factory: pytest.TempPathFactory, task: TaskSpec, data: st.DataObject
) -> None:
    good = GOOD[task]
    bad = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(good, VALUE)), max_size=3))
    found = read_samples(write_lines(tmp_path_factory.mktemp("bad") / "a.jsonl", *bad, good), task.form)
    assert found.samples[-1].place.line == len(bad) + 1
    assert found.num_dropped == sum(issue.dropped for issue in found.issues)
