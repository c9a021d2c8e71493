"""What a resource is declared as, and the operations that come of it."""

from typing import Any

import msgspec

from gateway.api import paging
from gateway.api.app import OWN, V2010
from gateway.api.declare import Resource, operations
from gateway.api.paging import Page, Slice
from gateway.api.resources import Access, Call, Operation, Param
from gateway.messages.draft import Refusal


class Body(msgspec.Struct, frozen=True):
    sid: str


async def find(call: Call) -> str:
    """One thing."""
    return call.path["Sid"]


async def pages(call: Call, page: Page) -> Slice:
    """All
    things."""
    return Slice(rows=[], sids=[], older=False)


async def create(call: Call) -> str:
    """Make a thing."""
    return "XX1"


async def update(call: Call, thing: str) -> str:
    """Change a thing."""
    return thing


async def delete(call: Call, thing: str) -> None:
    """Remove a thing."""


def thing(**more: Any) -> Resource[str]:
    return Resource(
        name="Thing",
        path="/things",
        prefixes=("XX",),
        list_key="things",
        returns=Body,
        body=lambda call, sid: Body(sid),
        find=find,
        pages=pages,
        **more,
    )


def row(operation: Operation) -> tuple[Any, ...]:
    return (operation.id, operation.method, operation.path, operation.status, operation.doc)


def test_a_resource_is_listed_and_shown_and_what_else_it_says() -> None:
    assert [row(each) for each in operations(thing())] == [
        ("ListThing", "GET", "/things", 200, "All things."),
        ("FetchThing", "GET", "/things/{Sid}", 200, "One thing."),
    ]
    whole = operations(thing(create=create, update=update, delete=delete))
    assert [row(each) for each in whole] == [
        ("CreateThing", "POST", "/things", 201, "Make a thing."),
        ("ListThing", "GET", "/things", 200, "All things."),
        ("FetchThing", "GET", "/things/{Sid}", 200, "One thing."),
        ("UpdateThing", "POST", "/things/{Sid}", 200, "Change a thing."),
        ("DeleteThing", "DELETE", "/things/{Sid}", 204, "Remove a thing."),
    ]
    assert [each.access for each in whole] == [
        Access.WRITE if each.method != "GET" else Access.READ for each in whole
    ]
    assert [each.returns for each in whole] == [Body, Body, Body, Body, None]


def test_a_list_takes_its_filters_and_pages() -> None:
    name = Param(name="Name", doc="Only these.")
    listed = operations(thing(filters=(name,)))[0]
    assert listed.params == (name, *paging.PARAMS)
    assert listed.list_key == "things"


async def test_the_guard_keeps_from_changes_alone() -> None:
    refusal = Refusal(error_code=20006, message="no")
    done: list[str] = []

    async def change(call: Call, sid: str) -> str:
        done.append(sid)
        return sid

    async def remove(call: Call, sid: str) -> None:
        done.append(sid)

    made = operations(thing(guard=lambda sid: refusal, update=change, delete=remove))
    call: Any = msgspec.defstruct("Call", [("path", dict[str, str])])({"Sid": "XX1"})
    answers = [await each.handler(call) for each in made[1:]]
    assert answers[1:] == [refusal, refusal]
    assert getattr(answers[0], "body", None) == b'{"sid":"XX1"}'
    assert done == []


def test_every_operation_says_what_it_does_under_a_name_of_its_own() -> None:
    every = (*V2010, *OWN)
    assert [each.id for each in every if not each.doc] == []
    assert len({each.id for each in every}) == len(every)
