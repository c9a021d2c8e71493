"""X-Twilio-Signature: proof to an app that a request comes from the gateway and is whole.

Source: https://www.twilio.com/docs/usage/security#validating-requests. The URL is signed as the
server sees it: without userinfo, without fragment, without a default port (validators try both).
"""

import hmac
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

Parameters = Sequence[tuple[str, str]]


def sign(url: str, parameters: Parameters, auth_token: str) -> str:
    """The signature of a form POST of `parameters` to `url`; of a GET, `parameters` is empty."""
    if parameters:
        # Sorted by name, then value; a pair given twice counts once.
        url += "".join(chain.from_iterable(sorted(set(parameters))))
    keyed = _keyed(auth_token).copy()
    keyed.update(url.encode("utf-8", "replace"))
    return b2a_base64(keyed.digest(), newline=False).decode()


# `hmac.digest` gives up the interpreter's lock each time, which a busy store then takes.
@lru_cache(maxsize=256)
def _keyed(auth_token: str) -> hmac.HMAC:
    return hmac.new(auth_token.encode(), digestmod="sha1")
