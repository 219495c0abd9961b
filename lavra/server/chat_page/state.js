// The state of the page in one object, and listeners to its changes.

export const state = {
  models: null, // as /v1/models lists them; null until it answered
  key: sessionStorage.getItem("lavra-key") || "", // kept for this tab only
  needsKey: false,
  problem: null, // why no models could be listed
  conversations: [], // newest first
  matches: null, // Map from conversation id to the matches in it; null without a search
  open: null, // {conversation, nodes}
  running: new Map(), // message id to the message and the function that stops it
  busy: new Map(), // conversation id to its questions on their way, from the key that sent one to the end of its answers
  drawer: false, // the list of conversations, on narrow screens
  dialog: null, // which dialog is open
  editing: null, // id of the message that is edited
  draft: 0, // number of times that a draft was put into the field
  undo: null, // {text, back}
  status: "", // text for screen readers
};

export const isBusy = (conversation = state.open?.conversation) => state.busy.has(conversation?.id);

const listeners = new Set();
let asked = false;

export function onChange(listener) {
  listeners.add(listener);
}

// Many changes make one drawing.  A hidden tab draws no frames, and still has to keep up.
export function changed() {
  if (asked) return;
  asked = true;
  const draw = () => {
    asked = false;
    for (const listener of listeners) listener();
  };
  if (document.hidden) setTimeout(draw, 50);
  else requestAnimationFrame(draw);
}
