// A message: its text, its end, and its actions.

import * as actions from "./actions.js";
import { CopyButton } from "./copying.js";
import { Editor } from "./editor.js";
import { Problem } from "./problem.js";
import { Markdown } from "./markdown.js";
import { Probabilities } from "./probabilities.js";
import { changed, state } from "./state.js";
import { Calls, Result } from "./tools.js";
import { Component, html } from "./vendor/htm-preact.js";
import { has, locale, say } from "./words.js";

export class Message extends Component {
  constructor() {
    super();
    this.state = { looks: false }; // at the probabilities of its tokens
  }

  // Only changed parts are drawn again: a thread may be long, and its last message grows many times a second.
  shouldComponentUpdate(next, state) {
    return ["node", "version", "chosen", "place", "count", "editing", "answered", "language", "busy"].some((name) => next[name] !== this.props[name]) || state.looks !== this.state.looks;
  }

  render({ node, editing, ...props }, { looks }) {
    if (editing) return html`<${Editor} node=${node} />`;
    if (node.role === "tool") return html`<${Result} node=${node} />`;
    return html`<article class=${`message ${node.role} ${node.chats === false ? "plain" : ""} ${props.chosen ? "chosen" : ""}`} aria-label=${node.role === "user" ? say("you") : node.model} aria-busy=${node.status === "running" ? "true" : null}>
      ${node.role === "assistant" && html`<h2 class="who">${node.model}</h2>`}
      <${Body} node=${node} />
      ${looks && html`<${Probabilities} key=${node.version} node=${node} />`}
      <${Foot} node=${node} looks=${looks} look=${() => this.setState({ looks: !looks })} ...${props} />
    </article>`;
  }
}

function Body({ node }) {
  if (node.role === "user") return html`<p class="said">${node.text}</p>`;
  const waits = node.status === "running" && !node.text && !node.calls?.length;
  return html`<div class="answer">
    ${waits && html`<p class="waiting">${say("thinking")}</p>`}
    ${node.chats === false ? html`<p class="said">${node.text}</p>` : html`<${Markdown} text=${node.text} growing=${node.status === "running"} language=${locale()} />`}
    ${node.calls?.length > 0 && html`<${Calls} node=${node} />`}
    ${node.citations?.length > 0 && html`<${Citations} citations=${node.citations} />`}
    ${node.status === "failed" && html`<${Problem} node=${node} />`}
  </div>`;
}

function Citations({ citations }) {
  return html`<ol class="citations">
    ${citations.map((one) => html`<li value=${one.number}><a href=${one.url}>${one.document}</a> <q>${one.text}</q></li>`)}
  </ol>`;
}

function Foot({ node, place, count, siblings, busy, chosen, looks, look }) {
  const asked = node.role === "user";
  return html`<footer>
    ${count > 1 && html`<${Versions} place=${place} siblings=${siblings} />`}
    ${node.status !== "running" &&
    html`<${CopyButton} text=${node.text} />
      ${asked && html`<button type="button" class="quiet" disabled=${busy} onClick=${() => startEditing(node)}>${say("edit")}</button>`}
      ${!asked && node.status !== "failed" && html`<button type="button" class="quiet" disabled=${busy} onClick=${() => actions.regenerate(node)}>${say("again")}</button>`}
      ${!asked && node.text && !state.models?.find((one) => one.id === node.model)?.retrieves && html`<button type="button" class="quiet" aria-expanded=${String(looks)} onClick=${look}>${say("probabilities")}</button>`}
      ${chosen === false && html`<button type="button" class="quiet" disabled=${busy} onClick=${() => actions.choose(node)}>${say("goOn")}</button>`}
      ${chosen && html`<small class="facts">${say("chosen")}</small>`}`}
    ${node.status === "done" && !asked && html`<small class="facts" title=${node.seed ? `${say("seed")}: ${node.seed}` : null}>${facts(node)}</small>`}
    ${node.warnings?.length > 0 && html`<${Notes} notes=${node.warnings} />`}
  </footer>`;
}

function Versions({ place, siblings }) {
  const step = (by) => actions.choose(siblings[place + by]);
  return html`<span class="versions" role="group" aria-label=${say("version", { place: place + 1, count: siblings.length })}>
    <button type="button" class="quiet" disabled=${place === 0} aria-label=${say("earlier")} onClick=${() => step(-1)}>‹</button>
    <span>${place + 1}/${siblings.length}</span>
    <button type="button" class="quiet" disabled=${place === siblings.length - 1} aria-label=${say("later")} onClick=${() => step(1)}>›</button>
  </span>`;
}

function facts(node) {
  const parts = [];
  const number = (value) => value.toLocaleString(locale());
  if (node.usage) parts.push(say("tokensRead", { count: number(node.usage.prompt_tokens) }), say("tokensWritten", { count: number(node.usage.completion_tokens) }));
  if (node.seconds) parts.push(say("seconds", { seconds: node.seconds.toLocaleString(locale(), { maximumFractionDigits: 1 }) }));
  if (node.reason) parts.push(has(`reason-${node.reason}`) ? say(`reason-${node.reason}`) : node.reason);
  return parts.join(" · ");
}

function Notes({ notes }) {
  return html`<details class="notes">
    <summary>${notes.length === 1 ? say("note") : say("notes", { count: notes.length })}</summary>
    <ul>
      ${notes.map((one) => html`<li>${one}</li>`)}
    </ul>
  </details>`;
}

function startEditing(node) {
  state.editing = node.id;
  changed();
}
