// The page: a list of conversations, the open conversation, and the field of the next message.

import * as actions from "./actions.js";
import { Composer } from "./composer.js";
import { stopAnswers } from "./generation.js";
import { KeyForm } from "./key.js";
import { inWords } from "./problem.js";
import { Settings } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { changed, onChange, state } from "./state.js";
import { onOtherTab } from "./storage.js";
import { Thread } from "./thread.js";
import { html, render } from "./vendor/htm-preact.js";
import { has, say, switchLanguage } from "./words.js";

function Page() {
  return html`<${Sidebar} />
    ${state.drawer && html`<div class="veil" onClick=${closeDrawer}></div>`}
    <div id="frame">
      <${Header} />
      <main>
        ${state.needsKey && html`<${KeyForm} />`}
        ${state.problem && html`<div class="problem" role="alert"><p>${inWords(state.problem)}</p><button type="button" onClick=${actions.loadModels}>${say("retry")}</button></div>`}
        <${Thread} />
        <${Composer} />
      </main>
    </div>
    ${state.dialog === "settings" && html`<${Settings} />`}
    ${state.undo && html`<${Undo} />`}
    <p class="unseen" role="status">${has(state.status) ? say(state.status) : state.status}</p>`;
}

function Header() {
  const models = actions.writers();
  const chosen = state.open ? actions.modelsOf(state.open.conversation)[0]?.id : null;
  return html`<header>
    <button id="menu" type="button" class="quiet" aria-expanded=${String(state.drawer)} aria-controls="sidebar" aria-label=${say("menu")} onClick=${toggleDrawer}>☰</button>
    <h1>lavra</h1>
    ${models.length > 0 &&
    html`<select id="model" aria-label=${say("model")} value=${chosen} onChange=${(event) => actions.chooseModel(event.target.value)}>
      ${models.map((one) => html`<option value=${one.id} selected=${one.id === chosen}>${one.id}</option>`)}
    </select>`}
    <span class="right">
      ${models.some((one) => one.retrieves) && html`<a id="search" href="/search">${say("documents")}</a>`}
      <button id="settings" type="button" class="quiet" disabled=${!state.open || !models.length} onClick=${openSettings}>${say("settings")}</button>
      <button id="language" type="button" class="quiet" lang=${document.documentElement.lang === "en" ? "pt-BR" : "en"} onClick=${turnLanguage}>${say("language")}</button>
    </span>
  </header>`;
}

function Undo() {
  const { text, back } = state.undo;
  return html`<div class="toast" role="status">
    <span>${back ? say("removed", { title: text }) : text}</span>
    ${back && html`<button type="button" id="undo" onClick=${back}>${say("undo")}</button>`}
    <button type="button" class="quiet" onClick=${actions.endUndo}>${say("dismiss")}</button>
  </div>`;
}

function openSettings() {
  state.dialog = "settings";
  changed();
}

function toggleDrawer() {
  state.drawer = !state.drawer;
  changed();
}

function closeDrawer() {
  state.drawer = false;
  changed();
}

function turnLanguage() {
  switchLanguage();
  changed();
}

function onKey(event) {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if (state.drawer) closeDrawer();
  else stopAnswers();
}

async function followAddress() {
  const id = location.hash.slice(1);
  if (id && state.open?.conversation.id === id) return;
  if (!id || !(await actions.openConversation(id))) actions.startConversation(id || undefined);
}

async function begin() {
  const place = document.getElementById("page");
  onChange(() => render(html`<${Page} />`, place));
  await actions.loadConversations();
  await followAddress();
  await actions.loadModels();
  addEventListener("hashchange", followAddress);
  addEventListener("keydown", onKey);
  onOtherTab(actions.readAgain);
}

begin();
