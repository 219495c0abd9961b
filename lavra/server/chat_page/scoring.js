// The log-probability of each token of an answer, and what was likeliest in its place: the prompt as the model's template
// writes it, the answer behind it, and the scores of both (`echo` without a token written).

import { request } from "./http.js";
import { readTools } from "./pasted.js";

const TOP = 5;

export async function scored(model, nodes, settings, text) {
  const ask = async (path, body) => (await request(path, { body: { model: model.id, ...body } })).json();
  const before = model.chats ? await templated(ask, nodes, settings) : await tokens(ask, nodes.filter((one) => one.role === "user").at(-1).text, true);
  const own = await tokens(ask, text, false);
  const answer = await ask("/v1/completions", { prompt: [...before, ...own], echo: true, max_tokens: 0, logprobs: TOP });
  const { tokens: pieces, token_logprobs, top_logprobs } = answer.choices[0].logprobs;
  const from = pieces.length - own.length;
  return pieces.slice(from).map((token, place) => ({
    token,
    logprob: token_logprobs[from + place],
    top: Object.entries(top_logprobs[from + place] || {}).map(([other, logprob]) => ({ token: other, logprob })),
  }));
}

const tokens = async (ask, text, special) => (await ask("/tokenize", { text, add_special_tokens: special })).tokens;

async function templated(ask, nodes, settings) {
  const body = { messages: chatMessages(settings.system, nodes) };
  if (settings.tools) body.tools = readTools(settings.tools);
  return (await ask("/apply-template", body)).tokens;
}

// Messages as chat templates read them.
function chatMessages(system, nodes) {
  const asCall = (call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } });
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const node of nodes) {
    if (node.role === "tool") messages.push({ role: "tool", tool_call_id: node.call, content: node.text });
    else if (node.calls?.length) messages.push({ role: "assistant", content: node.text || null, tool_calls: node.calls.map(asCall) });
    else messages.push({ role: node.role, content: node.text });
  }
  return messages;
}
