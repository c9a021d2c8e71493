"""What is asked of a URL and what came of it: the values of this package."""

import msgspec

from gateway.webhooks.cookies import Cookie
from twiml.errors import Finding


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a customer's URL.

    `url` is as the customer configured it, with userinfo and fragment. `parameters` go into the
    query of a GET, after the customer's own, and into the form of a POST. A POST may have `content`
    instead, octets of `content_type`. `idempotency_token` is the same in each try. `conditions` are
    headers that make it conditional (RFC 9110 13.1): with any, a 304 is an answer. What a request
    carries is not shown by `repr`.
    """

    url: str
    method: str = "POST"
    parameters: tuple[tuple[str, str], ...] = ()
    account_sid: str
    auth_token: str
    idempotency_token: str = ""
    cookies: tuple[Cookie, ...] = ()
    content: bytes = b""
    content_type: str = ""
    conditions: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Request({self.method} for {self.account_sid})"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A 2xx and its body, or the 304 that was asked for.

    `url` is where it came from in the end, fit to be shown; `base` is the same for resolving the
    URLs of the document against, and may hold userinfo. `cookies` are those of the request after
    what the servers on the way set. `elapsed` is in seconds, over all tries and redirects.
    `freshness` are those of its headers that a cache goes by, their names in small letters.
    """

    status: int
    content_type: str
    body: bytes
    url: str
    base: str
    cookies: tuple[Cookie, ...]
    elapsed: float
    freshness: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Answer({self.status} from {self.url}, {len(self.body)} octets)"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """No usable answer: one of Twilio's codes, and what happened, for a person.

    `url` is the one that failed, without userinfo and fragment; `status` is 0 when no answer came.
    `content_type` and `body` (cut) are those of an answer that was refused, for the notification,
    and `others` are what else was found in it.
    """

    error_code: int
    message: str
    url: str
    status: int = 0
    elapsed: float = 0.0
    content_type: str = ""
    body: bytes = b""
    others: tuple[Finding, ...] = ()
