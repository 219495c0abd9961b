// The server over HTTP.  However an answer comes, it is given as the same events:
//   {kind: "begun", response}            it can be taken up again under this id
//   {kind: "text", text, tokens}         tokens: [{token, logprob, top: [{token, logprob}]}], where they were asked for
//   {kind: "call", number, id, name}     a call of a function begins
//   {kind: "arguments", number, text}    and its arguments come
//   {kind: "end", reason, usage, warnings, citations}
// and every event has `sequence` where it can be taken up after that.

import { events } from "./sse.js";
import { state } from "./state.js";

export class Failure extends Error {
  constructor(message, { status = 0, code = null, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

export async function request(path, { body, signal, method } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  let response;
  try {
    response = await fetch(path, {
      method: method || (body === undefined ? "GET" : "POST"),
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(error.message, { code: "unreachable" });
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const { message, code } = told.error || {};
  throw new Failure(message || response.statusText, {
    status: response.status,
    code,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

export async function listModels() {
  return (await (await request("/v1/models")).json()).data;
}

// Settings of a conversation as OpenAI's fields; what nobody chose is left to the model's own.
export function sampling(settings) {
  const fields = {};
  for (const name of ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"]) {
    if (settings[name] !== null && settings[name] !== undefined && settings[name] !== "") fields[name] = Number(settings[name]);
  }
  return fields;
}

export function chatMessages(system, nodes) {
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const node of nodes) {
    if (node.role === "tool") messages.push({ role: "tool", tool_call_id: node.call, content: node.text });
    else if (node.calls?.length) messages.push({ role: "assistant", content: node.text || null, tool_calls: node.calls.map(asCall) });
    else messages.push({ role: node.role, content: node.text });
  }
  return messages;
}

const asCall = (call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } });

// An answer to a conversation: `nodes` are its messages, first one first.
export async function* answer({ model, nodes, settings, signal }) {
  if (model.chats) yield* chatAnswer({ model, nodes, settings, signal });
  else yield* completion({ model, prompt: nodes.filter((one) => one.role === "user").at(-1).text, settings, signal });
}

async function* chatAnswer({ model, nodes, settings, signal }) {
  const body = { model: model.id, messages: chatMessages(settings.system, nodes), stream: true, ...sampling(settings) };
  body.stream_options = { include_usage: true };
  if (settings.schema) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(settings.schema) } };
  if (settings.tools) body.tools = readTools(settings.tools);
  if (settings.logprobs && !model.retrieves) Object.assign(body, { logprobs: true, top_logprobs: 5 });
  yield* chunks(await request("/v1/chat/completions", { body, signal }), chatPieces);
}

async function* completion({ model, prompt, settings, signal }) {
  const body = { model: model.id, prompt, stream: true, max_tokens: 256, ...sampling(settings) };
  body.stream_options = { include_usage: true };
  if (settings.logprobs) body.logprobs = 5;
  if (settings.schema) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(settings.schema) } };
  yield* chunks(await request("/v1/completions", { body, signal }), completionPieces);
}

// Definitions as a person pastes them: one function or a list, bare or as OpenAI wraps them.
export function readTools(text) {
  const given = JSON.parse(text);
  return [given].flat().map((one) => (one.type === "function" ? one : { type: "function", function: one }));
}

async function* chunks(response, pieces) {
  const end = { kind: "end", reason: null, usage: null, warnings: [], citations: [] };
  for await (const event of events(response)) {
    if (event.error) throw new Failure(event.error.message, { code: event.error.code });
    const choice = event.choices?.[0];
    if (choice) yield* pieces(choice);
    if (choice?.finish_reason) end.reason = choice.finish_reason;
    if (choice?.delta?.citations) end.citations = merged(end.citations, choice.delta.citations);
    if (event.warnings) end.warnings = event.warnings;
    if (event.usage) end.usage = event.usage;
  }
  if (end.reason === null) throw new Failure("the stream broke off", { code: "broken" });
  yield end;
}

function* chatPieces({ delta, logprobs }) {
  if (delta.content || logprobs?.content) yield { kind: "text", text: delta.content || "", tokens: logprobs?.content?.map(asToken) };
  for (const call of delta.tool_calls || []) {
    if (call.id) yield { kind: "call", number: call.index, id: call.id, name: call.function.name };
    if (call.function?.arguments) yield { kind: "arguments", number: call.index, text: call.function.arguments };
  }
}

function* completionPieces({ text, logprobs }) {
  const tokens = logprobs?.tokens?.map((token, place) => ({
    token,
    logprob: logprobs.token_logprobs[place],
    top: Object.entries(logprobs.top_logprobs?.[place] || {}).map(([one, logprob]) => ({ token: one, logprob })),
  }));
  if (text || tokens) yield { kind: "text", text: text || "", tokens };
}

const asToken = ({ token, logprob, top_logprobs }) => ({ token, logprob, top: top_logprobs.map((one) => ({ token: one.token, logprob: one.logprob })) });

function merged(before, more) {
  return [...new Map([...before, ...more].map((one) => [one.number, one])).values()].sort((a, b) => a.number - b.number);
}
