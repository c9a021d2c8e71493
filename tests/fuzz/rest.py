"""Invariant: whatever a client sends is a form or is refused, and pages lead through all of a list.

- A body or query is a form of texts that can be stored, or `Refusal` with a 4xx; a form that was
  written reads as it was;
- a form of the declared types passes every reader behind the check of types: pages, ranges of
  dates; a token that the API did not give is refused;
- following `next_page_uri` shows each resource once, in order, and `previous_page_uri` leads back.
"""

import random
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import urlencode

import msgspec
from yarl import URL

from gateway.api.app import OWN, V2010
from gateway.api.checks import checks_of, refuse_types
from gateway.api.http import basic_credentials, http_status, parse_form, parse_json
from gateway.api.lists import between
from gateway.api.paging import PARAMS, page_answer, page_of, slice_of
from gateway.api.resources import Call, Kind, Operation
from gateway.api.router import Router
from gateway.messages.draft import Refusal
from gateway.sids import SMS

Form = dict[str, list[str]]

OPERATIONS: Final[tuple[Operation, ...]] = (*V2010, *OWN)
PAGED: Final = [each for each in OPERATIONS if set(PARAMS) <= set(each.params)]
CHECKS: Final = {each.id: checks_of(each) for each in OPERATIONS}
ROUTERS: Final = (Router(V2010), Router(OWN))
_NAMES: Final = sorted({param.name for each in OPERATIONS for param in each.params})
_OF_LISTS: Final = (
    *("PageSize", "Page", "PageToken", "DateSent", "DateSent<", "DateSent>"),
    *("StartTime", "StartTime<", "EndTime>"),
)
_VALUES: Final = (
    "0", "1", "-1", "50", "1000", "1001", "9" * 9, "9" * 5000, "1e9", "0.5", "", "true", "FALSE",
    "get", "POST", "2026-01-01", "9999-12-31", "0001-01-01", "2026-01-01T00:00:00Z", "20260101",
    "20260101T101112", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2026-W01-1", "٣",
    "2026-01-01T00:00:00.5-23:59",
    "PASM" + "0" * 32, "PBSM" + "f" * 32, "PASM", "PAAC" + "0" * 32, "\U0001f600", "http://x/", "é",
)  # fmt: skip
_OCTETS: Final = (
    b"&", b"=", b"+", b"%", b"%zz", b"%00", b"%ff", b"%F0%9F%98%80", b"\xff", b"a", b"PageSize=",
    b"PageToken=", b"Body=", b";", b"\x00", b"DateSent%3E=", b"2026-01-01",
)  # fmt: skip
_JSON: Final = (
    b"{", b"}", b"[", b"]", b'"a"', b":", b",", b"1", b"1e999", b"null", b"true", b'"\\ud83d"',
    b'"\xff"', b'"\\u0000"', b'{"a":', b'{"a":"b"}', b" ", b"-0.0", b"9" * 400,
)  # fmt: skip
_SEGMENTS: Final = ("2010-04-01", "Accounts", "Messages", "..", "", "%2f", "%ff", "x.json", "v1")


def refused(refusal: Refusal) -> None:
    assert 400 <= http_status(refusal.error_code) < 500, refusal
    refusal.message.encode()


def check_octets(chance: random.Random) -> None:
    body = b"".join(chance.choice(_OCTETS) for _ in range(chance.randrange(12)))
    encoded = b"".join(chance.choice(_JSON) for _ in range(chance.randrange(9)))
    for form in (parse_form(body), parse_json(encoded)):
        if isinstance(form, Refusal):
            refused(form)
            continue
        for name, values in form.items():
            name.encode()
            "".join(values).encode()
    header = chance.choice(("Basic ", "basic", "Bearer ", "")) + chance.choice(
        ("", "QUM6eA==", "=", "QUM6", "////", "é", "\udcff", "QUM6eA")
    )
    assert isinstance(basic_credentials(header), tuple | None)
    path = "/".join(chance.choice((*_SEGMENTS, *_NAMES)) for _ in range(chance.randrange(7)))
    for router in ROUTERS:
        match = router.match(f"/{path}")
        assert match is None or match.operations


def form_of(chance: random.Random) -> Form:
    names = [*chance.sample(_NAMES, chance.randrange(4)), *_OF_LISTS]
    return {
        name: [chance.choice(_VALUES) for _ in range(chance.choice((1, 1, 2)))]
        for name in chance.sample(names, chance.randrange(len(names) + 1))
    }


def call_of(path: str, form: Form) -> Call:
    """As much of a call as lists look at."""
    call = SimpleNamespace(form=form, request=SimpleNamespace(rel_url=URL(path, encoded=True)))
    call.text = lambda name: (form.get(name) or [""])[0]
    return cast(Call, call)


def check_form(chance: random.Random) -> None:
    form = form_of(chance)
    pairs = [(name, value) for name, values in form.items() for value in values]
    read = parse_form(urlencode(pairs).encode())
    assert read == form
    operation = chance.choice((*PAGED, *OPERATIONS))
    refusal = refuse_types(form, CHECKS[operation.id])
    if refusal is not None:
        refused(refusal)
        return
    if operation not in PAGED:
        return
    page = page_of(call_of("/x", form), SMS)
    if isinstance(page, Refusal):
        refused(page)
    else:
        assert 1 <= page.size <= 1000
    for param in operation.params:
        if param.kind is Kind.DATE:
            within = between(form, param.name.rstrip("<>"))
            assert within is None or (within[0] > 0 and within[1] == within[1])


class Listed(msgspec.Struct, frozen=True):
    sid: str


def check_pages(chance: random.Random) -> None:
    listed = [Listed(f"SM{at:032x}") for at in range(chance.randrange(30), 0, -1)]
    size = chance.randrange(1, 12)
    uri: str | None = f"/2010-04-01/x.json?PageSize={size}&To=%2B1+%C3%A9"
    seen: list[str] = []
    pages: list[dict[str, Any]] = []
    while uri is not None:
        pages.append(shown_at(uri, listed))
        seen += pages[-1]["listed"]
        uri = pages[-1]["next_page_uri"]
        assert len(pages) <= 31
    assert seen == [each.sid for each in listed]
    for before, page in pairwise(pages):
        assert shown_at(page["previous_page_uri"], listed)["listed"] == before["listed"]
        assert shown_at(page["uri"], listed)["listed"] == page["listed"]


def shown_at(uri: str, listed: list[Listed]) -> dict[str, Any]:
    form = parse_form(uri.partition("?")[2].encode())
    assert not isinstance(form, Refusal)
    assert form["To"] == ["+1 é"], "filters go along"
    call = call_of(uri.partition("?")[0], form)
    page = page_of(call, SMS)
    assert not isinstance(page, Refusal), page
    found = slice_of(listed, page)
    body = msgspec.json.decode(page_answer(call, "listed", page, found, list(found.sids)).body)
    assert isinstance(body, dict)
    return body


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_octets(chance)
    check_form(chance)
    check_pages(chance)
