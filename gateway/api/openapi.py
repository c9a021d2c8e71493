"""`/openapi.json`: the API described by the same declarations that answer it (OpenAPI 3.1)."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gateway.api.http import ErrorBody, encode
from gateway.api.resources import JSON, Access, Answer, Call, Kind, Operation, Param, Result

_SCHEMAS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.TEXT: {"type": "string"},
    Kind.NUMBER: {"type": "number"},
    Kind.INTEGER: {"type": "integer"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date-time"},
    Kind.METHOD: {"type": "string", "enum": ["GET", "POST"]},
}
_REFERENCE: Final = "#/components/schemas/{name}"
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_VARIABLES: Final = {
    "AccountSid": "The account: the caller's own or one of its subaccounts.",
    "Sid": "The resource's SID.",
    "CallSid": "The call's SID.",
    "RecordingSid": "The recording's SID; Twilio.CURRENT is the one that runs.",
    "ConferenceSid": "The conference's SID.",
    "QueueSid": "The queue's SID.",
    "DomainSid": "The SIP domain's SID.",
    "CredentialListSid": "The credential list's SID.",
    "IpAccessControlListSid": "The SID of the list of addresses.",
    "Number": "A handset's number in E.164.",
    "Id": "The id of a simulated phone's call.",
    "Name": "The carrier's name in the config file.",
}
_PAGE_KEYS: Final[dict[str, dict[str, Any]]] = {
    **{name: {"type": "integer"} for name in ("page", "page_size", "start", "end")},
    **{name: {"type": "string"} for name in ("uri", "first_page_uri")},
    **{name: {"type": ["string", "null"]} for name in ("next_page_uri", "previous_page_uri")},
}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI document of `operations`; every property of every answer is required."""
    declared = tuple(operations)
    taken = [operation.takes for operation in declared if operation.takes is not None]
    types = [operation.returns for operation in declared if operation.returns is not None] + taken
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorBody], ref_template=_REFERENCE
    )
    answers = components.keys() - {each.__name__ for each in taken}
    for component in (components[name] for name in answers):
        if "properties" in component:
            component["required"] = sorted(component["properties"])
    bodies = dict(zip(map(repr, [*types, ErrorBody]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in declared:
        path = paths.setdefault(_path(operation), {})
        path[operation.method.lower()] = _operation(operation, bodies)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trunkline",
            "version": "2010-04-01",
            "description": "Twilio's REST API, answered by Trunkline, and its own beside it.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"account": {"type": "http", "scheme": "basic"}},
        },
    }


def _path(operation: Operation) -> str:
    return operation.path + (".json" if operation.path.startswith("/2010-04-01") else "")


def _operation(operation: Operation, bodies: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.doc,
        "security": [] if operation.access is Access.PUBLIC else [{"account": []}],
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": _VARIABLES[name],
                "schema": {"type": "string"},
            }
            for name in _VARIABLE.findall(operation.path)
        ]
        + [_parameter(param, "header") for param in operation.headers],
        "responses": {
            str(operation.status): _answer(operation, bodies),
            "default": {
                "description": "A refusal, with Twilio's error code.",
                "content": {JSON: {"schema": bodies[repr(ErrorBody)]}},
            },
        },
    }
    if operation.takes is not None:
        described["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": bodies[repr(operation.takes)]}},
        }
    elif operation.method == "POST" and operation.params:
        described["requestBody"] = {
            "content": {operation.consumes or JSON: {"schema": _form(operation.params)}}
        }
    elif operation.params:
        described["parameters"] += [_parameter(param, "query") for param in operation.params]
    return described


def _parameter(param: Param, place: str) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": place,
        "required": param.required,
        "description": param.doc,
        "schema": _schema(param),
    }


def _answer(operation: Operation, bodies: dict[str, Any]) -> dict[str, Any]:
    if operation.returns is None:
        return {"description": "Done."}
    schema = bodies[repr(operation.returns)]
    if operation.list_key:
        items = {operation.list_key: {"type": "array", "items": schema}}
        properties = {**_PAGE_KEYS, **items}
        schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {"description": "Done.", "content": {operation.produces: {"schema": schema}}}


def _form(params: Iterable[Param]) -> dict[str, Any]:
    declared = tuple(params)
    required = [param.name for param in declared if param.required]
    return {
        "type": "object",
        "properties": {
            param.name: {**_schema(param), "description": param.doc} for param in declared
        },
        **({"required": required} if required else {}),
    }


def _schema(param: Param) -> dict[str, Any]:
    schema = dict(_SCHEMAS[param.kind])
    if param.choices:
        schema["enum"] = list(param.choices)
    return {"type": "array", "items": schema} if param.repeated else schema


def described(operations: Iterable[Operation]) -> Operation:
    """The operation that answers with the document of `operations` and of itself."""
    body = b""

    async def fetch(call: Call) -> Result:
        """This document."""
        return Answer(200, body)

    operation = Operation(
        "FetchOpenApi", "GET", "/openapi.json", fetch, Access.PUBLIC, returns=dict[str, Any]
    )
    body = encode(document((*operations, operation)))
    return operation
