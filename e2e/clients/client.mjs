// Speaks to a provider, or to the gateway in front of it, with the official clients, as client.py does in Python: the same cases on standard
// input, the same features, the same lines on standard output. The clients lie in the folder that LEASH_NODE_MODULES names.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { deepStrictEqual } from "node:assert";
import { crc32 } from "node:zlib";

const require = createRequire(process.env.LEASH_NODE_MODULES + "/");
const { default: OpenAI, AzureOpenAI } = require("openai");
const { default: Anthropic } = require("@anthropic-ai/sdk");
const { betaTool } = require("@anthropic-ai/sdk/helpers/beta/json-schema");
const google = require("@google/genai");

// One red pixel.
const PNG = Buffer.from(
  "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082",
  "hex",
);
const SEEN = `image/png, ${PNG.length} bytes, ${checksum(PNG)}`;
const ADDRESS = "https://example.com/picture.png";
const UNICODE = 'grüße 😀  an\nalle "da" draußen \\ \u2028 žluťoučký 🐎';
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "array", items: { type: "integer" } } },
  required: ["city", "days"],
  additionalProperties: false,
};
const PARAMETERS = { type: "object", properties: { a: { type: "integer" }, why: { type: "string" } }, required: ["a"] };
const TOOLS = { add: "Adds.", sub: "Subtracts." };
const CALLS = 'call: add {"a": 1, "why": "grüße \\"x\\""}\ncall: sub {"a": 2}';
const CALLED = [
  ["add", { a: 1, why: 'grüße "x"' }],
  ["sub", { a: 2 }],
];

// checksum is CRC-32, which Node's zlib has since its version 20.15.
function checksum(bytes) {
  return crc32(bytes).toString(16);
}

function equal(got, want, of) {
  deepStrictEqual(got, want, `${of}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// What the features ask of an answer, whatever client it came through.
function newAnswer() {
  return { text: "", thoughts: "", refusal: "", calls: [], finish: null, input: null, output: null, pieces: 0, raw: null };
}

const dataURL = (image) => (typeof image === "string" ? image : "data:image/png;base64," + image.toString("base64"));
const named = (calls) => calls.map(([name, args]) => [name, args]);

// OpenAI's chats.
class Chat {
  constructor(c) {
    this.model = c.model;
    this.embeds = c.embeds;
    this.client = new OpenAI({ baseURL: c.base_url + "/v1", apiKey: c.key, maxRetries: 0, timeout: 60_000 });
    this.errors = {
      400: OpenAI.BadRequestError, 401: OpenAI.AuthenticationError, 403: OpenAI.PermissionDeniedError, 404: OpenAI.NotFoundError,
      429: OpenAI.RateLimitError, 500: OpenAI.InternalServerError, 503: OpenAI.InternalServerError,
    };
    this.finishes = { stop: "stop", limit: "length", calls: "tool_calls" };
  }

  async ask(prompt, wants = {}) {
    const parts = [{ type: "text", text: prompt }];
    for (const image of wants.images ?? []) parts.push({ type: "image_url", image_url: { url: dataURL(image) } });
    const messages = [{ role: "user", content: parts.length > 1 ? parts : prompt }];
    if (wants.system) messages.unshift({ role: "system", content: wants.system });
    if (wants.results) {
      const [answer, results] = wants.results;
      messages.push(answer.raw, ...answer.calls.map((call, i) => ({ role: "tool", tool_call_id: call[2], content: results[i] })));
    }
    const request = { model: this.model, messages, ...wants.extra };
    if (wants.tools)
      request.tools = Object.entries(TOOLS).map(([name, description]) => ({ type: "function", function: { name, description, parameters: PARAMETERS } }));
    if (wants.choice) request.tool_choice = wants.choice === "any" ? "required" : { type: "function", function: { name: wants.choice } };
    if (wants.limit) request.max_completion_tokens = wants.limit;
    if (wants.stop) request.stop = [wants.stop];
    if (wants.sampling) Object.assign(request, { temperature: 0.5, top_p: 0.9 });
    if (wants.effort) Object.assign(request, { reasoning_effort: "low", max_completion_tokens: 8000 });
    if (wants.schema) request.response_format = { type: "json_schema", json_schema: { name: "trip", schema: SCHEMA, strict: true } };
    const options = wants.mock ? { headers: { "X-Mock": wants.mock } } : undefined;
    if (!wants.stream) return this.read(await this.client.chat.completions.create(request, options));
    return this.gather(await this.client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }, options));
  }

  read(got) {
    const a = newAnswer();
    const { message, finish_reason } = got.choices[0];
    a.text = message.content ?? "";
    a.refusal = message.refusal ?? "";
    a.thoughts = message.reasoning_content ?? "";
    a.finish = finish_reason;
    a.calls = (message.tool_calls ?? []).map((c) => [c.function.name, JSON.parse(c.function.arguments), c.id]);
    const { annotations, reasoning_content, ...raw } = message;
    a.raw = raw;
    a.input = got.usage.prompt_tokens;
    a.output = got.usage.completion_tokens;
    return a;
  }

  async gather(stream) {
    const a = newAnswer();
    const calls = [];
    for await (const chunk of stream) {
      if (chunk.usage) [a.input, a.output] = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens];
      for (const { delta, finish_reason } of chunk.choices) {
        a.pieces += delta.content ? 1 : 0;
        a.text += delta.content ?? "";
        a.refusal += delta.refusal ?? "";
        a.thoughts += delta.reasoning_content ?? "";
        a.finish = finish_reason ?? a.finish;
        for (const call of delta.tool_calls ?? []) {
          const known = (calls[call.index] ??= ["", "", ""]);
          known[0] += call.function?.name ?? "";
          known[1] += call.function?.arguments ?? "";
          known[2] += call.id ?? "";
        }
      }
    }
    a.calls = calls.map(([name, args, id]) => [name, JSON.parse(args), id]);
    return a;
  }

  async models() {
    const names = [];
    for await (const model of this.client.models.list()) names.push(model.id);
    return names;
  }

  async known() {
    return (await this.client.models.retrieve(this.model)).id;
  }

  async embed() {
    const got = await this.client.embeddings.create({ model: this.embeds, input: ["a", "b"], dimensions: 4 });
    return got.data.map((d) => d.embedding);
  }
}

// The same, of Azure OpenAI.
class Azure extends Chat {
  constructor(c) {
    super(c);
    this.client = new AzureOpenAI({ endpoint: c.base_url, apiKey: c.key, apiVersion: "2024-10-21", maxRetries: 0, timeout: 60_000 });
  }
}

// OpenAI's responses.
class Responses extends Chat {
  constructor(c) {
    super(c);
    this.finishes = { stop: "completed", limit: "max_output_tokens", calls: "calls" };
  }

  async ask(prompt, wants = {}) {
    const parts = [{ type: "input_text", text: prompt }];
    for (const image of wants.images ?? []) parts.push({ type: "input_image", image_url: dataURL(image), detail: "auto" });
    const input = [{ role: "user", content: parts.length > 1 ? parts : prompt }];
    if (wants.results) {
      const [answer, results] = wants.results;
      input.push(...answer.raw, ...answer.calls.map((call, i) => ({ type: "function_call_output", call_id: call[2], output: results[i] })));
    }
    const request = { model: this.model, input, ...wants.extra };
    if (wants.system) request.instructions = wants.system;
    if (wants.tools)
      request.tools = Object.entries(TOOLS).map(([name, description]) => ({ type: "function", name, description, parameters: PARAMETERS, strict: false }));
    if (wants.choice) request.tool_choice = wants.choice === "any" ? "required" : { type: "function", name: wants.choice };
    if (wants.limit) request.max_output_tokens = wants.limit;
    if (wants.sampling) Object.assign(request, { temperature: 0.5, top_p: 0.9 });
    if (wants.effort) Object.assign(request, { reasoning: { effort: "low", summary: "auto" }, max_output_tokens: 8000 });
    if (wants.schema) request.text = { format: { type: "json_schema", name: "trip", schema: SCHEMA, strict: true } };
    const options = wants.mock ? { headers: { "X-Mock": wants.mock } } : undefined;
    if (!wants.stream) return this.read(await this.client.responses.create(request, options));
    let [text, thoughts, pieces, final] = ["", "", 0, null];
    for await (const event of await this.client.responses.create({ ...request, stream: true }, options)) {
      if (event.type === "response.output_text.delta") [text, pieces] = [text + event.delta, pieces + 1];
      else if (event.type === "response.reasoning_summary_text.delta") thoughts += event.delta;
      else if (event.type === "error") throw new OpenAI.OpenAIError(event.message);
      else if (["response.completed", "response.incomplete", "response.failed"].includes(event.type)) final = event.response;
    }
    if (!final || final.status === "failed") throw new OpenAI.OpenAIError(final?.error?.message ?? "the stream has no end");
    const a = this.read(final);
    equal([a.text, a.thoughts], [text, thoughts], "the final response against its events");
    a.pieces = pieces;
    return a;
  }

  read(got) {
    const a = newAnswer();
    for (const item of got.output) {
      if (item.type === "reasoning") a.thoughts += item.summary.map((part) => part.text).join("");
      if (item.type === "message") {
        for (const part of item.content) {
          if (part.type === "refusal") a.refusal += part.refusal;
          else a.text += part.text;
        }
      }
      if (item.type === "function_call") a.calls.push([item.name, JSON.parse(item.arguments), item.call_id]);
    }
    a.raw = got.output.filter((item) => item.type === "function_call");
    a.finish = a.calls.length ? "calls" : (got.incomplete_details?.reason ?? got.status);
    a.input = got.usage?.input_tokens;
    a.output = got.usage?.output_tokens;
    return a;
  }
}

// Anthropic's messages.
class Messages {
  constructor(c) {
    this.model = c.model;
    this.embeds = c.embeds;
    this.client = new Anthropic({ baseURL: c.base_url, apiKey: c.key, maxRetries: 0, timeout: 60_000, logLevel: "off" });
    this.errors = {
      400: Anthropic.BadRequestError, 401: Anthropic.AuthenticationError, 403: Anthropic.PermissionDeniedError, 404: Anthropic.NotFoundError,
      429: Anthropic.RateLimitError, 500: Anthropic.InternalServerError, 503: Anthropic.InternalServerError,
    };
    this.finishes = { stop: "end_turn", limit: "max_tokens", calls: "tool_use" };
  }

  // The client's own runner of tools, which first asks for a thread that the server keeps.
  async run(prompt, stream) {
    const said = { add: "three", sub: "grüße" };
    const tools = Object.entries(TOOLS).map(([name, description]) => betaTool({ name, description, inputSchema: PARAMETERS, run: () => said[name] }));
    const request = { model: this.model, max_tokens: 1000, tools, messages: [{ role: "user", content: prompt }], stream };
    return (await this.client.beta.messages.toolRunner(request).runUntilDone()).content[0].text;
  }

  async ask(prompt, wants = {}) {
    const blocks = [{ type: "text", text: prompt }];
    for (const image of wants.images ?? []) {
      const source = typeof image === "string" ? { type: "url", url: image } : { type: "base64", media_type: "image/png", data: image.toString("base64") };
      blocks.push({ type: "image", source });
    }
    const messages = [{ role: "user", content: blocks.length > 1 ? blocks : prompt }];
    if (wants.results) {
      const [answer, results] = wants.results;
      messages.push({ role: "assistant", content: answer.raw });
      messages.push({ role: "user", content: answer.calls.map((call, i) => ({ type: "tool_result", tool_use_id: call[2], content: results[i] })) });
    }
    const request = { model: this.model, messages, max_tokens: wants.limit ?? 1000, ...wants.extra };
    if (wants.system) request.system = wants.system;
    if (wants.tools) request.tools = Object.entries(TOOLS).map(([name, description]) => ({ name, description, input_schema: PARAMETERS }));
    if (wants.choice) request.tool_choice = wants.choice === "any" ? { type: "any" } : { type: "tool", name: wants.choice };
    if (wants.stop) request.stop_sequences = [wants.stop];
    if (wants.sampling) request.temperature = 0.5;
    if (wants.effort) Object.assign(request, { thinking: { type: "enabled", budget_tokens: 2048 }, max_tokens: 8000 });
    if (wants.schema) request.output_config = { format: { type: "json_schema", schema: SCHEMA } };
    const options = wants.mock ? { headers: { "X-Mock": wants.mock } } : undefined;
    if (!wants.stream) return this.read(await this.client.messages.create(request, options));
    const stream = this.client.messages.stream(request, options);
    let [text, pieces] = ["", 0];
    stream.on("text", (delta) => ([text, pieces] = [text + delta, pieces + 1]));
    const a = this.read(await stream.finalMessage());
    equal(a.text, text, "the final message against its events");
    a.pieces = pieces;
    return a;
  }

  read(got) {
    const a = newAnswer();
    for (const block of got.content) {
      if (block.type === "text") a.text += block.text;
      else if (block.type === "thinking") a.thoughts += block.thinking;
      else if (block.type === "tool_use") a.calls.push([block.name, block.input, block.id]);
    }
    a.raw = got.content.map(({ citations, ...block }) => block);
    a.finish = got.stop_reason;
    a.input = got.usage.input_tokens;
    a.output = got.usage.output_tokens;
    if (got.stop_reason === "refusal") a.refusal = a.text;
    return a;
  }

  async models() {
    const names = [];
    for await (const model of this.client.models.list()) names.push(model.id);
    return names;
  }

  async known() {
    return (await this.client.models.retrieve(this.model)).id;
  }

  async count(text) {
    const got = await this.client.messages.countTokens({ model: this.model, messages: [{ role: "user", content: text }] });
    return got.input_tokens;
  }
}

// Google's generateContent.
class Google {
  constructor(c) {
    this.model = c.model;
    this.embeds = c.embeds;
    this.client = new google.GoogleGenAI({ apiKey: c.key, httpOptions: { baseUrl: c.base_url, timeout: 60_000, retryOptions: { attempts: 1 } } });
    this.errors = Object.fromEntries([400, 401, 403, 404, 429, 500, 503].map((status) => [status, google.ApiError]));
    this.finishes = { stop: "STOP", limit: "MAX_TOKENS", calls: "STOP" };
  }

  async ask(prompt, wants = {}) {
    const parts = [{ text: prompt }];
    for (const image of wants.images ?? []) {
      if (typeof image === "string") parts.push({ fileData: { fileUri: image, mimeType: "image/png" } });
      else parts.push({ inlineData: { data: image.toString("base64"), mimeType: "image/png" } });
    }
    const contents = [{ role: "user", parts }];
    if (wants.results) {
      const [answer, results] = wants.results;
      contents.push(answer.raw, {
        role: "user",
        parts: answer.calls.map((call, i) => ({ functionResponse: { id: call[2], name: call[0], response: { result: results[i] } } })),
      });
    }
    const config = { httpOptions: { headers: wants.mock ? { "X-Mock": wants.mock } : undefined, extraBody: wants.extra } };
    if (wants.system) config.systemInstruction = wants.system;
    if (wants.tools)
      config.tools = [{ functionDeclarations: Object.entries(TOOLS).map(([name, description]) => ({ name, description, parametersJsonSchema: PARAMETERS })) }];
    if (wants.choice)
      config.toolConfig = { functionCallingConfig: { mode: "ANY", allowedFunctionNames: wants.choice === "any" ? undefined : [wants.choice] } };
    if (wants.limit) config.maxOutputTokens = wants.limit;
    if (wants.stop) config.stopSequences = [wants.stop];
    if (wants.sampling) Object.assign(config, { temperature: 0.5, topP: 0.9 });
    if (wants.effort) Object.assign(config, { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 }, maxOutputTokens: 8000 });
    if (wants.schema) Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: SCHEMA });
    const request = { model: this.model, contents, config };
    if (!wants.stream) return this.read([await this.client.models.generateContent(request)]);
    const chunks = [];
    for await (const chunk of await this.client.models.generateContentStream(request)) chunks.push(chunk);
    return this.read(chunks);
  }

  read(chunks) {
    const a = newAnswer();
    const kept = [];
    for (const chunk of chunks) {
      const used = chunk.usageMetadata;
      if (used) [a.input, a.output] = [used.promptTokenCount, (used.candidatesTokenCount ?? 0) + (used.thoughtsTokenCount ?? 0)];
      for (const candidate of chunk.candidates ?? []) {
        a.finish = candidate.finishReason ?? a.finish;
        for (const part of candidate.content?.parts ?? []) {
          if (part.thought) a.thoughts += part.text;
          else if (part.text) [a.text, a.pieces] = [a.text + part.text, a.pieces + 1];
          else if (part.functionCall) {
            a.calls.push([part.functionCall.name, part.functionCall.args ?? {}, part.functionCall.id]);
            kept.push(part);
          }
        }
      }
    }
    a.raw = { role: "model", parts: kept };
    if (a.finish === "SAFETY") a.refusal = a.text;
    return a;
  }

  async models() {
    const names = [];
    for await (const model of await this.client.models.list()) names.push(model.name.replace("models/", ""));
    return names;
  }

  async known() {
    return (await this.client.models.get({ model: this.model })).name.replace("models/", "");
  }

  async count(text) {
    return (await this.client.models.countTokens({ model: this.model, contents: text })).totalTokens;
  }

  async embed() {
    const got = await this.client.models.embedContent({ model: this.embeds, contents: ["a", "b"], config: { outputDimensionality: 4 } });
    return got.embeddings.map((e) => e.values);
  }
}

async function raises(c, status, call) {
  try {
    await call();
  } catch (e) {
    if (!(e instanceof c.errors[status])) throw e;
    equal(e.status, status, `status of ${e}`);
    if (!e.message) throw new Error("the error says nothing");
    return e;
  }
  throw new Error(`the status ${status} raised nothing`);
}

const both = async (check) => {
  for (const stream of [false, true]) await check(stream);
};

const FEATURES = {
  text: (c) =>
    both(async (stream) => {
      const a = await c.ask("say: " + UNICODE, { stream, system: "Be brief." });
      equal([a.text, a.finish, a.input, a.output], [UNICODE, c.finishes.stop, 13, 10], "text, finish reason and usage");
      if (stream && a.pieces < 3) throw new Error(`the stream came in ${a.pieces} pieces`);
    }),
  tools: (c) =>
    both(async (stream) => {
      const a = await c.ask(CALLS, { stream, tools: true });
      equal([named(a.calls), a.finish], [CALLED, c.finishes.calls], "calls and finish reason");
      if (new Set(a.calls.map((call) => call[2])).size !== 2 && !(c instanceof Google)) throw new Error("the calls have no ids of their own");
    }),
  tool_results: async (c) => {
    const a = await c.ask(CALLS, { tools: true });
    await both(async (stream) => {
      const b = await c.ask(CALLS, { stream, tools: true, results: [a, ["three", "grüße"]] });
      equal(b.text, "The tools said: three; grüße", "text");
      if (c instanceof Messages) equal(await c.run(CALLS, stream), "The tools said: three; grüße", "text of the runner");
    });
  },
  tool_choice: async (c) => {
    for (const [choice, want] of Object.entries({ any: "add", sub: "sub" }))
      equal(named((await c.ask("hello", { tools: true, choice })).calls), [[want, { a: 1, why: "text" }]], `calls with the choice ${choice}`);
  },
  image: async (c) => {
    equal((await c.ask("look", { images: [PNG] })).text, SEEN, "images");
    equal((await c.ask("look", { images: [PNG, PNG] })).text, `${SEEN}; ${SEEN}`, "images");
  },
  image_at_address: async (c) => equal((await c.ask("look", { images: [ADDRESS] })).text, ADDRESS, "images"),
  json_schema: (c) =>
    both(async (stream) => equal(JSON.parse((await c.ask("where to?", { stream, schema: true })).text), { city: "text", days: [1] }, "JSON")),
  reasoning: (c, test) =>
    both(async (stream) => {
      const a = await c.ask("think: first this, then that\nsay: done", { stream, effort: true });
      equal([a.text, a.thoughts, a.output], ["done", test.thoughts ? "first this, then that" : "", 5], "text, thoughts and tokens of both");
    }),
  limit: (c) =>
    both(async (stream) => {
      const a = await c.ask("lorem: 30", { stream, limit: 16 });
      equal([a.text.split(" ").length, a.finish], [16, c.finishes.limit], "words and finish reason");
    }),
  stop: (c) => both(async (stream) => equal((await c.ask("say: one two three", { stream, stop: " three" })).text, "one two", "text")),
  sampling: async (c) => equal((await c.ask("say: one", { sampling: true })).text, "one", "text"),
  refusal: (c) =>
    both(async (stream) => {
      const a = await c.ask("refuse: I would rather not", { stream });
      equal(a.refusal || a.text, "I would rather not", "refusal");
    }),
  errors: async (c) => {
    for (const status of [400, 401, 403, 404, 429, 500, 503])
      await both((stream) => raises(c, status, () => c.ask("say: one", { stream, mock: `status=${status}` })));
  },
  retry_after: async (c) => {
    const e = await raises(c, 429, () => c.ask("say: one", { mock: "status=429&retry_after=7s" }));
    if (!(c instanceof Google)) equal(e.headers.get("retry-after"), "7", "retry-after"); // Google's has no headers in its errors
  },
  broken_stream: async (c, test) => {
    const faults = ["error_after=3&pace=20ms", "cut_after=3&pace=20ms", "cut_after=3&pace=20ms&reset=true"];
    for (let n = 400; n < 2400; n += 397) faults.push(`cut_bytes=${n}&write=50`);
    for (const mock of faults) {
      let a;
      try {
        a = await c.ask("lorem: 50", { stream: true, mock });
      } catch {
        continue;
      }
      throw new Error(`${mock}: the stream ended as if it were whole, with ${a.text}`);
    }
  },
  pieces: async (c) => {
    for (const mock of ["write=1", "write=7", "write=1&escape=true", "chunk=1", "chunk=3&write=2", "gzip=accepted&write=5"]) {
      const a = await c.ask("say: " + UNICODE, { stream: true, mock });
      equal([a.text, a.finish], [UNICODE, c.finishes.stop], mock);
      equal(named((await c.ask(CALLS, { stream: true, tools: true, mock })).calls), CALLED, mock);
    }
  },
  unknown_fields: (c) => c.ask("say: one", { extra: { x_leash_test: { b: [1.5, "12345678901234567890"], a: "ü" } } }),
  models: async (c, test) => {
    const names = await c.models();
    if (!names.includes(test.model)) throw new Error(`${test.model} is not in ${names}`);
    equal(await c.known(), test.model, "the model by its name");
  },
  count_tokens: async (c) => equal(await c.count("one two three"), 3, "tokens"),
  embeddings: async (c) => {
    const vectors = await c.embed();
    equal(vectors.map((v) => v.length), [4, 4], "dimensions");
    if (String(vectors[0]) === String(vectors[1])) throw new Error("different texts have the same vector");
  },
};
const CLIENTS = { chat: Chat, azure: Azure, responses: Responses, anthropic: Messages, google: Google };

async function run(test) {
  const c = new CLIENTS[test.client](test);
  for (const [feature, check] of Object.entries(FEATURES)) {
    if (test.leaves_out.includes(feature)) continue;
    let error = null;
    try {
      if (test.refused.includes(feature)) await raises(c, 400, () => check(c, test));
      else await check(c, test);
    } catch (e) {
      error = `${e.stack ?? e}`;
    }
    console.log(JSON.stringify({ case: test.name, feature, error }));
  }
}

// Together: some features wait for a gateway that gives up. Vertex AI's and Amazon's clients are tried in Python.
await Promise.all(JSON.parse(readFileSync(0, "utf8")).filter((test) => CLIENTS[test.client]).map(run));
