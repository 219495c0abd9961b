"""Settings: one dataclass for Python, YAML and flags, and errors that name the nearest valid word."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lavra.base.config import Duration, Size, add_flags, field_docs, from_flags, from_mapping, load_yaml, to_mapping
from lavra.base.errors import ConfigError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Inner:
    """A part.

    Attributes:
        width: how wide, a multiple of 64.
        rate: learning rate.
    """

    width: int = 64
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ConfigError(f"width is {self.width}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Everything at once.

    Attributes:
        text: folders to read,
            as many as you like: all of them.
        budget: time to spend, 100% of it.
        memory: most bytes to hold.
        kind: which one.

    Notes that are no field: ignored here.
    """

    name: str = "x"
    steps: int = 10
    budget: Duration = 240.0
    memory: Size = 64_000_000
    kind: Literal["bpe", "wordpiece", 3] = "bpe"
    colour: Colour = Colour.RED
    text: tuple[Path, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    words: list[str] = field(default_factory=list)
    seed: int | None = None
    label: str | None = None
    shuffle: bool = True
    inner: Inner = field(default_factory=lambda: Inner(width=128))
    extra: Inner | None = None
    table: dict[str, float] = field(default_factory=dict)


finite = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, width=st.integers(1, 10**12), rate=finite)
outers = st.builds(
    Outer,
    name=st.text(),
    steps=st.integers(),
    budget=finite,
    memory=st.integers(),
    kind=st.sampled_from(["bpe", "wordpiece", 3]),
    colour=st.sampled_from(Colour),
    text=st.lists(st.sampled_from([Path("a"), Path("/b c"), Path("d/é")])).map(tuple),
    pair=st.tuples(st.integers(), finite),
    words=st.lists(st.text()),
    seed=st.none() | st.integers(),
    label=st.none() | st.text(),
    shuffle=st.booleans(),
    inner=inners,
    extra=st.none() | inners,
    table=st.dictionaries(st.text(), finite),
)


@settings(max_examples=80, deadline=None)
@given(outers)
def test_plain_data_and_back_is_the_same_settings(outer: Outer) -> None:
    if outer.label is not None and outer.label.lower() in ("none", "null"):
        return  # the documented way to say None
    assert from_mapping(Outer, to_mapping(outer)) == outer
    assert from_mapping(Outer, json.loads(json.dumps(to_mapping(outer)))) == outer
    assert from_mapping(Outer, yaml.safe_load(yaml.safe_dump(to_mapping(outer)))) == outer


@settings(max_examples=60, deadline=None)
@given(outers)
def test_flags_and_back_is_the_same_settings(outer: Outer) -> None:
    """Every setting given as a flag (as `--name=value`, so that values may start with a dash) gives the same object."""
    parser = argparse.ArgumentParser()
    add_flags(parser, Outer)
    typed = ["--budget=" + repr(abs(outer.budget)), f"--steps={outer.steps}", f"--kind={outer.kind}"]
    typed += [f"--colour={outer.colour.value}", "--shuffle" if outer.shuffle else "--no-shuffle"]
    typed += [f"--seed={outer.seed}", f"--inner.width={outer.inner.width}", f"--inner.rate={outer.inner.rate!r}"]
    typed += ["--text", *map(str, outer.text)] if outer.text else []
    typed += [f"--extra.rate={outer.extra.rate!r}", f"--extra.width={outer.extra.width}"] if outer.extra else []
    read = from_flags(Outer, parser.parse_args(typed))
    wanted = dataclasses.replace(
        Outer(), budget=abs(outer.budget), steps=outer.steps, kind=outer.kind, colour=outer.colour,
        shuffle=outer.shuffle, seed=outer.seed, inner=outer.inner, text=outer.text, extra=outer.extra,
    )  # fmt: skip
    assert read == wanted


def test_numbers_written_as_text_are_numbers() -> None:
    read = from_mapping(
        Outer, {"steps": "1e6", "budget": "4m", "memory": "64MiB", "inner": {"rate": "1e-3"}, "pair": ["2", 3]}
    )
    assert (read.steps, read.budget, read.memory, read.inner.rate) == (1_000_000, 240.0, 67_108_864, 0.001)
    assert read.pair == (2, 3.0)
    assert isinstance(read.pair[1], float)


def test_a_nested_table_changes_the_fields_own_default() -> None:
    assert from_mapping(Outer, {"inner": {"rate": 0.5}}).inner == Inner(width=128, rate=0.5)
    assert from_mapping(Outer, {"extra": {}}).extra == Inner()


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"bugdet": 3}, r"run.yaml: bugdet: unknown setting 'bugdet'; did you mean 'budget'\?"),
        ({"inner": {"widht": 3}}, r"run.yaml: inner.widht: unknown setting 'widht'; did you mean 'width'\?"),
        ({"kind": "bpee"}, r"kind: unknown value 'bpee'; did you mean 'bpe'\?"),
        ({"colour": "blu"}, r"colour: unknown value 'blu'; did you mean 'blue'\?"),
        ({"steps": 1.5}, r"steps: 1.5 is not a whole number"),
        ({"steps": True}, r"steps: True is not a whole number"),
        ({"steps": "1e999"}, r"steps: '1e999' is not a whole number"),
        ({"inner": {"rate": math.nan}}, r"inner.rate: nan is not a number"),
        ({"shuffle": 1}, r"shuffle: 1 is not a yes or a no; write true or false"),
        ({"name": 12}, r"name: 12 is not text; write it in quotes: '12'"),
        ({"budget": "4 parsecs"}, r"budget: '4 parsecs' is not a duration; write one such as 30s, 4m or 1h30m"),
        ({"memory": "4XB"}, r"memory: '4XB' is not a size"),
        ({"text": "a"}, r"text: 'a' is not a list; write \[a\]"),
        ({"text": [3]}, r"text\[0\]: 3 is not a path"),
        ({"pair": [1]}, r"pair: \[1\] has 1 values; write exactly 2"),
        ({"inner": {"width": -1}}, r"width is -1; it must be at least 1"),
        ({"inner": 3}, r"inner: 3 is not a set of settings"),
        ({"table": {"a": "b"}}, r"table.a: 'b' is not a number"),
    ],
)
def test_errors_name_the_value_the_place_and_the_remedy(mapping: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        from_mapping(Outer, mapping, where="run.yaml")


def test_a_required_setting_is_named_with_its_meaning() -> None:
    @dataclass(frozen=True, kw_only=True)
    class CheckSubject:
        """A.

        Attributes:
            width: how wide it is.
        """

        width: int

    with pytest.raises(ConfigError, match="width: required but not given; it is: how wide it is"):
        from_mapping(CheckSubject, {})


def test_docs_come_from_the_class_docstring_and_go_into_the_help() -> None:
    assert field_docs(Outer)["text"] == "folders to read, as many as you like: all of them."
    assert set(field_docs(Outer)) == {"text", "budget", "memory", "kind"}
    parser = argparse.ArgumentParser()
    add_flags(parser, Outer, exclude=("steps",))
    text = " ".join(parser.format_help().split())
    assert "--budget TIME time to spend, 100% of it. (default: 4m)" in text
    assert "--memory SIZE most bytes to hold. (default: 64 MB)" in text
    assert "--kind {bpe,wordpiece,3} which one. (default: bpe)" in text
    assert "--inner.width N how wide, a multiple of 64. (default: 128)" in text
    assert "--extra, --no-extra" in text
    assert "--steps" not in text


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("steps: 5\nbudget: 10m\ninner: {rate: 1e-4}\nextra: {width: 7}\n")
    parser = argparse.ArgumentParser()
    add_flags(parser, Outer)
    read = from_flags(Outer, parser.parse_args(["--steps", "9", "--inner.width", "64", "--no-extra"]), file)
    assert (read.steps, read.budget, read.name) == (9, 600.0, "x")
    assert read.inner == Inner(width=64, rate=1e-4)
    assert read.extra is None
    with pytest.raises(ConfigError, match="--steps: 'many' is not a whole number"):
        from_flags(Outer, parser.parse_args(["--steps", "many"]))
    with pytest.raises(ConfigError, match=r"--extra.width: sets a part of the settings that --no-extra turns off"):
        from_flags(Outer, parser.parse_args(["--no-extra", "--extra.width", "3"]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: 1\nsteps: 2\n", "line 2 sets 'steps' a second time"),
        ("inner:\n  rate: 1\n  rate: 2\n", "line 3 sets 'rate' a second time"),
        ("- a\n", "holds list, not settings"),
        ("steps: [1\n", "is not valid YAML"),
        ("name: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
    ],
)
def test_yaml_that_cannot_be_taken_at_its_word_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_yaml(Outer, file)


def test_yaml_overrides_and_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("# nothing yet\n")
    assert load_yaml(Outer, file) == Outer()
    assert load_yaml(Outer, file, {"inner": {"rate": 2}}).inner == Inner(width=128, rate=2.0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_yaml(Outer, tmp_path / "absent.yaml")
