"""The states of an SMPP session and the one table by which they change (v5.0 §2.2 to §2.4).

The table says which PDU either side may issue in a state and the state after it; what is not in
it is forbidden. Requests move the state when they are issued, responses when they accept. Two
states are finer than the specification's: BINDING and UNBINDING wait for a response.
"""

from enum import StrEnum
from typing import Final

from protocols.smpp.constants import RESPONSE, CommandId


class Role(StrEnum):
    """Which end of the session: the customer's or the message centre's."""

    ESME = "ESME"
    SMSC = "SMSC"


class State(StrEnum):
    """v5.0 §2.2."""

    OPEN = "open"
    OUTBOUND = "outbound"
    BINDING = "binding"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"
    UNBOUND = "unbound"
    CLOSED = "closed"


PEER: Final[dict[Role, Role]] = {Role.ESME: Role.SMSC, Role.SMSC: Role.ESME}

Row = dict[tuple[Role, CommandId], State]

_C = CommandId
_S = State
_ESME = Role.ESME
_SMSC = Role.SMSC


def _stay(state: State, role: Role, *commands: CommandId) -> Row:
    return {(role, command): state for command in commands}


def _either(state: State, *commands: CommandId) -> Row:
    return _stay(state, _ESME, *commands) | _stay(state, _SMSC, *commands)


_BIND: Final = _stay(_S.BINDING, _ESME, _C.BIND_RECEIVER, _C.BIND_TRANSMITTER, _C.BIND_TRANSCEIVER)
_TO_SMSC: Final = (_C.SUBMIT_SM, _C.DATA_SM, _C.QUERY_SM)
_TO_ESME: Final = (_C.DELIVER_SM, _C.DATA_SM, _C.ALERT_NOTIFICATION)

TRANSITIONS: Final[dict[State, Row]] = {
    _S.OPEN: {
        (_SMSC, _C.OUTBIND): _S.OUTBOUND,
        **_BIND,
        **_either(_S.OPEN, _C.ENQUIRE_LINK),
    },
    _S.OUTBOUND: {**_BIND, **_either(_S.OUTBOUND, _C.ENQUIRE_LINK)},
    _S.BINDING: {
        (_SMSC, _C.BIND_RECEIVER_RESP): _S.BOUND_RX,
        (_SMSC, _C.BIND_TRANSMITTER_RESP): _S.BOUND_TX,
        (_SMSC, _C.BIND_TRANSCEIVER_RESP): _S.BOUND_TRX,
        **_either(_S.BINDING, _C.ENQUIRE_LINK),
    },
    _S.BOUND_TX: {
        **_stay(_S.BOUND_TX, _ESME, *_TO_SMSC),
        **_either(_S.BOUND_TX, _C.ENQUIRE_LINK),
        **_either(_S.UNBINDING, _C.UNBIND),
    },
    _S.BOUND_RX: {
        **_stay(_S.BOUND_RX, _SMSC, *_TO_ESME),
        **_either(_S.BOUND_RX, _C.ENQUIRE_LINK),
        **_either(_S.UNBINDING, _C.UNBIND),
    },
    _S.BOUND_TRX: {
        **_stay(_S.BOUND_TRX, _ESME, *_TO_SMSC),
        **_stay(_S.BOUND_TRX, _SMSC, *_TO_ESME),
        **_either(_S.BOUND_TRX, _C.ENQUIRE_LINK),
        **_either(_S.UNBINDING, _C.UNBIND),
    },
    # What left the other side before our unbind reached it is still taken.
    _S.UNBINDING: {
        **_stay(_S.UNBINDING, _ESME, *_TO_SMSC),
        **_stay(_S.UNBINDING, _SMSC, *_TO_ESME),
        **_either(_S.UNBINDING, _C.ENQUIRE_LINK, _C.UNBIND),
        **_either(_S.UNBOUND, _C.UNBIND_RESP),
    },
    _S.UNBOUND: {**_either(_S.UNBOUND, _C.ENQUIRE_LINK)},
    _S.CLOSED: {},
}

REFUSED: Final = State.OPEN
"""The state after a bind was answered with an error: the connection may try again."""

BINDS: Final = frozenset(command for _, command in _BIND)
BOUND: Final = frozenset({_S.BOUND_TX, _S.BOUND_RX, _S.BOUND_TRX})
MESSAGES: Final = frozenset({*_TO_SMSC, *_TO_ESME})
"""The requests that the application issues and answers."""

ANSWERED: Final = MESSAGES - {_C.ALERT_NOTIFICATION}
"""Those that have a response, and so take a place in the window."""

ANSWERS: Final = frozenset(command | RESPONSE for command in ANSWERED)

ISSUABLE: Final[dict[tuple[Role, State], frozenset[int]]] = {
    (role, state): frozenset(int(command) for issuer, command in row if issuer is role)
    for role in Role
    for state, row in TRANSITIONS.items()
}
"""The command_ids that a side may issue in a state."""
