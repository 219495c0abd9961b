// Full-text search over all conversations: titles and messages, case and accents aside.

import { changed, state } from "./state.js";
import { listNodes } from "./storage.js";

const AROUND = 40; // characters shown on each side
let latest = "";

export const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

export async function searchFor(query) {
  latest = query;
  const words = folded(query).split(/\s+/).filter(Boolean);
  if (!words.length) {
    state.matches = null;
    changed();
    return;
  }
  const texts = new Map(state.conversations.map((one) => [one.id, [one.title]]));
  for (const node of await listNodes()) texts.get(node.conversation)?.push(node.text);
  if (latest !== query) return; // it was typed on
  const found = [...texts].filter(([, own]) => words.every((word) => own.some((text) => folded(text).includes(word))));
  state.matches = new Map(found.map(([id, own]) => [id, excerpt(own.slice(1), words[0])]));
  changed();
}

function excerpt(texts, word) {
  const text = texts.find((one) => folded(one).includes(word));
  if (!text) return "";
  const at = Math.max(0, folded(text).indexOf(word));
  const cut = text.slice(Math.max(0, at - AROUND), at + word.length + AROUND).replace(/\s+/g, " ");
  return `${at > AROUND ? "… " : ""}${cut}${at + word.length + AROUND < text.length ? " …" : ""}`;
}
