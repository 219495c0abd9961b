// Requests to the server, with the key where one is needed, and failures as one kind of error.

import { state } from "./state.js";

export class Failure extends Error {
  constructor(message, { status = 0, code = null, param = null, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

export async function request(path, { body, signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  let response;
  try {
    response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(error.message, { code: "unreachable" });
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const { message, code, param } = told.error || {};
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw new Failure(message || response.statusText, { status: response.status, code, param, retryAfter });
}

// Settings of a conversation as OpenAI's fields; what nobody chose is left to the model's own.
export function sampling(settings) {
  const fields = {};
  for (const name of ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"]) {
    if (settings[name] !== null && settings[name] !== undefined && settings[name] !== "") fields[name] = Number(settings[name]);
  }
  return fields;
}
