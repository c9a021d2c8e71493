"""What a client asks to send, judged as Twilio judges it: the checks that REST and the topic of
submits share.

`Asked` is the wish as it was written, `drafted` makes of it a `Draft` or the refusal that Twilio
would give, in the order of Twilio's checks.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from carriers.numbers import Address, Invalid, check_from, check_to
from gateway.errors import describe
from gateway.messages.draft import Draft, Refusal
from gateway.phone_numbers import PhoneNumbers

_MAX_MEDIA: Final = 10
_MAX_VALIDITY: Final = 36_000  # seconds: Twilio's range of ValidityPeriod is 1 to 36000
DEFAULT_VALIDITY: Final = _MAX_VALIDITY  # as with Twilio
_SHOWN: Final = 100  # characters of what was given, in a refusal
_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)

Judge = Callable[[str], Refusal | None]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a client wants sent; what it left out is empty, `validity_period` None.

    `service`, `content` and `scheduled` are asked for by Twilio's clients and not offered.
    """

    account_sid: str
    to: str
    from_: str
    body: str = ""
    media: tuple[str, ...] = ()
    status_callback: str = ""
    validity_period: int | None = None  # seconds
    origin: str
    service: str = ""
    content: str = ""
    scheduled: bool = False


def is_http_url(text: str) -> bool:
    """Whether `text` is an absolute http or https URL; nobody is asked whether it answers."""
    return _URL.fullmatch(text) is not None


def drafted(asked: Asked, judge: Judge, max_body: int) -> Draft | Refusal:
    """The text to accept, or why not. `judge` says whether the account may send from an address.

    A body of more than `max_body` code points is refused.
    """
    if not asked.to.strip():
        return _refuse(21604, "A 'To' phone number is required")
    if not asked.from_.strip() and not asked.service:
        return _refuse(21603, describe(21603).message)
    if not asked.body and not asked.media and not asked.content:
        return _refuse(21602, "A message needs a Body or a MediaUrl")
    to_address = _text(check_to(asked.to))
    if isinstance(to_address, Refusal):
        return to_address
    if not asked.from_.strip():
        sid = asked.service[:40]
        return _refuse(21701, f"The Messaging Service {sid} does not exist; give a 'From' instead")
    from_address = _text(check_from(asked.from_))
    if isinstance(from_address, Refusal):
        return from_address
    refusal = judge(from_address) or _refuse_contents(asked, max_body)
    if refusal is not None:
        return refusal
    validity = DEFAULT_VALIDITY if asked.validity_period is None else asked.validity_period
    return Draft(
        account_sid=asked.account_sid,
        to_address=to_address,
        from_address=from_address,
        body=asked.body,
        media=asked.media,
        status_callback=asked.status_callback,
        validity_period=float(validity),
        origin=asked.origin,
    )


def _refuse_contents(asked: Asked, max_body: int) -> Refusal | None:
    length = len(asked.body)
    if length > max_body:
        return _refuse(
            21617,
            f"The concatenated message body exceeds the {max_body} character limit: {length}",
        )
    callback = asked.status_callback
    if callback and not is_http_url(callback):
        shown = callback[:_SHOWN]
        return _refuse(21609, f"StatusCallback is not an http or https URL: {shown}")
    if len(asked.media) > _MAX_MEDIA:
        return _refuse(21623, f"A message takes {_MAX_MEDIA} media at most, not {len(asked.media)}")
    for url in asked.media:
        if not is_http_url(url):
            return _refuse(21620, f"MediaUrl is not an http or https URL: {url[:_SHOWN]}")
    validity = asked.validity_period
    if validity is not None and not 1 <= validity <= _MAX_VALIDITY:
        return _refuse(21624, f"ValidityPeriod should be 1 to {_MAX_VALIDITY} s, not {validity}")
    if asked.content:
        return _refuse(21655, "ContentSid names no content of this account; give a Body")
    if asked.scheduled:
        return _refuse(35118, "A MessagingServiceSid is required to schedule a message")
    return None


def _text(checked: Address | Invalid) -> str | Refusal:
    if isinstance(checked, Invalid):
        return _refuse(checked.error_code, checked.reason)
    return checked.text


def _refuse(error_code: int, message: str) -> Refusal:
    return Refusal(error_code=error_code, message=message)


def sender_judge(numbers: PhoneNumbers, account_sid: str) -> Judge:
    """What judges whether the account may send from an address: a number must be its own.

    Names need not be had to be shown, as with Twilio's alphanumeric senders.
    """

    def judge(address: str) -> Refusal | None:
        holder = numbers.holder(address)
        if holder is not None and holder.account_sid == account_sid:
            return None
        if address[0] == "+" or address.isdecimal():
            return _refuse(
                21606,
                f"The 'From' number {address} is not a number of this account:"
                " take it as an IncomingPhoneNumber first",
            )
        return None

    return judge
