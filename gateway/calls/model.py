"""Calls and their legs as values, and the table by which a call's status may change.

A call is Twilio's: one party's way through the gateway, with a SID of its own; whoever is dialled
in it is another one, its child. A leg is one INVITE of a call: a call that came in has one, a call
of ours one for each gateway or device that was tried. Neither is changed in place: the next state
is a new value with `version` one higher.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.session_saved import Saved


class CallDirection(StrEnum):
    """Who began it, in Twilio's words."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_DIAL = "outbound-dial"


class CallStatus(StrEnum):
    """Twilio's call states."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


_S = CallStatus
OVER: Final = frozenset({_S.COMPLETED, _S.BUSY, _S.FAILED, _S.NO_ANSWER, _S.CANCELED})
"""States that nothing follows."""

TRANSITIONS: Final[dict[CallStatus, frozenset[CallStatus]]] = {
    _S.QUEUED: frozenset({_S.INITIATED, _S.RINGING, _S.IN_PROGRESS} | OVER),
    _S.INITIATED: frozenset({_S.RINGING, _S.IN_PROGRESS} | OVER),
    _S.RINGING: frozenset({_S.IN_PROGRESS} | OVER),
    _S.IN_PROGRESS: frozenset({_S.COMPLETED}),
    **{each: frozenset() for each in OVER},
}


class Party(StrEnum):
    """Who let go of a call first."""

    NOBODY = ""
    PEER = "peer"
    GATEWAY = "gateway"
    RESTART = "restart"


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call, whole; the columns of table `calls`. Times are seconds of the epoch, 0 for never.

    `carrier` is the trunk that it came by or goes by, `domain` the SIP domain, each "" for none.
    `started` is when it was answered. `origin` says what it runs or why it was made: 'number:SID',
    'domain:SID', 'application:SID', 'dial:SID of the parent', 'transfer:SID of the call whose party
    asked for it', 'replaces:SID of the call that it is joined to', 'rest'. `owner` is the member
    whose process has it.
    `sip_code` is the final code of its last leg, `reason` the rule or cause in words.
    """

    account_sid: str
    sid: str
    parent_sid: str = ""
    direction: CallDirection
    status: CallStatus
    from_address: str
    to_address: str
    caller_name: str = ""
    forwarded_from: str = ""
    phone_number_sid: str = ""
    carrier: str = ""
    domain: str = ""
    origin: str = ""
    owner: str = ""
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = ("completed",)
    error_code: int = 0
    sip_code: int = 0
    reason: str = ""
    date_created: float
    date_updated: float
    started: float = 0.0
    ended: float = 0.0
    version: int = 1

    @property
    def duration(self) -> int:
        """Whole seconds from answer to end; 0 if it was never answered, or is not over."""
        return max(0, round(self.ended - self.started)) if self.started and self.ended else 0


class Quality(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one direction of a leg's media was: packets, lost ones, jitter in seconds, MOS 1 to 5."""

    packets: int = 0
    lost: int = 0
    jitter: float = 0.0
    mos: float = 0.0


class CallLeg(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One INVITE of a call; the columns of table `call_legs`, and what a CDR is made of.

    `attempt` counts a call's legs from 1. `peer` is the gateway's URI, the device's contact or the
    address that it came from. `saved` is what a restart needs to set the far end free, None once
    it is over. `ringing` is when the first 180 or 183 came or went, `cause` the protocol's word for
    the end ("486 Busy Here", "BYE"). Codecs are names as in SDP, "" before there was any.
    """

    account_sid: str
    sid: str
    attempt: int = 1
    direction: CallDirection
    carrier: str = ""
    peer: str = ""
    transport: str = ""
    call_id: str = ""
    saved: Saved | None = None
    began: float
    ringing: float = 0.0
    answered: float = 0.0
    ended: float = 0.0
    sip_code: int = 0
    cause: str = ""
    released_by: Party = Party.NOBODY
    codec_received: str = ""
    codec_sent: str = ""
    received: Quality = Quality()
    sent: Quality = Quality()

    @property
    def post_dial_delay(self) -> float | None:
        """Seconds from the INVITE to the first sign of ringing, or to the answer; None for none."""
        heard = self.ringing or self.answered
        return heard - self.began if heard else None


class Crossing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One SIP message of a call's ladder; `at` in seconds of the epoch, `sent` by us or not.

    `octets` are as they were on the wire, or as they were read, with keys of SRTP taken out.
    """

    at: float
    sent: bool
    transport: str
    local: tuple[str, int]
    remote: tuple[str, int]
    octets: bytes
