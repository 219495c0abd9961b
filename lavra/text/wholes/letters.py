"""Read messages, a document each: sender, recipients and date stand above the text, so they can be found and cited."""

from __future__ import annotations

from collections.abc import Iterator

from lavra.base.retrieval import MetaValue
from lavra.text.sources.mail import MailMessage, read_letters
from lavra.text.sources.reading import File, ReadConfig, text_documents
from lavra.text.tally import Tally
from lavra.text.whole import Heading
from lavra.text.wholes.draft import WholeDraft


def read_mailbox(file: File, config: ReadConfig, tally: Tally) -> Iterator[WholeDraft]:
    """The documents of an `.eml` or `.mbox` file."""
    for letter in read_letters(file, tally):
        text = f"{_head(letter)}\n\n{letter.body}\n"
        headings = (Heading(level=1, start=0, title=letter.subject),) if letter.subject else ()
        for document in text_documents(file, text, str(letter.number or ""), config, tally):
            yield WholeDraft(document=document, kind="mail", headings=headings, facts=_facts(letter))


def _head(letter: MailMessage) -> str:
    lines = (
        ("Subject", letter.subject),
        ("From", letter.sender),
        ("To", ", ".join(letter.recipients)),
        ("Date", letter.date.replace("T", " ").replace("Z", " UTC")),
    )
    return "\n".join(f"{name}: {value}" for name, value in lines if value)


def _facts(letter: MailMessage) -> dict[str, MetaValue]:
    facts: dict[str, MetaValue] = {
        "title": letter.subject,
        "subject": letter.subject,
        "from": letter.sender,
        "to": letter.recipients,
        "date": letter.date,
        "attachments": letter.attachments,
    }
    return {name: value for name, value in facts.items() if value}
