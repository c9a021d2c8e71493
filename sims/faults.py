"""The ways in which a simulated carrier behaves and misbehaves, as values.

A behaviour is a tuple of steps, run in order for one submit_sm; `sims/smsc` knows how to take each
step and nothing else. What is not a step of a behaviour doesn't happen: without `Respond` there is
no response, without `SendReceipt` no receipt, without `Deliver` the handset stays silent. The
catalogue composes the misbehaviours that carriers are known for out of the same few steps.
"""

from enum import StrEnum
from typing import Final, Literal

import msgspec

from protocols.smpp.constants import CommandStatus

# The words for message_state in the text of a receipt (SMPP 3.4, appendix B).
Stat = Literal[
    "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"
]


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="wait"):
    """Let `seconds` pass before the next step."""

    seconds: float


class Deliver(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="deliver"):
    """The handset takes the text, or this part of it."""


class Respond(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="respond"):
    """Answer with a submit_sm_resp; other than ESME_ROK it carries no message id."""

    command_status: int = CommandStatus.ESME_ROK


class SendReceipt(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="receipt"):
    """Queue a delivery receipt, if the submit_sm asked for one (SMPP 3.4, 5.2.17).

    `err` is the three digits of the carrier's own code.
    """

    stat: Stat = "DELIVRD"
    err: str = "000"


class Drop(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="drop"):
    """Cut the connection that the submit_sm came over, without unbind."""


class Garbage(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="garbage"):
    """Write `octets` (hexadecimal digits) between two PDUs."""

    octets: str


class SplitWrites(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="split"):
    """From here on write to this connection in pieces of at most `octets` octets."""

    octets: int


Step = Wait | Deliver | Respond | SendReceipt | Drop | Garbage | SplitWrites
Behaviour = tuple[Step, ...]


class Parts(StrEnum):
    """Which parts of a long text take the turns of an answer; the others are taken normally.

    A bind that drops at the first part would lose the parts behind it unread, and a response
    that is late for each part tells no more than one that is late for the whole: so what
    happens once to a message happens at its last part.
    """

    EACH = "each"
    LAST = "last"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to the first, second, … submit of the same message; then it starts anew."""

    turns: tuple[Behaviour, ...]
    parts: Parts = Parts.EACH


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The seconds that behaviours are made of.

    `response_timeout` is how long the other side waits for a submit_sm_resp.
    """

    receipt_delay: float = 1.0
    response_timeout: float = 10.0


# A PDU of an unknown command: well framed, so that a tolerant reader gets past it.
_UNKNOWN_PDU: Final = "00000014000000f000000000000000ff0badcafe"
# A header whose command_length can't be one: the stream is unreadable from here on.
_UNREADABLE: Final = "fffffffe00000004000000000000000100"


def catalogue(timing: Timing) -> dict[str, Answer]:
    """Every named way to answer a submit_sm."""
    receipt_delay = Wait(seconds=timing.receipt_delay)
    too_late = Wait(seconds=timing.response_timeout * 1.5 + 1.0)
    accepted: Behaviour = (Deliver(), Respond())
    receipted: Behaviour = (receipt_delay, SendReceipt())
    delivered = accepted + receipted
    throttled: Behaviour = (Respond(command_status=CommandStatus.ESME_RTHROTTLED),)
    invalid_destination: Behaviour = (Respond(command_status=CommandStatus.ESME_RINVDSTADR),)
    undelivered = SendReceipt(stat="UNDELIV", err="001")
    early: Behaviour = (Deliver(), SendReceipt(), Wait(seconds=0.5), Respond())
    return {
        "delivered": Answer(turns=(delivered,)),
        "throttled-twice": Answer(turns=(throttled, throttled, delivered)),
        "undeliverable": Answer(turns=((Respond(), receipt_delay, undelivered),)),
        "invalid-destination": Answer(turns=(invalid_destination,)),
        "no-receipt": Answer(turns=(accepted,)),
        "receipt-first": Answer(turns=(early,)),
        "drop-before-response": Answer(
            turns=((Deliver(), Drop(), *receipted), delivered), parts=Parts.LAST
        ),
        "late-response": Answer(
            turns=((Deliver(), too_late, Respond(), *receipted), delivered), parts=Parts.LAST
        ),
        "no-response": Answer(turns=((Deliver(), *receipted),)),
        "lost-unanswered": Answer(turns=((), delivered)),
        "slow": Answer(turns=((Deliver(), Wait(seconds=2.0), Respond(), *receipted),)),
        "unknown-pdu": Answer(turns=((Garbage(octets=_UNKNOWN_PDU), *delivered),)),
        "garbage": Answer(
            turns=((Deliver(), Garbage(octets=_UNREADABLE), *receipted), delivered),
            parts=Parts.LAST,
        ),
        "split-writes": Answer(turns=((SplitWrites(octets=3), *delivered),)),
    }
