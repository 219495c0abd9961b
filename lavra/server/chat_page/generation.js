// An answer while it is written: its pieces go into its message, the message into the browser's storage, and a person can
// stop it.  A message keeps the number of the last event that is in it, so that a page which was reloaded, or whose
// connection broke, takes the answer up right there.  One tab writes a message; where the browser has locks, another tab
// takes over when that tab is gone.

import { Failure } from "./http.js";
import { answer, cancelResponse, takenUp } from "./responses.js";
import { seedFor } from "./sampling.js";
import { changed, state } from "./state.js";
import { readNode, saveNodes } from "./storage.js";
import { ancestry } from "./tree.js";

const SAVE_EVERY = 400; // milliseconds
const PAUSES = [300, 1500, 4000]; // milliseconds before each try to take up an answer whose connection broke
let leaving = false; // the page closes: a broken connection is not a failure now
addEventListener("pagehide", () => {
  leaving = true;
  saveNodes([...state.running.values()].map((one) => plain(one.node))).catch(() => {});
});
addEventListener("pageshow", () => (leaving = false));

// Write an answer into a message that stands in the tree and is empty.
export function generate(open, node, model, settings) {
  const nodes = ancestry(open.nodes, node.parent);
  node.seed = seedFor(settings, model);
  return alone(node, () => follow(node, (signal) => answer({ model, nodes, settings: { ...settings, seed: node.seed }, signal })));
}

// Go on with an answer that was being written when its page was left.
export function takeUp(node) {
  return alone(node, async () => {
    const stored = await readNode(node.id);
    if (!stored) return;
    Object.assign(node, stored);
    if (node.status !== "running") touch(node);
    else await follow(node, (signal) => (node.response ? takenUp(node.response, node.sequence, signal) : interrupted()));
  });
}

async function alone(node, work) {
  if (!navigator.locks) return work(); // plain http from another machine: both tabs read the same events
  return navigator.locks.request(`lavra-answer-${node.id}`, work);
}

async function* interrupted() {
  throw new Failure("the page was left", { code: "interrupted" });
}

async function follow(node, start) {
  const stopping = new AbortController();
  const stop = () => {
    if (node.response) cancelResponse(node.response).catch(() => {});
    stopping.abort();
  };
  state.running.set(node.id, { node, stop });
  const began = performance.now();
  const before = node.seconds || 0;
  try {
    await readAll(node, start, stopping.signal);
    node.status = "done";
  } catch (error) {
    if (leaving) return;
    if (error.name === "AbortError") Object.assign(node, { status: "done", reason: "stopped" });
    else Object.assign(node, { status: "failed", error: failureOf(node, error) });
  }
  node.seconds = before + (performance.now() - began) / 1000;
  state.running.delete(node.id);
  state.status = node.status === "failed" ? "answer-failed" : "answer-complete";
  touch(node);
  await saveNodes([plain(node)]);
}

// Until the end, also when the connection breaks on the way.
async function readAll(node, start, signal) {
  for (let tries = 0; ; ) {
    const sequence = node.sequence;
    try {
      return await readSome(node, start(signal));
    } catch (error) {
      if (node.sequence !== sequence) tries = 0; // it came a part of the way
      if (!["broken", "unreachable"].includes(error.code) || !node.response || tries === PAUSES.length || leaving) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSES[tries]));
      tries += 1;
      start = (again) => takenUp(node.response, node.sequence, again);
    }
  }
}

async function readSome(node, events) {
  let saved = performance.now();
  for await (const event of events) {
    take(node, event);
    touch(node);
    if (event.kind !== "begun" && performance.now() - saved < SAVE_EVERY) continue;
    saved = performance.now();
    saveNodes([plain(node)]).catch(() => {});
  }
}

function take(node, event) {
  if (event.sequence !== undefined) node.sequence = event.sequence;
  if (event.kind === "begun") node.response = event.response;
  else if (event.kind === "text") node.text += event.text;
  else if (event.kind === "call") node.calls = [...(node.calls || []), { id: event.id, name: event.name, arguments: "" }];
  else if (event.kind === "arguments") node.calls.at(-1).arguments += event.text;
  else if (event.kind === "end") Object.assign(node, { reason: event.reason, usage: event.usage, warnings: event.warnings, citations: event.citations });
}

function failureOf(node, { message, status, code, retryAfter }) {
  const forgotten = status === 404 && node.response; // the server was started anew, or had no room for it
  return { message, status, code: forgotten ? "interrupted" : code, retryAfter };
}

function touch(node) {
  node.version = (node.version || 0) + 1;
  changed();
}

export const plain = (node) => structuredClone(node);

// Stop the answer in the open conversation, also that of another tab; other conversations continue.
export function stopAnswers() {
  for (const node of state.open?.nodes.values() || []) {
    if (state.running.has(node.id)) state.running.get(node.id).stop();
    else if (node.status === "running" && node.response) cancelResponse(node.response).catch(() => {});
  }
}
