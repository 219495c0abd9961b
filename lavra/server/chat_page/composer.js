// The field of the next message: its draft is saved with each key.

import * as actions from "./actions.js";
import { stopAnswers } from "./generation.js";
import { sends } from "./keys.js";
import { isBusy, state } from "./state.js";
import { readDraft, writeDraft } from "./storage.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export class Composer extends Component {
  componentDidMount() {
    this.load();
    this.field.focus();
  }

  componentDidUpdate() {
    if (this.loaded !== state.open?.conversation.id) this.load();
    if (this.drafts === state.draft) return;
    this.load();
    this.field.focus();
  }

  load() {
    this.loaded = state.open?.conversation.id;
    this.drafts = state.draft;
    this.field.value = this.loaded ? readDraft(this.loaded) : "";
  }

  key = (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    this.send();
  };

  send = (event) => {
    event?.preventDefault();
    const text = this.field.value;
    if (!text.trim() || isBusy() || !actions.firstModel()) return;
    this.field.value = "";
    writeDraft(this.loaded, "");
    actions.send(text);
  };

  render() {
    const model = state.open && actions.modelsOf(state.open.conversation)[0];
    return html`<form id="composer" onSubmit=${this.send}>
      <textarea
        id="text"
        rows="1"
        ref=${(field) => (this.field = field)}
        aria-label=${say("message")}
        aria-describedby="hint"
        placeholder=${say(model && !model.chats ? "placeholderCompletes" : "placeholder")}
        onKeyDown=${this.key}
        onInput=${() => writeDraft(this.loaded, this.field.value)}
      ></textarea>
      ${isBusy()
        ? html`<button id="stop" key="stop" type="button" onClick=${stopAnswers}>${say("stop")}</button>`
        : html`<button id="send" key="send" type="submit" class="primary" disabled=${!model}>${say("send")}</button>`}
      <p id="hint">${say("hint")}</p>
    </form>`;
  }
}
