// Conversations as files: JSON that this page reads again, all versions included, and Markdown of the shown messages.

import { loadConversations, openConversation } from "./actions.js";
import { changed, state } from "./state.js";
import { listConversations, listNodes, readConversation, saveConversation, saveNodes } from "./storage.js";
import { newId, shownPath } from "./tree.js";
import { say } from "./words.js";

const FORMAT = "lavra-conversations";

function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const fileName = (title, ending) => `${title.replace(/[^\p{L}\p{N} _-]/gu, "").trim().slice(0, 60) || "lavra"}.${ending}`;
const asJson = (conversations) => JSON.stringify({ format: FORMAT, version: 1, conversations }, null, 1);

export async function exportJson(one) {
  const conversation = { ...(await readConversation(one.id)), nodes: await listNodes(one.id) };
  download(fileName(one.title, "json"), "application/json", asJson([conversation]));
}

export async function exportAll() {
  const all = (await listConversations()).filter((one) => !one.deleted);
  const whole = await Promise.all(all.map(async (one) => ({ ...one, nodes: await listNodes(one.id) })));
  download("lavra.json", "application/json", asJson(whole));
}

export async function exportMarkdown(one) {
  const conversation = await readConversation(one.id);
  const nodes = new Map((await listNodes(one.id)).map((node) => [node.id, node]));
  const parts = [`# ${conversation.title}`];
  if (conversation.settings.system) parts.push(`> ${conversation.settings.system.replace(/\n/g, "\n> ")}`);
  for (const node of shownPath(nodes, conversation.chosen)) {
    parts.push(`## ${node.role === "user" ? say("you") : node.model || node.role}`);
    if (node.text) parts.push(node.text);
    for (const call of node.calls || []) parts.push(`\`\`\`json\n${call.name} ${call.arguments}\n\`\`\``);
  }
  download(fileName(conversation.title, "md"), "text/markdown", `${parts.join("\n\n")}\n`);
}

export async function importFile(file) {
  let given;
  try {
    given = JSON.parse(await file.text());
    if (given.format !== FORMAT) throw new Error("another format");
    for (const one of given.conversations) await importOne(one);
  } catch {
    state.undo = { text: say("notImported"), back: null };
    changed();
    return;
  }
  await loadConversations();
  if (given.conversations.length === 1) await openConversation(state.conversations[0]?.id);
  state.undo = { text: say("imported", { count: given.conversations.length }), back: null };
  changed();
}

// Use new ids, so that existing conversations are not overwritten.
async function importOne({ nodes, ...conversation }) {
  const ids = new Map(nodes.map((one) => [one.id, newId()]));
  const renewed = (id) => ids.get(id) || "root";
  const id = newId();
  const chosen = Object.fromEntries(Object.entries(conversation.chosen || {}).map(([parent, child]) => [renewed(parent), renewed(child)]));
  await saveNodes(nodes.map((one) => ({ ...one, id: ids.get(one.id), conversation: id, parent: renewed(one.parent), text: String(one.text), status: one.status === "running" ? "done" : one.status })));
  await saveConversation({ ...conversation, id, chosen, title: String(conversation.title), updated: Date.now(), deleted: null, kept: true });
}
