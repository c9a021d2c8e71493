"""Lists in pages, as the v2010 API has them: by the SID at the page's edge, newest first.

`PageToken` is `PA` and the last SID of the page before, or `PB` and the first SID of the page
after; `Page` is a number for people. So a page is found without counting, and rows that come in
meanwhile never shift it.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from gateway.api.http import refuse
from gateway.api.resources import Answer, Call, Kind, Param
from gateway.messages.draft import Refusal
from gateway.sids import is_sid

_DEFAULT_SIZE: Final = 50
_MAX_SIZE: Final = 1000
_AFTER: Final = "PA"
_BEFORE: Final = "PB"

PARAMS: Final = (
    Param(
        name="PageSize",
        kind=Kind.INTEGER,
        doc="How many resources a page has: 1 to 1000, 50 if absent.",
    ),
    Param(name="Page", kind=Kind.INTEGER, doc="Number of the page, from 0; goes with PageToken."),
    Param(name="PageToken", doc="Where the page begins, from the page before.", error_code=21481),
)


# Of our own lists, whose pages have no number.
LIMIT: Final = Param(name="limit", kind=Kind.INTEGER, doc="How many: 1 to 1000, 50 if absent.")


def limit_of(call: Call) -> int | Refusal:
    """How many `LIMIT` asks for."""
    limit = int(call.text(LIMIT.name) or _DEFAULT_SIZE)
    if 1 <= limit <= _MAX_SIZE:
        return limit
    return refuse(20001, f"'limit' should be 1 to {_MAX_SIZE}, not {limit}")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which page is asked for.

    `after` is the SID that ends the page before it (newer), `before` the one that begins the
    page behind it (older); at most one is set.
    """

    number: int
    size: int
    after: str = ""
    before: str = ""


def page_of(call: Call, *prefixes: str) -> Page | Refusal:
    """The page that `call` asks for; SIDs in its token have one of `prefixes`."""
    size, number = call.text("PageSize"), call.text("Page")
    token = call.text("PageToken")
    wanted = int(size) if size else _DEFAULT_SIZE
    if wanted > _MAX_SIZE:
        return refuse(20007, f"Page size must be at most {_MAX_SIZE}, not {wanted}")
    if wanted < 1 or (number and int(number) < 0):
        return refuse(20001, "PageSize must be at least 1 and Page at least 0")
    page = Page(number=int(number or 0), size=wanted)
    if not token:
        if page.number:
            return refuse(21481, f"Page {page.number} needs the PageToken of the page before it")
        return page
    side, sid = token[:2], token[2:]
    if side not in (_AFTER, _BEFORE) or not any(is_sid(sid, prefix) for prefix in prefixes):
        return refuse(21481, "PageToken is not one that this API gave")
    if side == _AFTER:
        return msgspec.structs.replace(page, after=sid)
    return msgspec.structs.replace(page, before=sid)


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The resources of one page, newest first, and whether there are older ones."""

    rows: Sequence[Any]
    sids: Sequence[str]
    older: bool


def slice_of(resources: Sequence[Any], page: Page) -> Slice:
    """The page of what is in memory whole, by its SIDs, as the store has it.

    So what is removed between two pages, also at their edge, shifts nothing.
    """
    rows = sorted(resources, key=lambda each: str(each.sid), reverse=True)
    sids = [str(each.sid) for each in rows]
    begin, end = 0, page.size
    if page.after:
        begin = sum(sid >= page.after for sid in sids)
        end = begin + page.size
    elif page.before:
        end = sum(sid > page.before for sid in sids)
        begin = max(end - page.size, 0)
    return Slice(rows=rows[begin:end], sids=sids[begin:end], older=end < len(sids))


def page_answer(call: Call, key: str, page: Page, found: Slice, bodies: Sequence[Any]) -> Answer:
    """The page as JSON: `key` and Twilio's eight keys about the page, and no other."""
    base = uri_base(call.request.rel_url.raw_path)
    filters = [
        (name, value)
        for name, values in call.form.items()
        for value in values
        if name not in ("Page", "PageToken", "PageSize")
    ]

    def uri(number: int, token: str = "") -> str:
        query = [*filters, ("PageSize", str(page.size)), ("Page", str(number))]
        if token:
            query.append(("PageToken", token))
        return f"{base}?{urlencode(query, quote_via=quote)}"

    edge = (_AFTER + page.after) if page.after else (_BEFORE + page.before) if page.before else ""
    start = page.number * page.size
    has_next = found.older and found.sids
    following = uri(page.number + 1, _AFTER + found.sids[-1]) if has_next else None
    preceding = (
        uri(page.number - 1, _BEFORE + found.sids[0]) if page.number and found.sids else None
    )
    body = {
        "page": page.number,
        "page_size": page.size,
        "start": start,
        "end": start + max(len(bodies) - 1, 0),
        "uri": uri(page.number, edge),
        "first_page_uri": uri(0),
        "next_page_uri": following,
        "previous_page_uri": preceding,
        key: bodies,
    }
    return Answer(200, msgspec.json.encode(body))


def uri_base(raw_path: str) -> str:
    """A list's own URI, with the `.json` that URIs of this API always have."""
    return raw_path if raw_path.endswith(".json") else f"{raw_path}.json"
