"""The protocol as documents that machines read, made from the types that validate requests and replies.

    python -m rpc.contract

writes, in a checkout, docs/openapi.yaml, all methods and batches in all spellings with the documented examples, and
docs/batch.schema.json, the same of batches as JSON Schema.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import orjson
import yaml

from rpc.arguments import ARGUMENTS, Template, Workflow
from rpc.batches import Envelope, Refusal
from rpc.examples import Example, examples
from rpc.methods import BATCHES, SPELLINGS, BatchMethod, Method, Route, Spelling, path
from rpc.replies import REPLIES, ResultOutputs
from rpc.spellings import NotFound
from rpc.statuses import PATIENCE

_HEADER: Final = "# Made by `make contract` from the types in rpc/: change those.\n"
_ABOUT: Final = """
A plugin is a server that answers some of these requests, and 404 to all others; the engine is its only client. Each
request has three paths, of which a plugin needs one: the engine finds out which. What is not described may be there
nevertheless, and is passed over. docs/protocol.md and docs/batches.md say the rest."""

_SCHEMAS: Final = "#/components/schemas/"
_AS_SENT: Final = "AsSent"
"""How types of ours end that are named for what they are decoded to."""


class Error(msgspec.Struct):
    """What a plugin on the SDK says; any body will do. Its first 256 bytes are shown to people."""

    message: str = ""


class NotAnswered(msgspec.Struct):
    """Stands in a batch for the reply to one call."""

    error: Refusal


_FAILED: Final = {"application/json": {"schema": {"$ref": _SCHEMAS + Error.__name__}}}
_NOT_HAD: Final = {"application/json": {"schema": {"$ref": _SCHEMAS + NotFound.__name__}}}
_RESPONSES: Final[dict[str, Any]] = {
    "Nothing": {"description": "Nothing to say, as `{}`."},
    "NotHad": {"description": "The plugin does not have the method.", "content": _NOT_HAD},
    "NotNow": {
        "description": "Not now: the call may be made again.",
        "headers": {
            "Retry-After": {"description": "Seconds, or a date (RFC 9110, 10.2.3).", "schema": {"type": "string"}}
        },
        "content": _FAILED,
    },
    "Fatal": {"description": "The call has failed, and is not made again.", "content": _FAILED},
}
_STATUSES: Final = {
    "204": "Nothing",
    "404": "NotHad",
    **{str(status): "NotNow" for status in sorted(PATIENCE)},
    "default": "Fatal",
}


def openapi() -> str:
    """The text of docs/openapi.yaml."""
    routes = (*Method, *BATCHES.values())
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Plugins of Oarlock",
            "version": "1",
            "description": _markdown(_ABOUT),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://localhost:4355"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": spelling, "description": f"Paths in the spelling `{spelling}`."} for spelling in SPELLINGS],
        "paths": {
            path(route, spelling): {"post": _operation(route, spelling)} for spelling in SPELLINGS for route in routes
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "requestBodies": {_name(route): _request(route) for route in routes},
            "responses": {f"{_name(route)}Reply": _reply(route) for route in routes} | _RESPONSES,
            "schemas": dict(sorted(_schemas().items())),
        },
    }
    return _HEADER + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120
    )


def batch_schema() -> str:
    """The text of docs/batch.schema.json."""
    parts: dict[str, Any] = {}
    for method, batch in BATCHES.items():
        parts |= {f"{method}.request": _reference(_name(batch)), f"{method}.reply": _reference(_reply_name(batch))}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Batches of plugin calls: requests, and the replies to them. Each method has its own under $defs.",
        "anyOf": [_reference(part) for part in parts],
        "$defs": parts | _needed(parts, _schemas()),
    }
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    return text.replace(_SCHEMAS, "#/$defs/") + "\n"


def _operation(route: Route, spelling: Spelling) -> dict[str, Any]:
    name = _name(route)
    responses = {"200": f"{name}Reply", **_STATUSES}
    summary = str(_method(route))
    if isinstance(route, BatchMethod):
        del responses["204"]
        summary += ", many calls of a workflow in one request"
    return {
        "operationId": name[0].lower() + name[1:] + ("" if spelling == "short" else spelling.capitalize()),
        "summary": summary,
        "description": _markdown(ARGUMENTS[_method(route)].__doc__),
        "tags": [spelling],
        "requestBody": {"$ref": f"#/components/requestBodies/{name}"},
        "responses": {status: {"$ref": f"#/components/responses/{each}"} for status, each in responses.items()},
    }


def _request(route: Route) -> dict[str, Any]:
    return {"required": True, "content": _content(_name(route), [_example(route).arguments])}


def _reply(route: Route) -> dict[str, Any]:
    return {"description": "The reply.", "content": _content(_reply_name(route), _example(route).replies)}


def _content(schema: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    shown = {f"example{number}": {"value": value} for number, value in enumerate(values, 1)}
    return {"application/json": {"schema": _reference(schema), "examples": shown}}


def _example(route: Route) -> Example:
    """That of the documents; of a batch that they do not show, the one call that they do show."""
    if isinstance(route, Method) or route in examples():
        return examples()[route]
    one = examples()[route.method]
    own = dict(one.arguments)
    workflow, template = own.pop("workflow"), own.pop("template")
    name = template["name"]
    batch = {"workflow": workflow, "templates": {name: template}, "calls": [{"template": name, **own}]}
    return Example(batch, [{"replies": [reply]} for reply in one.replies])


def _schemas() -> dict[str, Any]:
    """By name, all that is sent and replied."""
    batches = [_batch(method) for method in BATCHES]
    kinds = [*ARGUMENTS.values(), *batches, *REPLIES.values(), ResultOutputs, Envelope, NotAnswered, Error, NotFound]
    _, found = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS + "{name}")
    schemas = {name.removesuffix(_AS_SENT): _tidy(schema) for name, schema in found.items()}
    # Checked by themselves, so that fields which are not known are kept.
    schemas["NodeResult"]["properties"]["outputs"] = {"anyOf": [_reference("ResultOutputs"), {"type": "null"}]}
    schemas["ResultArtifact"]["additionalProperties"] = True
    envelope = schemas.pop("Envelope")
    for method, batch in BATCHES.items():
        reply = {"allOf": [_reference(_reply_name(method))], "not": {"required": ["error"]}}
        replies = {"type": "array", "items": {"anyOf": [_reference("NotAnswered"), reply]}}
        schemas[_reply_name(batch)] = {
            **envelope,
            "properties": {"replies": replies, **envelope["properties"]},
            "required": ["replies"],
        }
    return schemas


def _batch(method: Method) -> type[msgspec.Struct]:
    """What the batch of `method` is sent."""
    name = _name(method)
    key = Annotated[str, msgspec.Meta(description="A key of `templates`.")]
    own = {field.name: field.type for field in msgspec.structs.fields(ARGUMENTS[method])}
    del own["workflow"]
    call: Any = msgspec.defstruct(f"{name}Call", (own | {"template": key}).items())
    calls = Annotated[list[call], msgspec.Meta(min_length=1)]
    return msgspec.defstruct(
        _name(BATCHES[method]), [("workflow", Workflow), ("templates", dict[str, Template]), ("calls", calls)]
    )


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """The same in fewer words: no titles, defaults and empty lists, a type or null in one line, Markdown."""
    tidy: dict[str, Any] = {}
    for key, value in schema.items():
        match key, value:
            case ("title" | "default", _) | ("required", []):
                continue
            case "properties", _:
                tidy[key] = {name: _tidy(each) for name, each in value.items()}
            # What has a format is to have it as null, too, to tools that look no further than that.
            case "anyOf", [{"type": str(kind)} as only, {"type": "null"}] if "format" not in only:
                tidy |= _tidy(only) | {"type": [kind, "null"]}
            case "anyOf", _:
                tidy[key] = [_tidy(each) for each in value]
            case "items" | "additionalProperties", {}:
                tidy[key] = _tidy(value)
            case "description", _:
                tidy[key] = _markdown(value)
            case "$ref", _:
                tidy[key] = value.removesuffix(_AS_SENT)
            case _:
                tidy[key] = value
    if schema.get("type") == "object" and schema.keys().isdisjoint(("properties", "additionalProperties")):
        tidy["additionalProperties"] = True  # as it is without, but to some generators that is an empty object
    return tidy


def _markdown(text: str | None) -> str:
    """A docstring as a paragraph."""
    return re.sub(r"\s+", " ", text or "").replace("``", "`").strip()


def _needed(schema: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Those of the schemas to which this one leads."""
    found: dict[str, Any] = {}

    def follow(part: Any) -> None:
        if isinstance(part, dict):
            name = part.get("$ref", "").removeprefix(_SCHEMAS)
            if name and name not in found:
                found[name] = schemas[name]
                follow(schemas[name])
            part = list(part.values())
        if isinstance(part, list):
            for each in part:
                follow(each)

    follow(schema)
    return found


def _method(route: Route) -> Method:
    return route.method if isinstance(route, BatchMethod) else route


def _name(route: Route) -> str:
    """Of what is sent."""
    return ARGUMENTS[_method(route)].__name__ + ("Batch" if isinstance(route, BatchMethod) else "")


def _reply_name(route: Route) -> str:
    name = REPLIES[_method(route)].__name__.removesuffix(_AS_SENT)
    return f"{name}Batch" if isinstance(route, BatchMethod) else name


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMAS + name}


class _Dumper(yaml.SafeDumper):
    """Writes twice what is there twice, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    Path("docs/openapi.yaml").write_text(openapi())
    Path("docs/batch.schema.json").write_text(batch_schema())
