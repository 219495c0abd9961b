"""Wikipedia dumps: which pages count, their markup as prose, streams and damage."""

from __future__ import annotations

import bz2
import gzip
import re
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from lavra.base.errors import InputError, MissingDependencyError
from lavra.text.sources.reading import ReadConfig
from lavra.text.sources.source import FileSource, FolderSource
from lavra.text.tally import Tally
from tests.text.made import read
from tests.text.naive import words_of

pytest.importorskip("mwparserfromhell", reason="no wheel for this Python")

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="pt"><siteinfo>'
    "<sitename>Wikipédia</sitename>"
    '<namespaces><namespace key="0"/><namespace key="1">Discussão</namespace><namespace key="6">Ficheiro</namespace>'
    '<namespace key="14">Categoria</namespace></namespaces></siteinfo>'
)


def article(title: str, *texts: str, ns: str = "<ns>0</ns>", extra: str = "", model: str = "wikitext") -> str:
    revisions = "".join(
        f"<revision><id>{number}</id><timestamp>20{10 + number}-01-01T00:00:00Z</timestamp>"
        f'<model>{model}</model><text xml:space="preserve">{text}</text></revision>'
        for number, text in enumerate(texts)
    )
    return f"<page><title>{title}</title>{ns}<id>1</id>{extra}{revisions}</page>"


def dump(path: Path, *pages: str) -> Path:
    data = (HEAD + "".join(pages) + "</mediawiki>").encode()
    if path.suffix == ".bz2":  # as multistream dumps are: several streams one after the other
        data = b"".join(bz2.compress(data[start : start + 1000]) for start in range(0, len(data), 1000))
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def prose_of(tmp_path: Path, markup: str) -> str:
    escaped = markup.replace("&", "&amp;").replace("<", "&lt;")
    ((document,), _) = read(dump(tmp_path / "a.xml", article("T", escaped)))
    return document.text.removeprefix("# T\n\n").removesuffix("\n")


@pytest.mark.parametrize("name", ["a.xml", "a.xml.bz2", "a.xml.gz", "ptwiki-latest-pages-articles1.xml-p1p99.bz2"])
def test_articles_alone_each_in_its_newest_revision(tmp_path: Path, name: str) -> None:
    path = dump(
        tmp_path / name,
        article("Água", "old", "new and newer", "newest text") + article("Sede", "#REDIRECIONAMENTO [[Água]]"),
        article("Rio", "Um [[rio]].", extra='<redirect title="Água"/>'),
        article("Discussão:Água", "talk", ns="<ns>1</ns>") + article("Discussão:Rio", "old talk", ns=""),
        article("Dados", "{}", model="json") + article("Vazio", "") + article("Só", "{{predefinição}}"),
    )
    (document,), tally = read(path)
    assert (document.text, document.source, document.kind) == ("# Água\n\nnewest text\n", f"{name}#Água", "markdown")
    assert document.meta == {"title": "Água", "language": "pt"}
    assert tally.facts == {"title": "Wikipédia", "language": "pt"}
    assert tally.rows_skipped == {
        "wiki redirect": 2,
        "wiki page of another namespace": 2,
        "wiki page of another model than wikitext": 1,
        "wiki page without text": 1,
        "wiki page without prose": 1,
    }


def test_the_newest_revision_counts_in_any_order(tmp_path: Path) -> None:
    revisions = re.findall(r"<revision>.*?</revision>", article("T", "first", "second", "third"))
    page = "<page><title>T</title><ns>0</ns>" + "".join(revisions[number] for number in (1, 2, 0)) + "</page>"
    assert read(dump(tmp_path / "a.xml", page))[0][0].text == "# T\n\nthird\n"


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("'''Bold''' and ''italic'' of d'Artagnan.", "Bold and italic of d'Artagnan."),
        ("A [[link]], a [[target|shown]] and [[:Category:Rivers|one more]].", "A link, a shown and one more."),
        ("See [http://x.org the page] or http://y.org [http://z.org].", "See the page or http://y.org."),
        ("One{{cite|a={{nested}}}} two<ref name=a>note [[x]]</ref> three<ref name=a />.", "One two three."),
        ("[[File:a.png|thumb|a [[linked]] caption]]Text.", "Text."),
        ("[[Ficheiro:a.png|miniatura|legenda]][[ficheiro:b.png]]Texto.[[Categoria:Rios]]", "Texto."),
        ("Text.\n\n[[de:Fluss]]\n[[zh-min-nan:X]]", "Text."),
        ("{| class=wikitable\n|-\n| cell [[a]]\n|}\nAfter.", "After."),
        ("Before.<!-- hidden -->\n__NOTOC__\nAfter&nbsp;it &mdash; here.", "Before.\n\nAfter it — here."),
        ("* one\n* [[two]]\n# three\n:indented", "- one\n- two\n- three\n\nindented"),
        (
            "Top.\n== A ==\nText.\n=== B ===\nMore.\n== References ==\n{{reflist}}\n== Links ==",
            "Top.\n\n## A\n\nText.\n\n### B\n\nMore.",
        ),
        ("Paris ({{IPA|x}}; ''Lutetia'') and Rome ({{lang}}) are.", "Paris (Lutetia) and Rome are."),
        ("E = <math>mc^2</math> and<br />a line<gallery>\na.png\n</gallery>", "E = and\n\na line"),
        ("An unclosed {{template and [[link", "An unclosed {{template and [[link"),
    ],
)
def test_markup_becomes_prose(tmp_path: Path, markup: str, prose: str) -> None:
    assert prose_of(tmp_path, markup) == prose


@pytest.mark.parametrize("kind", ["xml", "bz2"])
def test_a_dump_that_ends_early_keeps_what_it_gave(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t").mkdir()
    path = dump(
        tmp_path / "t" / ("a.xml" if kind == "xml" else "a.xml.bz2"),
        *(article(f"T{n}", words_of(n, 400)) for n in range(60)),
    )
    path.write_bytes(path.read_bytes()[:-3000])
    skipped: list[tuple[str, str, str]] = []
    tally = Tally(on_skip=lambda *given: skipped.append(given))
    documents = list(FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally))
    assert 30 < len(documents) < 60
    ((name, reason, detail),) = skipped
    assert name.startswith("t/a.xml")
    assert reason == ("damaged dump" if kind == "xml" else "damaged bz2")
    assert detail.endswith(f"after {len(documents)} documents")


def test_entities_are_not_expanded_and_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret")
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    bomb += f'<!ENTITY s SYSTEM "file://{tmp_path}/secret">]>'
    path = tmp_path / "a.xml"
    path.write_text(bomb + HEAD + article("T", "before &j; &s; after") + "</mediawiki>")
    try:
        documents = FileSource(path=path).documents(ReadConfig(), Tally())
        text = "".join(document.text for document in documents)
    except InputError:
        text = ""
    assert len(text) < 100
    assert "secret" not in text


def test_memory_is_that_of_one_revision(tmp_path: Path) -> None:
    text = words_of(1, 800)

    def peak(pages: int) -> int:
        path = dump(tmp_path / f"{pages}.xml.bz2", *[article(f"T{n}", text, text) for n in range(pages)])
        tracemalloc.start()
        for _ in FileSource(path=path).documents(ReadConfig(), Tally()):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(1)
    assert peak(16) < 1.3 * peak(4)


def test_pages_come_while_the_file_is_read(tmp_path: Path) -> None:
    path = dump(tmp_path / "a.xml", *[article(f"T{n}", words_of(n, 400)) for n in range(200)])
    tally = Tally()
    documents: Iterator[object] = FileSource(path=path).documents(ReadConfig(), tally)
    next(documents)
    assert tally.documents_read == 1
    assert path.stat().st_size > 10 * tally.bytes_read


def test_without_the_parser_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    (tmp_path / "t").mkdir()
    path = dump(tmp_path / "t" / "a.xml", article("T", "text"))
    with pytest.raises(MissingDependencyError, match=r"a Wikipedia dump needs .*; use Python 3\.11 to 3\.13"):
        read(path)
    tally = Tally()
    assert not list(FolderSource(path=tmp_path / "t").documents(ReadConfig(), tally))
    assert tally.files_skipped == {"a package is missing": 1}


@pytest.mark.data
@pytest.mark.slow
def test_a_real_dump_has_the_articles_that_its_xml_says(lavra_data: Path) -> None:
    (path,) = (lavra_data / "web" / "wikipedia_dump").glob("*.bz2")
    root = etree.fromstring(bz2.decompress(path.read_bytes()))
    pages = [page for page in root.iterfind("{*}page") if page.findtext("{*}ns") == "0"]
    titles = [page.findtext("{*}title") for page in pages if page.find("{*}redirect") is None]
    documents, tally = read(path, ReadConfig(max_chars=16_000_000))
    assert [document.meta["title"] for document in documents] == titles
    assert tally.rows_skipped["wiki redirect"] == len(pages) - len(titles)
    text = "\n".join(document.text for document in documents)
    assert not re.search(r"\{\{|\}\}|<ref|\[\[|\]\]|^\|", text, re.MULTILINE)
    anarchism = next(document.text for document in documents if document.meta["title"] == "Anarchism")
    assert "\n\n## Etymology and terminology\n\n" in anarchism
    assert "often defined as" in anarchism or "political philosophy" in anarchism


@pytest.mark.data
def test_a_dump_with_several_revisions(lavra_data: Path) -> None:
    (document,), tally = read(lavra_data / "web" / "wikipedia_dump" / "mwxml_dump.xml")
    assert document.text == "# Foo\n\nRevision 2 text\n"
    assert tally.rows_skipped == {"wiki page of another namespace": 1}
