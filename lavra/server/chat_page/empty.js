// A conversation that has not begun.

import { firstModel, modelsOf } from "./actions.js";
import { state } from "./state.js";
import { html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export function Empty() {
  if (!state.models) return html`<div class="welcome"></div>`;
  if (!firstModel()) return html`<div class="welcome"><p>${say("onlyEmbeds", { names: state.models.map(ability).join(" ") })}</p></div>`;
  const [model] = modelsOf(state.open.conversation);
  return html`<div class="welcome">
    <h2>${say(model.chats ? "welcome" : "welcomeCompletes")}</h2>
    ${!model.chats && html`<p>${say("completes")}</p>`} ${model.retrieves && html`<p>${say("retrieves")}</p>`}
  </div>`;
}

function ability(model) {
  if (model.task) return say("head", { name: model.id, task: model.task });
  return say(model.embeds ? "embeds" : "fills", { name: model.id });
}
