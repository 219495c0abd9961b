// An error in plain words, and a button to try again.

import * as actions from "./actions.js";
import { isBusy } from "./state.js";
import { html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

// A person's words; an error of ours that a person can do something about stays as the server wrote it.
export function inWords(error) {
  if (["unreachable", "broken", "interrupted"].includes(error.code)) return say(error.code);
  if (error.status === 429) return error.retryAfter ? say("busyFor", { seconds: error.retryAfter }) : say("busy");
  if (error.status === 401) return say("wrongKey");
  if (error.code === "context_length_exceeded") return say("tooLong");
  if (error.status >= 500) return say("failed");
  return error.message;
}

export function Problem({ node }) {
  const words = inWords(node.error);
  return html`<div class="problem" role="alert">
    <p>${words}</p>
    <button type="button" disabled=${isBusy()} onClick=${() => actions.retry(node)}>${say("retry")}</button>
    ${words !== node.error.message && node.error.status > 0 && html`<details><summary>${say("told")}</summary>${node.error.message}</details>`}
  </div>`;
}
