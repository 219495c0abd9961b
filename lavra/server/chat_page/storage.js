// Conversations in the browser (IndexedDB).  Each message is a record of its own, so that tabs which write to one
// conversation add to it and do not overwrite one another; they tell each other what changed.  Drafts are in localStorage,
// which writes at once: a reload right after a key was pressed loses nothing.

const NAME = "lavra-chat";
const opened = new Promise((resolve, reject) => {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("conversations", { keyPath: "id" });
    const nodes = request.result.createObjectStore("nodes", { keyPath: "id" });
    nodes.createIndex("conversation", "conversation");
  };
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const channel = new BroadcastChannel(NAME);

async function transact(stores, mode, work) {
  const database = await opened;
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(stores, mode);
    const request = work(transaction);
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export const listConversations = () => transact(["conversations"], "readonly", (t) => t.objectStore("conversations").getAll());
export const readConversation = (id) => transact(["conversations"], "readonly", (t) => t.objectStore("conversations").get(id));
export const readNode = (id) => transact(["nodes"], "readonly", (t) => t.objectStore("nodes").get(id));
export const listNodes = (conversation) =>
  transact(["nodes"], "readonly", (t) => {
    const nodes = t.objectStore("nodes");
    return conversation === undefined ? nodes.getAll() : nodes.index("conversation").getAll(conversation);
  });

export async function saveConversation(conversation) {
  await transact(["conversations"], "readwrite", (t) => t.objectStore("conversations").put(conversation));
  channel.postMessage({ conversation: conversation.id });
}

// Change a record as it is now, which another tab may have changed.
export async function changeConversation(id, change) {
  await transact(["conversations"], "readwrite", (t) => {
    const store = t.objectStore("conversations");
    store.get(id).onsuccess = (event) => {
      if (event.target.result) store.put({ ...event.target.result, ...change });
    };
  });
  channel.postMessage({ conversation: id });
}

export async function saveNodes(nodes) {
  await transact(["nodes"], "readwrite", (t) => {
    for (const one of nodes) t.objectStore("nodes").put(one);
  });
  for (const conversation of new Set(nodes.map((one) => one.conversation))) channel.postMessage({ conversation });
}

export async function eraseConversation(id) {
  await transact(["conversations", "nodes"], "readwrite", (t) => {
    t.objectStore("conversations").delete(id);
    t.objectStore("nodes").index("conversation").openKeyCursor(id).onsuccess = (event) => {
      const cursor = event.target.result;
      if (!cursor) return;
      t.objectStore("nodes").delete(cursor.primaryKey);
      cursor.continue();
    };
  });
  writeDraft(id, "");
  channel.postMessage({ conversation: id });
}

// Told the id of each conversation that another tab changed.
export function onOtherTab(listener) {
  channel.onmessage = (event) => listener(event.data.conversation);
}

const draftKey = (id) => `lavra-draft-${id}`;

// A tab's own draft comes before that of another tab.
export function readDraft(id) {
  return sessionStorage.getItem(draftKey(id)) ?? localStorage.getItem(draftKey(id)) ?? "";
}

export function writeDraft(id, text) {
  try {
    for (const place of [sessionStorage, localStorage]) {
      if (text) place.setItem(draftKey(id), text);
      else place.removeItem(draftKey(id));
    }
  } catch {
    // the browser's room is full: the draft stays in the page
  }
}
