// A conversation is a tree of messages: a message that is edited, or an answer that is written again, is a sibling of the
// one before.  Pure functions over a Map from id to message; `chosen` says which child of a message is shown.

export const ROOT = "root";

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID exists behind https only
  return [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
}

// Messages below one, oldest first.
export function children(nodes, parent) {
  const found = [...nodes.values()].filter((one) => one.parent === parent);
  return found.sort((a, b) => a.created - b.created || (a.order || 0) - (b.order || 0));
}

// The shown messages: from the first message down, at each step the chosen child, else the newest.
export function shownPath(nodes, chosen) {
  const below = new Map();
  for (const one of nodes.values()) below.set(one.parent, [...(below.get(one.parent) || []), one]);
  const path = [];
  for (let at = ROOT; below.has(at); ) {
    const siblings = below.get(at).sort((a, b) => a.created - b.created || (a.order || 0) - (b.order || 0));
    const node = siblings.find((one) => one.id === chosen[at]) || siblings.at(-1);
    path.push(node);
    at = node.id;
  }
  return path;
}

// A message and all before it, first one first.
export function ancestry(nodes, id) {
  const path = [];
  for (let at = nodes.get(id); at; at = nodes.get(at.parent)) path.unshift(at);
  return path;
}

// Versions of a message: itself and its siblings of the same role; a set that was asked together counts as one.
export function versions(nodes, node) {
  const seen = new Set();
  return children(nodes, node.parent).filter((one) => {
    const key = one.group || one.id;
    if (one.role !== node.role || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
