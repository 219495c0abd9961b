"""A small library of documents with pages, and a search over it, for tests of answers."""

from lavra.base.retrieval import ACCESS, EVERYONE, Chunk, Found, Passage
from lavra.rag.chunk_table import MemoryChunks, readable_by
from lavra.rag.words import Analyzer
from lavra.text.whole import WholeText

TEXTS = {
    "history/bridges.txt": (
        "Bridges of the north\n\nThe Tyne Bridge was opened in 1928 by King George V.\nIt was designed by the firm "
        "Mott, Hay and Anderson.[3]\n\nThe Humber Bridge has a main span of 1,410 metres. For sixteen years it was the "
        "longest suspension bridge in the world.\n"
    ),
    "animais/onça.md": (
        "# Onça-pintada\n\nA onça-pintada é o maior felino das Américas. Ela vive na Amazônia e no Pantanal.\n\n"
        "## Alimentação\n\nA onça come capivaras, jacarés e peixes porque é um predador oportunista.\n"
    ),
    "report.pdf": (
        "Annual report of the Lavra cooperative.\nThe cooperative has 412 members.\n"
        "Maria Souza became its president in March 2021.\nThe budget grew by 12.5 percent.\n"
    ),
}
PAGES = {"report.pdf": (0, 73)}


class Library(MemoryChunks):
    """Chunks of about two paragraphs that know their pages."""

    def __init__(self, texts=None, meta=None, size=160):
        texts = texts or TEXTS
        meta = meta or {}
        chunks = []
        for name, text in texts.items():
            whole = WholeText(name=name, text=text, page_starts=PAGES.get(name, ()))
            for start, end in pieces(text, size):
                chunks.append(
                    Chunk(
                        id=len(chunks),
                        document=name,
                        text=text[start:end],
                        start=start,
                        end=end,
                        line=text.count("\n", 0, start) + 1,
                        page=whole.page(start),
                        meta={ACCESS: (EVERYONE,), **meta.get(name, {})},
                    )
                )
        super().__init__(chunks, texts)

    def document_pages(self, name):
        return PAGES.get(name, ())


def pieces(text, size):
    """Spans of about `size` characters, cut at spaces, some in the middle of a sentence."""
    start = 0
    while start < len(text):
        end = len(text) if start + size >= len(text) else text.rfind(" ", start, start + size)
        body = text[start:end]
        yield start + len(body) - len(body.lstrip()), start + len(body.rstrip())
        start = end + 1


class SharedWords:
    """Finds passages by the share of the question's words that they contain."""

    def __init__(self, table, analyzer=None):
        self.table, self.analyzer = table, analyzer or Analyzer(("en", "pt"))
        self.asked = []

    def search(self, request):
        self.asked.append(request)
        wanted = set(self.analyzer.query_words(request.query))
        found = []
        for chunk in self.table.chunks(self.table.ids((*request.where, *readable_by(request.groups))).tolist()):
            shared = wanted & set(self.analyzer.query_words(chunk.text))
            if shared:
                found.append(
                    Passage(chunk=chunk, score=len(shared) / len(wanted), scores={"words": float(len(shared))})
                )
        return Found(passages=tuple(sorted(found, key=lambda one: (-one.score, one.chunk.id))[: request.k]))
