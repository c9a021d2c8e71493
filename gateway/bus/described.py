"""What stands in the topics, as data: of this the page about events and the AsyncAPI are made."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.bus.records import CLUSTER, EPOCH, OFFSET, PARTITION, SCHEMA, FactValue
from gateway.bus.topics import KINDS, SUBMIT, clean

ASYNCAPI: Final = "3.0.0"
_REFERENCE: Final = "#/components/schemas/{name}"

# Fields of a fact's value, in their order.
FACT_FIELDS: Final[Mapping[str, str]] = {
    "v": "version of the value: 1; it grows when a field changes its meaning or goes",
    "id": "of the fact; grows, and is never given twice",
    "after": "of the ids above `after` and up to `id` this is the only one in its partition",
    "type": "what happened",
    "account_sid": "whose resource it is",
    "sid": "the resource; also the record's key",
    "version": "the resource's version after it",
    "at": "when, in seconds since the epoch",
    "data": "an object that depends on `type`; never what a text said",
}
HEADERS: Final[Mapping[str, str]] = {
    SCHEMA: "the value's `v`",
    EPOCH: "of the lease under which it was written; the next writer's is higher",
    CLUSTER: "where the writer read it: `store` in a raw topic, `primary` or `secondary` in a clean"
    " one",
    PARTITION: "… in which partition there; `0` of `store`",
    OFFSET: "… and at which offset; of `store` the fact's `id`",
}


def asyncapi(
    submit: type[msgspec.Struct], fields: Mapping[str, str], version: str
) -> dict[str, Any]:
    """The AsyncAPI document: what may be read, and what may be sent.

    `submit` is the type of what may be sent, `fields` says what each field of it is for.
    """
    _, schemas = msgspec.json.schema_components([FactValue, submit], ref_template=_REFERENCE)
    _document(schemas[FactValue.__name__], FACT_FIELDS)
    schemas[FactValue.__name__]["properties"]["data"]["type"] = "object"
    _document(schemas[submit.__name__], fields)
    facts = {name: about for name, _, about in KINDS if name != SUBMIT}
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Trunkline's events",
            "version": version,
            "description": "Facts to read, each once by the rule of docs/events.md,"
            " and texts to send.",
        },
        "defaultContentType": "application/json",
        "channels": {
            **{_channel(clean(name)): _facts(clean(name), about) for name, about in facts.items()},
            _channel(SUBMIT): {
                "address": SUBMIT,
                "description": "Texts to send; the right to is the topic's ACL.",
                "messages": {"submit": {"$ref": "#/components/messages/submit"}},
            },
        },
        "operations": {
            **{
                f"read-{_channel(clean(name))}": _operation("receive", clean(name))
                for name in facts
            },
            "send-text": _operation("send", SUBMIT),
        },
        "components": {
            "messages": {
                "fact": _message(FactValue, _headers()),
                "submit": _message(submit, None),
            },
            "schemas": schemas,
        },
    }


def _document(schema: dict[str, Any], fields: Mapping[str, str]) -> None:
    for name, about in fields.items():
        schema["properties"][name]["description"] = about


def _channel(topic: str) -> str:
    return topic.replace(".", "-")


def _facts(topic: str, about: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": f"{about[0].upper()}{about[1:]}; the key is the SID.",
        "messages": {"fact": {"$ref": "#/components/messages/fact"}},
    }


def _operation(action: str, topic: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{_channel(topic)}"}}


def _message(value: type[msgspec.Struct], headers: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"payload": {"$ref": _REFERENCE.format(name=value.__name__)}}
    if headers is not None:
        found["headers"] = headers
    return found


def _headers() -> dict[str, Any]:
    names: Sequence[str] = list(HEADERS)
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": about} for name, about in HEADERS.items()
        },
        "required": names,
    }
