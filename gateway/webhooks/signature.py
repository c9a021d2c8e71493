"""X-Twilio-Signature: proof to an app that a request comes from the gateway and is whole.

Source: https://www.twilio.com/docs/usage/security#validating-requests. The URL is signed as the
server sees it: without userinfo, without fragment, without a default port (validators try both).
"""

import hashlib
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK: Final = 64  # octets of a block of SHA-1

Parameters = Sequence[tuple[str, str]]


def sign(url: str, parameters: Parameters, auth_token: str) -> str:
    """The signature of a form POST of `parameters` to `url`; of a GET, `parameters` is empty."""
    if parameters:
        # Sorted by name, then value; a pair given twice counts once.
        url += "".join(chain.from_iterable(sorted(set(parameters))))
    inner, outer = _keyed(auth_token)
    inner, outer = inner.copy(), outer.copy()
    inner.update(url.encode("utf-8", "replace"))
    outer.update(inner.digest())
    return b2a_base64(outer.digest(), newline=False).decode()


# HMAC by its definition (RFC 2104): `hmac.digest` gives up the interpreter's lock each time, which
# a busy store then takes, and a copy of an `hmac.HMAC` costs twice what these two do.
@lru_cache(maxsize=256)
def _keyed(auth_token: str) -> "tuple[_Hash, _Hash]":
    """The inner and the outer hash, with the key in them."""
    key = auth_token.encode()
    if len(key) > _BLOCK:
        key = hashlib.sha1(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    return (
        hashlib.sha1(bytes([octet ^ 0x36 for octet in key])),
        hashlib.sha1(bytes([octet ^ 0x5C for octet in key])),
    )
