"""What the transaction layer tells its user: past tense, in the order in which it happened.

About a transaction that the user knows, by `RequestReceived` or by having asked for it,
`Terminated` is the last event, unless the user ended it by `terminate`.
"""

from typing import NewType

import msgspec

from protocols.sip.message import Request, Response
from protocols.sip.transport import Flow

ClientId = NewType("ClientId", int)
"""A transaction of ours."""

ServerId = NewType("ServerId", int)
"""A transaction of a peer's; no number is both."""

TransactionId = ClientId | ServerId


class RequestReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that is neither ACK nor CANCEL, once; `respond` answers it.

    Its top Via says where it came from (`received`, `rport`), so that responses made from it do.
    """

    server_id: ServerId
    request: Request
    flow: Flow


class AckReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ACK of a 2xx; whose it is, the dialog knows.

    `server_id` is None unless the peer gave it the branch of its INVITE. It comes again when it
    was sent again.
    """

    server_id: ServerId | None
    request: Request
    flow: Flow


class CancelReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The INVITE `server_id`, not answered when this came, shall be (RFC 3261 §9.2): with 487.

    The CANCEL itself has been answered.
    """

    server_id: ServerId
    request: Request
    flow: Flow


class ResponseReceived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response to a request of ours.

    Each provisional one, one final one; of an INVITE each 2xx, of any fork and repeated ones too,
    for each wants an ACK (§13.2.2.4).
    """

    client_id: ClientId
    response: Response
    flow: Flow


class StrayResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A response to nothing that is known (any more).

    A 2xx to an INVITE means that somebody waits for an ACK, and for a BYE.
    """

    response: Response
    flow: Flow


class TimedOut(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No final response in time, or no ACK of a refusal, or no answer of the user in time."""

    id: TransactionId


class TransportFailed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the transaction had to say can't be delivered."""

    id: TransactionId
    reason: str


class Terminated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The transaction is gone: no other event names it."""

    id: TransactionId


Event = (
    RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | StrayResponse
    | TimedOut
    | TransportFailed
    | Terminated
)
