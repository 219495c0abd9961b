// A block of code: its language, a button that copies it, and colours once it is whole.  highlight.js is loaded when the
// first block needs it; its tree of scopes becomes elements here, not HTML text.

import { CopyButton } from "./copying.js";
import { changed } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

const LONGEST = 100_000; // characters; more are shown without colours
let highlighter = null;
let loading = false;

function loadHighlighter() {
  if (loading) return;
  loading = true;
  import("./vendor/highlight.js").then((module) => {
    highlighter = module.default;
    listeners.forEach((one) => one.forceUpdate());
    changed();
  });
}

const listeners = new Set();

export class CodeBlock extends Component {
  componentDidMount() {
    listeners.add(this);
  }

  componentWillUnmount() {
    listeners.delete(this);
  }

  coloured({ text, language, growing }) {
    if (growing || !language || text.length > LONGEST) return text;
    if (!highlighter) {
      loadHighlighter();
      return text;
    }
    if (this.key === `${language}\n${text}`) return this.nodes;
    this.key = `${language}\n${text}`;
    this.nodes = highlighter.getLanguage(language) ? elements(highlighter.highlight(text, { language, ignoreIllegals: true })._emitter.rootNode.children) : text;
    return this.nodes;
  }

  render(props) {
    return html`<figure class="code">
      <figcaption><span>${props.language || say("code")}</span><${CopyButton} text=${props.text} /></figcaption>
      <pre tabindex="0" role="group" aria-label=${props.language || say("code")}><code>${this.coloured(props)}</code></pre>
    </figure>`;
  }
}

const elements = (nodes) =>
  nodes.map((one) => (typeof one === "string" ? one : html`<span class=${one.scope ? `hl-${one.scope.split(".")[0]}` : null}>${elements(one.children)}</span>`));
