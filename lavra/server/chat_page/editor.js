// A message of the person's while it is edited; sending it begins another branch of the conversation.

import * as actions from "./actions.js";
import { sends } from "./keys.js";
import { changed, isBusy, state } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

export class Editor extends Component {
  componentDidMount() {
    this.field.value = this.props.node.text;
    this.field.focus();
  }

  leave = () => {
    state.editing = null;
    changed();
  };

  done = (event) => {
    event?.preventDefault();
    const text = this.field.value;
    if (text.trim() && !isBusy()) actions.edit(this.props.node, text);
  };

  key = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.leave();
    } else if (sends(event)) {
      event.preventDefault();
      this.done();
    }
  };

  render() {
    return html`<form class="message user editor" onSubmit=${this.done}>
      <textarea aria-label=${say("editing")} onKeyDown=${this.key} ref=${(field) => (this.field = field)}></textarea>
      <div><button type="submit" class="primary">${say("save")}</button><button type="button" onClick=${this.leave}>${say("cancel")}</button></div>
    </form>`;
  }
}
