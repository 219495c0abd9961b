// An empty conversation: the tasks that the model is good for, and three suitable beginnings.

import { firstModel, modelsOf } from "./actions.js";
import { changed, state } from "./state.js";
import { writeDraft } from "./storage.js";
import { html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export function Empty() {
  if (!state.models) return html`<div class="welcome"></div>`;
  if (!firstModel()) return html`<div class="welcome"><p>${say("onlyEmbeds", { names: state.models.map(ability).join(" ") })}</p></div>`;
  const [model] = modelsOf(state.open.conversation);
  return html`<div class="welcome">
    <h2>${say(model.chats ? "welcome" : "welcomeCompletes")}</h2>
    ${!model.chats && html`<p>${say("completes")}</p>`} ${model.retrieves && html`<p>${say("retrieves")}</p>`}
    <ul class="beginnings">
      ${beginnings(model).map((one) => html`<li><button type="button" onClick=${() => begin(one)}>${one}</button></li>`)}
    </ul>
    ${model.good_for && html`<p class="good-for"><strong>${say("measured", { model: model.id })}</strong> ${model.good_for}</p>`}
  </div>`;
}

// The model's own, from its card; else some that suit its kind.
function beginnings(model) {
  if (model.beginnings?.length) return model.beginnings.slice(0, 3);
  const kind = model.retrieves ? "asks" : model.chats ? "talks" : "completes";
  return [1, 2, 3].map((number) => say(`begin-${kind}-${number}`));
}

// It goes into the field, to be changed before it is sent.
function begin(text) {
  writeDraft(state.open.conversation.id, text);
  state.draft += 1;
  changed();
}

function ability(model) {
  if (model.task) return say("head", { name: model.id, task: model.task });
  return say(model.embeds ? "embeds" : "fills", { name: model.id });
}
