"""What the SIP resources have in common: their place, how they are found, and what refuses them.

Each is created, listed, fetched, updated and deleted in the same way, so a file of this folder
says what is its own, and `operations` makes the five declarations of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from gateway.api import paging
from gateway.api.http import not_found, refuse
from gateway.api.resources import Access, Answer, Call, Handler, Operation, Param, Result
from gateway.messages.draft import Refusal
from gateway.sip.directory import Closed, Full, InUse, Taken
from gateway.sip.model import Entry
from gateway.sip.rules import Invalid
from gateway.sip.shelf import Shelf

E = TypeVar("E", bound=Entry)

API_VERSION: Final = "2010-04-01"
PATH: Final = f"/{API_VERSION}/Accounts/{{AccountSid}}/SIP"
_FROM_FILE: Final = (
    "It is named in the config file, which owns it: change it there ([[domains]]) and reload"
)


class Codes(msgspec.Struct, frozen=True, kw_only=True):
    """Twilio's codes for what is wrong with a resource of one kind."""

    invalid: int
    full: int = 20001
    in_use: int = 20001


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as data: what its five operations are made of.

    `name` is Twilio's word for it in the SDKs, `variable` the path's for its SID.
    """

    name: str
    path: str
    variable: str
    list_key: str
    returns: Any
    create: Handler
    list_: Handler
    fetch: Handler
    delete: Handler
    update: Handler | None = None
    create_params: tuple[Param, ...] = ()
    update_params: tuple[Param, ...] = ()


def operations(resource: Resource) -> tuple[Operation, ...]:
    """The operations of `resource`: four, and five where it can be updated."""
    one = f"{resource.path}/{{{resource.variable}}}"
    declared = (
        ("Create", "POST", resource.path, resource.create, resource.create_params, 201),
        ("List", "GET", resource.path, resource.list_, paging.PARAMS, 200),
        ("Fetch", "GET", one, resource.fetch, (), 200),
        ("Update", "POST", one, resource.update, resource.update_params, 200),
        ("Delete", "DELETE", one, resource.delete, (), 204),
    )
    return tuple(
        Operation(
            id=f"{verb}{resource.name}",
            method=method,
            path=path,
            doc=handler.__doc__ or "",
            handler=handler,
            access=Access.READ if method == "GET" else Access.WRITE,
            params=params,
            status=status,
            returns=None if verb == "Delete" else resource.returns,
            list_key=resource.list_key if verb == "List" else "",
        )
        for verb, method, path, handler, params, status in declared
        if handler is not None
    )


def uri_of(account_sid: str, *segments: str) -> str:
    """The URI of a resource of an account, such as `("Domains", sid)`."""
    return f"{PATH.replace('{AccountSid}', account_sid)}/{'/'.join(segments)}.json"


def absent(call: Call) -> Refusal:
    """There is no such resource, or it is somebody else's."""
    return not_found(call.request.path)


def found(call: Call, shelf: Shelf[E], *key: str) -> E | Refusal:
    """The account's own entry with this key."""
    return shelf.get(call.account.sid, *key) or absent(call)


def owned_by_rest(entry: E | Refusal) -> E | Refusal:
    """`entry`, unless the config file owns it."""
    if isinstance(entry, Entry) and entry.declared:
        return refuse(20006, _FROM_FILE)
    return entry


def page(
    call: Call, key: str, prefixes: Sequence[str], entries: Sequence[E], body: Callable[[E], Any]
) -> Result:
    """One page of `entries`, newest first, whose SIDs have one of `prefixes`."""
    wanted = paging.page_of(call, *prefixes)
    if isinstance(wanted, Refusal):
        return wanted
    slice_ = paging.slice_of(entries, wanted)
    return paging.page_answer(call, key, wanted, slice_, [body(each) for each in slice_.rows])


async def answered(call: Call, codes: Codes, work: Awaitable[Result]) -> Result:
    """What `work` answers, or Twilio's code for what kept it from being done."""
    try:
        return await work
    except Invalid as error:
        return refuse(codes.invalid, str(error))
    except Taken:
        return refuse(codes.invalid, "There is one already that is called or written the same")
    except Full as error:
        return refuse(codes.full, f"There are {error} already, which is as many as there may be")
    except InUse as error:
        return refuse(codes.in_use, f"The domain {error} asks this list: unmap it there first")
    except Closed:
        return refuse(20005, "The account was closed")
    except KeyError:  # it was removed meanwhile, or what it belongs to
        return absent(call)


async def removed(call: Call, codes: Codes, entry: Entry | Refusal) -> Result:
    """204 when `entry` is gone."""
    if isinstance(entry, Refusal):
        return entry

    async def work() -> Result:
        await call.services.sip.remove(entry, call.now)
        return Answer(204)

    return await answered(call, codes, work())
