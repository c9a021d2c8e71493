"""Simulated handsets and phones: `/sim`, forwarded to the simulator, a program of its own.

It exists while a simulated carrier is configured. With several, a handset's texts and a phone's
calls are those of all of them; a text comes in over the first that is bound, a call over the first
that can, and how a phone answers is said to all.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, StreamReader, web
from yarl import URL

from gateway.api.http import answer_json, not_found, refuse
from gateway.api.resources import JSON, UNREAD, Access, Answer, Call, Operation, Param, Result
from gateway.messages.draft import Refusal

SESSION: Final = web.AppKey("simulator_session", ClientSession)

# The simulator waits for our own deliver_sm_resp before it answers.
_TIMEOUT: Final = ClientTimeout(total=30.0, connect=2.0)

_MAX_ANSWER: Final = 64 * 1024 * 1024  # octets

_MESSAGES: Final = "/sim/handsets/{Number}/messages"
_PHONE: Final = "/sim/phones/{Number}"
_CALLS: Final = "/sim/phones/{Number}/calls"
_CALL: Final = "/sim/phones/{Number}/calls/{Id}"


class PhoneManner(msgspec.Struct, frozen=True, kw_only=True):
    """How a simulated phone answers: after so many seconds, null for never, then by its script.

    A script is a list of steps, such as {"tone": 440, "for": 2} or {"expect": "dtmf:1"}.
    """

    answer_after: float | None = 0.0
    script: list[dict[str, Any]] = []


class PhoneCall(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a simulated phone calls, and what it does from the answer on."""

    to: str
    script: list[dict[str, Any]] = []


class PhoneScript(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated phone does in a call that goes on, beside what it does already."""

    script: list[dict[str, Any]]


async def simulator_session(app: web.Application) -> AsyncIterator[None]:
    """The connections to simulators, for as long as `app` runs."""
    async with ClientSession(timeout=_TIMEOUT) as session:
        app[SESSION] = session
        yield


async def list_messages(call: Call) -> Result:
    """What arrived on a simulated handset, oldest first, one entry per copy."""
    return await _joined(call, "received_at")


async def create_message(call: Call) -> Result:
    """Text in from a simulated handset: {"to", "body"}; answered after the gateway took it."""
    return await _taken(call)


async def list_calls(call: Call) -> Result:
    """The calls of a simulated phone, oldest first, with what it heard at each step."""
    return await _joined(call, "started_at")


async def create_call(call: Call) -> Result:
    """Call in from a simulated phone: {"to", "script"}; answered at once with the call's id."""
    return await _taken(call)


async def create_script(call: Call) -> Result:
    """Give a simulated phone a script in a call that goes on; it is followed from the answer on."""
    return await _known(call)


async def delete_call(call: Call) -> Result:
    """Hang up a call of a simulated phone, however far it is."""
    return await _known(call)


async def delete_calls(call: Call) -> Result:
    """Hang up every call of every simulated phone."""
    answers = await _ask_all(call)
    return answers if isinstance(answers, Refusal) else answers[-1]


async def update_phone(call: Call) -> Result:
    """Set how a simulated phone answers: {"answer_after", "script"}."""
    body = await call.request.read()
    answers: list[Answer] = []
    for url in call.services.simulators():
        answer = await _ask(call, url, body)
        if isinstance(answer, Refusal) or answer.status != HTTPStatus.NO_CONTENT:
            return answer
        answers.append(answer)
    return answers[-1] if answers else not_found(call.request.path)


async def delete_all(call: Call) -> Result:
    """Forget what every simulated handset received, how phones answer and what they heard."""
    answers = await _ask_all(call)
    return answers if isinstance(answers, Refusal) else answers[-1]


async def _joined(call: Call, at: str) -> Result:
    """What all simulators list, in the order of the time in the field `at`."""
    answers = await _ask_all(call)
    if isinstance(answers, Refusal):
        return answers
    listed: list[dict[str, Any]] = []
    for answer in answers:
        if answer.status != HTTPStatus.OK:
            return answer
        listed += msgspec.json.decode(answer.body)
    return answer_json(sorted(listed, key=lambda each: str(each.get(at, ""))))


async def _taken(call: Call) -> Result:
    """The answer of the first simulator that can do it, or of the last that can't."""
    body = await call.request.read()
    refused: Answer | None = None
    for url in call.services.simulators():
        answer = await _ask(call, url, body)
        if isinstance(answer, Refusal) or answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
            return answer
        refused = answer
    return refused or not_found(call.request.path)


async def _known(call: Call) -> Result:
    """The answer of the simulator that knows what is asked for, or of the last that does not."""
    body = await call.request.read()
    unknown: Answer | None = None
    for url in call.services.simulators():
        answer = await _ask(call, url, body)
        if isinstance(answer, Refusal) or answer.status != HTTPStatus.NOT_FOUND:
            return answer
        unknown = answer
    return unknown or not_found(call.request.path)


async def _ask_all(call: Call) -> list[Answer] | Refusal:
    """Each simulator's answer, in their order."""
    answers: list[Answer] = []
    for url in call.services.simulators():
        answer = await _ask(call, url, None)
        if isinstance(answer, Refusal):
            return answer
        answers.append(answer)
    return answers or not_found(call.request.path)


async def _ask(call: Call, url: str, body: bytes | None) -> Answer | Refusal:
    request = call.request
    target = URL(url.rstrip("/") + request.rel_url.raw_path, encoded=True)
    try:
        session = request.app[SESSION]
        async with session.request(call.operation.method, target, data=body) as response:
            content = await _whole(response.content)
            kind = response.headers.get("Content-Type", JSON)
    except (ClientError, TimeoutError) as error:
        return refuse(20503, f"The simulator does not answer: {type(error).__name__}")
    if content is None:
        remedy = "forget what handsets and phones had: DELETE /sim"
        return refuse(20503, f"The simulator's answer is over {_MAX_ANSWER} octets; {remedy}")
    return Answer(response.status, content, kind)


async def _whole(stream: StreamReader) -> bytes | None:
    """All that comes, None if it is too much."""
    content = bytearray()
    async for chunk in stream.iter_any():
        content += chunk
        if len(content) > _MAX_ANSWER:
            return None
    return bytes(content)


OPERATIONS: Final = (
    Operation(
        *("ListHandsetMessages", "GET", _MESSAGES, list_messages, Access.READ),
        returns=list[dict[str, str]],
    ),
    Operation(
        *("CreateHandsetMessage", "POST", _MESSAGES, create_message, Access.WRITE),
        params=(
            Param(name="to", required=True, doc="A number of the gateway."),
            Param(name="body", required=True, doc="The text."),
        ),
        status=201,
        returns=dict[str, Any],
        consumes=UNREAD,
    ),
    Operation(
        "ListPhoneCalls", "GET", _CALLS, list_calls, Access.READ, returns=list[dict[str, Any]]
    ),
    Operation(
        *("CreatePhoneCall", "POST", _CALLS, create_call, Access.WRITE),
        status=201,
        takes=PhoneCall,
        returns=dict[str, str],
        consumes=UNREAD,
    ),
    Operation(
        *("CreatePhoneScript", "POST", f"{_CALL}/scripts", create_script, Access.WRITE),
        status=201,
        takes=PhoneScript,
        returns=dict[str, str],
        consumes=UNREAD,
    ),
    Operation("DeletePhoneCall", "DELETE", _CALL, delete_call, Access.WRITE, status=204),
    Operation("DeletePhoneCalls", "DELETE", "/sim/phones", delete_calls, Access.WRITE, status=204),
    Operation(
        *("UpdatePhone", "PUT", _PHONE, update_phone, Access.WRITE),
        status=204,
        takes=PhoneManner,
        consumes=UNREAD,
    ),
    Operation("DeleteHandsets", "DELETE", "/sim", delete_all, Access.WRITE, status=204),
)
