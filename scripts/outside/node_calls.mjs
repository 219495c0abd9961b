// A few calls of clients for JavaScript, OpenAI's and Vercel's, aimed at a server of ours;
// `scripts/outside_suites.py` runs them with node's own test runner.

import assert from "node:assert/strict";
import test from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const { LAVRA_URL: url, LAVRA_MODEL: model, LAVRA_EMBEDDER: embedder } = process.env;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const vercel = createOpenAICompatible({
  name: "lavra",
  baseURL: `${url}/v1`,
  supportsStructuredOutputs: true,
  includeUsage: true,
});

const question = [{ role: "user", content: "What is the capital of France?" }];
const asked = { model, messages: question, temperature: 0, max_tokens: 100 };
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
};
const weather = {
  type: "function",
  function: { name: "get_weather", description: "the weather of a city", parameters },
};
const Person = z.object({ name: z.string().max(20), age: z.number().int().min(0).max(150) });
const ana = [{ role: "user", content: "Ana Lima is 31 years old." }];

test("openai: a chat is answered", async () => {
  const answer = await client.chat.completions.create(asked);
  assert.match(answer.choices[0].message.content, /Paris/);
  assert.ok(answer.usage.total_tokens > answer.usage.completion_tokens);
});

test("openai: a stream adds up to the whole answer", async () => {
  const whole = await client.chat.completions.create(asked);
  const options = { include_usage: true };
  const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: options });
  let text = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
});

test("openai: a stream that is left does not hold the server", async () => {
  const stream = await client.chat.completions.create({ ...asked, max_tokens: 1000, stream: true });
  for await (const _ of stream) break;
  const answer = await client.chat.completions.create({ ...asked, max_tokens: 1 });
  assert.equal(answer.usage.completion_tokens, 1);
});

test("openai: the stream helper gathers a message", async () => {
  const stream = client.chat.completions.stream(asked);
  const seen = [];
  stream.on("content", (piece) => seen.push(piece));
  const message = await stream.finalMessage();
  assert.equal(seen.join(""), message.content);
});

test("openai: a demanded function is called, whole and streamed", async () => {
  const demanding = { ...asked, tools: [weather], tool_choice: "required" };
  const answer = await client.chat.completions.create(demanding);
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ["city"]);
  const message = await client.chat.completions.stream(demanding).finalMessage();
  assert.equal(message.tool_calls[0].function.arguments, call.function.arguments);
});

test("openai: functions are run and their results read", async () => {
  const ran = [];
  const runner = client.chat.completions.runTools({
    ...asked,
    tool_choice: { type: "function", function: { name: "get_weather" } },
    tools: [
      {
        type: "function",
        function: {
          name: "get_weather",
          description: "the weather of a city",
          parameters,
          parse: JSON.parse,
          function: ({ city }) => {
            ran.push(city);
            return "sunny";
          },
        },
      },
    ],
  });
  await runner.done();
  assert.equal(ran.length, 1); // a named function is called once
  assert.equal(runner.messages.at(-1).role, "tool");
});

test("openai: an object of a zod schema", async () => {
  const answer = await client.chat.completions.parse({
    ...asked,
    messages: ana,
    response_format: zodResponseFormat(Person, "person"),
  });
  assert.ok(Person.parse(answer.choices[0].message.parsed));
});

test("openai: a response, whole and streamed", async () => {
  const request = { model, input: question, temperature: 0, max_output_tokens: 100 };
  const whole = await client.responses.create(request);
  assert.match(whole.output_text, /Paris/);
  let text = "";
  let last = null;
  for await (const event of await client.responses.create({ ...request, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(text, whole.output_text);
  assert.match(last.type, /response\.(completed|incomplete)/);
});

test("openai: a response goes on from another", async () => {
  const first = await client.responses.create({ model, input: "My name is Ana.", max_output_tokens: 30 });
  const more = { previous_response_id: first.id, max_output_tokens: 30 };
  const second = await client.responses.create({ model, input: "What is my name?", ...more });
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens > first.usage.input_tokens);
});

test("openai: a response is an object of a zod schema", async () => {
  const format = zodTextFormat(Person, "person");
  const answer = await client.responses.parse({
    model,
    input: ana,
    temperature: 0,
    max_output_tokens: 100,
    text: { format },
  });
  assert.ok(Person.parse(answer.output_parsed));
});

test("openai: texts are embedded, in numbers and in base64", async () => {
  const input = ["a cat", "a kitten", "the stock market"];
  const packed = await client.embeddings.create({ model: embedder, input }); // the client asks for base64 by itself
  const plain = await client.embeddings.create({ model: embedder, input, encoding_format: "float" });
  const [cat, kitten, market] = packed.data.map((one) => one.embedding);
  packed.data.forEach((one, row) => {
    one.embedding.forEach((value, place) => assert.ok(Math.abs(value - plain.data[row].embedding[place]) < 1e-6));
  });
  const product = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  assert.ok(product(cat, kitten) > product(cat, market) + 0.2);
});

test("openai: models are listed", async () => {
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  assert.deepEqual(names, [model, embedder]);
});

test("openai: errors are the client's own classes", async () => {
  const unknown = client.chat.completions.create({ ...asked, model: "missing" });
  await assert.rejects(unknown, (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
  const wrong = client.chat.completions.create({ ...asked, temperature: -1 });
  await assert.rejects(wrong, (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");
  const long = client.chat.completions.create({ ...asked, messages: [{ role: "user", content: "a ".repeat(99999) }] });
  await assert.rejects(long, (error) => error.code === "context_length_exceeded");
});

test("vercel: text is generated", async () => {
  const answer = await generateText({ model: vercel(model), messages: question, temperature: 0, maxOutputTokens: 100 });
  assert.match(answer.text, /Paris/);
  assert.ok(answer.usage.outputTokens > 0);
});

test("vercel: text is streamed", async () => {
  const asks = { model: vercel(model), messages: question, temperature: 0 };
  const stream = streamText({ ...asks, maxOutputTokens: 99 }); // an answer asked for before comes whole, from memory
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  assert.match(pieces.join(""), /Paris/);
  assert.ok(pieces.length > 2);
  assert.ok((await stream.usage).outputTokens > 0);
});

test("vercel: a demanded tool is called and run", async () => {
  const tools = {
    get_weather: tool({
      description: "the weather of a city",
      inputSchema: jsonSchema(parameters),
      execute: async ({ city }) => `sunny in ${city}`,
    }),
  };
  const asks = { model: vercel(model), messages: question, tools, toolChoice: "required", maxOutputTokens: 100 };
  const answer = await generateText({ ...asks, temperature: 0 });
  assert.equal(answer.toolResults[0].toolName, "get_weather");
  assert.match(answer.toolResults[0].output, /^sunny in /);
  const stream = streamText({ ...asks, temperature: 0 });
  assert.deepEqual((await stream.toolCalls)[0].input, answer.toolCalls[0].input);
});

test("vercel: an object of a zod schema", async () => {
  const answer = await generateText({
    model: vercel(model),
    messages: ana,
    temperature: 0,
    maxOutputTokens: 100,
    output: Output.object({ schema: Person }),
  });
  assert.ok(Person.parse(answer.output));
});

test("vercel: texts are embedded", async () => {
  const found = await embedMany({ model: vercel.embeddingModel(embedder), values: ["a cat", "a kitten"] });
  assert.equal(found.embeddings.length, 2);
  assert.ok(found.usage.tokens > 0);
});

test("vercel: an error has the server's words", async () => {
  const wrong = generateText({ model: vercel("missing"), messages: question, maxRetries: 0 });
  await assert.rejects(wrong, (error) => error.statusCode === 404 && /missing/.test(error.message));
});
