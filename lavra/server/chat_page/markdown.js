// Markdown as elements, never as HTML text: marked cuts a text into tokens, and each becomes a node made here.  HTML that a
// model writes is shown as it stands; an image is a link at most, so that nothing is loaded; links lead to web pages,
// addresses of mail and the documents of this server alone.
//
// While a text grows, blocks that can no longer change are kept: only the last ones are read and drawn again.

import { CodeBlock } from "./code.js";
import { Component, html } from "./vendor/htm-preact.js";
import { Marked } from "./vendor/marked.js";
import { say } from "./words.js";

const marked = new Marked({ gfm: true, breaks: true });
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", copy: "©", hellip: "…", mdash: "—", ndash: "–", rarr: "→", larr: "←", times: "×" };

// The blocks of a text that grows.
export class Blocks {
  constructor() {
    this.settled = [];
    this.text = "";
    this.from = 0; // start of the text that may still change
  }

  read(text) {
    if (!text.startsWith(this.text)) Object.assign(this, { settled: [], from: 0 });
    this.text = text;
    const tail = marked.lexer(text.slice(this.from));
    const keep = lastTwo(tail);
    // marked writes each line end as \n and a tab in front as spaces: raw texts may be longer or shorter than what they are of
    const raw = tail.slice(0, keep).map((one) => one.raw).join("");
    if (keep && text.startsWith(raw, this.from)) {
      this.settled.push(...tail.slice(0, keep));
      this.from += raw.length;
      return [...this.settled, ...tail.slice(keep)];
    }
    return [...this.settled, ...tail];
  }
}

// A list goes on behind an empty line, so two blocks are still open.
function lastTwo(tokens) {
  let left = 2;
  for (let place = tokens.length - 1; place >= 0; place -= 1) {
    if (tokens[place].type !== "space" && (left -= 1) === 0) return place;
  }
  return 0;
}

export class Markdown extends Component {
  constructor() {
    super();
    this.blocks = new Blocks();
  }

  shouldComponentUpdate(next) {
    return next.text !== this.props.text || next.growing !== this.props.growing || next.language !== this.props.language;
  }

  render({ text, growing }) {
    const tokens = this.blocks.read(text);
    return html`<div class="markdown">
      ${tokens.map((token, place) => html`<${Block} key=${place} token=${token} growing=${growing && place === tokens.length - 1} />`)}
    </div>`;
  }
}

class Block extends Component {
  shouldComponentUpdate(next) {
    return next.token.raw !== this.props.token.raw || next.token.type !== this.props.token.type || next.growing !== this.props.growing;
  }

  render({ token, growing }) {
    return block(token, growing);
  }
}

const blocks = (tokens) => (tokens || []).map((one) => block(one, false));
const inline = (tokens) => (tokens || []).map(span);

function block(token, growing) {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return heading(token);
    case "paragraph":
      return html`<p>${inline(token.tokens)}</p>`;
    case "text":
      return token.tokens ? html`<span>${inline(token.tokens)}</span>` : token.text;
    case "code":
      return html`<${CodeBlock} text=${token.text} language=${(token.lang || "").split(/\s/)[0]} growing=${growing} />`;
    case "blockquote":
      return html`<blockquote>${blocks(token.tokens)}</blockquote>`;
    case "list":
      return list(token);
    case "table":
      return table(token);
    case "hr":
      return html`<hr />`;
    case "checkbox":
      return checkbox(token);
    case "html":
      return html`<p class="as-written">${token.raw.replace(/\n+$/, "")}</p>`;
    default:
      return token.tokens ? html`<p>${inline(token.tokens)}</p>` : token.raw;
  }
}

// Headings of an answer stand below those of the page.
function heading(token) {
  const level = Math.min(token.depth + 2, 6);
  return html`<${`h${level}`} class=${`depth-${token.depth}`}>${inline(token.tokens)}<//>`;
}

function list(token) {
  const items = token.items.map((item) => html`<li class=${item.task ? "task" : null}>${blocks(item.tokens)}</li>`);
  return token.ordered ? html`<ol start=${Number(token.start)}>${items}</ol>` : html`<ul>${items}</ul>`;
}

const checkbox = (token) => html`<span class="checkbox" role="img" aria-label=${token.checked ? "✓" : "○"}>${token.checked ? "☑" : "☐"}</span>${" "}`;

function table(token) {
  const cell = (one, place, tag) => html`<${tag} class=${token.align[place] ? `align-${token.align[place]}` : null}>${inline(one.tokens)}<//>`;
  return html`<div class="wide" tabindex="0" role="group" aria-label=${say("table")}>
    <table>
      <thead>
        <tr>
          ${token.header.map((one, place) => cell(one, place, one.tokens.length ? "th" : "td"))}
        </tr>
      </thead>
      <tbody>
        ${token.rows.map((row) => html`<tr>${row.map((one, place) => cell(one, place, "td"))}</tr>`)}
      </tbody>
    </table>
  </div>`;
}

function span(token) {
  switch (token.type) {
    case "strong":
      return html`<strong>${inline(token.tokens)}</strong>`;
    case "em":
      return html`<em>${inline(token.tokens)}</em>`;
    case "del":
      return html`<del>${inline(token.tokens)}</del>`;
    case "codespan":
      return html`<code>${token.text}</code>`;
    case "br":
      return html`<br />`;
    case "link":
      return link(token.href, inline(token.tokens), token.raw);
    case "image":
      return link(token.href, `[${say("image")}${token.text ? `: ${token.text}` : ""}]`, token.raw);
    case "checkbox":
      return checkbox(token);
    case "html":
      return token.raw;
    case "escape":
      return token.text;
    default:
      return token.tokens ? inline(token.tokens) : entities(token.text ?? token.raw);
  }
}

// The address of a link; null where it is not allowed.
export function safeAddress(href) {
  const bare = href.replace(/[\u0000-\u0020\u007f-\u009f]/g, "");
  if (/^(https?:\/\/|mailto:)/i.test(bare)) return bare;
  return bare.startsWith("/search#") ? bare : null;
}

function link(href, content, raw) {
  const address = safeAddress(entities(href));
  if (address === null) return raw;
  return html`<a href=${address} target="_blank" rel="noopener noreferrer">${content}</a>`;
}

function entities(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (whole, decimal, hexadecimal, name) => {
    if (name) return NAMED[name] || whole;
    const code = decimal ? Number(decimal) : parseInt(hexadecimal, 16);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : whole;
  });
}
