// The list of conversations: search, rename, delete, export and import.

import * as actions from "./actions.js";
import { exportAll, exportJson, exportMarkdown, importFile } from "./portable.js";
import { searchFor } from "./searching.js";
import { changed, isBusy, state } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export class Sidebar extends Component {
  constructor() {
    super();
    this.state = { query: "", renaming: null };
  }

  search = (event) => {
    this.setState({ query: event.target.value });
    searchFor(event.target.value);
  };

  render(_, { query }) {
    const shown = state.conversations.filter((one) => !state.matches || state.matches.has(one.id));
    return html`<nav id="sidebar" class=${state.drawer ? "shown" : ""} aria-label=${say("conversations")}>
      <button id="new" type="button" onClick=${fresh}>${say("newChat")}</button>
      <input id="find" type="search" value=${query} onInput=${this.search} aria-label=${say("search")} placeholder=${say("search")} />
      <ul class="conversations">
        ${shown.map((one) => this.entry(one))}
      </ul>
      ${!shown.length && html`<p class="empty">${say(state.matches ? "noneFound" : "noneYet")}</p>`}
      <div class="files">
        <label class="button quiet">${say("import")}<input id="import" type="file" accept="application/json,.json" multiple onChange=${importChosen} /></label>
        <button id="export-all" type="button" class="quiet" disabled=${!state.conversations.length} onClick=${exportAll}>${say("exportAll")}</button>
      </div>
    </nav>`;
  }

  entry(one) {
    const current = state.open?.conversation.id === one.id;
    if (this.state.renaming === one.id) return html`<li key=${one.id}><${Renamer} one=${one} leave=${() => this.setState({ renaming: null })} /></li>`;
    const found = state.matches?.get(one.id);
    return html`<li key=${one.id} class=${current ? "current" : ""}>
      <button type="button" class="entry" aria-current=${current ? "true" : null} onClick=${() => actions.openConversation(one.id)}>
        <span class="title">${isBusy(one) && html`<span class="at-work" role="img" aria-label=${say("isAnswered")}>●</span> `}${one.title}</span>${found && html`<small>${found}</small>`}
      </button>
      <details class="menu" onToggle=${closeOthers}>
        <summary aria-label=${`${say("settings")}: ${one.title}`}>⋯</summary>
        <div>
          <button type="button" onClick=${() => this.setState({ renaming: one.id })}>${say("rename")}</button>
          <button type="button" onClick=${() => exportMarkdown(one)}>${say("exportMarkdown")}</button>
          <button type="button" onClick=${() => exportJson(one)}>${say("exportJson")}</button>
          <button type="button" onClick=${() => actions.remove(one)}>${say("remove")}</button>
        </div>
      </details>
    </li>`;
  }
}

class Renamer extends Component {
  componentDidMount() {
    this.field.value = this.props.one.title;
    this.field.select();
  }

  done = (event) => {
    event.preventDefault();
    actions.rename(this.props.one, this.field.value);
    this.props.leave();
  };

  key = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.props.leave();
  };

  render() {
    return html`<form class="renamer" onSubmit=${this.done}>
      <input aria-label=${say("rename")} maxlength="200" onKeyDown=${this.key} onBlur=${this.props.leave} ref=${(field) => (this.field = field)} />
    </form>`;
  }
}

function fresh() {
  actions.startConversation();
  document.getElementById("text")?.focus();
}

function closeOthers(event) {
  if (!event.target.open) return;
  for (const one of document.querySelectorAll("details.menu[open]")) if (one !== event.target) one.open = false;
}

async function importChosen(event) {
  const files = [...event.target.files];
  event.target.value = "";
  for (const file of files) await importFile(file);
  changed();
}
