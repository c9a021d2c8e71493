"""What a REST resource is: parameters and operations as data, from which the router, the checks
of types and `/openapi.json` are all made.

A file of this folder declares its operations as a tuple of `Operation`, or as a `Resource` from
which they are made (`declare.py`); `app.py` collects them.
Handlers take a `Call` and return an `Answer` or a `Refusal`.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from gateway.messages.draft import Refusal
from gateway.model import Account
from twiml.readers import yes_or_no

if TYPE_CHECKING:
    from gateway.api.services import Services

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
UNREAD: Final = ""  # the handler reads the body itself


class Kind(StrEnum):
    """The type of a parameter, which decides what is accepted and what OpenAPI says of it."""

    TEXT = "text"
    NUMBER = "number"  # a decimal fraction
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"  # YYYY-MM-DD or ISO 8601
    METHOD = "method"  # GET or POST


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter. `error_code` answers a value of the wrong type or outside `choices`."""

    name: str
    kind: Kind = Kind.TEXT
    doc: str
    required: bool = False
    repeated: bool = False
    choices: tuple[str, ...] = ()
    error_code: int = 20001


class Access(Enum):
    """Who may call an operation, by the state of the accounts involved."""

    READ = "read"
    WRITE = "write"
    STEER = "steer"  # changes what all accounts share: main accounts alone, and by no key
    OWNER_READ = "owner-read"  # of what lets others in: by no key
    OWNER_WRITE = "owner-write"
    ACCOUNT_READ = "account-read"  # of the account itself, closed ones too: by no key
    ACCOUNT_WRITE = "account-write"  # of the account itself, suspended ones too: by no key
    SOURCE = "source"  # with a source's write key as well: its account is active
    PUBLIC = "public"


class Call(msgspec.Struct, kw_only=True):
    """One request on its way through a handler.

    `account` is the one that the request acts on, `caller` the one whose credentials it bears:
    the same, or its parent. `path` holds the path's variables, `form` every parameter.
    """

    services: "Services"
    request: web.Request
    operation: "Operation"
    account: Account
    caller: Account
    path: dict[str, str]
    form: dict[str, list[str]]
    now: float

    def text(self, name: str) -> str:
        """The first value of parameter `name`, "" if it is absent."""
        values = self.form.get(name)
        return values[0] if values else ""

    def switch(self, name: str) -> bool | None:
        """Parameter `name`, a `Kind.BOOLEAN` in any case; None if it is absent."""
        return yes_or_no(self.text(name))


class Answer(msgspec.Struct, frozen=True):
    """What a handler found: an HTTP status and JSON, already encoded."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = {}


Result = Answer | Refusal | web.StreamResponse
Handler = Callable[[Call], Awaitable[Result]]


class _Row(msgspec.Struct, frozen=True):
    id: str
    method: str
    path: str
    handler: Handler
    access: Access


class Operation(_Row, frozen=True, kw_only=True):
    """One method of one path. `path` has `{Variable}` segments and no suffix.

    What it does is said by its handler's docstring. `returns` is the type of the body, from which
    its schema is made, `takes` that of a body of JSON which the handler reads itself; `list_key`
    is set on pages of it. `headers` are those of the request that mean something here. `test`
    answers test credentials, which nothing else does.
    """

    params: tuple[Param, ...] = ()
    headers: tuple[Param, ...] = ()
    status: int = 200
    takes: Any = None
    returns: Any = None
    list_key: str = ""
    consumes: str = FORM
    produces: str = JSON
    test: Handler | None = None

    @property
    def doc(self) -> str:
        """What it does, in a line."""
        return " ".join((self.handler.__doc__ or "").split())
