"""Who has offered what in a session, and who has to answer (RFC 3264 with RFC 6337).

Descriptions are opaque here. An offer goes by some message, its answer by one that follows from
that, and meanwhile there is no other: the rules say which bodies are an offer, which an answer
and which are neither.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import (
    read_content_disposition,
    read_content_type,
    write_content_type,
)
from protocols.sip.message import Headers, Message
from protocols.sip.multipart import parts_of

SDP: Final = "application/sdp"


class Body(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A body and what it is: `type/subtype` in small letters, with parameters as written."""

    octets: bytes
    type: str = SDP


class Exchange(StrEnum):
    """What a body is to the session.

    A preview is an answer in a response that may get lost: good for early media, and binding
    only when the final response repeats it, or says nothing (RFC 6337 §3.1).
    """

    OFFER = "offer"
    ANSWER = "answer"
    PREVIEW = "preview"
    NONE = "none"


class Pending(StrEnum):
    """Whose offer waits for its answer."""

    NOTHING = "nothing"
    OURS = "ours"
    THEIRS = "theirs"


# What a peer's offer is answered with while one waits (RFC 3261 §14.2, RFC 3311 §5.2).
GLARE: Final = {Pending.OURS: 491, Pending.THEIRS: 500}


class Bearer(StrEnum):
    """What an offer came or went by."""

    INVITE = "INVITE"
    UPDATE = "UPDATE"
    PRACK = "PRACK"
    PROVISIONAL = "reliable 1xx"
    SUCCESS = "2xx"


class Offers:
    """Offers and answers of one dialog.

    `local` and `remote` are the descriptions in force, `complete` says whether there has been an
    exchange, `proposed` is the offer that waits.
    """

    __slots__ = ("bearer", "complete", "local", "pending", "preview", "proposed", "remote")

    def __init__(self) -> None:
        self.pending = Pending.NOTHING
        self.bearer = Bearer.INVITE
        self.complete = False
        self.local: Body | None = None
        self.remote: Body | None = None
        self.proposed: Body | None = None
        self.preview: Body | None = None

    def offer(self, body: Body, bearer: Bearer) -> None:
        """Our offer goes out."""
        self.pending, self.bearer, self.proposed = Pending.OURS, bearer, body
        self.preview = None

    def hear_offer(self, body: Body, bearer: Bearer) -> None:
        """The peer's came."""
        self.pending, self.bearer, self.proposed = Pending.THEIRS, bearer, body
        self.preview = None

    def answer(self, body: Body) -> None:
        """Our answer to theirs goes out."""
        self.remote, self.local = self.proposed, body
        self._settle()

    def hear_answer(self, body: Body) -> None:
        """Theirs to ours came."""
        self.local, self.remote = self.proposed, body
        self._settle()

    def withdraw(self) -> None:
        """The offer that waits was refused: all stays as it was (RFC 3261 §14.1)."""
        self.pending, self.proposed = Pending.NOTHING, None

    def hear_response(self, body: Body | None, bearer: Bearer | None) -> Exchange:
        """What a body in a response to our first INVITE is (RFC 3261 §13.2.1, RFC 3262 §5).

        `bearer` is None for a response that may get lost.
        """
        if self.pending is Pending.OURS and self.bearer is Bearer.INVITE:
            if bearer is None:
                self.preview = body or self.preview
                return Exchange.PREVIEW if body else Exchange.NONE
            found = body or (self.preview if bearer is Bearer.SUCCESS else None)
            if found is None:
                return Exchange.NONE
            self.hear_answer(found)
            return Exchange.ANSWER
        if body and bearer and not self.complete and self.pending is Pending.NOTHING:
            self.hear_offer(body, bearer)
            return Exchange.OFFER
        return Exchange.NONE

    def _settle(self) -> None:
        self.pending, self.proposed, self.preview = Pending.NOTHING, None, None
        self.complete = True


def body_of(message: Message) -> Body | None:
    """The body of a message that says what it is; None if there is none."""
    if not message.body:
        return None
    text = message.headers.first("Content-Type")
    if text == SDP:
        return Body(octets=message.body)
    try:
        kind = read_content_type(message.headers)
    except RemoteProtocolError:
        return None
    if kind is None:
        return None
    return Body(octets=message.body, type=write_content_type(kind)[1])


def description_of(message: Message, types: tuple[str, ...]) -> Body | None:
    """The session description in a message, `types` being what may be one; perhaps in a part."""
    body = body_of(message)
    if body is None:
        return None
    main = main_type(body)
    if main in types:
        return body if _is_of_session(message.headers) else None
    if not main.startswith("multipart/"):
        return None
    kind = read_content_type(message.headers)
    assert kind is not None, "its type was read"
    for part in parts_of(body.octets, kind):
        found = part.type
        if found is not None and found.name in types and _is_of_session(part.headers):
            return Body(octets=part.octets, type=write_content_type(found)[1])
    return None


def _is_of_session(headers: Headers) -> bool:
    """Whether a description is for the session, and for nothing else."""
    if "Content-Disposition" not in headers:
        return True
    try:
        disposition = read_content_disposition(headers)
    except RemoteProtocolError:
        return False
    return disposition is None or disposition.kind == "session"


def main_type(body: Body) -> str:
    """`type/subtype` alone."""
    return body.type.partition(";")[0].strip()


def described(headers: Headers, body: Body | None) -> tuple[Headers, bytes]:
    """`headers` with the type of `body`, and its octets."""
    if body is None:
        return headers, b""
    return headers.with_(("Content-Type", body.type)), body.octets
