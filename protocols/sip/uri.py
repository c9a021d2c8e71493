"""URIs of SIP and of telephone numbers (RFC 3261 §19.1, RFC 3966), read, written and compared."""

from typing import Final

import msgspec

# Names are in small letters and in the order in which they were written; None: no "=".
Params = tuple[tuple[str, str | None], ...]


def parameter(params: Params, name: str) -> str | None:
    """The value of the parameter `name`, "" if it has none; None if it is not there."""
    for each, value in params:
        if each == name:
            return value or ""
    return None


class SipUri(msgspec.Struct, frozen=True, kw_only=True):
    """`sip:` and `sips:`. `user` is unescaped; `host` in small letters, IPv6 without brackets.

    `port` is 0 if none is written; `headers` is what stands after "?", unescaped.
    """

    host: str
    user: str = ""
    password: str = ""
    port: int = 0
    scheme: str = "sip"
    params: Params = ()
    headers: tuple[tuple[str, str], ...] = ()


class TelUri(msgspec.Struct, frozen=True, kw_only=True):
    """`tel:`: a number with its + if it is global, visual separators left as they are."""

    number: str
    params: Params = ()


class OtherUri(msgspec.Struct, frozen=True, kw_only=True):
    """A URI of a scheme that is not ours, or `*` with an empty scheme."""

    scheme: str
    rest: str


Uri = SipUri | TelUri | OtherUri

STAR: Final = OtherUri(scheme="", rest="*")
