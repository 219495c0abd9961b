// The actions of a person on conversations.

import { generate, plain, takeUp } from "./generation.js";
import { request } from "./http.js";
import { changed, state } from "./state.js";
import * as storage from "./storage.js";
import { ROOT, newId, shownPath } from "./tree.js";

export const SETTINGS = { system: "", preset: null, temperature: null, top_p: null, top_k: null, min_p: null, max_tokens: null, seed: null, schema: "", tools: "" };

// ---- models

export async function loadModels() {
  try {
    state.models = (await (await request("/v1/models")).json()).data;
    Object.assign(state, { needsKey: false, problem: null });
  } catch (error) {
    state.needsKey = error.status === 401;
    state.problem = state.needsKey ? null : error;
  }
  changed();
}

export function setKey(key) {
  state.key = key;
  sessionStorage.setItem("lavra-key", key);
  return loadModels();
}

export const writers = () => (state.models || []).filter((one) => one.writes || one.retrieves);

// The model taught here comes first: an adapter over another model of the list; then what talks, then what writes.
export function firstModel() {
  const found = writers();
  return found.find((one) => one.parent && one.chats) || found.find((one) => one.chats && !one.retrieves) || found[0] || null;
}

export function modelsOf(conversation) {
  const chosen = conversation.models.map((id) => writers().find((one) => one.id === id)).filter(Boolean);
  return chosen.length ? chosen : [firstModel()].filter(Boolean);
}

// The model that answers; those beside it stay.
export function chooseModel(id) {
  const { conversation } = state.open;
  const others = modelsOf(conversation).slice(1).map((one) => one.id);
  return changeConversation(conversation, { models: [id, ...others.filter((one) => one !== id)] });
}

// ---- conversations

export async function loadConversations() {
  const found = await storage.listConversations();
  const gone = found.filter((one) => one.deleted && Date.now() - one.deleted > 60_000);
  for (const one of gone) await storage.eraseConversation(one.id);
  state.conversations = found.filter((one) => !one.deleted).sort((a, b) => b.updated - a.updated);
  changed();
}

// A new one has its address at once, so that its draft outlives a reload.
export function startConversation(id = newId()) {
  const last = state.open?.conversation;
  const conversation = { id, title: "", named: false, created: Date.now(), updated: Date.now(), deleted: null, models: last ? last.models : [], settings: { ...SETTINGS }, chosen: {}, kept: false };
  show(conversation, []);
}

export async function openConversation(id) {
  const conversation = await storage.readConversation(id);
  if (!conversation || conversation.deleted) return false;
  show(conversation, await storage.listNodes(id));
  return true;
}

function show(conversation, nodes) {
  state.open = { conversation, nodes: new Map(nodes.map((one) => [one.id, state.running.get(one.id)?.node || one])) };
  Object.assign(state, { editing: null, drawer: false });
  if (location.hash !== `#${conversation.id}`) history.pushState(null, "", `#${conversation.id}`);
  document.title = conversation.title ? `${conversation.title} · lavra` : "lavra";
  changed();
  const left = nodes.filter((one) => one.status === "running" && !state.running.has(one.id));
  const { open } = state;
  if (left.length) whileBusy(open, () => Promise.all(left.map((one) => takeUp(open.nodes.get(one.id)))));
}

// Another tab changed a conversation: read it again, except the message that this tab is writing.
export async function readAgain(id) {
  await loadConversations();
  if (state.open?.conversation.id !== id) return;
  const stored = await storage.readConversation(id);
  if (!stored) return;
  for (const node of await storage.listNodes(id)) {
    const known = state.open.nodes.get(node.id);
    if (!known) state.open.nodes.set(node.id, node);
    else if (!state.running.has(node.id)) Object.assign(known, node, { version: (known.version || 0) + 1 });
  }
  const { chosen } = state.open.conversation; // which version is looked at is each tab's own
  state.open.conversation = { ...stored, chosen: { ...stored.chosen, ...chosen } };
  changed();
}

export async function changeConversation(conversation, change) {
  Object.assign(conversation, change);
  changed();
  if (conversation.kept) await storage.changeConversation(conversation.id, change);
  await loadConversations();
}

async function keep(conversation, text) {
  const title = conversation.title || titleOf(text);
  if (conversation.kept) return changeConversation(conversation, { title, updated: Date.now(), chosen: conversation.chosen });
  Object.assign(conversation, { title, updated: Date.now(), kept: true });
  await storage.saveConversation(plain(conversation));
  if (state.open.conversation === conversation) document.title = `${title} · lavra`;
  await loadConversations();
}

export function titleOf(text) {
  const words = text.trim().split(/\s+/).join(" ");
  return words.length <= 48 ? words : `${words.slice(0, 48).replace(/\s\S*$/, "")} …`;
}

export async function rename(conversation, title) {
  const open = state.open?.conversation;
  const known = open?.id === conversation.id ? open : conversation;
  if (title.trim()) await changeConversation(known, { title: title.trim(), named: true });
}

export async function remove(conversation) {
  endUndo();
  await storage.changeConversation(conversation.id, { deleted: Date.now() });
  state.undo = { text: conversation.title, back: () => restore(conversation.id), end: () => storage.eraseConversation(conversation.id) };
  if (state.open?.conversation.id === conversation.id) startConversation();
  await loadConversations();
}

// The time to undo is over: erase the deleted conversations.
export function endUndo() {
  state.undo?.end?.();
  state.undo = null;
  changed();
}

async function restore(id) {
  state.undo = null;
  await storage.changeConversation(id, { deleted: null });
  await loadConversations();
  await openConversation(id);
}

// ---- messages

// What is begun in a conversation goes on there, whichever is open by then: `open` is the one it was begun in.

export const path = () => shownPath(state.open.nodes, state.open.conversation.chosen);

async function add(open, nodes) {
  const { conversation } = open;
  for (const node of nodes) open.nodes.set(node.id, node);
  const [first] = nodes;
  conversation.chosen = { ...conversation.chosen, [first.parent]: first.id };
  changed();
  await storage.saveNodes(nodes.map(plain));
  if (conversation.kept) await storage.changeConversation(conversation.id, { chosen: conversation.chosen, updated: Date.now() });
}

const node = (open, fields) => ({ id: newId(), conversation: open.conversation.id, created: Date.now(), text: "", status: "done", ...fields });

async function whileBusy({ conversation: { id } }, work) {
  state.busy.set(id, (state.busy.get(id) || 0) + 1);
  changed();
  try {
    await work();
  } finally {
    state.busy.set(id, state.busy.get(id) - 1);
    if (!state.busy.get(id)) state.busy.delete(id);
    changed();
  }
}

// Say something after a message, or in place of its sibling, and have it answered.
export function send(text, parent = path().at(-1)?.id || ROOT) {
  const { open } = state;
  return whileBusy(open, async () => {
    await keep(open.conversation, text);
    const asked = node(open, { role: "user", parent, text });
    await add(open, [asked]);
    await answer(open, asked.id);
  });
}

export function edit(message, text) {
  state.editing = null;
  return send(text, message.parent);
}

// Have a message answered by each chosen model; answers that are asked together stand side by side.
async function answer(open, parent) {
  const { settings } = open.conversation;
  const models = modelsOf(open.conversation);
  const group = models.length > 1 ? newId() : null;
  const answers = models.map((model, order) => node(open, { role: "assistant", parent, model: model.id, chats: model.chats, status: "running", group, order }));
  await add(open, answers);
  await Promise.all(answers.map((one, place) => generate(open, one, models[place], settings)));
  await storage.changeConversation(open.conversation.id, { updated: Date.now() });
  await loadConversations();
}

// What a person says that the functions gave; when every call has its result, the answer goes on.
export function giveResults(message, results) {
  const { open } = state;
  return whileBusy(open, async () => {
    let parent = message.id;
    for (const one of results) {
      const result = node(open, { role: "tool", parent, ...one });
      await add(open, [result]);
      parent = result.id;
    }
    await answer(open, parent);
  });
}

// Ask for the same answer again, in place of the failed answer.
export function retry(message) {
  const { open } = state;
  const model = writers().find((one) => one.id === message.model) || modelsOf(open.conversation)[0];
  Object.assign(message, { text: "", calls: null, status: "running", error: null, warnings: [], usage: null, seconds: 0, response: null, sequence: null, model: model.id, chats: model.chats });
  return whileBusy(open, () => generate(open, message, model, open.conversation.settings));
}

// Another version of an answer, by the models that are chosen now.
export function regenerate(message) {
  const { open } = state;
  return whileBusy(open, () => answer(open, message.parent));
}

export async function choose(message) {
  const { conversation } = state.open;
  await changeConversation(conversation, { chosen: { ...conversation.chosen, [message.parent]: message.id } });
}
