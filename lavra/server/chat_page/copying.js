// A button that copies a text and says that it did.

import { state, changed } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text); // behind https and on this machine only
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export class CopyButton extends Component {
  render({ text }, { done }) {
    const press = async () => {
      await copy(text);
      state.status = "copied";
      this.setState({ done: true });
      setTimeout(() => this.setState({ done: false }), 1500);
      changed();
    };
    return html`<button type="button" class="quiet" onClick=${press}>${say(done ? "copied" : "copy")}</button>`;
  }
}
