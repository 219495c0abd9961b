// The settings of a conversation: system prompt, sampling, the form of answers, functions, and more models side by side.

import * as actions from "./actions.js";
import { readSchema, readTools } from "./pasted.js";
import { DRAWN, MOST_COMPLETED, PRESETS, presetOf, settingsFor } from "./sampling.js";
import { changed, state } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { say } from "./words.js";

const NUMBERS = { temperature: [0, 5, 0.1], top_p: [0.01, 1, 0.01], top_k: [0, 1000, 1], min_p: [0, 1, 0.01], max_tokens: [1, 1000000, 1], seed: [0, 2 ** 31, 1] };

export class Settings extends Component {
  componentDidMount() {
    this.dialog.showModal();
  }

  close = () => {
    state.dialog = null;
    changed();
    document.getElementById("settings")?.focus();
  };

  set = (change) => {
    const { conversation } = state.open;
    actions.changeConversation(conversation, { settings: { ...conversation.settings, ...change } });
  };

  render() {
    const { settings } = state.open.conversation;
    return html`<dialog id="settings-dialog" aria-labelledby="settings-title" ref=${(one) => (this.dialog = one)} onClose=${this.close}>
      <form method="dialog">
        <h2 id="settings-title">${say("settings")}</h2>
        <label>${say("system")}<textarea id="system" rows="3" value=${settings.system} placeholder=${say("systemHint")} onInput=${(event) => this.set({ system: event.target.value })}></textarea></label>
        ${this.sampling(settings)}
        <${Pasted} id="schema" name="schema" text=${settings.schema} read=${readSchema} set=${this.set} />
        <${Pasted} id="tools" name="tools" text=${settings.tools} read=${readTools} set=${this.set} />
        ${this.others()}
        <button type="submit" class="primary">${say("done")}</button>
      </form>
    </dialog>`;
  }

  sampling(settings) {
    const [model] = actions.modelsOf(state.open.conversation);
    const given = settingsFor(settings, model);
    const field = (name) => {
      const [min, max, step] = NUMBERS[name];
      const enter = (event) => {
        const value = event.target.value === "" ? null : Number(event.target.value);
        this.set(name in DRAWN ? { ...given, preset: "custom", [name]: value } : { [name]: value });
      };
      return html`<label>${say(name)}<input id=${name} type="number" min=${min} max=${max} step=${step} value=${given[name] ?? ""} placeholder=${model.default_sampling_params?.[name] ?? unset(name, model)} onInput=${enter} /></label>`;
    };
    return html`<fieldset>
      <legend>${say("sampling")}</legend>
      <div class="presets" role="group" aria-label=${say("sampling")}>
        ${Object.keys(PRESETS).map((one) => html`<button type="button" aria-pressed=${String(presetOf(settings, model) === one)} onClick=${() => this.set({ preset: one, ...PRESETS[one] })}>${say(`preset-${one}`)}</button>`)}
      </div>
      <div class="numbers">${Object.keys(NUMBERS).map(field)}</div>
    </fieldset>`;
  }

  others() {
    const { conversation } = state.open;
    const [first, ...more] = actions.modelsOf(conversation).map((one) => one.id);
    const all = actions.writers().filter((one) => one.id !== first);
    if (!all.length) return null;
    const turn = (id, on) => actions.changeConversation(conversation, { models: [first, ...(on ? [...more, id] : more.filter((one) => one !== id))] });
    return html`<fieldset>
      <legend>${say("besides", { model: first })}</legend>
      ${all.map((one) => html`<label class="check"><input type="checkbox" name="besides" value=${one.id} checked=${more.includes(one.id)} onChange=${(event) => turn(one.id, event.target.checked)} />${one.id}</label>`)}
    </fieldset>`;
  }
}

// The values in effect where a person sets none.
function unset(name, model) {
  if (name === "seed") return say("drawn");
  return name === "max_tokens" && !model.chats ? MOST_COMPLETED : say("own");
}

// JSON that a person pastes: its faults are shown at once, and it is saved when it is valid.
class Pasted extends Component {
  enter = (event) => {
    const text = event.target.value.trim();
    let wrong = null;
    try {
      if (text) this.props.read(text);
      this.props.set({ [this.props.name]: text });
    } catch (error) {
      wrong = error.message;
    }
    this.setState({ wrong });
  };

  render({ id, name, text }, { wrong }) {
    return html`<label>
      ${say(name)}
      <textarea id=${id} class="mono" rows="3" spellcheck="false" defaultValue=${text} placeholder=${say(`${name}Hint`)} aria-invalid=${wrong ? "true" : null} onInput=${this.enter}></textarea>
      ${wrong && html`<span class="wrong" role="alert">${say("notKept", { why: wrong })}</span>`}
    </label>`;
  }
}
