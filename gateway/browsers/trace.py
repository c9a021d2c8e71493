"""What passes between a client and us in one call, for the ladder: as text, without what is secret.

A message looks like one of SIP, so that it is kept, found and shown as those are: its type, the
name of its leg, and the payload below. What proves who is back, keys, and what people say to each
other are not in it.
"""

from typing import Any, Final

import msgspec

_MASKED: Final = ("reconnect", "dtmf", "content", "Params", "params")
_STAR: Final = "*"
_MOST: Final = 32  # stars


def shown(kind: str, name: str, payload: Any) -> bytes:
    """A message of the type `kind` in the call whose leg is called `name`."""
    head = f"{kind} {payload.get('callsid', '')}".rstrip()
    sdp = payload.get("sdp", "")
    body = msgspec.json.encode(_masked({**payload, "sdp": "below"} if sdp else payload))
    lines = f"{head}\r\nCall-ID: {name}\r\nContent-Type: application/json\r\n\r\n"
    return lines.encode() + body + (f"\r\n\r\n{sdp}".encode() if sdp else b"")


def _masked(payload: Any) -> Any:
    if not isinstance(payload, dict):
        return payload
    return {
        name: _stars(value) if name in _MASKED else _masked(value)
        for name, value in payload.items()
    }


def _stars(value: object) -> str:
    return _STAR * min(len(value) if isinstance(value, str) else 1, _MOST)
