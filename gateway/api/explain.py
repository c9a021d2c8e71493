"""Explanations: where a number would go (`/v1/route`), how a text is cut (`/v1/text`), and what
happened to a message (`/v1/messages/{sid}/timeline`).
"""

import re
from typing import Any, Final

from carriers.routing import Medium, RouteRequest
from gateway.api.addresses import recipient, sender
from gateway.api.http import answer_json, not_found, refuse
from gateway.api.resources import JSON, Access, Call, Operation, Param, Result
from gateway.messages.draft import Refusal
from protocols.smpp.text import Explanation, explain

_SHORT: Final = re.compile(r"[0-9]{2,6}")
_MAX_TEXT: Final = 20_000  # code points; the cost of hostile clusters grows with the square


async def route(call: Call) -> Result:
    """The carriers that a text or a call would be offered to, in order, with the reasons for each.

    A call may be to an emergency number, as it is dialled; `from` tells its country.
    """
    medium = Medium(call.text("medium") or Medium.SMS)
    to_address = _callee(call.text("to")) if medium is Medium.CALL else recipient(call.text("to"))
    if isinstance(to_address, Refusal):
        return to_address
    from_address = sender(call.text("from")) if call.text("from") else ""
    if isinstance(from_address, Refusal):
        return from_address
    request = RouteRequest(
        medium=medium, account_sid=call.account.sid, to=to_address, from_=from_address
    )
    return answer_json(call.services.plan(request, call.now).as_json())


def _callee(given: str) -> str | Refusal:
    """What is dialled: E.164, or a short number as it is."""
    return given if _SHORT.fullmatch(given) else recipient(given)


async def text(call: Call) -> Result:
    """The alphabet, the segments and the places of the cuts of `text`."""
    given = call.text("text")
    if not given:
        return refuse(20001, "Parameter 'text' is missing")
    if len(given) > _MAX_TEXT:
        return refuse(21617, f"'text' may have {_MAX_TEXT} characters, not {len(given)}")
    return answer_json(explain(given))


async def timeline(call: Call) -> Result:
    """Everything known of a message in the order of time: facts, PDUs, tries of callbacks."""
    services = call.services
    found = await services.timeline(services.store, call.account.sid, call.path["Sid"])
    return not_found(call.request.path) if found is None else answer_json(found)


_ANY: Final = dict[str, Any]

OPERATIONS: Final = (
    Operation(
        *("ExplainRoute", "GET", "/v1/route", route, Access.READ),
        params=(
            Param(
                name="to",
                required=True,
                doc="The number to be reached, in E.164.",
            ),
            Param(name="from", doc="The sender or caller that would be shown."),
            Param(name="medium", choices=tuple(Medium), doc="What is to be carried; sms without."),
        ),
        returns=_ANY,
    ),
    Operation(
        *("ExplainText", "POST", "/v1/text", text, Access.READ),
        params=(Param(name="text", required=True, doc="The text to be cut."),),
        returns=Explanation,
        consumes=JSON,
    ),
    Operation(
        *("FetchMessageTimeline", "GET", "/v1/messages/{Sid}/timeline", timeline, Access.READ),
        returns=_ANY,
    ),
)
