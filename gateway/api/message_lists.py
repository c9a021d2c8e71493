"""Messages as lists: the filters of REST."""

from typing import Final

import msgspec

from gateway.api.lists import Listing, Range
from gateway.messages.records import messages_of
from gateway.model import Message
from gateway.sids import MMS, SMS


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to; `sent` is a half-open range of times, None for all."""

    to_address: str = ""
    from_address: str = ""
    sent: Range | None = None


LISTING: Final = Listing(
    "messages",
    Message.__struct_fields__,
    messages_of,
    (SMS, MMS),
    (("to_address = {}",), ("from_address = {}",), ("date_sent >= {}", "date_sent < {}")),
)
