"""Access to a document: rules, the document's own setting, and mistakes, which are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavra.base.errors import ConfigError, InputError
from lavra.rag.index.access import AccessRule, NoAccessError, groups_of, parse_access, read_access_file
from tests.rag.index.toys import update, write

RULES = [parse_access("docs/hr/*=hr,board"), parse_access("docs/hr/open/*=*")]


def test_the_last_rule_that_fits_holds():
    assert groups_of("docs/a.txt", {}, RULES) == ("*",)
    assert groups_of("docs/hr/a.txt", {}, RULES) == ("board", "hr")
    assert groups_of("docs/hr/open/a.txt", {}, RULES) == ("*",)


GROUPS = st.lists(st.sampled_from(["*", "hr", "board", "it"]), min_size=1, max_size=3, unique=True)


@given(ruled=GROUPS, own=GROUPS, reader=st.sampled_from(["hr", "board", "it", "guest"]))
def test_a_document_narrows_its_rule_and_never_widens_it(ruled, own, reader):
    def may(groups):
        return "*" in groups or reader in groups

    try:
        both = groups_of("a", {"access": tuple(own)}, [AccessRule(pattern="*", groups=tuple(ruled))])
    except NoAccessError:
        both = ()
    assert may(both) == (may(ruled) and may(own)) or "*" in ruled + own
    assert not may(both) or may(ruled)


@pytest.mark.parametrize(
    "written",
    ["docs/hr", "=hr", "docs/*=", "docs/*=hr,,it", "docs/*=h r"],
    ids=["no groups", "no files", "none", "gap", "space"],
)
def test_a_rule_that_cannot_be_understood_is_refused(written):
    with pytest.raises(ConfigError, match="access"):
        parse_access(written)


@pytest.mark.parametrize("text", ["- hr", "hr/*: 3", '"hr/*": []', '"hr/*": [1]', "a: [", '"hr/*": ["a b"]'])
def test_a_file_of_rules_that_cannot_be_understood_stops_the_update(tmp_path, text):
    (tmp_path / "docs").mkdir()
    docs = write(tmp_path / "docs", {"a.txt": "red\n", "lavra-access.yaml": text})
    with pytest.raises(InputError, match="lavra-access"):
        read_access_file(docs, "docs")
    with pytest.raises(InputError, match="lavra-access"):
        update(tmp_path / "index", docs)


def test_a_document_whose_groups_cannot_be_understood_is_left_out_by_name(tmp_path):
    (tmp_path / "docs").mkdir()
    docs = write(tmp_path / "docs", {"t.jsonl": '{"text": "red lamp", "access": "h r"}\n{"text": "green lamp"}\n'})
    report = update(tmp_path / "index", docs, access=(parse_access("docs/x=hr"),))
    assert report.counts.documents == 1
    assert [(one.reason, "'h r'" in one.detail) for one in report.skipped] == [("access is unclear", True)]
    assert report.warnings == ("the access rule 'docs/x' fits no file that was indexed; if it should, mend it",)
