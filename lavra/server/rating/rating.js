"use strict";
/* One item after another: it is fetched, shown as plain text, and every choice is sent at once as a draft.

   What the server has not confirmed is kept in `unsent` and on this device, and sent again until it is.  The server knows
   what is done, so a reload goes on where it was.  The token is read from the fragment of the address, so nothing on this
   page may link to a fragment. */

const $ = id => document.getElementById(id);
const token = location.hash.slice(1);
const device = "lavra-rating " + token.slice(0, 12);
const SIDES = ["first", "tie", "second"];
const RETRY_MOST = 30;

let study, done = new Set(), current = null, said = null, ahead = null;
let moving = false; // the next item is loading: ignore keys and clicks on the item that is still shown
let watched = 0, since = null, typing = 0;
const unsent = new Map();
let sending = null, failures = 0, retry = 0;

/* ---------------------------------------------------------------- the server */

class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
  get passes() { return this.status === 0 || this.status === 429 || this.status >= 500; }
}

async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch("api/" + path, {
      method, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(20000),
      headers: {Authorization: "Bearer " + token, ...(body ? {"Content-Type": "application/json"} : {})},
      body: body && JSON.stringify(body),
    });
  } catch { throw new Refusal(0, "the server cannot be reached"); }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, told.error?.message || "the server answered " + answer.status);
  return told;
}

function keep() {
  try {
    if (unsent.size) localStorage.setItem(device, JSON.stringify([...unsent]));
    else localStorage.removeItem(device);
  } catch { /* a private window may have no storage; the page then keeps it in memory alone */ }
}

function kept() {
  try { return JSON.parse(localStorage.getItem(device) || "[]"); } catch { return []; }
}

function save(isDone) {
  const body = {...said, seconds: seconds(), done: isDone};
  unsent.delete(current.place);
  unsent.set(current.place, body);
  keep();
  flush();
}

function flush() {
  clearTimeout(retry);
  sending ??= sendAll().finally(() => { sending = null; });
  return sending;
}

async function sendAll() {
  while (unsent.size) {
    const [place, body] = unsent.entries().next().value;
    $("saved").textContent = "Saving…";
    try {
      await ask("PUT", "items/" + place, body);
      if (unsent.get(place) === body) unsent.delete(place);
      keep();
      failures = 0;
    } catch (refusal) {
      if (refusal.passes) { trouble(refusal); return; }
      unsent.delete(place);
      keep();
      stop(refusal);
      return;
    }
  }
  $("saved").textContent = "Saved";
  warn("");
}

function trouble(refusal) {
  failures += 1;
  const wait = Math.min(RETRY_MOST, 2 ** Math.min(failures, 5));
  $("saved").textContent = "Not saved";
  warn(`Not saved: ${refusal.message}. It is kept on this device and sent again in ${wait} seconds; you can go on.`);
  retry = setTimeout(flush, wait * 1000);
}

/* ---------------------------------------------------------------- the shown item */

function show(name) {
  for (const id of ["problem", "start", "end", "item"]) $(id).hidden = id !== name;
  $(name + "-title").focus({preventScroll: true});
  scrollTo(0, 0);
}

function say(text) { $("status").textContent = text; }

function warn(text) {
  const was = $("status").classList.contains("shown");
  $("status").classList.toggle("shown", text !== "");
  if (text || was) say(text);
}

function stop(refusal) {
  const titles = {401: "This link does not work", 409: "This study is finished", 0: "The server cannot be reached"};
  const texts = {
    401: token ? "It may have been cut off when it was copied, or replaced by a new one. Copy it whole, or ask the person who sent it for another."
               : "The address has no token in it. Open the whole link that you were sent; it ends in # and a long word.",
    409: "No more answers are taken. What you gave before is kept. Thank you!",
    0: "It may have been stopped, or this device is offline. What you chose is kept; try again in a moment.",
  };
  $("problem-title").textContent = titles[refusal.status] || "Something went wrong";
  $("problem-text").textContent = texts[refusal.status] || refusal.message;
  $("again").hidden = refusal.status === 401 || refusal.status === 409;
  document.title = $("problem-title").textContent + " · lavra";
  show("problem");
}

function count() {
  $("progress").hidden = false;
  $("progress").max = study.total || 1;
  $("progress").value = done.size;
  $("count").textContent = `${done.size} of ${study.total} done`;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function answerCard(text, index, of) {
  const name = of > 1 ? "Answer " + "AB"[index] : "Answer";
  const body = element("div", {className: "text", dir: "auto"});
  if (text.trim()) body.textContent = text;
  else body.append(element("span", {className: "nothing", textContent: "The answer is empty."}));
  const title = element("h2", {id: "answer-title-" + index, textContent: name});
  const card = element("section", {className: "card answer"}, title, body);
  card.setAttribute("aria-labelledby", title.id);
  return card;
}

function choice(group, value, key, words) {
  const input = element("input", {type: "radio", name: group, value});
  const badge = element("span", {className: "key", textContent: key});
  badge.setAttribute("aria-hidden", "true");
  return element("label", {className: "choice"}, input, badge, element("span", {className: "say", textContent: words}));
}

function question(group, words, choices) {
  const set = element("fieldset", {}, element("legend", {textContent: words}),
    element("div", {className: "choices"}, ...choices));
  set.dataset.group = group;
  return set;
}

function questions(kind) {
  if (kind === "pair") {
    const words = ["A is better", "About the same", "B is better"];
    return [question("choice", "Which answer is better?", words.map((one, at) => choice("choice", SIDES[at], at + 1, one)))];
  }
  return study.scales.map(scale => {
    const steps = scale.steps.map((words, at) => {
      const made = choice(scale.name, String(at + 1), at + 1, words);
      made.querySelector("input").setAttribute("aria-label", `${at + 1}: ${words}`);
      return made;
    });
    if (scale.may_not_know) steps.push(choice(scale.name, "none", 0, "Cannot tell"));
    return question(scale.name, scale.question, steps);
  });
}

function keysOf(kind) {
  const pair = kind === "pair";
  return [[pair ? "1 2 3" : "1 – 5", pair ? "A, about the same, B" : "rate, one question after the other"],
          ...(pair ? [["← →", "A, B"]] : study.scales.some(one => one.may_not_know) ? [["0", "cannot tell"]] : []),
          ["Enter", "next item"], ["S", "skip"], ["U", "undo the last one"], ["C", "comment"]];
}

function fill(item) {
  current = item;
  said = {ratings: {}, choice: null, skipped: false, comment: "", ...(item.judgement || {})};
  watched = item.judgement?.seconds || 0;
  since = document.hidden ? null : performance.now();
  const pair = item.kind === "pair";
  $("item-title").textContent = `Item ${item.place} of ${study.total}: ` + (pair ? "compare two answers" : "rate the answer");
  document.title = `Item ${item.place} of ${study.total} · lavra`;
  $("columns").className = "columns " + item.kind;
  $("prompt").textContent = item.prompt;
  $("reference-card").hidden = !item.reference;
  $("reference").textContent = item.reference;
  $("answers").className = "answers" + (pair ? " two" : "");
  $("answers").replaceChildren(...item.answers.map((text, at) => answerCard(text, at, item.answers.length)));
  $("questions").replaceChildren(...questions(item.kind));
  $("keys").replaceChildren(...keysOf(item.kind).flatMap(([key, words]) =>
    [element("dt", {}, element("kbd", {textContent: key})), element("dd", {textContent: words})]));
  $("comment").value = said.comment;
  $("comment-box").open = said.comment !== "";
  $("undo").disabled = !done.size;
  for (const group of groups()) check(group, valueOf(group));
  mark();
  show("item");
  letScroll();
  say(`${done.size} of ${study.total} done`);
}

function letScroll() {
  for (const box of $("item").querySelectorAll(".card > .text")) {
    const scrolls = box.scrollHeight > box.clientHeight + 1;
    const attributes = {tabindex: "0", role: "group", "aria-labelledby": box.parentElement.querySelector("h2").id};
    for (const [name, value] of Object.entries(attributes))
      if (scrolls) box.setAttribute(name, value); else box.removeAttribute(name);
  }
}

function mark() {
  [...$("answers").children].forEach((card, at) =>
    card.classList.toggle("chosen", said.choice === (at ? "second" : "first")));
}

/* ---------------------------------------------------------------- the choices */

const groups = () => current.kind === "pair" ? ["choice"] : study.scales.map(scale => scale.name);
const fieldset = group => $("questions").querySelector(`fieldset[data-group="${group}"]`);

function valueOf(group) {
  if (group === "choice") return said.choice;
  const rating = said.ratings[group];
  return rating === undefined ? null : rating === null ? "none" : String(rating);
}

function check(group, value) {
  for (const input of fieldset(group).querySelectorAll("input")) input.checked = input.value === value;
}

function choose(group, value) {
  if (moving) return;
  if (group === "choice") said.choice = value;
  else said.ratings = {...said.ratings, [group]: value === "none" ? null : Number(value)};
  said.skipped = false;
  fieldset(group).classList.remove("missing");
  mark();
  save(false);
}

const missing = () => groups().filter(group => valueOf(group) === null);

function press(group, value) {
  const input = fieldset(group).querySelector(`input[value="${value}"]`);
  if (!input) return;
  input.checked = true;
  choose(group, value);
  const left = missing();
  const after = groups().slice(groups().indexOf(group) + 1).find(one => left.includes(one)) || left[0];
  if (after) fieldset(after).querySelector("input").focus(); else $("next").focus();
}

function seconds() {
  const now = performance.now();
  if (since !== null) { watched += (now - since) / 1000; since = now; }
  return Math.round(watched * 10) / 10;
}

/* ---------------------------------------------------------------- going on */

function following(place) {
  const open = Array.from({length: study.total}, (_, at) => at + 1).filter(one => !done.has(one));
  return open.find(one => one > place) ?? open[0];
}

async function go(place) {
  if (place === undefined) { moving = false; return finish(); }
  moving = true;
  let item;
  try {
    item = ahead?.place === place && !unsent.has(place) ? ahead : await ask("GET", "items/" + place);
  } catch (refusal) { return stop(refusal); }
  finally { moving = false; }
  ahead = null;
  if (unsent.has(place)) item.judgement = unsent.get(place);
  fill(item);
  count();
  const next = following(place);
  if (next !== undefined && next !== place) ask("GET", "items/" + next).then(item => { ahead = item; }, () => {});
}

async function finish() {
  await flush();
  if (!$("problem").hidden) return;
  count();
  $("end-text").textContent = unsent.size
    ? "You have judged everything. The last of it is not saved yet: please leave this page open until it is."
    : `All ${study.total} items are done and saved. You can close this page.`;
  document.title = "Thank you · lavra";
  show("end");
}

function leave() {
  const place = current.place;
  clearTimeout(typing);
  moving = true;
  said.comment = $("comment").value;
  save(true);
  done.add(place);
  go(following(place));
}

function next() {
  if (moving) return;
  const left = missing();
  if (!left.length) return leave();
  for (const group of groups()) fieldset(group).classList.toggle("missing", left.includes(group));
  fieldset(left[0]).querySelector("input").focus();
  say(left.length > 1 ? `${left.length} questions are not answered yet` : "one question is not answered yet");
}

function skip() {
  if (moving) return;
  said = {...said, ratings: {}, choice: null, skipped: true};
  leave();
}

async function undo() {
  if (moving || !done.size) return;
  clearTimeout(typing);
  moving = true;
  await takeBack();
  moving = false;
}

async function takeBack() {
  await flush();
  if (unsent.size) return;
  try {
    const told = await ask("POST", "undo");
    done = new Set(told.done);
    ahead = null;
    if (told.place !== null) await go(told.place);
  } catch (refusal) { if (refusal.passes) warn("Not undone: " + refusal.message + ". Try again in a moment."); else stop(refusal); }
}

/* ---------------------------------------------------------------- keys */

const writes = target => target.closest?.("textarea, input[type=text]");

function onKey(event) {
  if (moving || event.repeat || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || $("item").hidden) return;
  const target = event.target, key = event.key;
  if (writes(target)) { if (key === "Escape") { target.blur(); $("next").focus(); } return; }
  if (key === "Enter") {
    if (target.closest("button, summary, input")) return; // they answer Enter themselves; in an input the form is sent
    event.preventDefault();
    $("item").requestSubmit();
  } else if ($("shortcuts").checked && act(key.toLowerCase(), target)) event.preventDefault();
}

function act(key, target) {
  const pair = current.kind === "pair";
  if (/^[0-5]$/.test(key)) {
    const group = target.closest("fieldset")?.dataset.group ?? missing()[0] ?? (pair ? "choice" : undefined);
    const value = pair ? SIDES[Number(key) - 1] : key === "0" ? "none" : key;
    if (group && value) press(group, value);
    return true;
  }
  if (pair && !target.closest("fieldset, .text")) {
    if (key === "arrowleft") { press("choice", "first"); return true; }
    if (key === "arrowright") { press("choice", "second"); return true; }
  }
  if (key === "s") { skip(); return true; }
  if (key === "u") { undo(); return true; }
  if (key === "c") { $("comment-box").open = true; $("comment").focus(); return true; }
  return false;
}

/* ---------------------------------------------------------------- beginning */

function introduce() {
  $("start-title").textContent = study.title;
  $("instructions").textContent = study.instructions ||
    "You will see answers that were written to prompts. Please read each one and say what you think of it. Where " +
    "you cannot judge, skip.";
  const facts = [`${study.total} items. You can stop at any time and come back with the same link.`,
                 "Everything you choose is saved at once.",
                 "You are not told who or what wrote an answer."];
  $("facts").replaceChildren(...facts.map(words => element("li", {textContent: words})));
  $("begin").textContent = done.size ? "Continue" : "Start";
  document.title = study.title + " · lavra";
  show("start");
}

async function open() {
  try {
    study = await ask("GET", "study");
  } catch (refusal) { return stop(refusal); }
  done = new Set(study.done);
  if (study.closed) return stop(new Refusal(409, ""));
  for (const [place, body] of kept()) {
    if (!unsent.has(place)) unsent.set(place, body);
    if (body.done) done.add(place);
  }
  count();
  if (unsent.size) flush();
  if (done.size >= study.total) return finish();
  let begun = null;
  try { begun = sessionStorage.getItem(device); } catch { /* no storage: the introduction is shown again */ }
  if (begun) go(following(0)); else introduce();
}

function begin() {
  try { sessionStorage.setItem(device, "begun"); } catch { /* as above */ }
  go(following(0));
}

$("questions").addEventListener("change", event => choose(event.target.name, event.target.value));
const keepComment = () => {
  clearTimeout(typing);
  if (moving || said.comment === $("comment").value) return;
  said.comment = $("comment").value;
  save(false);
};
$("comment").addEventListener("change", keepComment);
$("comment").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(keepComment, 800); });
$("item").addEventListener("submit", event => { event.preventDefault(); next(); });
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("end-undo").addEventListener("click", undo);
$("begin").addEventListener("click", () => moving || begin());
$("again").addEventListener("click", () => open());
$("shortcuts").addEventListener("change", event => {
  try { localStorage.setItem("lavra-rating keys", event.target.checked ? "on" : "off"); } catch { /* for now only */ }
});
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { seconds(); since = null; } else since = performance.now();
});
addEventListener("online", flush);
addEventListener("hashchange", () => location.reload());
addEventListener("resize", letScroll);
addEventListener("beforeunload", event => { if (unsent.size) event.preventDefault(); });
try { $("shortcuts").checked = localStorage.getItem("lavra-rating keys") !== "off"; } catch { /* on */ }
open();
