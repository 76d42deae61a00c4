"""Speaks to a provider, or to the gateway in front of it, with the official clients: only their base URL and key are changed.

Standard input is a JSON list of cases; standard output has a line of JSON for each feature of each: {"case", "feature", "error"},
where no error is null. client.mjs does the same in JavaScript; both keep to the table in e2e/clients_test.go.
"""

import base64
import concurrent.futures
import json
import sys
import threading
import traceback
import warnings
import zlib

import anthropic
import botocore.config
import botocore.exceptions
import botocore.session
import httpx2
import openai
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from google.oauth2 import service_account

warnings.simplefilter("ignore", DeprecationWarning)  # of models: the mock has no others

# One red pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
SEEN = f"image/png, {len(PNG)} bytes, {zlib.crc32(PNG):x}"
ADDRESS = "https://example.com/picture.png"
UNICODE = 'grüße 😀  an\nalle "da" draußen \\ \u2028 žluťoučký 🐎'
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}, "why": {"type": "string"}}, "required": ["a"]}
TOOLS = {"add": "Adds.", "sub": "Subtracts."}
CALLS = 'call: add {"a": 1, "why": "grüße \\"x\\""}\ncall: sub {"a": 2}'
CALLED = [("add", {"a": 1, "why": 'grüße "x"'}), ("sub", {"a": 2})]


def equal(got, want, of=""):
    if got != want:
        raise AssertionError(f"{of}: got {got!r}, want {want!r}")


class Answer:
    """What the features ask of an answer, whatever client it came through."""

    def __init__(self):
        self.text, self.thoughts, self.refusal = "", "", ""
        self.calls = []  # name, arguments, id
        self.finish = None
        self.input = self.output = None  # tokens, as the client's own API counts them
        self.reasoning = None
        self.pieces = 0
        self.raw = None


class Chat:
    """OpenAI's chats."""

    def __init__(self, case):
        self.model, self.embeds = case["model"], case["embeds"]
        self.client = openai.OpenAI(base_url=case["base_url"] + "/v1", api_key=case["key"], max_retries=0, timeout=60)
        self.errors = {
            400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError, 404: openai.NotFoundError,
            429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError, 0: openai.APIError,
        }  # fmt: skip
        self.cut = (openai.APIError, httpx2.HTTPError)  # the latter where a stream breaks

    def ask(self, prompt, stream=False, mock="", **wants):
        parts = [{"type": "text", "text": prompt}]
        for image in wants.get("images", []):
            url = image if isinstance(image, str) else "data:image/png;base64," + base64.b64encode(image).decode()
            parts.append({"type": "image_url", "image_url": {"url": url}})
        messages = [{"role": "user", "content": parts if len(parts) > 1 else prompt}]
        if "system" in wants:
            messages.insert(0, {"role": "system", "content": wants["system"]})
        if "results" in wants:
            answer, results = wants["results"]
            messages.append(answer.raw)
            messages += [{"role": "tool", "tool_call_id": call[2], "content": r} for call, r in zip(answer.calls, results)]
        request = {"model": wants.get("model", self.model), "messages": messages, "extra_headers": {"X-Mock": mock} if mock else None}
        if "tools" in wants:
            request["tools"] = [
                {"type": "function", "function": {"name": n, "description": d, "parameters": PARAMETERS}} for n, d in TOOLS.items()
            ]
        if wants.get("choice") == "any":
            request["tool_choice"] = "required"
        elif "choice" in wants:
            request["tool_choice"] = {"type": "function", "function": {"name": wants["choice"]}}
        if "limit" in wants:
            request["max_completion_tokens"] = wants["limit"]
        if "stop" in wants:
            request["stop"] = [wants["stop"]]
        if "sampling" in wants:
            request["temperature"], request["top_p"] = 0.5, 0.9
        if "effort" in wants:
            request["reasoning_effort"], request["max_completion_tokens"] = "low", 8000
        if "schema" in wants:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA, "strict": True}}
        if "extra" in wants:
            request["extra_body"] = wants["extra"]
        if not stream:
            return self.read(self.client.chat.completions.create(**request))
        return self.gather(self.client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))

    def read(self, got):
        a, choice = Answer(), got.choices[0]
        a.text, a.refusal, a.finish = choice.message.content or "", choice.message.refusal or "", choice.finish_reason
        a.thoughts = (choice.message.model_extra or {}).get("reasoning_content") or ""
        a.calls = [(c.function.name, json.loads(c.function.arguments), c.id) for c in choice.message.tool_calls or []]
        a.raw = choice.message.model_dump(exclude_none=True, exclude={"annotations", "reasoning_content"})
        self.usage(a, got.usage)
        return a

    def usage(self, a, usage):
        a.input, a.output = usage.prompt_tokens, usage.completion_tokens
        if usage.completion_tokens_details:
            a.reasoning = usage.completion_tokens_details.reasoning_tokens

    def gather(self, stream):
        a, calls = Answer(), {}
        for chunk in stream:
            if chunk.usage:
                self.usage(a, chunk.usage)
            for choice in chunk.choices:
                delta = choice.delta
                a.pieces += bool(delta.content)
                a.text += delta.content or ""
                a.refusal += delta.refusal or ""
                a.thoughts += (delta.model_extra or {}).get("reasoning_content") or ""
                a.finish = choice.finish_reason or a.finish
                for call in delta.tool_calls or []:
                    known = calls.setdefault(call.index, ["", "", ""])
                    known[0] += call.function.name or ""
                    known[1] += call.function.arguments or ""
                    known[2] += call.id or ""
        a.calls = [(name, json.loads(arguments), id) for _, (name, arguments, id) in sorted(calls.items())]
        return a

    finishes = {"stop": "stop", "limit": "length", "calls": "tool_calls"}

    def parsed(self):
        import pydantic

        class Trip(pydantic.BaseModel):
            city: str
            days: list[int]

        got = self.client.chat.completions.parse(
            model=self.model, messages=[{"role": "user", "content": "where to?"}], response_format=Trip
        )
        return got.choices[0].message.parsed.model_dump()

    def models(self):
        return [m.id for m in self.client.models.list()]

    def known(self):
        return self.client.models.retrieve(self.model).id

    def embed(self):
        got = self.client.embeddings.create(model=self.embeds, input=["a", "b"], dimensions=4)
        return [d.embedding for d in got.data]


class Azure(Chat):
    """The same, of Azure OpenAI."""

    def __init__(self, case):
        super().__init__(case)
        self.client = openai.AzureOpenAI(
            azure_endpoint=case["base_url"], api_key=case["key"], api_version="2024-10-21", max_retries=0, timeout=60
        )


class Responses(Chat):
    """OpenAI's responses."""

    def ask(self, prompt, stream=False, mock="", **wants):
        parts = [{"type": "input_text", "text": prompt}]
        for image in wants.get("images", []):
            url = image if isinstance(image, str) else "data:image/png;base64," + base64.b64encode(image).decode()
            parts.append({"type": "input_image", "image_url": url, "detail": "auto"})
        items = [{"role": "user", "content": parts if len(parts) > 1 else prompt}]
        if "results" in wants:
            answer, results = wants["results"]
            items += answer.raw
            items += [{"type": "function_call_output", "call_id": c[2], "output": r} for c, r in zip(answer.calls, results)]
        request = {"model": wants.get("model", self.model), "input": items, "extra_headers": {"X-Mock": mock} if mock else None}
        if "system" in wants:
            request["instructions"] = wants["system"]
        if "tools" in wants:
            request["tools"] = [
                {"type": "function", "name": n, "description": d, "parameters": PARAMETERS, "strict": False} for n, d in TOOLS.items()
            ]
        if wants.get("choice") == "any":
            request["tool_choice"] = "required"
        elif "choice" in wants:
            request["tool_choice"] = {"type": "function", "name": wants["choice"]}
        if "limit" in wants:
            request["max_output_tokens"] = wants["limit"]
        if "sampling" in wants:
            request["temperature"], request["top_p"] = 0.5, 0.9
        if "effort" in wants:
            request["reasoning"], request["max_output_tokens"] = {"effort": "low", "summary": "auto"}, 8000
        if "schema" in wants:
            request["text"] = {"format": {"type": "json_schema", "name": "trip", "schema": SCHEMA, "strict": True}}
        if "extra" in wants:
            request["extra_body"] = wants["extra"]
        if not stream:
            return self.read(self.client.responses.create(**request))
        return self.gather(self.client.responses.create(**request, stream=True))

    def read(self, got):
        a = Answer()
        a.text = got.output_text
        for item in got.output:
            if item.type == "reasoning":
                a.thoughts += "".join(part.text for part in item.summary)
            if item.type == "message":
                a.refusal += "".join(part.refusal for part in item.content if part.type == "refusal")
            if item.type == "function_call":
                a.calls.append((item.name, json.loads(item.arguments), item.call_id))
        a.raw = [item.model_dump(exclude_none=True) for item in got.output if item.type == "function_call"]
        a.finish = "calls" if a.calls else got.incomplete_details.reason if got.incomplete_details else got.status
        if got.usage:
            a.input, a.output = got.usage.input_tokens, got.usage.output_tokens
            a.reasoning = got.usage.output_tokens_details.reasoning_tokens
        return a

    def gather(self, stream):
        text, pieces, thoughts, refusal, final = "", 0, "", "", None
        for event in stream:
            if event.type == "response.output_text.delta":
                text, pieces = text + event.delta, pieces + 1
            elif event.type == "response.reasoning_summary_text.delta":
                thoughts += event.delta
            elif event.type == "response.refusal.delta":
                refusal += event.delta
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = event.response
            elif event.type == "error":
                raise openai.APIError(event.message, request=None, body=None)
        if final is None:
            raise openai.APIError("the stream has no end", request=None, body=None)
        if final.status == "failed":
            raise openai.APIError(final.error.message, request=None, body=None)
        a = self.read(final)
        equal((a.text, a.thoughts, a.refusal), (text, thoughts, refusal), "the final response against its events")
        a.pieces = pieces
        return a

    finishes = {"stop": "completed", "limit": "max_output_tokens", "calls": "calls"}

    def parsed(self):
        import pydantic

        class Trip(pydantic.BaseModel):
            city: str
            days: list[int]

        return self.client.responses.parse(model=self.model, input="where to?", text_format=Trip).output_parsed.model_dump()


class Anthropic:
    """Anthropic's messages."""

    def __init__(self, case):
        self.model, self.embeds = case["model"], case["embeds"]
        self.client = anthropic.Anthropic(base_url=case["base_url"], api_key=case["key"], max_retries=0, timeout=60)
        self.errors = {
            400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 403: anthropic.PermissionDeniedError,
            404: anthropic.NotFoundError, 429: anthropic.RateLimitError, 500: anthropic.InternalServerError,
            503: anthropic.InternalServerError, 0: anthropic.APIError,
        }  # fmt: skip
        self.cut = (anthropic.AnthropicError, httpx2.HTTPError)

    def ask(self, prompt, stream=False, mock="", **wants):
        blocks = [{"type": "text", "text": prompt}]
        for image in wants.get("images", []):
            if isinstance(image, str):
                source = {"type": "url", "url": image}
            else:
                source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}
            blocks.append({"type": "image", "source": source})
        messages = [{"role": "user", "content": blocks if len(blocks) > 1 else prompt}]
        if "results" in wants:
            answer, results = wants["results"]
            messages.append({"role": "assistant", "content": answer.raw})
            content = [{"type": "tool_result", "tool_use_id": c[2], "content": r} for c, r in zip(answer.calls, results)]
            messages.append({"role": "user", "content": content})
        request = {"model": wants.get("model", self.model), "messages": messages, "max_tokens": wants.get("limit", 1000),
                   "extra_headers": {"X-Mock": mock} if mock else None}  # fmt: skip
        if "system" in wants:
            request["system"] = wants["system"]
        if "tools" in wants:
            request["tools"] = [{"name": n, "description": d, "input_schema": PARAMETERS} for n, d in TOOLS.items()]
        if wants.get("choice") == "any":
            request["tool_choice"] = {"type": "any"}
        elif "choice" in wants:
            request["tool_choice"] = {"type": "tool", "name": wants["choice"]}
        if "stop" in wants:
            request["stop_sequences"] = [wants["stop"]]
        if "sampling" in wants:  # the newest models have none, and so the client has no parameter for it
            request["extra_body"] = {"temperature": 0.5}
        if "effort" in wants:
            request["thinking"], request["max_tokens"] = {"type": "enabled", "budget_tokens": 2048}, 8000
        if "schema" in wants:
            request["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if "extra" in wants:
            request["extra_body"] = wants["extra"]
        if not stream:
            return self.read(self.client.messages.create(**request))
        pieces, text = 0, ""
        with self.client.messages.stream(**request) as events:
            for event in events:
                if event.type == "text":
                    pieces, text = pieces + 1, text + event.text
            got = events.get_final_message()
        a = self.read(got)
        equal(a.text, text, "the final message against its events")
        a.pieces = pieces
        return a

    def read(self, got):
        a = Answer()
        for block in got.content:
            if block.type == "text":
                a.text += block.text
            elif block.type == "thinking":
                a.thoughts += block.thinking
            elif block.type == "tool_use":
                a.calls.append((block.name, block.input, block.id))
        a.raw = [block.model_dump(exclude_none=True) for block in got.content]
        a.finish = got.stop_reason
        a.input, a.output = got.usage.input_tokens, got.usage.output_tokens
        if got.stop_reason == "refusal":
            a.refusal = a.text
        return a

    def run(self, prompt, stream):
        """The client's own runner of tools, which first asks for a thread that the server keeps."""

        @anthropic.beta_tool
        def add(a: int, why: str = "") -> str:
            """Adds."""
            return "three"

        @anthropic.beta_tool
        def sub(a: int) -> str:
            """Subtracts."""
            return "grüße"

        answers = self.client.beta.messages.tool_runner(
            model=self.model, max_tokens=1000, tools=[add, sub], messages=[{"role": "user", "content": prompt}], stream=stream
        )
        for answer in answers:
            message = answer.get_final_message() if stream else answer
        return message.content[0].text

    finishes = {"stop": "end_turn", "limit": "max_tokens", "calls": "tool_use"}

    def models(self):
        return [m.id for m in self.client.models.list()]

    def known(self):
        return self.client.models.retrieve(self.model).id

    def count(self, text):
        return self.client.messages.count_tokens(model=self.model, messages=[{"role": "user", "content": text}]).input_tokens


class Google:
    """Google's generateContent."""

    def __init__(self, case):
        self.model, self.embeds = case["model"], case["embeds"]
        self.client = genai.Client(api_key=case["key"], http_options=types.HttpOptions(
            base_url=case["base_url"], timeout=60_000, retry_options=types.HttpRetryOptions(attempts=1)))  # fmt: skip
        client, server = google_errors.ClientError, google_errors.ServerError
        self.errors = {400: client, 401: client, 403: client, 404: client, 429: client, 500: server, 503: server, 0: google_errors.APIError}
        self.cut = Exception  # it passes on what its HTTP client or its JSON says

    def ask(self, prompt, stream=False, mock="", **wants):
        parts = [types.Part(text=prompt)]
        for image in wants.get("images", []):
            if isinstance(image, str):
                parts.append(types.Part.from_uri(file_uri=image, mime_type="image/png"))
            else:
                parts.append(types.Part.from_bytes(data=image, mime_type="image/png"))
        contents = [types.Content(role="user", parts=parts)]
        if "results" in wants:
            answer, results = wants["results"]
            contents.append(answer.raw)
            contents.append(types.Content(role="user", parts=[
                types.Part(function_response=types.FunctionResponse(id=c[2], name=c[0], response={"result": r}))
                for c, r in zip(answer.calls, results)
            ]))  # fmt: skip
        config = types.GenerateContentConfig(automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True))
        if mock or "extra" in wants:
            config.http_options = types.HttpOptions(headers={"X-Mock": mock} if mock else None, extra_body=wants.get("extra"))
        if "system" in wants:
            config.system_instruction = wants["system"]
        if "tools" in wants:
            config.tools = [types.Tool(function_declarations=[
                types.FunctionDeclaration(name=n, description=d, parameters_json_schema=PARAMETERS) for n, d in TOOLS.items()
            ])]  # fmt: skip
        if "choice" in wants:
            calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=None if wants["choice"] == "any" else [wants["choice"]])
            config.tool_config = types.ToolConfig(function_calling_config=calling)
        if "limit" in wants:
            config.max_output_tokens = wants["limit"]
        if "stop" in wants:
            config.stop_sequences = [wants["stop"]]
        if "sampling" in wants:
            config.temperature, config.top_p = 0.5, 0.9
        if "effort" in wants:
            config.thinking_config, config.max_output_tokens = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048), 8000
        if "schema" in wants:
            config.response_mime_type, config.response_json_schema = "application/json", SCHEMA
        request = {"model": wants.get("model", self.model), "contents": contents, "config": config}
        if not stream:
            return self.read([self.client.models.generate_content(**request)])
        return self.read(list(self.client.models.generate_content_stream(**request)))

    def read(self, chunks):
        a = Answer()
        kept = []
        for chunk in chunks:
            if chunk.usage_metadata:
                used = chunk.usage_metadata
                a.input, a.reasoning = used.prompt_token_count, used.thoughts_token_count
                a.output = (used.candidates_token_count or 0) + (used.thoughts_token_count or 0)
            for candidate in chunk.candidates or []:
                if candidate.finish_reason:
                    a.finish = candidate.finish_reason.name
                for part in (candidate.content and candidate.content.parts) or []:
                    if part.thought:
                        a.thoughts += part.text
                    elif part.text:
                        a.text += part.text
                        a.pieces += 1
                    elif part.function_call:
                        a.calls.append((part.function_call.name, dict(part.function_call.args or {}), part.function_call.id))
                        kept.append(part)
        a.raw = types.Content(role="model", parts=kept)
        if a.finish == "SAFETY":
            a.refusal = a.text
        return a

    finishes = {"stop": "STOP", "limit": "MAX_TOKENS", "calls": "STOP"}

    def models(self):
        return [m.name.removeprefix("models/") for m in self.client.models.list()]

    def known(self):
        return self.client.models.get(model=self.model).name.removeprefix("models/")

    def count(self, text):
        return self.client.models.count_tokens(model=self.model, contents=text).total_tokens

    def embed(self):
        config = types.EmbedContentConfig(output_dimensionality=4)
        return [e.values for e in self.client.models.embed_content(model=self.embeds, contents=["a", "b"], config=config).embeddings]


class Vertex(Google):
    """The same, of Vertex AI."""

    def __init__(self, case):
        super().__init__(case)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        account = {
            "type": "service_account", "client_email": "mock@example.com", "token_uri": case["base_url"] + "/token",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ).decode(),
        }  # fmt: skip
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        self.client = genai.Client(
            enterprise=True, project="p", location="us-central1",
            credentials=service_account.Credentials.from_service_account_info(account, scopes=scopes),
            http_options=types.HttpOptions(base_url=case["base_url"], timeout=60_000, retry_options=types.HttpRetryOptions(attempts=1)),
        )  # fmt: skip


class Bedrock:
    """Amazon's Converse."""

    def __init__(self, case):
        self.model, self.embeds = case["model"], case["embeds"]
        session = botocore.session.Session()
        session.set_credentials(*case["key"].split(":"))
        config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=60)
        self.client = session.create_client("bedrock-runtime", region_name="us-east-1", endpoint_url=case["base_url"], config=config)
        client_error = botocore.exceptions.ClientError
        self.errors = {status: client_error for status in (400, 401, 403, 404, 429, 500, 503)}
        self.cut = (botocore.exceptions.BotoCoreError, client_error, urllib3.exceptions.HTTPError, OSError)

    def ask(self, prompt, stream=False, mock="", **wants):
        content = [{"text": prompt}]
        content += [{"image": {"format": "png", "source": {"bytes": image}}} for image in wants.get("images", [])]
        messages = [{"role": "user", "content": content}]
        if "results" in wants:
            answer, results = wants["results"]
            messages.append(answer.raw)
            content = [{"toolResult": {"toolUseId": c[2], "content": [{"text": r}]}} for c, r in zip(answer.calls, results)]
            messages.append({"role": "user", "content": content})
        request = {"modelId": self.model + ("?" + mock if mock else ""), "messages": messages}
        if "system" in wants:
            request["system"] = [{"text": wants["system"]}]
        if "tools" in wants:
            tools = [{"toolSpec": {"name": n, "description": d, "inputSchema": {"json": PARAMETERS}}} for n, d in TOOLS.items()]
            request["toolConfig"] = {"tools": tools}
        if "choice" in wants:
            choice = {"any": {}} if wants["choice"] == "any" else {"tool": {"name": wants["choice"]}}
            request["toolConfig"]["toolChoice"] = choice
        inference = {"maxTokens": wants.get("limit", 1000)}
        if "stop" in wants:
            inference["stopSequences"] = [wants["stop"]]
        if "sampling" in wants:
            inference["temperature"], inference["topP"] = 0.5, 0.9
        request["inferenceConfig"] = inference
        if "effort" in wants:
            request["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        if "schema" in wants:
            structure = {"jsonSchema": {"name": "trip", "schema": json.dumps(SCHEMA)}}
            request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
        if not stream:
            got = self.client.converse(**request)
            return self.read(got["output"]["message"], got["stopReason"], got["usage"])
        blocks, finish, usage, pieces = {}, None, None, 0
        for event in self.client.converse_stream(**request)["stream"]:
            (kind, data), *_ = event.items()
            if kind == "contentBlockStart":
                blocks[data["contentBlockIndex"]] = {"toolUse": {**data["start"]["toolUse"], "input": ""}}
            elif kind == "contentBlockDelta":
                block, delta = blocks.setdefault(data["contentBlockIndex"], {}), data["delta"]
                if "text" in delta:
                    block["text"], pieces = block.get("text", "") + delta["text"], pieces + 1
                elif "toolUse" in delta:
                    block["toolUse"]["input"] += delta["toolUse"]["input"]
                elif "reasoningContent" in delta:
                    thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
                    thought["text"] += delta["reasoningContent"].get("text", "")
            elif kind == "messageStop":
                finish = data["stopReason"]
            elif kind == "metadata":
                usage = data["usage"]
        if usage is None:
            raise botocore.exceptions.BotoCoreError()
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        a = self.read({"role": "assistant", "content": [block for _, block in sorted(blocks.items())]}, finish, usage)
        a.pieces = pieces
        return a

    def read(self, message, finish, usage):
        a = Answer()
        for block in message["content"]:
            a.text += block.get("text", "")
            a.thoughts += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
            if call := block.get("toolUse"):
                a.calls.append((call["name"], call["input"], call["toolUseId"]))
        a.raw, a.finish = message, finish
        a.input, a.output = usage["inputTokens"], usage["outputTokens"]
        if finish == "content_filtered":
            a.refusal = a.text
        return a

    finishes = {"stop": "end_turn", "limit": "max_tokens", "calls": "tool_use"}

    def count(self, text):
        request = {"converse": {"messages": [{"role": "user", "content": [{"text": text}]}]}}
        return self.client.count_tokens(modelId=self.model, input=request)["inputTokens"]


# --- features -----------------------------------------------------------------------------------------------------------


def text(c, case):
    for stream in (False, True):
        a = c.ask("say: " + UNICODE, stream, system="Be brief.")
        equal(a.text, UNICODE, "text")
        equal(a.finish, c.finishes["stop"], "finish reason")
        equal((a.input, a.output), (13, 10), "usage")
        if stream and a.pieces < 3:
            raise AssertionError(f"the stream came in {a.pieces} pieces")


def tools(c, case):
    for stream in (False, True):
        a = c.ask(CALLS, stream, tools=True)
        equal([call[:2] for call in a.calls], CALLED, "calls")
        equal(a.finish, c.finishes["calls"], "finish reason")
        if len({call[2] for call in a.calls}) != 2 and not isinstance(c, Google):  # Google's have none
            raise AssertionError(f"the calls have no ids of their own: {a.calls}")


def tool_results(c, case):
    a = c.ask(CALLS, tools=True)
    for stream in (False, True):
        equal(c.ask(CALLS, stream, tools=True, results=(a, ["three", "grüße"])).text, "The tools said: three; grüße", "text")
    if isinstance(c, Anthropic):
        for stream in (False, True):
            equal(c.run(CALLS, stream), "The tools said: three; grüße", "text of the runner")


def tool_choice(c, case):
    for choice, want in {"any": "add", "sub": "sub"}.items():
        a = c.ask("hello", tools=True, choice=choice)
        equal([call[:2] for call in a.calls], [(want, {"a": 1, "why": "text"})], f"calls with the choice {choice}")


def image(c, case):
    equal(c.ask("look", images=[PNG]).text, SEEN, "images")
    equal(c.ask("look", images=[PNG, PNG]).text, f"{SEEN}; {SEEN}", "images")


def image_at_address(c, case):
    equal(c.ask("look", images=[ADDRESS]).text, ADDRESS, "images")


def json_schema(c, case):
    for stream in (False, True):
        equal(json.loads(c.ask("where to?", stream, schema=True).text), {"city": "text", "days": [1]}, "JSON")
    if hasattr(c, "parsed"):
        equal(c.parsed(), {"city": "text", "days": [1]}, "parsed by the client")


def reasoning(c, case):
    for stream in (False, True):
        a = c.ask("think: first this, then that\nsay: done", stream, effort=True)
        equal(a.text, "done", "text")
        equal(a.thoughts, "first this, then that" if case["thoughts"] else "", "thoughts")
        equal(a.output, 5, "tokens of answer and thoughts")


def limit(c, case):
    for stream in (False, True):
        a = c.ask("lorem: 30", stream, limit=16)
        equal(len(a.text.split()), 16, "words")
        equal(a.finish, c.finishes["limit"], "finish reason")


def stop(c, case):
    for stream in (False, True):
        equal(c.ask("say: one two three", stream, stop=" three").text, "one two", "text")


def sampling(c, case):
    equal(c.ask("say: one", sampling=True).text, "one", "text")


def refusal(c, case):
    for stream in (False, True):
        a = c.ask("refuse: I would rather not", stream)
        equal(a.refusal or a.text, "I would rather not", "refusal")


def errors(c, case):
    for status in (400, 401, 403, 404, 429, 500, 503):
        for stream in (False, True):
            raises(c, status, lambda: c.ask("say: one", stream, mock=f"status={status}"))


def raises(c, status, call):
    try:
        call()
    except c.errors[status] as e:
        response = getattr(e, "response", None)
        told = response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(response, dict) else None
        got = told or getattr(e, "status_code", None) or getattr(e, "code", None)
        equal(got, status, "status of " + repr(e))
        if not str(e):
            raise AssertionError(f"{e!r} says nothing")
    else:
        raise AssertionError(f"the status {status} raised nothing")


def retry_after(c, case):
    try:
        c.ask("say: one", mock="status=429&retry_after=7s")
    except c.errors[429] as e:
        headers = e.response.headers
        equal(headers.get("retry-after"), "7", "retry-after")
    else:
        raise AssertionError("429 raised nothing")


def broken_stream(c, case):
    """An error in the course of a stream, and a connection that is cut, are told to who reads it."""
    faults = ["error_after=3&pace=20ms", "cut_after=3&pace=20ms", "cut_after=3&pace=20ms&reset=true"]
    for mock in faults + [f"cut_bytes={n}&write=50" for n in range(400, 2400, 397)]:
        if case["direct"] and mock.startswith("cut") and isinstance(c, Google):
            continue  # its client takes the end of a stream for its end: what the gateway does about that is tested
        try:
            a = c.ask("lorem: 50", True, mock=mock)
        except c.cut:
            continue
        raise AssertionError(f"{mock}: the stream ended as if it were whole, with {a.text!r}")


def pieces(c, case):
    """However the bytes of a stream are split on their way, the client reads the same."""
    for mock in ("write=1", "write=7", "write=1&escape=true", "chunk=1", "chunk=3&write=2", "gzip=accepted&write=5"):
        a = c.ask("say: " + UNICODE, True, mock=mock)
        equal((a.text, a.finish), (UNICODE, c.finishes["stop"]), mock)
        a = c.ask(CALLS, True, mock=mock, tools=True)
        equal([call[:2] for call in a.calls], CALLED, mock)


def unknown_fields(c, case):
    """A field that nobody knows reaches a provider that speaks the client's own API; e2e/clients_test.go reads what it received."""
    c.ask("say: one", extra={"x_leash_test": {"b": [1.50, 12345678901234567890], "a": "ü"}})


def models(c, case):
    if case["model"] not in c.models():
        raise AssertionError(f"{case['model']} is not in {c.models()}")
    equal(c.known(), case["model"], "the model by its name")


def count_tokens(c, case):
    equal(c.count("one two three"), 3, "tokens")


def embeddings(c, case):
    vectors = c.embed()
    equal([len(v) for v in vectors], [4, 4], "dimensions")
    if vectors[0] == vectors[1]:
        raise AssertionError("different texts have the same vector")


FEATURES = [text, tools, tool_results, tool_choice, image, image_at_address, json_schema, reasoning, limit, stop, sampling, refusal, errors,
            retry_after, broken_stream, pieces, unknown_fields, models, count_tokens, embeddings]  # fmt: skip
CLIENTS = {"chat": Chat, "responses": Responses, "anthropic": Anthropic, "google": Google, "azure": Azure, "vertex": Vertex, "bedrock": Bedrock}


writing = threading.Lock()


def run(case):
    c = CLIENTS[case["client"]](case)
    for feature in FEATURES:
        name = feature.__name__
        if name in case["leaves_out"]:
            continue
        try:
            if name in case["refused"]:
                raises(c, 400, lambda: feature(c, case))
            else:
                feature(c, case)
            error = None
        except Exception as e:
            error = "".join(traceback.format_exception(e, limit=-4))
        line = json.dumps({"case": case["name"], "feature": name, "error": error}) + "\n"
        with writing:  # a long line would be cut by those of others
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as together:  # some features wait for a gateway that gives up
        for done in [together.submit(run, case) for case in cases]:
            done.result()
