// The messages that are shown, and following the newest line while it is written.

import { path } from "./actions.js";
import { Message } from "./message.js";
import { Empty } from "./empty.js";
import { isBusy, state } from "./state.js";
import { children, versions } from "./tree.js";
import { Component, html } from "./vendor/htm-preact.js";
import { locale } from "./words.js";

const NEAR = 80; // pixels from the end that still count as the end

export class Thread extends Component {
  constructor() {
    super();
    this.follows = true;
  }

  componentDidUpdate() {
    const open = state.open?.conversation.id;
    if (this.box && (this.follows || this.shown !== open)) this.box.scrollTop = this.box.scrollHeight;
    this.shown = open;
  }

  scrolled = () => {
    this.follows = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR;
  };

  render() {
    const nodes = state.open ? path() : [];
    return html`<div id="thread" ref=${(box) => (this.box = box)} onScroll=${this.scrolled} tabindex="-1">
      ${nodes.length === 0 ? html`<${Empty} />` : html`<div class="log">${nodes.map((one) => (one.group ? beside(one) : row(one)))}</div>`}
    </div>`;
  }
}

// Answers of several models to one message, next to one another; the conversation goes on from one of them.
function beside(chosen) {
  const all = children(state.open.nodes, chosen.parent).filter((one) => one.group === chosen.group);
  return html`<div class="beside" key=${chosen.group}>${all.map((one) => row(one, one.id === chosen.id))}</div>`;
}

function row(node, chosen = null) {
  const all = versions(state.open.nodes, node);
  const place = all.findIndex((one) => one.id === node.id || (node.group && one.group === node.group));
  return html`<${Message}
    key=${node.id}
    node=${node}
    version=${node.version}
    chosen=${chosen}
    place=${place}
    siblings=${all}
    count=${all.length}
    editing=${state.editing === node.id}
    answered=${node.calls ? children(state.open.nodes, node.id).length : 0}
    language=${locale()}
    busy=${isBusy()}
  />`;
}
