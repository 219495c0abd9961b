// JSON that a person pastes: the schema of answers, and definitions of functions.

import { say } from "./words.js";

export function readSchema(text) {
  const schema = JSON.parse(text);
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) throw new Error(say("noObject"));
  return schema;
}

// One function or a list, bare ({"name", "parameters"}) or as OpenAI's two protocols wrap them; given as chat takes them.
export function readTools(text) {
  return [JSON.parse(text)].flat().map((one) => {
    const own = one?.function || one;
    if (typeof own?.name !== "string" || !own.name) throw new Error(say("noName"));
    const { name, description, parameters, strict } = own;
    return { type: "function", function: JSON.parse(JSON.stringify({ name, description, parameters, strict })) };
  });
}
