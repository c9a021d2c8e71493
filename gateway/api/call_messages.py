"""User-defined messages of a call: `…/Calls/{CallSid}/UserDefinedMessages`, and those told of them.

They go to a client of the Voice SDK that is in the call, and come from it; who subscribes is told
of those that come.
"""

from typing import Final

import msgspec

from gateway.api import call_lists
from gateway.api.declare import PATH
from gateway.api.http import answer_json, not_found, refuse, rfc2822
from gateway.api.resources import Access, Answer, Call, Kind, Operation, Param, Result
from gateway.calls import call_messages, orders
from gateway.calls.call_messages import LONGEST, Said, Subscription
from gateway.calls.model import OVER, CallStatus
from gateway.messages import idempotency
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.messages.idempotency import MAX_KEY, Scope
from gateway.sids import SUBSCRIPTION, USER_MESSAGE, made_at, new_sid
from gateway.store.base import Conflict, Write

__all__ = ["OPERATIONS"]

_PATIENCE: Final = 3.0  # seconds for another process to take an order
_MOST: Final = 100  # subscriptions of one call
_NO_CLIENT: Final = "No client of the Voice SDK is in the call: nobody else hears or says messages"
_UP: Final = frozenset({CallStatus.RINGING, CallStatus.IN_PROGRESS})


class UserDefinedMessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """A message as REST shows it."""

    account_sid: str
    call_sid: str
    date_created: str
    sid: str


class UserDefinedMessageSubscriptionBody(UserDefinedMessageBody, frozen=True, kw_only=True):
    """Who is told of messages, as REST shows it."""

    uri: str


async def say(call: Call) -> Result:
    """Say something, in JSON, to the Voice SDK's client in a call."""
    found = await call_lists.LISTING.find(call)
    if isinstance(found, Refusal):
        return found
    content = call.text("Content")
    if len(content.encode("utf-8", "replace")) > LONGEST:
        return refuse(32703, f"Content may have {LONGEST} octets")
    if not call_messages.is_content(content):
        return refuse(32702, "Content should be JSON")
    if found.status not in _UP:
        return refuse(21220, f"The call is {found.status}: nobody hears it")
    if not call_messages.has_client(found.from_address, found.to_address):
        return refuse(21220, _NO_CLIENT)
    sid, store = new_sid(USER_MESSAGE, call.now), call.services.store
    said = Said(sid=sid, content=content)
    waits, left = orders.left(found.account_sid, found.sid, said, call.now)
    known = await _once(call, found.sid, sid, left)
    if isinstance(known, Refusal):
        return known
    if known == sid:
        store.hint(orders.HINT)
        await orders.taken(store, found.sid, waits, _PATIENCE)
    return answer_json(
        UserDefinedMessageBody(
            account_sid=found.account_sid,
            call_sid=found.sid,
            date_created=rfc2822(made_at(known)),
            sid=known,
        ),
        201,
    )


async def subscribe(call: Call) -> Result:
    """Have a URL told of what the Voice SDK's client in a call says."""
    found = await call_lists.LISTING.find(call)
    if isinstance(found, Refusal):
        return found
    url, store = call.text("Callback"), call.services.store
    if not is_http_url(url):
        return refuse(21205, f"Callback should be an http or https URL, not '{url[:80]}'")
    if found.status in OVER:
        return refuse(21220, f"The call is over: {found.status}")
    if not call_messages.has_client(found.from_address, found.to_address):
        return refuse(21220, _NO_CLIENT)
    if len(await call_messages.of_call(store, found.account_sid, found.sid)) >= _MOST:
        return refuse(20001, f"A call may have {_MOST} subscriptions")
    made = Subscription(
        account_sid=found.account_sid,
        call_sid=found.sid,
        sid=new_sid(SUBSCRIPTION, call.now),
        callback=url,
        method=(call.text("Method") or "POST").upper(),
        date_created=call.now,
    )
    known = await _once(call, found.sid, made.sid, call_messages.inserted(made))
    if isinstance(known, Refusal):
        return known
    above = f"{PATH.format(AccountSid=found.account_sid)}/Calls/{found.sid}"
    return answer_json(
        UserDefinedMessageSubscriptionBody(
            account_sid=found.account_sid,
            call_sid=found.sid,
            date_created=rfc2822(made_at(known)),
            sid=known,
            uri=f"{above}/UserDefinedMessageSubscriptions/{known}.json",
        ),
        201,
    )


async def unsubscribe(call: Call) -> Result:
    """Have a URL told of nothing more."""
    found = await call_lists.LISTING.find(call)
    if isinstance(found, Refusal):
        return found
    store, sid = call.services.store, call.path["Sid"]
    told = await call_messages.of_call(store, found.account_sid, found.sid)
    if sid not in {each.sid for each in told}:
        return not_found(call.request.path)
    await store.commit([call_messages.deleted(found.account_sid, found.sid, sid)])
    return Answer(204)


async def _once(call: Call, call_sid: str, sid: str, write: Write) -> str | Refusal:
    """Store something under the form's key; the SID of what was made, now or the first time."""
    key = call.text("IdempotencyKey")
    if not key:
        await call.services.store.commit([write])
        return sid
    if not idempotency.is_key(key):
        return refuse(20001, f"IdempotencyKey has 1 to {MAX_KEY} visible characters of ASCII")
    store, account_sid = call.services.store, call.account.sid
    scoped = f"{Scope.CALL}{call_sid}:{sid[:2]}:{key}"
    known = await idempotency.find(store, account_sid, [scoped], call.now)
    if scoped not in known.entries:
        kept = idempotency.kept(account_sid, scoped, "", sid, call.now)
        try:
            await store.commit([*known.outlived, kept, write])
        except Conflict:  # the same request came twice at once
            known = await idempotency.find(store, account_sid, [scoped], call.now)
    entry = known.entries.get(scoped)
    return sid if entry is None else entry.sid


_CALL: Final = f"{PATH}/Calls/{{CallSid}}"
_SUBSCRIPTIONS: Final = f"{_CALL}/UserDefinedMessageSubscriptions"
_KEY: Final = Param(name="IdempotencyKey", doc="Asked again with it, the answer is the first one.")

OPERATIONS: Final = (
    Operation(
        *("CreateUserDefinedMessage", "POST", f"{_CALL}/UserDefinedMessages", say, Access.WRITE),
        params=(
            Param(name="Content", required=True, doc=f"JSON, {LONGEST} octets at most."),
            _KEY,
        ),
        status=201,
        returns=UserDefinedMessageBody,
    ),
    Operation(
        *("CreateUserDefinedMessageSubscription", "POST", _SUBSCRIPTIONS, subscribe, Access.WRITE),
        params=(
            Param(name="Callback", required=True, doc="Told of each message: an http(s) URL."),
            Param(name="Method", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
            _KEY,
        ),
        status=201,
        returns=UserDefinedMessageSubscriptionBody,
    ),
    Operation(
        "DeleteUserDefinedMessageSubscription",
        "DELETE",
        f"{_SUBSCRIPTIONS}/{{Sid}}",
        unsubscribe,
        Access.WRITE,
        status=204,
    ),
)
