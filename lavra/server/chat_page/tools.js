// Calls of functions as cards.  The page runs nothing: a person reads the call and types what the function would give.

import * as actions from "./actions.js";
import { isBusy, state } from "./state.js";
import { readDraft, writeDraft } from "./storage.js";
import { children } from "./tree.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export class Calls extends Component {
  // A result that is typed is a draft of its call, and outlives a reload.
  send = (event) => {
    event.preventDefault();
    const { node } = this.props;
    const results = node.calls.map((call) => ({ call: call.id, name: call.name, text: event.target.elements[call.id].value }));
    for (const call of node.calls) writeDraft(call.id, "");
    actions.giveResults(node, results);
  };

  render({ node }) {
    const open = node.status === "done" && children(state.open.nodes, node.id).length === 0;
    return html`<form class="calls" onSubmit=${this.send}>
      ${node.calls.map((call) => html`<${Card} key=${call.id} call=${call} open=${open} />`)}
      ${open && html`<button type="submit" class="primary" disabled=${isBusy()}>${say("giveResult")}</button>`}
    </form>`;
  }
}

function Card({ call, open }) {
  return html`<section class="card" aria-label=${say("calls", { name: call.name })}>
    <h3>${say("calls", { name: call.name })}</h3>
    <${Arguments} text=${call.arguments} />
    ${open &&
    html`<label>${say("result")}<textarea name=${call.id} rows="2" defaultValue=${readDraft(call.id)} onInput=${(event) => writeDraft(call.id, event.target.value)}></textarea></label>`}
  </section>`;
}

function Arguments({ text }) {
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    return html`<pre tabindex="0">${text}</pre>`; // still being written
  }
  if (typeof given !== "object" || given === null) return html`<pre tabindex="0">${text}</pre>`;
  const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  return html`<dl>${Object.entries(given).map(([name, value]) => html`<div><dt>${name}</dt><dd>${shown(value)}</dd></div>`)}</dl>`;
}

export function Result({ node }) {
  return html`<section class="card result" aria-label=${say("resultOf", { name: node.name })}>
    <h3>${say("resultOf", { name: node.name })}</h3>
    <pre tabindex="0">${node.text}</pre>
  </section>`;
}
