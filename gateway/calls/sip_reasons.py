"""Why a session of SIP ended, as a call's records have it, and as its peer is told."""

from typing import Final

from gateway.calls.model import Party
from protocols.sip.agent_events import Cause
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import Reason, read_reason, read_retry_after
from protocols.sip.message import Headers


def reason_of(status: int, text: str) -> Reason:
    """The header Reason of what we end (RFC 3326)."""
    return Reason(protocol="SIP", cause=status, text=text)


def said(headers: Headers) -> str:
    """Why the peer hung up, in its own words if it has any (RFC 3326)."""
    told = [each.text or f"{each.protocol} {each.cause}" for each in read_reason(headers)]
    return f"BYE: {told[0]}" if told else "BYE"


def retry_after(headers: Headers) -> int:
    """For how many seconds the peer wants to rest, 0 if it does not say so in words."""
    try:
        found = read_retry_after(headers)
    except RemoteProtocolError:
        return 0
    return 0 if found is None else found.seconds


# By whom a session ended, and the status of its INVITE, where no other event said so before.
BY_CAUSE: Final[dict[Cause, tuple[Party, int]]] = {
    Cause.HUNG_UP: (Party.PEER, 0),
    Cause.CLOSED: (Party.GATEWAY, 0),
    Cause.DECLINED: (Party.GATEWAY, 480),
    Cause.CANCELLED: (Party.PEER, 487),
    Cause.EXPIRED: (Party.GATEWAY, 0),
    Cause.UNCONFIRMED: (Party.GATEWAY, 0),
}
