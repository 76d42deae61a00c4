"""Speaks to the gateway with the official OpenAI client: only its base URL and key are changed."""

import sys

import openai

base_url, key = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
messages = [{"role": "user", "content": "say: hello from the mock"}]

answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
assert answer.choices[0].message.content == "hello from the mock", answer
assert answer.usage.completion_tokens == 4, answer.usage

text = ""
for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
    assert chunk.choices, f"a chunk without choices reaches a client that did not ask for usage: {chunk}"
    text += chunk.choices[0].delta.content or ""
assert text == "hello from the mock", text

stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
)
assert [chunk.usage for chunk in stream if chunk.usage][0].completion_tokens == 4

assert "gpt-4o-mini" in [model.id for model in client.models.list()]

tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
call = client.chat.completions.create(
    model="gpt-4o-mini", tools=tools, messages=[{"role": "user", "content": 'call: add {"a": 1}'}]
).choices[0].message.tool_calls[0]
assert call.function.name == "add" and call.function.arguments == '{"a": 1}', call


def refused(error, code, **request):
    """The error must be the client's own class for it, with our code."""
    try:
        client.with_options(**request.pop("options", {})).chat.completions.create(**{"model": "gpt-4o-mini", "messages": messages, **request})
    except error as e:
        assert e.code == code, (e.code, e.body)
        assert e.message, e
    else:
        raise AssertionError(f"{code}: was not refused")


refused(openai.AuthenticationError, "invalid_api_key", options={"api_key": "sk-wrong"})
refused(openai.NotFoundError, "model_not_found", model="unknown")
refused(openai.BadRequestError, "content_blocked", messages=[{"role": "user", "content": "about project bluebird"}])
try:
    for chunk in client.chat.completions.create(
        model="gpt-4o-mini", stream=True, messages=[{"role": "user", "content": "say: there is an osprey above"}]
    ):
        pass
except openai.APIError as e:
    assert e.code == "content_blocked", e.code
else:
    raise AssertionError("was not refused")
print("ok")
