"""How a resource becomes operations: things of an account with SIDs, listed, made, shown, changed
and removed.

A file of this folder says what is its own in a `Resource`; `app.RESOURCES` collects them, and
`operations` makes the router's, the document's and the tests' declarations of each.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar

import msgspec

from gateway.api import paging
from gateway.api.http import answer_json, refuse
from gateway.api.paging import Page, Slice, page_answer, page_of
from gateway.api.resources import Access, Answer, Call, Handler, Operation, Param, Result
from gateway.messages.draft import Refusal

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Maker = Callable[[Call], Awaitable[R | Answer | Refusal]]
API_VERSION: Final = "2010-04-01"
PATH: Final = f"/{API_VERSION}/Accounts/{{AccountSid}}"


class Resource(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One resource as data.

    `name` is Twilio's word for it in the SDKs, `path` that of its list, `variable` the path's for
    its SID, which begins with one of `prefixes`. `find` and `pages` look among what the account of
    the call has and nowhere else: trust ends there. `guard` refuses to change what REST may not.
    What is absent is not offered. `test` stands in for `create` with test credentials, and `fetch`
    for showing the body where one of them is more than that.

    The docstrings of the functions are what the operations say of themselves; `body` shows what
    they give as `returns`; where the answer of `create` says more, it is a `makes`.
    """

    name: str
    path: str
    variable: str = "Sid"
    prefixes: tuple[str, ...]
    list_key: str
    returns: type[msgspec.Struct]
    makes: type[msgspec.Struct] | None = None
    body: Callable[[Call, R], Any]
    find: Callable[[Call], Awaitable[R | Refusal]]
    pages: Callable[[Call, Page], Awaitable[Slice | Refusal]]
    guard: Callable[[R], Refusal | None] | None = None
    create: Maker[R] | None = None
    update: Callable[[Call, R], Awaitable[R | Refusal]] | None = None
    delete: Callable[[Call, R], Awaitable[Refusal | None]] | None = None
    test: Maker[R] | None = None
    fetch: Handler | None = None
    filters: tuple[Param, ...] = ()
    fetch_params: tuple[Param, ...] = ()
    create_params: tuple[Param, ...] = ()
    create_headers: tuple[Param, ...] = ()
    update_params: tuple[Param, ...] = ()
    reads: Access = Access.READ
    writes: Access = Access.WRITE


# The method of each verb, and whether it is about one of them.
_VERBS: Final = {
    "Create": ("POST", False),
    "List": ("GET", False),
    "Fetch": ("GET", True),
    "Update": ("POST", True),
    "Delete": ("DELETE", True),
}


def operations(resource: Resource[Any]) -> tuple[Operation, ...]:
    """The operations of `resource`: to list and to fetch it, and what else it offers."""
    create, update, delete, test = resource.create, resource.update, resource.delete, resource.test
    offered = []
    if create is not None:
        handler = saying(create.__doc__, _creating(resource, create))
        as_test = None if test is None else _creating(resource, test)
        params, headers = resource.create_params, resource.create_headers
        more: dict[str, Any] = {"params": params, "headers": headers, "test": as_test}
        more["returns"] = resource.makes or resource.returns
        offered.append(_operation(resource, "Create", handler, status=201, **more))
    handler = saying(resource.pages.__doc__, _listing(resource))
    params = (*resource.filters, *paging.PARAMS)
    offered.append(_operation(resource, "List", handler, params=params, list_key=resource.list_key))
    handler = saying(resource.find.__doc__, resource.fetch or _fetching(resource))
    offered.append(_operation(resource, "Fetch", handler, params=resource.fetch_params))
    if update is not None:
        handler = saying(update.__doc__, _updating(resource, update))
        offered.append(_operation(resource, "Update", handler, params=resource.update_params))
    if delete is not None:
        handler = saying(delete.__doc__, _deleting(resource, delete))
        offered.append(_operation(resource, "Delete", handler, status=204, returns=None))
    return tuple(offered)


def _operation(resource: Resource[Any], verb: str, handler: Handler, **more: Any) -> Operation:
    method, of_one = _VERBS[verb]
    return Operation(
        id=f"{verb}{resource.name}",
        method=method,
        path=f"{resource.path}/{{{resource.variable}}}" if of_one else resource.path,
        handler=handler,
        access=resource.reads if method == "GET" else resource.writes,
        **{"returns": resource.returns, **more},
    )


def saying(words: str | None, work: Callable[P, T]) -> Callable[P, T]:
    """`work`, which says `words` of itself."""
    work.__doc__ = words
    return work


def _answer(resource: Resource[R], call: Call, found: R | Answer | Refusal, status: int) -> Result:
    if isinstance(found, Answer | Refusal):
        return found
    return answer_json(resource.body(call, found), status)


async def _changeable(resource: Resource[R], call: Call) -> R | Refusal:
    found = await resource.find(call)
    if isinstance(found, Refusal) or resource.guard is None:
        return found
    return resource.guard(found) or found


def _creating(resource: Resource[R], make: Maker[R]) -> Handler:
    async def create(call: Call) -> Result:
        return _answer(resource, call, await make(call), 201)

    return create


def _listing(resource: Resource[R]) -> Handler:
    async def list_(call: Call) -> Result:
        page = page_of(call, *resource.prefixes)
        if isinstance(page, Refusal):
            return page
        found = await resource.pages(call, page)
        if isinstance(found, Refusal):
            return found
        bodies = [resource.body(call, each) for each in found.rows]
        return page_answer(call, resource.list_key, page, found, bodies)

    return list_


def _fetching(resource: Resource[R]) -> Handler:
    async def fetch(call: Call) -> Result:
        return _answer(resource, call, await resource.find(call), 200)

    return fetch


def _updating(
    resource: Resource[R], change: Callable[[Call, R], Awaitable[R | Refusal]]
) -> Handler:
    async def update(call: Call) -> Result:
        found = await _changeable(resource, call)
        if not isinstance(found, Refusal):
            found = await change(call, found)
        return _answer(resource, call, found, 200)

    return update


def _deleting(
    resource: Resource[R], remove: Callable[[Call, R], Awaitable[Refusal | None]]
) -> Handler:
    async def delete(call: Call) -> Result:
        found = await _changeable(resource, call)
        if isinstance(found, Refusal):
            return found
        return await remove(call, found) or Answer(204)

    return delete


def file_owns(what: str, section: str) -> Refusal:
    """`what` stands in the config file, in `section`, and can't be changed here."""
    return refuse(
        20006,
        f"{what} is named in the config file, which owns it: change it there ([[{section}]])"
        " and reload",
    )
