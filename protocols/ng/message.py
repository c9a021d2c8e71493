"""Messages of the ng protocol: a cookie, a space and a dictionary in bencoding, in one datagram.

An answer has the cookie of its command; the same command under the same cookie again has the same
answer again, from memory, for some seconds. Names of commands and fields are those of rtpengine's
`docs/ng_control_protocol.md`.
"""

from typing import Any, Final

import msgspec

from protocols.ng import bencode
from protocols.ng.bencode import Value
from protocols.ng.errors import LocalProtocolError, RemoteProtocolError

LARGEST: Final = 65_507  # octets of a datagram over IPv4
_LONGEST_COOKIE: Final = 255
_FINE: Final = ("ok", "pong")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What one datagram says: a command, or the answer to one."""

    cookie: str
    fields: dict[str, Any]


def write(message: Message) -> bytes:
    """A datagram. Raises `LocalProtocolError` for what can't be written or is too large."""
    if not _is_cookie(message.cookie):
        raise LocalProtocolError(
            f"a cookie has 1 to {_LONGEST_COOKIE} characters of ASCII that are seen"
        )
    octets = message.cookie.encode() + b" " + bencode.encode(message.fields)
    if len(octets) > LARGEST:
        raise LocalProtocolError(
            f"a message of {len(octets)} octets fits no datagram, which has {LARGEST} at most"
        )
    return octets


def read(octets: bytes) -> Message:
    """What a datagram says. Raises `RemoteProtocolError`."""
    head, space, rest = octets.partition(b" ")
    cookie = head.decode("ascii", "replace")
    if not space or not _is_cookie(cookie):
        raise RemoteProtocolError("a message should begin with a cookie and a space")
    fields = bencode.decode(rest)
    if not isinstance(fields, dict):
        raise RemoteProtocolError("after the cookie a dictionary should stand")
    return Message(cookie=cookie, fields=fields)


def command(cookie: str, name: str, fields: dict[str, Value]) -> Message:
    """A command by its name; in names of fields `_` stands for `-`."""
    named: dict[str, Value] = {key.replace("_", "-"): value for key, value in fields.items()}
    return Message(cookie=cookie, fields={**named, "command": name})


def refusal(answer: Message) -> str | None:
    """Why a command was refused; None if it was carried out."""
    result = answer.fields.get("result")
    if result in _FINE:
        return None
    reason = answer.fields.get("error-reason") or answer.fields.get("message")
    return str(reason or f"the result is {result!r}")


def _is_cookie(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_COOKIE and all("!" <= each <= "~" for each in text)
