// An answer while it is written: its pieces go into its message, the message into the browser's storage, and a person can
// stop it.  One tab writes a message; where the browser has locks, another tab takes over when that tab is gone.

import { answer } from "./api.js";
import { changed, state } from "./state.js";
import { saveNodes } from "./storage.js";
import { ancestry } from "./tree.js";

const SAVE_EVERY = 400; // milliseconds

// Write an answer into a message that stands in the tree and is empty.
export async function generate(open, node, model, settings) {
  const nodes = ancestry(open.nodes, node.parent);
  await follow(node, (signal) => answer({ model, nodes, settings, signal }));
}

// Read events into a message until they end, fail or are stopped.
export async function follow(node, start) {
  const stopping = new AbortController();
  state.running.set(node.id, () => stopping.abort());
  const began = performance.now();
  let saved = began;
  try {
    for await (const event of start(stopping.signal)) {
      take(node, event);
      touch(node);
      if (performance.now() - saved > SAVE_EVERY) {
        saved = performance.now();
        saveNodes([plain(node)]).catch(() => {});
      }
    }
    node.status = "done";
  } catch (error) {
    if (error.name === "AbortError") Object.assign(node, { status: "done", reason: "stopped" });
    else Object.assign(node, { status: "failed", error: { message: error.message, status: error.status, code: error.code, retryAfter: error.retryAfter } });
  }
  node.seconds = (node.seconds || 0) + (performance.now() - began) / 1000;
  state.running.delete(node.id);
  state.status = node.status === "failed" ? "answer-failed" : "answer-complete";
  touch(node);
  await saveNodes([plain(node)]);
}

function take(node, event) {
  if (event.sequence !== undefined) node.sequence = event.sequence;
  if (event.kind === "begun") node.response = event.response;
  else if (event.kind === "text") {
    node.text += event.text;
    if (event.tokens) node.tokens = [...(node.tokens || []), ...event.tokens];
  } else if (event.kind === "call") node.calls = [...(node.calls || []), { id: event.id, name: event.name, arguments: "" }];
  else if (event.kind === "arguments") node.calls.at(-1).arguments += event.text;
  else if (event.kind === "end") Object.assign(node, { reason: event.reason, usage: event.usage, warnings: event.warnings, citations: event.citations });
}

function touch(node) {
  node.version = (node.version || 0) + 1;
  changed();
}

export const plain = (node) => structuredClone(node);

export function stopAll() {
  for (const stop of state.running.values()) stop();
}
