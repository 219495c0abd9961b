// What went wrong, in a person's words, and a way to try again.

import * as actions from "./actions.js";
import { state } from "./state.js";
import { html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export function inWords(error) {
  if (error.code === "unreachable") return say("unreachable");
  if (error.code === "broken") return say("broken");
  if (error.code === "interrupted") return say("interrupted");
  return error.message;
}

export function Problem({ node }) {
  return html`<div class="problem" role="alert">
    <p>${inWords(node.error)}</p>
    <button type="button" disabled=${state.busy > 0} onClick=${() => actions.regenerate(node)}>${say("retry")}</button>
  </div>`;
}
