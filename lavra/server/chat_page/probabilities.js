// Token probabilities of an answer, on demand: the server scores the text it once wrote.  Hovering or focusing a token shows
// what the model held likely in its place; arrow keys go from token to token.

import { scored } from "./scoring.js";
import { ancestry } from "./tree.js";
import { state } from "./state.js";
import { Component, html } from "./vendor/htm-preact.js";
import { inWords } from "./problem.js";
import { locale, say } from "./words.js";

const percent = (logprob) => {
  const told = (value) => value.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 1 });
  return Math.exp(logprob) < 0.001 ? `< ${told(0.001)}` : told(Math.exp(logprob));
};
const visible = (token) => token.replace(/ /g, "·").replace(/\n/g, "↵").replace(/\t/g, "⇥") || "∅";
const strength = (logprob) => ["low", "some", "", ""][Math.min(3, Math.floor(Math.exp(logprob) * 4))];

export class Probabilities extends Component {
  constructor() {
    super();
    this.state = { tokens: null, error: null, at: null };
  }

  async componentDidMount() {
    const { node } = this.props;
    const model = (state.models || []).find((one) => one.id === node.model);
    try {
      if (!model) throw new Error(say("modelGone", { model: node.model }));
      const tokens = await scored(model, ancestry(state.open.nodes, node.parent), state.open.conversation.settings, node.text);
      this.setState({ tokens });
    } catch (error) {
      this.setState({ error });
    }
  }

  key = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...event.currentTarget.querySelectorAll(".token")];
    all[Math.max(0, Math.min(all.length - 1, (this.state.at ?? 0) + step))].focus();
  };

  render(_, { tokens, error, at }) {
    if (error) return html`<p class="problem" role="alert">${inWords(error)}</p>`;
    if (!tokens) return html`<p class="waiting">${say("thinking")}</p>`;
    return html`<div class="probabilities">
      <p class="tokens" role="group" aria-label=${say("probabilities")} onKeyDown=${this.key}>
        ${tokens.map((one, place) => this.token(one, place))}
      </p>
      <div class="alternatives" aria-live="polite">${at === null ? say("hoverToken") : alternatives(tokens[at])}</div>
    </div>`;
  }

  token(one, place) {
    const look = () => this.state.at !== place && this.setState({ at: place });
    return html`<button
      type="button"
      class=${`token ${one.logprob === null ? "" : strength(one.logprob)}`}
      tabindex=${place === (this.state.at ?? 0) ? 0 : -1}
      aria-pressed=${String(this.state.at === place)}
      onFocus=${look}
      onMouseEnter=${look}
      onClick=${look}
    >${one.token.replace(/\n/g, "↵")}</button>${one.token.includes("\n") && html`<br />`}`;
  }
}

function alternatives(one) {
  const chosen = { token: one.token, logprob: one.logprob };
  const others = one.top.filter((other) => other.token !== one.token);
  const all = [chosen, ...others].filter((other) => other.logprob !== null).sort((a, b) => b.logprob - a.logprob);
  return html`<table>
    <caption>${say("inPlaceOf", { token: visible(one.token) })}</caption>
    <tbody>
      ${all.map((other) => html`<tr class=${other.token === one.token ? "chosen" : null}>
        <th scope="row"><code>${visible(other.token)}</code></th>
        <td><meter min="0" max="1" value=${Math.exp(other.logprob)} aria-hidden="true"></meter></td>
        <td>${percent(other.logprob)}</td>
      </tr>`)}
    </tbody>
  </table>`;
}
