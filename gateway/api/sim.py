"""Simulated handsets: `/sim`, forwarded to the simulator, which is a program of its own.

It exists while a simulated carrier is configured. With several, a handset's texts are those of
all of them, and a text comes in over the first that is bound.
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


async def simulator_session(app: web.Application) -> AsyncIterator[None]:
    """The connections to simulators, for as long as `app` runs."""
    async with ClientSession(timeout=_TIMEOUT) as session:
        app[SESSION] = session
        yield


async def list_messages(call: Call) -> Result:
    """What arrived on a simulated handset, oldest first, one entry per copy."""
    answers = await _ask_all(call)
    if isinstance(answers, Refusal):
        return answers
    texts: list[dict[str, Any]] = []
    for answer in answers:
        if answer.status != HTTPStatus.OK:
            return answer
        texts += msgspec.json.decode(answer.body)
    return answer_json(sorted(texts, key=lambda text: str(text.get("received_at", ""))))


async def create_message(call: Call) -> Result:
    """Text in from a simulated handset: {"to", "body"}; answered after the gateway took it."""
    answers = await _ask_all(call, await call.request.read())
    return answers if isinstance(answers, Refusal) else answers[-1]


async def delete_all(call: Call) -> Result:
    """Forget what every simulated handset received."""
    answers = await _ask_all(call)
    return answers if isinstance(answers, Refusal) else answers[-1]


async def _ask_all(call: Call, body: bytes | None = None) -> list[Answer] | Refusal:
    """Each simulator's answer, in their order; with a `body`, up to the first that took it."""
    answers: list[Answer] = []
    for url in call.services.simulators():
        answer = await _ask(call, url, body)
        if isinstance(answer, Refusal):
            return answer
        answers.append(answer)
        if body is not None and answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
            break
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
        remedy = "forget what the handsets received: DELETE /sim"
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
        id="ListHandsetMessages",
        method="GET",
        path=_MESSAGES,
        doc=list_messages.__doc__ or "",
        handler=list_messages,
        access=Access.READ,
        returns=list[dict[str, str]],
    ),
    Operation(
        id="CreateHandsetMessage",
        method="POST",
        path=_MESSAGES,
        doc=create_message.__doc__ or "",
        handler=create_message,
        access=Access.WRITE,
        params=(
            Param(name="to", required=True, doc="A number of the gateway."),
            Param(name="body", required=True, doc="The text."),
        ),
        status=201,
        returns=dict[str, Any],
        consumes=UNREAD,
    ),
    Operation(
        id="DeleteHandsets",
        method="DELETE",
        path="/sim",
        doc=delete_all.__doc__ or "",
        handler=delete_all,
        access=Access.WRITE,
        status=204,
    ),
)
