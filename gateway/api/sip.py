"""What the SIP resources have in common: entries of a shelf, below an account or one another.

A file of this folder says what is its own in a `Kind`, and `resource` makes the rest of it.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

import msgspec

from gateway.api import declare, paging
from gateway.api.declare import Resource, file_owns, saying
from gateway.api.http import not_found, refuse, rfc2822
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Param
from gateway.messages.draft import Refusal
from gateway.sids import new_sid
from gateway.sip.directory import Closed, Full, InUse, SipDirectory, Taken
from gateway.sip.model import Entry
from gateway.sip.rules import Invalid
from gateway.sip.shelf import Shelf

E = TypeVar("E", bound=Entry)
P = ParamSpec("P")
T = TypeVar("T")

PATH: Final = f"{declare.PATH}/SIP"
NAME: Final = "A name for people, up to 64 characters."


class Codes(msgspec.Struct, frozen=True, kw_only=True):
    """Twilio's codes for what is wrong with a resource of one kind."""

    invalid: int
    full: int = 20001
    in_use: int = 20001


class Kind(msgspec.Struct, Generic[E], frozen=True, kw_only=True):
    """Entries of one shelf as data.

    `name` is Twilio's word for one in the SDKs, `segment` the path's for all, `variable` the one
    for its SID, which begins with `prefix`. They belong to an entry `above`, or to the account;
    `below` are the segments of what belongs to one. `made` reads the fields of a new one from a
    form, `changed` those that an update gives, by the names of the model; they may raise
    `Invalid`. `returns` shows the fields that it shares with the model, what every kind has, and
    what `show` adds.

    `one`, `all` and `removes` are what fetch, list and delete say of themselves; the others have
    it from `made` and `changed`.
    """

    name: str
    segment: str
    variable: str = "Sid"
    prefix: str
    shelf: Callable[[SipDirectory], Shelf[E]]
    above: "Kind[Any] | None" = None
    below: dict[str, str] = {}
    list_key: str
    codes: Codes
    one: str
    all: str
    removes: str
    made: Callable[[Call], dict[str, Any] | Refusal]
    changed: Callable[[Call, E], dict[str, Any] | Refusal]
    returns: type[msgspec.Struct]
    show: Callable[[Call, E], dict[str, Any]] | None = None
    create_params: tuple[Param, ...]
    update_params: tuple[Param, ...]

    @property
    def path(self) -> str:
        """Where one is."""
        above = PATH if self.above is None else self.above.path
        return f"{above}/{self.segment}/{{{self.variable}}}"

    @property
    def parent(self) -> str:
        """The variable of what they belong to."""
        return "AccountSid" if self.above is None else self.above.variable

    def find(self, call: Call) -> E | Refusal:
        """The one that the path names, if it is the account's own and of what it names above."""
        shelf = self.shelf(call.services.sip)
        entry = shelf.get(call.account.sid, call.path[self.variable])
        if entry is None or shelf.table.parent_of(entry) != call.path[self.parent]:
            return absent(call)
        return entry

    def body(self, call: Call, entry: E) -> msgspec.Struct:
        """The JSON of `entry`."""
        shared = set(self.returns.__struct_fields__) & set(entry.__struct_fields__)
        shown: dict[str, Any] = {name: getattr(entry, name) for name in shared}
        parent = self.shelf(call.services.sip).table.parent_of(entry)
        sids = {"AccountSid": entry.account_sid, self.parent: parent, self.variable: entry.sid}
        place = self.path.format(**sids)
        if self.below:
            shown["subresource_uris"] = {
                name: f"{place}/{segment}.json" for name, segment in self.below.items()
            }
        shown |= {"uri": f"{place}.json"} | dates(entry)
        return self.returns(**shown, **({} if self.show is None else self.show(call, entry)))


def resource(kind: Kind[E]) -> Resource[E]:
    """What `kind` says, as operations are made of it."""

    async def find(call: Call) -> E | Refusal:
        return kind.find(call)

    async def pages(call: Call, page: Page) -> Slice | Refusal:
        above = None if kind.above is None else kind.above.find(call)
        if isinstance(above, Refusal):
            return above
        shelf = kind.shelf(call.services.sip)
        return paging.slice_of(shelf.under(call.account.sid, call.path[kind.parent]), page)

    async def create(call: Call) -> E | Refusal:
        above = None if kind.above is None else kind.above.find(call)
        fields = owned_by_rest(above) or kind.made(call)
        if isinstance(fields, Refusal):
            return fields
        table = kind.shelf(call.services.sip).table
        fields |= {"account_sid": call.account.sid, table.parent: call.path[kind.parent]}
        entry = table.kind(
            sid=new_sid(kind.prefix, call.now),
            date_created=call.now,
            date_updated=call.now,
            **fields,
        )
        await call.services.sip.add(entry)
        return entry

    async def update(call: Call, entry: E) -> E | Refusal:
        fields = kind.changed(call, entry)
        if isinstance(fields, Refusal):
            return fields
        return await call.services.sip.change(entry, call.now, **fields)

    return Resource(
        name=kind.name,
        path=kind.path.rpartition("/")[0],
        variable=kind.variable,
        prefixes=(kind.prefix,),
        list_key=kind.list_key,
        returns=kind.returns,
        body=kind.body,
        find=saying(kind.one, find),
        pages=saying(kind.all, pages),
        guard=owned_by_rest,
        create=saying(kind.made.__doc__, told(kind.codes, create)),
        update=saying(kind.changed.__doc__, told(kind.codes, update)),
        delete=saying(kind.removes, told(kind.codes, remove)),
        create_params=kind.create_params,
        update_params=kind.update_params,
    )


def dates(entry: Entry) -> dict[str, str]:
    """When `entry` was made and changed, as REST shows it."""
    return {name: rfc2822(getattr(entry, name)) for name in ("date_created", "date_updated")}


def absent(call: Call) -> Refusal:
    """There is no such resource, or it is somebody else's."""
    return not_found(call.request.path)


def owned_by_rest(entry: Entry | Refusal | None) -> Refusal | None:
    """None for what may be changed here; the config file owns what it names."""
    if isinstance(entry, Refusal):
        return entry
    return file_owns("It", "domains") if entry is not None and entry.declared else None


async def remove(call: Call, entry: Entry) -> None:
    """Remove an entry and what belongs to it."""
    await call.services.sip.remove(entry, call.now)


def told(
    codes: Codes, work: Callable[Concatenate[Call, P], Awaitable[T]]
) -> Callable[Concatenate[Call, P], Coroutine[Any, Any, T | Refusal]]:
    """`work`, with Twilio's code for what keeps it from being done."""

    async def answered(call: Call, /, *args: P.args, **kwargs: P.kwargs) -> T | Refusal:
        try:
            return await work(call, *args, **kwargs)
        except Invalid as error:
            return refuse(codes.invalid, str(error))
        except Taken:
            return refuse(codes.invalid, "There is one already that is called or written the same")
        except Full as error:
            said = f"There are {error} already, which is as many as there may be"
            return refuse(codes.full, said)
        except InUse as error:
            return refuse(codes.in_use, f"The domain {error} asks this list: unmap it there first")
        except Closed:
            return refuse(20005, "The account was closed")
        except KeyError:  # it was removed meanwhile, or what it belongs to
            return absent(call)

    return saying(work.__doc__, answered)
