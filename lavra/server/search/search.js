/* Asks an index, shows the answer as it comes, and each source in its document.

   What documents say is inserted as text, never as HTML.  Places in a document are counted in characters as Python
   counts them (code points), so its text is cut in an array of them.  The fragment of the address names the passage
   that is shown, so that a link opens it; the key, where one is asked for, is kept for this tab alone. */

const $ = id => document.getElementById(id);
const WINDOW = 6000; // characters of a document around a passage, and those that a button adds

const WORDS = {
  en: {
    search: "search", index: "Index", fresh: "New conversation", other: "Português", welcome: "Ask your documents",
    about: count => `${number(count)} ${count === 1 ? "document is" : "documents are"} indexed. Answers cite the passages they rest on; a click on a mark opens the passage in its document.`,
    keyTitle: "A key is needed", keyText: "This server gives answers to those who have a key. It is kept for this tab only.",
    key: "Key", enter: "Enter", wrongKey: "This key is not valid.", filters: "Filters", language: "Language", document: "Document",
    anyLanguage: "any", anyDocument: "all; type to choose", mode: "Answer", modeAuto: "as the index decides", modeQuote: "quoted",
    modeWrite: "written by the model", find: "Find passages", ask: "Ask", stop: "Stop", question: "Your question",
    placeholder: "Ask a question", followUp: "Ask a follow-up question", quoted: "Quoted from the documents",
    written: "Written by a model from the documents", abstained: "Not in the documents", unsupported: "not supported",
    sources: "Sources", passages: count => `${number(count)} ${count === 1 ? "passage" : "passages"} found`, noPassages: "Nothing was found.",
    open: "Open", page: "page", line: "line", score: "score", notUsed: "not used", notes: "Notes", close: "Close", jump: "To the passage",
    earlier: "Earlier text", later: "Later text", asking: "The answer is on its way", stopped: "Stopped before its end.",
    ready: (sentences, sources) => `The answer is there: ${sentences} sentences, ${sources} sources`, found: "Passages for",
    source: "Source", remove: "Remove filter", gone: "This document cannot be shown.", offline: "The server cannot be reached.",
    only: "Only", seconds: value => `${value.toFixed(1)} s`,
  },
  pt: {
    search: "busca", index: "Índice", fresh: "Nova conversa", other: "English", welcome: "Pergunte aos seus documentos",
    about: count => `${number(count)} ${count === 1 ? "documento indexado" : "documentos indexados"}. As respostas citam as passagens em que se apoiam; um clique na marca abre a passagem no documento.`,
    keyTitle: "É preciso uma chave", keyText: "Este servidor responde a quem tem uma chave. Ela fica guardada só nesta aba.",
    key: "Chave", enter: "Entrar", wrongKey: "Esta chave não é válida.", filters: "Filtros", language: "Idioma", document: "Documento",
    anyLanguage: "qualquer", anyDocument: "todos; digite para escolher", mode: "Resposta", modeAuto: "como o índice decidir", modeQuote: "citada",
    modeWrite: "escrita pelo modelo", find: "Buscar passagens", ask: "Perguntar", stop: "Parar", question: "Sua pergunta",
    placeholder: "Faça uma pergunta", followUp: "Continue perguntando", quoted: "Citado dos documentos",
    written: "Escrito por um modelo a partir dos documentos", abstained: "Não está nos documentos", unsupported: "sem apoio",
    sources: "Fontes", passages: count => `${number(count)} ${count === 1 ? "passagem encontrada" : "passagens encontradas"}`, noPassages: "Nada foi encontrado.",
    open: "Abrir", page: "página", line: "linha", score: "nota", notUsed: "não usada", notes: "Avisos", close: "Fechar", jump: "À passagem",
    earlier: "Texto anterior", later: "Texto seguinte", asking: "A resposta está a caminho", stopped: "Interrompida antes do fim.",
    ready: (sentences, sources) => `A resposta chegou: ${sentences} frases, ${sources} fontes`, found: "Passagens para",
    source: "Fonte", remove: "Remover filtro", gone: "Este documento não pode ser mostrado.", offline: "Não foi possível falar com o servidor.",
    only: "Só", seconds: value => `${value.toFixed(1).replace(".", ",")} s`,
  },
};

let tongue = "en", words = WORDS.en;
let key = "", indexes = [], turns = [], running = null;
let shown = null; // the document that is open: {model, id, document, start, end, first, last, total, points, pages}
let opener = null; // element with the focus before the document was opened on a narrow screen

const number = value => value.toLocaleString(tongue);
const stored = (store, name) => { try { return window[store].getItem("lavra-search " + name); } catch { return null; } };
const keep = (store, name, value) => { try { window[store].setItem("lavra-search " + name, value); } catch { /* a private window: for now only */ } };

function element(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("aria-") || name === "dir" || name === "lang") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter(child => child !== null && child !== ""));
  return made;
}

/* ---------------------------------------------------------------- the server */

class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function request(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method: body ? "POST" : "GET", cache: "no-store", credentials: "omit", signal,
      headers: {...(key ? {Authorization: "Bearer " + key} : {}), ...(body ? {"Content-Type": "application/json"} : {})},
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, words.offline);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, told.error?.message || String(answer.status));
}

const ask = async (path, body) => (await request(path, body)).json();

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

/* ---------------------------------------------------------------- asking */

const model = () => $("index").value;
const index = () => indexes.find(one => one.model === model());

function where() {
  const found = {};
  if ($("filter-language").value) found.language = $("filter-language").value;
  if ($("filter-document").value.trim()) found.document = $("filter-document").value.trim();
  return found;
}

function messages() {
  const said = turns.filter(one => one.kind === "ask" && one.done && !one.error);
  return said.flatMap(one => [{role: "user", content: one.question}, {role: "assistant", content: one.text}]);
}

function begin(kind, question) {
  const turn = {kind, question, where: where(), text: "", citations: new Map(), retrieval: null, passages: null,
                warnings: [], error: "", done: false, stopped: false, seconds: 0, model: model(), box: element("article", {className: "turn"})};
  turns.push(turn);
  $("log").append(turn.box);
  draw(turn);
  turn.box.scrollIntoView({block: "start"});
  return turn;
}

async function send(kind, question) {
  if (running || !question.trim()) return;
  running = new AbortController();
  const before = messages();
  const turn = begin(kind, question.trim());
  $("question").value = "";
  busy(true);
  say(words.asking);
  const began = performance.now();
  try {
    if (kind === "ask") await answer(turn, before, running.signal);
    else await passages(turn, running.signal);
  } catch (error) {
    if (error.name === "AbortError") turn.stopped = true;
    else turn.error = error.message;
    if (error.status === 401) askKey(true);
  }
  turn.seconds = (performance.now() - began) / 1000;
  turn.done = true;
  running = null;
  busy(false);
  draw(turn);
  say(turn.error || (turn.retrieval ? words.ready(turn.retrieval.sentences.length, turn.citations.size) : words.passages(turn.passages?.length ?? 0)));
  $("question").focus({preventScroll: true});
}

async function answer(turn, before, signal) {
  const body = {model: turn.model, stream: true, messages: [...before, {role: "user", content: turn.question}],
                retrieval: {where: turn.where, ...($("mode").value ? {mode: $("mode").value} : {})}};
  for await (const told of events(await request("v1/chat/completions", body, signal))) {
    if (told.error) throw new Refusal(500, told.error.message);
    const delta = told.choices[0]?.delta ?? {};
    for (const one of delta.citations ?? []) turn.citations.set(one.number, one);
    turn.text += delta.content ?? "";
    if (told.retrieval) { turn.retrieval = told.retrieval; turn.warnings = told.warnings; }
    draw(turn);
  }
}

async function passages(turn, signal) {
  const told = await (await request("v1/search", {model: turn.model, query: turn.question, where: turn.where}, signal)).json();
  turn.passages = told.data;
  turn.warnings = told.warnings;
}

function busy(is) {
  for (const id of ["send", "find"]) $(id).hidden = is;
  $("stop").hidden = !is;
  $("fresh").hidden = !turns.length;
  $("welcome").hidden = turns.length > 0;
  placeholder();
}

/* ---------------------------------------------------------------- a turn */

function draw(turn) {
  const parts = [element("h2", {textContent: turn.question, dir: "auto"})];
  const asked = Object.values(turn.where);
  if (asked.length) parts.push(element("p", {className: "asked-with", textContent: `${words.only}: ${asked.join(", ")}`}));
  if (turn.kind === "ask") parts.push(...answered(turn));
  const found = turn.passages ?? turn.retrieval?.passages;
  if (turn.kind === "search" && found) parts.push(element("h3", {textContent: found.length ? words.passages(found.length) : words.noPassages}), passageList(turn, found));
  if (turn.kind === "ask" && found?.length) parts.push(fold(turn, "passagesOpen", words.passages(found.length), passageList(turn, found)));
  if (turn.warnings.length) parts.push(fold(turn, "notesOpen", `${words.notes} (${turn.warnings.length})`, element("ul", {className: "warnings"}, ...turn.warnings.map(one => element("li", {textContent: one})))));
  if (turn.error) parts.push(element("p", {className: "problem", textContent: turn.error}));
  turn.box.classList.toggle("abstains", Boolean(turn.retrieval?.abstained));
  turn.box.replaceChildren(...parts);
  press();
}

function fold(turn, name, title, inside) {
  const made = element("details", {open: Boolean(turn[name])}, element("summary", {textContent: title}), inside);
  made.addEventListener("toggle", () => { turn[name] = made.open; });
  return made;
}

function answered(turn) {
  const parts = [], how = turn.retrieval;
  if (how) {
    const badge = how.abstained ? words.abstained : how.mode === "extractive" ? words.quoted : words.written;
    parts.push(element("p", {className: "how"}, element("span", {className: how.abstained ? "badge abstained" : "badge", textContent: badge}),
                       turn.done ? element("span", {textContent: words.seconds(turn.seconds)}) : null));
  }
  const quotes = how?.mode === "extractive" && !how.abstained;
  const box = element("div", {className: `answer${quotes ? " quoted" : ""}${turn.done || how ? "" : " waiting"}`, dir: "auto"});
  box.append(...(how ? judged(turn) : marked(turn, turn.text)));
  if (turn.text || !turn.done) parts.push(box);
  if (turn.stopped) parts.push(element("p", {className: "how", textContent: words.stopped}));
  const cited = [...turn.citations.values()].sort((a, b) => a.number - b.number);
  if (cited.length) parts.push(element("h3", {textContent: words.sources}), element("ol", {className: "sources"}, ...cited.map(one => element("li", {}, source(turn, one)))));
  return parts;
}

/* The answer as it comes: marks whose citations are known are buttons. */
function marked(turn, text) {
  return text.split(/(\[\d+\])/).map(part => {
    const known = /^\[\d+\]$/.test(part) && turn.citations.get(Number(part.slice(1, -1)));
    return known ? mark(turn, known) : part;
  });
}

/* The whole answer, sentence by sentence: a mark is looked for behind its sentence, for a quotation may hold `[1]` itself.
   Quotations stand apart, for they come from different places. */
function judged(turn) {
  const parts = [], text = turn.text, quotes = turn.retrieval.mode === "extractive";
  let place = 0, short = turn.retrieval.short?.text;
  for (const sentence of turn.retrieval.sentences) {
    const at = text.indexOf(sentence.text, place);
    if (at < 0) continue;
    const before = text.slice(place, at), shown = [];
    place = at + sentence.text.length;
    const doubted = sentence.supported === false, wording = short && sentence.text.includes(short) ? emphasised(sentence.text, short) : [sentence.text];
    if (wording.length > 1) short = null; // once, in the first sentence that has it
    shown.push(...(doubted ? [element("span", {className: "unsupported"}, ...wording)] : wording));
    for (const cited of sentence.citations) {
      const sign = `[${cited}]`, found = text.indexOf(sign, place), known = turn.citations.get(cited);
      if (found < 0 || !known || text.slice(place, found).trim()) continue;
      shown.push(text.slice(place, found), mark(turn, known));
      place = found + sign.length;
    }
    if (doubted) shown.push(element("span", {className: "flag", textContent: words.unsupported + (sentence.reason ? ": " + sentence.reason : "")}));
    if (quotes) parts.push(before.trim() ? before : "", element("p", {}, ...shown));
    else parts.push(before, ...shown);
  }
  const rest = text.slice(place);
  parts.push(rest.trim() ? rest : "");
  return parts;
}

function emphasised(text, short) {
  const at = text.indexOf(short);
  return [text.slice(0, at), element("strong", {textContent: short}), text.slice(at + short.length)];
}

function placeOf(one) {
  return [one.page === null ? "" : `${words.page} ${number(one.page)}`, `${words.line} ${number(one.line)}`].filter(Boolean).join(", ");
}

function opening(made, turn, one) {
  made.dataset.place = [turn.model, one.document_id, one.start, one.end].join(" ");
  made.addEventListener("click", () => { opener = made; open({model: turn.model, document: one.document_id, start: one.start, end: one.end, page: one.page, line: one.line}); });
  return made;
}

function mark(turn, one) {
  const label = `${words.source} ${one.number}: ${one.document}, ${placeOf(one)}`;
  return opening(element("button", {type: "button", className: "cite", textContent: one.number, title: `${one.document}, ${placeOf(one)}`, "aria-label": label, "aria-pressed": "false"}), turn, one);
}

function source(turn, one) {
  return opening(element("button", {type: "button", className: "source", "aria-pressed": "false"},
    element("span", {className: "number", textContent: one.number}),
    element("span", {className: "where"}, one.document + " ", element("small", {textContent: placeOf(one)})),
    element("span", {className: "quote", textContent: one.text, dir: "auto"})), turn, one);
}

function passageList(turn, found) {
  const left = new Map((turn.retrieval?.left_out ?? []).map(one => [one.document_id + " " + one.start, one.reason]));
  return element("ol", {className: "passages"}, ...found.map(one => passage(turn, one, left.get(one.document_id + " " + one.start))));
}

function passage(turn, one, unused) {
  const head = element("div", {className: "passage-head"},
    element("strong", {}, one.document + " ", element("small", {textContent: placeOf(one) + (unused ? ` · ${words.notUsed}: ${unused}` : "")})),
    opening(element("button", {type: "button", textContent: words.open, "aria-label": `${words.open}: ${one.document}, ${placeOf(one)}`}), turn, one));
  const scores = Object.entries({[words.score]: one.score, ...one.scores});
  const text = element("p", {className: "text", textContent: one.text, dir: "auto", tabIndex: 0});
  return element("li", {className: "passage"}, head,
    one.headings.length ? element("p", {className: "path", textContent: one.headings.join(" › ")}) : null, text,
    element("dl", {className: "scores"}, ...scores.map(([name, value]) => element("div", {}, element("dt", {textContent: name}), element("dd", {textContent: value.toLocaleString(tongue, {maximumSignificantDigits: 3})})))));
}

/* ---------------------------------------------------------------- the document */

async function open(wanted) {
  const start = Number(wanted.start) || 0, end = Math.max(start, Number(wanted.end) || start);
  const first = Math.max(0, start - WINDOW);
  let told;
  try {
    told = await stretch(wanted.model, wanted.document, first, end + WINDOW);
  } catch (refusal) {
    if (refusal.status === 401) { askKey(false); return; }
    shown = null;
    $("viewer-title").textContent = words.gone;
    $("viewer-place").textContent = "";
    $("viewer-text").replaceChildren(element("p", {className: "gone", textContent: refusal.message}));
    for (const id of ["earlier", "later", "viewer-jump"]) $(id).hidden = true;
    reveal();
    return;
  }
  shown = {model: wanted.model, id: wanted.document, document: told.document, start, end, first: told.start, last: told.end,
           total: told.total, points: Array.from(told.text), pages: told.pages, page: wanted.page ?? null, line: wanted.line ?? null};
  if (shown.line === null) shown.line = told.line + shown.points.slice(0, start - told.start).filter(point => point === "\n").length;
  shown.page ??= [...told.pages].reverse().find(one => one.start <= start)?.page ?? null;
  history.replaceState(null, "", "#" + new URLSearchParams({model: wanted.model, document: wanted.document, start, end}));
  drawDocument();
  reveal();
  jump();
}

function stretch(name, id, start, end) {
  return ask(`v1/search/documents/${encodeURIComponent(id)}?${new URLSearchParams({model: name, start, end})}`);
}

function reveal() {
  $("viewer").hidden = false;
  $("frame").classList.add("beside");
  narrow();
  press();
  $("viewer-title").focus({preventScroll: true});
}

/* On a narrow screen the document covers the rest, which then cannot be reached. */
function narrow() {
  const covers = !$("viewer").hidden && matchMedia("(max-width: 59.99rem)").matches;
  $("main").inert = covers;
  document.querySelector("header").inert = covers;
}

function hide() {
  if ($("viewer").hidden) return;
  $("viewer").hidden = true;
  $("frame").classList.remove("beside");
  shown = null;
  history.replaceState(null, "", location.pathname + location.search);
  narrow();
  press();
  (opener?.isConnected ? opener : $("question")).focus({preventScroll: false});
}

function drawDocument() {
  $("viewer-title").textContent = shown.document;
  $("viewer-place").textContent = placeOf(shown);
  $("earlier").hidden = shown.first === 0;
  $("later").hidden = shown.last >= shown.total;
  $("viewer-jump").hidden = false;
  const starts = shown.pages.length ? shown.pages : [{page: null, start: shown.first}];
  $("viewer-text").replaceChildren(...starts.flatMap((one, at) => sheet(one, starts[at + 1]?.start ?? shown.last)));
}

/* One page, or the stretch of a document without pages. */
function sheet(one, end) {
  const cut = (from, to) => shown.points.slice(Math.max(from, one.start) - shown.first, Math.min(to, end) - shown.first).join("");
  const before = cut(one.start, Math.min(shown.start, end)), after = cut(Math.max(shown.end, one.start), end);
  const inside = shown.start < end && shown.end > one.start ? cut(shown.start, shown.end) : "";
  const text = element("div", {className: "sheet", dir: "auto"}, before, inside ? element("mark", {textContent: inside, tabIndex: -1}) : "", after);
  if (one.page === null) return [text];
  return [element("h3", {className: one.page === shown.page ? "page-name current" : "page-name", textContent: `${words.page} ${number(one.page)}`}), text];
}

function jump() {
  document.querySelector("#viewer-text mark")?.scrollIntoView({block: "center"});
}

async function more(earlier) {
  const at = shown, body = $("viewer-body");
  let told;
  try {
    told = earlier ? await stretch(at.model, at.id, Math.max(0, at.first - WINDOW), at.first) : await stretch(at.model, at.id, at.last, at.last + WINDOW);
  } catch (refusal) { say(refusal.message); return; }
  if (shown !== at) return;
  const below = body.scrollHeight - body.scrollTop;
  if (earlier) { at.points = [...Array.from(told.text), ...at.points]; at.first = told.start; } else { at.points = [...at.points, ...Array.from(told.text)]; at.last = told.end; }
  const starts = new Map();
  for (const one of [...told.pages, ...at.pages]) starts.set(one.page, Math.min(one.start, starts.get(one.page) ?? Infinity));
  at.pages = [...starts].map(([page, start]) => ({page, start})).sort((a, b) => a.start - b.start);
  drawDocument();
  if (earlier) body.scrollTop = body.scrollHeight - below; // the text in view stays in place
}

/* Marks and sources of the passage that is open look pressed. */
function press() {
  const place = shown ? [shown.model, shown.id, shown.start, shown.end].join(" ") : "";
  for (const one of document.querySelectorAll(".cite, .source")) one.setAttribute("aria-pressed", String(one.dataset.place === place));
}

function openFromAddress() {
  const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (wanted.document) open({model: model(), ...wanted});
}

/* ---------------------------------------------------------------- words, filters, beginning */

function say(text) { $("status").textContent = text; }

function speak(wanted) {
  tongue = wanted;
  words = WORDS[tongue];
  document.documentElement.lang = tongue;
  for (const one of document.querySelectorAll("[data-say]")) one.textContent = words[one.dataset.say];
  $("language").textContent = words.other;
  $("language").lang = tongue === "en" ? "pt" : "en";
  $("question").setAttribute("aria-label", words.question);
  $("filter-document").placeholder = words.anyDocument;
  placeholder();
  fillFilters();
  turns.forEach(draw);
  if (shown) drawDocument();
}

function placeholder() { $("question").placeholder = turns.some(one => one.kind === "ask") ? words.followUp : words.placeholder; }

function fillFilters() {
  const at = index();
  if (!at) return;
  $("welcome-text").textContent = words.about(at.documents);
  const chosen = $("filter-language").value, names = new Intl.DisplayNames([tongue], {type: "language", fallback: "code"});
  const named = code => { try { return names.of(code); } catch { return code; } };
  const codes = at.fields.language?.values ?? [];
  $("filter-language").replaceChildren(new Option(words.anyLanguage, ""), ...codes.map(code => new Option(named(code), code)));
  $("filter-language").value = codes.includes(chosen) ? chosen : "";
  $("filter-document").disabled = !at.fields.document;
  chips();
}

function chips() {
  const made = Object.entries(where()).map(([name, value]) => {
    const one = element("button", {type: "button", textContent: `${value} ✕`, "aria-label": `${words.remove}: ${value}`});
    one.addEventListener("click", () => { $("filter-" + name).value = ""; chips(); $("question").focus(); });
    return one;
  });
  $("chips").replaceChildren(...($("filters").open ? [] : made));
}

let looking = 0;
function suggest() {
  clearTimeout(looking);
  looking = setTimeout(async () => {
    try {
      const told = await ask("v1/search/documents?" + new URLSearchParams({model: model(), contains: $("filter-document").value, limit: 30}));
      $("documents").replaceChildren(...told.data.map(one => element("option", {value: one.document})));
    } catch { /* names are a help only */ }
  }, 150);
}

function askKey(wrong) {
  $("key-form").hidden = false;
  $("ask").hidden = $("welcome").hidden = true;
  $("key-text").textContent = wrong && key ? words.wrongKey : words.keyText;
  $("key").focus();
}

async function start() {
  try {
    indexes = (await ask("v1/search")).data;
  } catch (refusal) {
    if (refusal.status === 401) return askKey(true);
    $("log").replaceChildren(element("p", {className: "problem", textContent: refusal.message}));
    return;
  }
  $("key-form").hidden = true;
  $("ask").hidden = false;
  $("index").replaceChildren(...indexes.map(one => new Option(one.model)));
  $("index-box").hidden = indexes.length < 2;
  const named = new URLSearchParams(location.hash.slice(1)).get("model");
  if (indexes.some(one => one.model === named)) $("index").value = named;
  fillFilters();
  busy(false);
  openFromAddress();
  if ($("viewer").hidden) $("question").focus({preventScroll: true});
}

function fresh() {
  running?.abort();
  turns = [];
  $("log").replaceChildren();
  hide();
  busy(false);
  $("question").focus();
}

$("ask").addEventListener("submit", event => { event.preventDefault(); send("ask", $("question").value); });
$("find").addEventListener("click", () => send("search", $("question").value));
$("stop").addEventListener("click", () => running?.abort());
$("question").addEventListener("keydown", event => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("ask").requestSubmit(); }
});
$("fresh").addEventListener("click", fresh);
$("index").addEventListener("change", () => { fresh(); fillFilters(); });
$("language").addEventListener("click", () => { speak(tongue === "en" ? "pt" : "en"); keep("localStorage", "language", tongue); });
$("key-form").addEventListener("submit", event => { event.preventDefault(); key = $("key").value.trim(); keep("sessionStorage", "key", key); start(); });
$("filters").addEventListener("toggle", () => { chips(); if ($("filters").open) suggest(); });
$("filter-document").addEventListener("input", suggest);
$("close").addEventListener("click", hide);
$("viewer-jump").addEventListener("click", () => { jump(); document.querySelector("#viewer-text mark")?.focus({preventScroll: true}); });
$("earlier").addEventListener("click", () => more(true));
$("later").addEventListener("click", () => more(false));
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
matchMedia("(max-width: 59.99rem)").addEventListener("change", narrow);
addEventListener("hashchange", openFromAddress);

key = stored("sessionStorage", "key") ?? "";
speak(stored("localStorage", "language") ?? (navigator.language.toLowerCase().startsWith("pt") ? "pt" : "en"));
start();
