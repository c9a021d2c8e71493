"""From a request's path to the operation that answers it, and which of Twilio's hosts is meant.

Paths are matched segment by segment in a tree made from the declared operations, so that the
cost does not grow with their number. Twilio tells products apart by host alone; here the host is
taken from `X-Original-Host` (as our SDK shims send it), else from `Host` if it is Twilio's, else
the path says it.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from gateway.api.resources import Operation

_TWILIO: Final = ".twilio.com"
_SUFFIX: Final = ".json"


class Product(Enum):
    """Whose paths: Twilio's core API, or our own resources; further products come here."""

    API = "api"
    OWN = "own"


_PRODUCT_OF_HOST: Final = {"api": Product.API}


def product_of(request: web.Request, by_path: Product) -> Product | None:
    """The product that the request's host names; None for one that is not offered."""
    host = request.headers.get("X-Original-Host") or request.headers.get("Host") or ""
    name = host.partition(":")[0].lower()
    if not name.endswith(_TWILIO):
        return by_path
    return _PRODUCT_OF_HOST.get(name.partition(".")[0])  # api.<edge>.<region>.twilio.com too


class _Node:
    __slots__ = ("any", "fixed", "operations", "variable")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.variable = ""
        self.operations: dict[str, Operation] = {}


class Match(msgspec.Struct, frozen=True):
    """What a path leads to: operations by method, and the values of the path's variables."""

    operations: Mapping[str, Operation]
    variables: dict[str, str]


class Router:
    """The tree of one product's operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in operation.path.removesuffix(_SUFFIX).split("/")[1:]:
            if segment.startswith("{"):
                variable = segment.strip("{}")
                node.any = node.any or _Node()
                node.variable = node.variable or variable
                if node.variable != variable:
                    raise ValueError(
                        f"{operation.path}: {variable} is called {node.variable} elsewhere"
                    )
                node = node.any
            else:
                node = node.fixed.setdefault(segment, _Node())
        if operation.method in node.operations:
            raise ValueError(f"{operation.method} {operation.path} is declared twice")
        node.operations[operation.method] = operation

    def match(self, raw_path: str) -> Match | None:
        """The operations of `raw_path` (escaped, as it was sent), with or without `.json`."""
        node, variables = self._root, {}
        for segment in raw_path.removesuffix(_SUFFIX).split("/")[1:]:
            following = node.fixed.get(segment)
            if following is None:
                following = node.any
                if following is None or not segment:
                    return None
                value = unquote(segment) if "%" in segment else segment
                if "\0" in value:  # no store keeps it
                    return None
                variables[node.variable] = value
            node = following
        return Match(node.operations, variables) if node.operations else None
