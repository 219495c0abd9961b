// The server's models and what they write.  However an answer comes, it is given as the same events:
//   {kind: "begun", response}            it can be taken up again under this id
//   {kind: "text", text}
//   {kind: "call", id, name}             a call of a function begins
//   {kind: "arguments", text}            and its arguments come
//   {kind: "end", reason, usage, warnings, citations}
// and every event has `sequence` where the answer can be taken up after it.

import { Failure, request } from "./http.js";
import { readSchema } from "./pasted.js";
import { responseAnswer } from "./responses.js";
import { samplingFields } from "./sampling.js";
import { events } from "./sse.js";

export async function listModels() {
  return (await (await request("/v1/models")).json()).data;
}

// An answer to a conversation: `nodes` are its messages, first one first.
export async function* answer({ model, nodes, settings, signal }) {
  if (model.chats) yield* responseAnswer({ model, nodes, settings, signal });
  else yield* completion({ model, prompt: nodes.filter((one) => one.role === "user").at(-1).text, settings, signal });
}

async function* completion({ model, prompt, settings, signal }) {
  const body = { model: model.id, prompt, stream: true, max_tokens: 256, ...samplingFields(settings, model), stream_options: { include_usage: true } };
  if (settings.schema) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: readSchema(settings.schema) } };
  const end = { kind: "end", reason: null, usage: null, warnings: [], citations: [] };
  for await (const event of events(await request("/v1/completions", { body, signal }))) {
    if (event.error) throw new Failure(event.error.message, { code: event.error.code });
    const choice = event.choices?.[0];
    if (choice?.text) yield { kind: "text", text: choice.text };
    if (choice?.finish_reason) end.reason = choice.finish_reason;
    if (event.warnings) end.warnings = event.warnings;
    if (event.usage) end.usage = event.usage;
  }
  if (end.reason === null) throw new Failure("the stream broke off", { code: "broken" });
  yield end;
}

// Messages as chat templates read them.
export function chatMessages(system, nodes) {
  const asCall = (call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } });
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const node of nodes) {
    if (node.role === "tool") messages.push({ role: "tool", tool_call_id: node.call, content: node.text });
    else if (node.calls?.length) messages.push({ role: "assistant", content: node.text || null, tool_calls: node.calls.map(asCall) });
    else messages.push({ role: node.role, content: node.text });
  }
  return messages;
}
