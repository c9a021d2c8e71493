"""What happened in an SMPP session: values in the past tense, read with `Session.next_event`.

`octets` are whole PDUs as they were on the wire, for a trace; those of a bind hold the password.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.smpp.constants import CommandId
from protocols.smpp.pdu import Bind, BindResp, Outbind, Pdu


class BindKind(StrEnum):
    """Which way a bind carries messages, seen from the ESME."""

    RECEIVER = "receiver"
    TRANSMITTER = "transmitter"
    TRANSCEIVER = "transceiver"


KIND_OF: Final[dict[int, BindKind]] = {
    CommandId.BIND_RECEIVER: BindKind.RECEIVER,
    CommandId.BIND_TRANSMITTER: BindKind.TRANSMITTER,
    CommandId.BIND_TRANSCEIVER: BindKind.TRANSCEIVER,
}


class CloseReason(StrEnum):
    """Why a session ended; the value is the sentence for a person."""

    PEER_CLOSED = "the peer closed the connection"
    CLOSED = "we closed the connection"
    UNBOUND = "the session was unbound"
    SESSION_INIT_TIMEOUT = "no bind came before the session_init timer expired"
    BIND_TIMEOUT = "the bind was not answered before the response timer expired"
    UNBIND_TIMEOUT = "the unbind was not answered before the response timer expired"
    ENQUIRE_LINK_TIMEOUT = "enquire_link was not answered: the link is dead"
    INACTIVITY_TIMEOUT = "no message passed before the inactivity timer expired"
    UNREADABLE = "the stream became unreadable: a PDU had an impossible length"


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Nothing but the options that all events share."""


class Bound(_Event, frozen=True, kw_only=True):
    """ESME: the SMSC accepted our bind.

    `interface_version` is its sc_interface_version, 0 if it sent none (then it may know no TLVs:
    v3.4 §5.3.2.25). On the SMSC's side `accept_bind` is the moment itself and no event follows.
    """

    kind: BindKind
    system_id: str
    interface_version: int
    pdu: BindResp


class BindRefused(_Event, frozen=True, kw_only=True):
    """ESME: the SMSC refused our bind; the connection still stands and may bind again."""

    command_status: int


class BindRequested(_Event, frozen=True, kw_only=True):
    """SMSC: a peer wants to bind; `accept_bind` or `refuse_bind` answers it."""

    sequence_number: int
    kind: BindKind
    pdu: Bind


class Outbound(_Event, frozen=True, kw_only=True):
    """ESME: the SMSC asks us, by outbind, to bind as a receiver."""

    pdu: Outbind


class RequestReceived(_Event, frozen=True, kw_only=True):
    """A request that only the application can answer, with `answer` or `nack`.

    submit_sm, deliver_sm, data_sm and query_sm; alert_notification comes so too and takes no
    answer.
    """

    sequence_number: int
    pdu: Pdu
    octets: bytes


class ResponseReceived(_Event, frozen=True, kw_only=True):
    """The answer to one of our requests, or a generic_nack to it (`pdu` is a `GenericNack`).

    `late` tells that `RequestTimedOut` was reported for it before; `request` are the octets that
    it answers.
    """

    sequence_number: int
    command_status: int
    pdu: Pdu
    octets: bytes
    late: bool
    request: bytes


class ResponseIgnored(_Event, frozen=True, kw_only=True):
    """A response that answers nothing we asked: unknown, a duplicate, or of another command."""

    sequence_number: int
    command_status: int
    pdu: Pdu
    octets: bytes


class RequestTimedOut(_Event, frozen=True, kw_only=True):
    """The response timer expired; the window slot is free, a late response is still matched."""

    sequence_number: int
    request: bytes


class PduRejected(_Event, frozen=True, kw_only=True):
    """A PDU that could not be taken and that we have answered with `command_status`.

    It was malformed, unknown, or forbidden in this state; the session goes on unless `Closed`
    follows. A response of an unknown command is reported so as well, and not answered.
    """

    reason: str
    command_status: int
    octets: bytes


class Unbinding(_Event, frozen=True, kw_only=True):
    """The peer sent unbind; the session answers it right after this event."""


class Unbound(_Event, frozen=True, kw_only=True):
    """unbind was answered, by us or by the peer: no messages from now on."""


class Closed(_Event, frozen=True, kw_only=True):
    """The last event of a session; `outstanding` are the requests whose fate is unknown."""

    reason: CloseReason
    outstanding: tuple[int, ...]


Event = (
    Bound
    | BindRefused
    | BindRequested
    | Outbound
    | RequestReceived
    | ResponseReceived
    | ResponseIgnored
    | RequestTimedOut
    | PduRejected
    | Unbinding
    | Unbound
    | Closed
)
