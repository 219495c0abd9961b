// Asks for the server's key, which is kept for this tab only.

import { setKey } from "./actions.js";
import { state } from "./state.js";
import { html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export function KeyForm() {
  const enter = (event) => {
    event.preventDefault();
    setKey(event.target.elements.key.value.trim());
  };
  return html`<form id="keyform" onSubmit=${enter}>
    <p>${say(state.key ? "wrongKey" : "needsKey")}</p>
    <label>${say("key")} <input id="key" name="key" type="password" autocomplete="off" /></label>
    <button type="submit" class="primary">${say("open")}</button>
  </form>`;
}
