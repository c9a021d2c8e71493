"""At the door: from a draft to a message that is ours, or a refusal that says why.

Pure but for what it is given: the plan of the route, the count of segments, the clock. The
service commits the writes; until then nothing is promised.
"""

from collections.abc import Callable

import msgspec

from carriers.routing import Medium, Plan, RouteRequest
from gateway.events import FactType, message_fact
from gateway.messages import records
from gateway.messages.draft import TWIML, Draft, Refusal
from gateway.messages.wire import Composer
from gateway.model import Direction, Message, MessageStatus
from gateway.sids import MMS, SMS, new_sid
from gateway.store.base import Write
from protocols.smpp.text import MAX_PARTS

_NOT_ACTIVE = 20005
_UNROUTABLE = 21612
_TOO_LONG = 21617
_NO_BODY = 21602


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A message that exists once `writes` are committed."""

    message: Message
    writes: tuple[Write, ...]


class Acceptor:
    """Turns drafts into messages; the same for REST, TwiML replies and customers' binds."""

    def __init__(
        self,
        *,
        plan: Callable[[RouteRequest, float], Plan],
        composer: Composer,
        may_send: Callable[[str], bool],
        max_body: int,
        fraction: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._composer = composer
        self._may_send = may_send
        self._max_body = max_body
        self._fraction = fraction

    def accept(self, draft: Draft, now: float) -> Accepted | Refusal:
        """The message that `draft` becomes, with the writes that make it so, or why not."""
        if not self._may_send(draft.account_sid):
            return Refusal(error_code=_NOT_ACTIVE, message="The account is not active.")
        if not draft.body and not draft.media:
            return Refusal(error_code=_NO_BODY, message="A text needs a body or media.")
        if len(draft.body) > self._max_body:
            return Refusal(
                error_code=_TOO_LONG,
                message=f"The body has {len(draft.body)} characters; at most "
                f"{self._max_body} are taken.",
            )
        plan = self._plan(
            RouteRequest(
                medium=Medium.MMS if draft.media else Medium.SMS,
                account_sid=draft.account_sid,
                to=draft.to_address,
                from_=draft.from_address,
                fraction=self._fraction(),
            ),
            now,
        )
        if not plan.candidates:
            return Refusal(
                error_code=_UNROUTABLE,
                message=f"No carrier takes a text to {draft.to_address}: {plan.why()}",
            )
        return self._accepted(draft, plan, now)

    def _accepted(self, draft: Draft, plan: Plan, now: float) -> Accepted | Refusal:
        carrier = plan.candidates[0].carrier
        size = self._composer.size(draft.body, draft.media, carrier)
        if size.segments > MAX_PARTS:
            return Refusal(
                error_code=_TOO_LONG,
                message=f"The text needs {size.segments} short messages; "
                f"{MAX_PARTS} can be joined.",
            )
        message = Message(
            account_sid=draft.account_sid,
            sid=draft.sid or new_sid(MMS if draft.media else SMS, now),
            direction=(
                Direction.OUTBOUND_REPLY if draft.origin == TWIML else Direction.OUTBOUND_API
            ),
            status=MessageStatus.QUEUED,
            from_address=draft.from_address,
            to_address=draft.to_address,
            body=draft.body,
            media=draft.media,
            num_segments=size.segments,
            parts=size.parts,
            encoding=size.alphabet,
            status_callback=draft.status_callback,
            status_callback_method=draft.status_callback_method,
            origin=draft.origin,
            in_reply_to=draft.in_reply_to,
            carrier=carrier,
            route=plan.reasons_json(),
            valid_until=now + draft.validity_period,
            date_created=now,
            date_updated=now,
        )
        queued = message_fact(
            message,
            FactType.MESSAGE_QUEUED,
            now,
            carrier=carrier,
            origin=draft.origin,
            segments=size.segments,
        )
        return Accepted(message=message, writes=(records.inserted(message), queued))
