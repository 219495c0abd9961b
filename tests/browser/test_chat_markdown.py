"""The chat page: Markdown, tables and code become elements, and nothing in a model's text runs or loads."""

from __future__ import annotations

import pytest

from tests.browser.conftest import wait_until
from tests.browser.scripted_models import serving
from tests.browser.test_chat_talk import opened, send, until_done

RICH = """\
# A title

Some *words*, **strong ones** and `code`; [a page](https://example.org/a?b=1&c=2).

| name | count |
|:-----|------:|
| one | 1 |
| two | **2** |

- [x] done
- open
  1. inside

> quoted &amp; kept

```python
def add(a, b):
    return "sum"  # of both
```

The end."""

ADVERSARIAL = [
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "<svg onload=\"document.title='taken'\"><animate onbegin=\"document.title='taken'\" attributeName=x></svg>",
    "<iframe srcdoc=\"<script>parent.document.title='taken'</script>\"></iframe>",
    "<style>body{display:none}</style>",
    "<base href='https://evil.example/'><form action='https://evil.example/'><button>Send</button></form>",
    "<details open ontoggle=\"document.title='taken'\">x</details>",
    "[click](javascript:document.title='taken')",
    "[click](JaVaScRiPt:document.title='taken')",
    "[click](java\tscript:document.title='taken')",
    "[click](&#106;avascript:document.title='taken')",
    "[click](&#x6A;avascript&colon;document.title='taken')",
    "[click](data:text/html,<script>document.title='taken'</script>)",
    "[click](vbscript:x) [click](file:///etc/passwd) [click](blob:x) [click](/v1/models)",
    "<javascript:document.title='taken'>",
    "![a picture](https://evil.example/pixel.png)",
    "![a picture](javascript:document.title='taken')",
    "[![inner](https://evil.example/p.png)](javascript:alert(1))",
    "[a]: javascript:document.title='taken'\n\n[a] and ![a]",
    "```html\n<script>document.title='taken'</script>\n```",
    "```\"onmouseover=\"document.title='taken'\n<img src=x onerror=alert(1)>\n```",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <script>document.title='taken'</script> |",
    "<a href=\"javascript:document.title='taken'\">click</a>",
    "<https://example.org/\"onclick=\"document.title='taken'>",
    "\u202e<script>x</script>\u0000<scr\u0000ipt>y</script>",
]


@pytest.fixture(scope="module")
def server():
    replies = {"Rich": [RICH], "Everything": ["\n\n".join(ADVERSARIAL)]}
    with serving({"talker": replies}) as (url, runners):
        yield url, runners["talker"]


def test_markdown_becomes_elements(server, visit) -> None:
    page = opened(visit, server[0])
    send(page, "Rich")
    until_done(page)
    answer = page.locator(".answer")
    assert answer.locator(".depth-1").inner_text() == "A title"
    assert answer.locator("em").inner_text() == "words"
    assert answer.locator("p strong").inner_text() == "strong ones"
    assert answer.locator("a").get_attribute("href") == "https://example.org/a?b=1&c=2"
    assert answer.locator("a").get_attribute("rel") == "noopener noreferrer"
    assert answer.locator("th").all_inner_texts() == ["name", "count"]
    assert answer.locator("td").all_inner_texts() == ["one", "1", "two", "2"]
    assert answer.locator("td").nth(1).evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    assert answer.locator("li li").inner_text() == "inside"
    assert answer.locator("blockquote").inner_text() == "quoted & kept"
    assert "The end." in answer.inner_text()


def test_code_is_coloured_and_copied_as_it_was_written(server, visit) -> None:
    page = opened(visit, server[0])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    send(page, "Rich")
    until_done(page)
    page.locator(".hl-keyword").first.wait_for()
    code = 'def add(a, b):\n    return "sum"  # of both'
    assert page.locator("pre code").inner_text() == code
    assert page.locator(".hl-keyword").all_inner_texts() == ["def", "return"]
    assert page.locator(".hl-string").inner_text() == '"sum"'
    page.locator("figure.code button").click()
    page.locator("figure.code button", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == code
    page.locator("article.assistant footer").get_by_role("button", name="Copy").click()
    wait_until(page, "document.querySelector('[role=status]').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == RICH


def test_nothing_that_a_model_writes_runs_or_loads(server, visit) -> None:
    """The fixture fails the test for every request to another host and every error in the page's log."""
    page = opened(visit, server[0])
    send(page, "Everything")
    until_done(page)
    assert harmful(page.locator(".answer")) == []
    text = page.locator(".answer").inner_text()
    assert "<script>document.title='taken'</script>" in text  # shown as it was written
    assert "[click](javascript:document.title='taken')" in text
    for attack in ADVERSARIAL:
        page.evaluate(
            """async text => {
                const {h, render} = await import("/chat/vendor/htm-preact.js");
                const {Markdown} = await import("/chat/markdown.js");
                document.querySelector("#trial")?.remove();
                const place = Object.assign(document.createElement("div"), {id: "trial"});
                document.body.append(place);
                render(h(Markdown, {text}), place);
            }""",
            attack,
        )
        assert harmful(page.locator("#trial")) == [], attack
    page.wait_for_timeout(100)
    assert "taken" not in page.title()


def harmful(place):
    """Elements and attributes that could run or load something, and links with forbidden targets."""
    elements = place.locator("script, img, svg, iframe, style, base, form, object, embed, link, details, video")
    names = place.locator("*").evaluate_all("all => all.flatMap(one => one.getAttributeNames())")
    links = place.locator("a").evaluate_all("all => all.map(one => one.href)")
    good = ("https://example.org/", "https://evil.example/", "mailto:")
    return [
        *elements.evaluate_all("all => all.map(one => one.outerHTML)"),
        *(name for name in names if name.startswith("on") or name in ("style", "src", "srcdoc")),
        *(link for link in links if not link.startswith(good)),
    ]


def test_the_policy_stops_what_a_slip_would_let_through(server, visit) -> None:
    page = opened(
        visit, server[0], expected=("Content Security Policy", "TrustedHTML", "Trusted Type", "asked https://evil")
    )
    assert (
        page.evaluate(
            """() => {
                const text = "<img src=x onerror='document.title=1'>";
                try { document.body.insertAdjacentHTML("beforeend", text); return "written" }
                catch (error) { return error.name }
            }"""
        )
        == "TypeError"
    )
    page.evaluate(
        """() => {
            const one = document.createElement("img");
            one.src = "https://evil.example/pixel.png";
            document.body.append(one);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.title() != "taken"


def test_a_growing_text_is_drawn_without_touching_what_is_settled(server, visit) -> None:
    page = opened(visit, server[0])
    server[1].seconds = 0.004
    send(page, "Rich")
    page.locator(".answer table td").first.wait_for()
    page.evaluate("for (const one of document.querySelectorAll('.answer .depth-1, .answer table')) one.mine = true")
    until_done(page)
    server[1].seconds = 0.0
    assert page.evaluate(
        "document.querySelector('.answer .depth-1').mine && document.querySelector('.answer table').mine"
    )


def test_blocks_of_a_growing_text_are_those_of_the_whole_and_cost_no_more(server, visit) -> None:
    """Compared with marked over the whole text, at every length; and a long text is not parsed anew each time."""
    page = opened(visit, server[0])
    texts = [RICH, "\n\n".join(ADVERSARIAL), "1. a\n\n\n2. b\n\n   more\n\npara\n===\n\n    code\n\ttab\r\nend\n"]
    for text in texts:
        assert (
            page.evaluate(
                """async text => {
                const {Blocks} = await import("/chat/markdown.js");
                const {Marked} = await import("/chat/vendor/marked.js");
                const marked = new Marked({gfm: true, breaks: true}), blocks = new Blocks();
                const named = one => [one.type, one.raw.trimEnd()];
                const shape = tokens => JSON.stringify(tokens.filter(one => one.type !== "space").map(named));
                for (let end = 1; end <= text.length; end += 1) {
                    const part = text.slice(0, end);
                    const found = shape(blocks.read(part)), whole = shape(marked.lexer(part));
                    if (found !== whole) return `${JSON.stringify(part)}: ${found} and not ${whole}`;
                }
                return "";
            }""",
                text,
            )
            == ""
        )
    read = page.evaluate(
        """async () => {
            const {Blocks} = await import("/chat/markdown.js");
            const blocks = new Blocks();
            let text = "", read = 0;
            for (let n = 0; n < 400; n += 1) {
                text += `Paragraph ${n} has some words.\\n\\n`;
                read += text.length - blocks.from;
                blocks.read(text);
            }
            return read / text.length;
        }"""
    )
    assert read < 5
