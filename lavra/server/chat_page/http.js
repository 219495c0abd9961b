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
