"""What somebody asks us to send, and why we would not: the values at the door of the path."""

from typing import Final

import msgspec

REST: Final = "rest"
TWIML: Final = "twiml"
CARRIER: Final = "carrier"
CUSTOMER: Final = "customer:"
SUBMIT: Final = "submit"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A text to be accepted: addresses are normalised, `validity_period` is in seconds.

    `origin` is REST, TWIML, SUBMIT or CUSTOMER + system_id; `in_reply_to` the SID of an inbound
    text. `sid` is set if somebody was told it before the text was whole.
    """

    account_sid: str
    to_address: str
    from_address: str
    body: str
    media: tuple[str, ...] = ()
    status_callback: str = ""
    status_callback_method: str = "POST"
    validity_period: float
    origin: str
    in_reply_to: str = ""
    sid: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is not taken: one of Twilio's error codes and a sentence for a person."""

    error_code: int
    message: str
