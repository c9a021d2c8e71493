"""Messages: `/2010-04-01/Accounts/{AccountSid}/Messages`.

Create gives a `Draft` to the message path, which keeps the promise. Lists are read from the store
by the queries beside them.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import msgspec

from gateway.api.addresses import plus_restored, recipient, sender
from gateway.api.declare import API_VERSION, PATH, Resource
from gateway.api.http import encode, refuse, rfc2822
from gateway.api.lists import between
from gateway.api.magic_numbers import refuse_test_recipient, refuse_test_sender
from gateway.api.message_lists import LISTING, Filters
from gateway.api.paging import Page, Slice
from gateway.api.resources import Answer, Call, Kind, Param
from gateway.errors import describe
from gateway.messages.asked import Asked, Judge, drafted, sender_judge
from gateway.messages.draft import REST, Draft, Refusal
from gateway.messages.idempotency import MAX_KEY, Replayed, Scope, is_key
from gateway.model import Direction, Message, MessageStatus
from gateway.sids import MMS, SMS, new_sid
from protocols.smpp.text import count

_PRICED: Final = frozenset({MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.UNDELIVERED})
_PRICE_UNIT: Final = "USD"
_PRICE_DIGITS: Final = 5  # after the point, as Twilio's "-0.00750"; more where the price has more
_KEY: Final = "Idempotency-Key"
_REPLAYED: Final = "Idempotency-Replayed"


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """A message as REST shows it; numbers are texts, as at Twilio."""

    account_sid: str
    api_version: str
    body: str
    date_created: str
    date_updated: str
    date_sent: str | None
    direction: str
    error_code: int | None
    error_message: str | None
    from_: str = msgspec.field(name="from")
    messaging_service_sid: str | None
    num_media: str
    num_segments: str
    price: str | None
    price_unit: str | None
    sid: str
    status: str
    subresource_uris: dict[str, str]
    to: str
    uri: str


def message_body(call: Call, message: Message) -> MessageBody:
    """The JSON of `message`; once it was sent it has its price, of what the file says now."""
    charged = call.services.price(message) if message.status in _PRICED else None
    base = f"{PATH.format(AccountSid=message.account_sid)}/Messages/{message.sid}"
    code = message.error_code
    return MessageBody(
        account_sid=message.account_sid,
        api_version=API_VERSION,
        body=message.body,
        date_created=rfc2822(message.date_created),
        date_updated=rfc2822(message.date_updated),
        date_sent=rfc2822(message.date_sent) if message.date_sent else None,
        direction=message.direction,
        error_code=code or None,
        error_message=describe(code).message if code else None,
        from_=message.from_address,
        messaging_service_sid=None,
        num_media=str(len(message.media)),
        num_segments=str(message.num_segments),
        price=None if charged is None else price_text(charged),
        price_unit=None if charged is None else _PRICE_UNIT,
        sid=message.sid,
        status=message.status,
        subresource_uris={"media": f"{base}/Media.json"},
        to=message.to_address,
        uri=f"{base}.json",
    )


def price_text(price: Decimal) -> str:
    """A charge as REST shows it: what the account pays is negative."""
    exponent = price.normalize().as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return f"{-price:.{max(_PRICE_DIGITS, digits)}f}"


async def create(call: Call) -> Message | Answer | Refusal:
    """Accept a text: 201 once it is durable. A key that came before gives the message of then."""
    draft = read_draft(call, sender_judge(call.services.phone_numbers, call.account.sid))
    if isinstance(draft, Refusal):
        return draft
    given = call.request.headers.getall(_KEY, ())
    if not given:
        return await call.services.messages.accept(draft)
    if len(given) > 1 or not is_key(given[0]):
        return refuse(20001, f"{_KEY} should be 1 to {MAX_KEY} visible characters of ASCII, once")
    taken = await call.services.messages.accept_once(draft, Scope.REST + given[0])
    if isinstance(taken, Replayed):
        body = encode(message_body(call, taken.message))
        return Answer(201, body, headers={_REPLAYED: "true"})
    return taken


def read_draft(call: Call, judge: Judge) -> Draft | Refusal:
    """The text that the form asks to send, or why not.

    `judge` says whether the account may send from an address.
    """
    form, validity = call.form, call.text("ValidityPeriod")
    asked = Asked(
        account_sid=call.account.sid,
        to=plus_restored(call.text("To")),
        from_=plus_restored(call.text("From")),
        body=call.text("Body"),
        media=tuple(url for url in form.get("MediaUrl", ()) if url),
        status_callback=call.text("StatusCallback"),
        validity_period=int(validity) if validity else None,
        origin=REST,
        service=call.text("MessagingServiceSid"),
        content=call.text("ContentSid"),
        scheduled="SendAt" in form or "ScheduleType" in form,
    )
    return drafted(asked, judge, call.services.limits.max_body)


async def create_as_test(call: Call) -> Message | Refusal:
    """The text that test credentials ask for: checked as any other, and nothing sent or stored."""
    draft = read_draft(call, refuse_test_sender)
    if isinstance(draft, Refusal):
        return draft
    refusal = refuse_test_recipient(draft.to_address)
    if refusal is not None:
        return refusal
    segments = count(draft.body).segments
    return Message(
        account_sid=draft.account_sid,
        sid=new_sid(MMS if draft.media else SMS, call.now),
        direction=Direction.OUTBOUND_API,
        status=MessageStatus.QUEUED,
        from_address=draft.from_address,
        to_address=draft.to_address,
        body=draft.body,
        media=draft.media,
        num_segments=segments,
        parts=segments,
        encoding="",
        origin=REST,
        valid_until=call.now + draft.validity_period,
        date_created=call.now,
        date_updated=call.now,
    )


async def find(call: Call) -> Message | Refusal:
    """One message."""
    return await LISTING.find(call)


async def update(call: Call, found: Message) -> Message | Refusal:
    """Cancel a text that has not left (Status=canceled), or empty its body (Body=)."""
    if call.text("Body"):
        return refuse(20001, "Body can only be updated to an empty text, which redacts the message")
    steps = {"Status": call.services.messages.cancel, "Body": call.services.messages.redact}
    for name, step in steps.items():
        if name in call.form:
            changed = await step(call.account.sid, found.sid)
            if isinstance(changed, Refusal):
                return changed
            found = changed
    return found


async def delete(call: Call, found: Message) -> Refusal | None:
    """Remove a message, its trace and its timeline."""
    return await call.services.messages.delete(call.account.sid, found.sid)


async def pages(call: Call, page: Page) -> Slice:
    """The account's messages in both directions, newest first."""
    filters = Filters(
        to_address=_filter(call.text("To"), recipient),
        from_address=_filter(call.text("From"), sender),
        sent=between(call.form, "DateSent"),
    )
    return await LISTING.page(call.services.store, call.account.sid, filters, page)


def _filter(given: str, read: Callable[[str], str | Refusal]) -> str:
    address = read(given) if given else given
    return plus_restored(given) if isinstance(address, Refusal) else address


_DATE_DOC: Final = "YYYY-MM-DD or ISO 8601, UTC"
_FILTERS: Final = (
    Param(name="To", doc="Only messages to this number."),
    Param(name="From", doc="Only messages from this number or sender ID."),
    Param(name="DateSent", kind=Kind.DATE, doc=f"Only those sent on this day ({_DATE_DOC})."),
    Param(name="DateSent<", kind=Kind.DATE, doc=f"Sent on this day or before ({_DATE_DOC})."),
    Param(name="DateSent>", kind=Kind.DATE, doc=f"Sent on this day or after ({_DATE_DOC})."),
)
_CREATE: Final = (
    Param(name="To", required=True, doc="The recipient: E.164, such as +447700900123."),
    Param(name="From", doc="A number or short code of the account, or an alphanumeric sender ID."),
    Param(name="Body", doc="The text, 1600 code points at most unless configured otherwise."),
    Param(name="MediaUrl", repeated=True, doc="Up to ten URLs of media."),
    Param(name="StatusCallback", doc="Where changes of status are posted to: an http(s) URL."),
    Param(
        name="ValidityPeriod",
        kind=Kind.INTEGER,
        error_code=21624,
        doc="Seconds, 1 to 36000, after which a text that has not left is failed.",
    ),
    Param(name="MessagingServiceSid", doc="Not offered: 21701."),
    Param(name="ContentSid", doc="Not offered: 21655."),
    Param(name="SendAt", doc="Needs a messaging service: 35118.", kind=Kind.DATE),
    Param(name="ScheduleType", doc="Needs a messaging service: 35118.", choices=("fixed",)),
    Param(name="MaxPrice", kind=Kind.NUMBER, error_code=21627, doc="Checked and not used."),
    Param(name="Attempt", kind=Kind.INTEGER, doc="Checked and not used."),
    Param(name="ProvideFeedback", kind=Kind.BOOLEAN, doc="Checked and not used."),
    Param(name="ForceDelivery", kind=Kind.BOOLEAN, doc="Checked and not used."),
    Param(name="SmartEncoded", kind=Kind.BOOLEAN, doc="Checked and not used."),
    Param(name="SendAsMms", kind=Kind.BOOLEAN, doc="Checked and not used."),
    Param(name="ShortenUrls", kind=Kind.BOOLEAN, doc="Checked and not used."),
)

_HEADERS: Final = (
    Param(
        name=_KEY,
        doc="A request with the key of one that was taken within 24 hours is answered with"
        f" that one's message and {_REPLAYED}; 422 if it asks for something else.",
    ),
)

RESOURCES: Final = (
    Resource[Message](
        name="Message",
        path=f"{PATH}/Messages",
        prefixes=(SMS, MMS),
        list_key="messages",
        returns=MessageBody,
        body=message_body,
        find=find,
        pages=pages,
        create=create,
        update=update,
        delete=delete,
        test=create_as_test,
        filters=_FILTERS,
        create_params=_CREATE,
        create_headers=_HEADERS,
        update_params=(
            Param(name="Body", doc="Empty: redacts the message. Anything else is refused."),
            Param(name="Status", choices=("canceled",), doc="canceled: stops what has not left."),
        ),
    ),
)
