// Answers by `/v1/responses` in the background: the server goes on when the page is gone, and the page takes the stream up
// again after the last event that it kept.  An answer is given as these events:
//   {kind: "begun", response}            it can be taken up again under this id
//   {kind: "text", text}
//   {kind: "call", id, name}             a call of a function begins
//   {kind: "arguments", text}            and its arguments come
//   {kind: "end", reason, usage, warnings, citations}
// and every event has `sequence`, after which the answer can be taken up.

import { Failure, request } from "./http.js";
import { readSchema, readTools } from "./pasted.js";
import { MOST_COMPLETED, samplingFields } from "./sampling.js";
import { events } from "./sse.js";

const STATUS = { server_error: 500, rate_limit_exceeded: 429 };

// An answer to a conversation: `nodes` are its messages, first one first.
export async function* answer({ model, nodes, settings, signal }) {
  const { max_tokens, ...fields } = samplingFields(settings, model);
  const body = { model: model.id, stream: true, background: true, ...(model.chats ? talk(model, nodes, settings) : text(nodes)), ...fields };
  if (max_tokens) body.max_output_tokens = max_tokens;
  if (settings.schema && !model.retrieves) body.text = { format: { type: "json_schema", name: "answer", schema: readSchema(settings.schema) } };
  yield* read(await begun(body, signal));
}

function talk(model, nodes, settings) {
  const body = { input: items(nodes) };
  if (settings.system && !model.retrieves) body.instructions = settings.system;
  if (settings.tools && !model.retrieves) body.tools = readTools(settings.tools).map((one) => ({ type: "function", ...one.function }));
  return body;
}

// A model without a chat template continues the last text as it stands.
const text = (nodes) => ({ input: nodes.filter((one) => one.role === "user").at(-1).text, raw: true, max_output_tokens: MOST_COMPLETED });

// A server that keeps no responses runs none in the background: the stream then ends with the page.
async function begun(body, signal) {
  try {
    return await request("/v1/responses", { body, signal });
  } catch (error) {
    if (error.param !== "background") throw error;
    return request("/v1/responses", { body: { ...body, background: false, store: false }, signal });
  }
}

// The events after one that was kept.
export async function* takenUp(response, sequence, signal) {
  const path = `/v1/responses/${encodeURIComponent(response)}?stream=true&starting_after=${sequence}`;
  yield* read(await request(path, { signal }));
}

export async function cancelResponse(response) {
  await request(`/v1/responses/${encodeURIComponent(response)}/cancel`, { body: {} });
}

function items(nodes) {
  return nodes.flatMap((node) => {
    if (node.role === "tool") return [{ type: "function_call_output", call_id: node.call, output: node.text }];
    const calls = (node.calls || []).map((one) => ({ type: "function_call", call_id: one.id, name: one.name, arguments: one.arguments }));
    return node.text || !calls.length ? [{ role: node.role, content: node.text }, ...calls] : calls;
  });
}

async function* read(response) {
  let calls = 0;
  for await (const event of events(response)) {
    for (const one of pieces(event, calls)) {
      if (one.kind === "call") calls += 1;
      yield { ...one, sequence: event.sequence_number };
    }
    if (event.type === "error") throw new Failure(event.message, { code: event.code });
    if (event.type === "response.failed") {
      const { code, message } = event.response.error;
      throw new Failure(message, { code, status: STATUS[code] || 400 });
    }
    if (event.type === "response.completed" || event.type === "response.incomplete") return;
  }
  throw new Failure("the stream broke off", { code: "broken" });
}

function* pieces(event, calls) {
  if (event.type === "response.created" && event.response.background) yield { kind: "begun", response: event.response.id };
  else if (event.type === "response.output_text.delta") yield { kind: "text", text: event.delta };
  else if (event.type === "response.output_item.added" && event.item.type === "function_call") yield { kind: "call", id: event.item.call_id, name: event.item.name };
  else if (event.type === "response.function_call_arguments.delta") yield { kind: "arguments", text: event.delta };
  else if (event.type === "response.completed" || event.type === "response.incomplete") yield ended(event.response, calls);
}

function ended(response, calls) {
  const { usage, warnings, citations, status } = response;
  return {
    kind: "end",
    reason: status === "incomplete" ? "length" : status === "cancelled" ? "cancelled" : calls || response.output.some((one) => one.type === "function_call") ? "tool_calls" : "stop",
    usage: usage && { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens },
    warnings: warnings || [],
    citations: citations || [],
  };
}
