"""sipp as a phone that leaves a call to others, and as one that asks somebody else meanwhile.

RFC 5359 §2.2, §2.4 and §2.5.
"""

from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.flow import AUDIO, Hear, Rest, Side, Steps
from tests.interop.sip.flows import (
    ESTABLISHED,
    HANGING_UP,
    HUNG_UP,
    NEW_REGISTRATION,
    ON_HOLD,
    TRANSFERRING,
    answering,
    news,
    patient,
    proving,
    reoffering,
)
from tests.interop.sip.world import BEYOND, DIAL_BOB, DOMAIN, document
from tests.interop.sipp_peer import Sipp

pytestmark = pytest.mark.interop
THIRD = "+447700900789"
# What a NOTIFY says gives way to later news while the one before it is under way.
_RINGING: Steps = patient(seconds=6, ringing=1.5)
_RESUMING: Steps = (Rest(seconds=4), *reoffering(AUDIO), Rest(seconds=0.3))
_HOLDING: Steps = (Rest(seconds=0.3), *reoffering(ON_HOLD))


def test_a_blind_transfer(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """RFC 5359 §2.4: a phone leaves, and whom it called is joined with the number it names."""
    world = start_world()
    carrier = start_sipp(steps=_RINGING, **world.carrier_is_called(calls=2))
    phone = world.phone("alice", f"sip:{BEYOND}@{DOMAIN}")
    phone["names"] = replace(phone["names"], also={"elsewhere": f"sip:{THIRD}@{DOMAIN}"})
    transferor = start_sipp(steps=(*proving(), *TRANSFERRING, *HANGING_UP), **phone)
    transferor.finish()
    carrier.finish()
    world.calls_over(3)


def test_a_blind_transfer_by_the_callee(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """As RFC 5359 §2.4 draws it: who called the phone is joined with the number it names."""
    world = start_world(phones=DIAL_BOB)
    carrier = start_sipp(steps=_RINGING, **world.carrier_is_called())
    line = world.phone("bob")
    registered = start_sipp(steps=NEW_REGISTRATION, **line)
    registered.finish()
    names = replace(line["names"], also={"elsewhere": f"sip:{THIRD}@{DOMAIN}"})
    place = {"host": registered.host, "port": registered.port}
    transferring = (*answering(), Rest(seconds=0.5), *TRANSFERRING, *HANGING_UP)
    bob = start_sipp(Side.CALLEE, transferring, names=names, **place)
    alice = start_sipp(
        steps=(*proving(), Hear(what="BYE", patience=20), *HUNG_UP[1:]),
        **world.phone("alice", f"sip:bob@{DOMAIN}"),
    )
    bob.finish()
    carrier.finish()
    alice.finish()
    world.calls_over(3)


def _dialog(phone: Sipp) -> tuple[str, str, str]:
    """Call-ID, the gateway's tag and its own of the call that the phone made."""
    answered = phone.wait_for(
        r"SIP/2\.0 200 OK\s+Via:[^\n]*\s+From:[^\n]*;tag=(\S+)\s+To:[^\n]*;tag=(\S+)"
        r"\s+Call-ID: (\S+)\s+CSeq: \d+ INVITE"
    )
    own, theirs, call_id = answered.groups()
    return call_id, theirs, own


def test_an_attended_transfer(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """RFC 5359 §2.5: one call is on hold, and its party gets the other call's."""
    world = start_world()
    carrier = start_sipp(steps=patient(seconds=6), **world.carrier_is_called(calls=2))
    first = start_sipp(
        steps=(*proving(), *_HOLDING, *HUNG_UP),
        **world.phone("alice", f"sip:{BEYOND}@{DOMAIN}"),
    )
    first.wait_for("a=sendonly.*SIP/2.0 200 OK")
    call_id, theirs, own = _dialog(first)
    replaces = quote(f"{call_id};to-tag={theirs};from-tag={own}", safe="")
    again = world.phone("alice", f"sip:{THIRD}@{DOMAIN}")
    target = f"sip:{BEYOND}@{DOMAIN}?Replaces={replaces}"
    again["names"] = replace(again["names"], also={"elsewhere": target})
    asking = (*TRANSFERRING[:2], *news("100"), *news("200"))
    second = start_sipp(steps=(*proving(), Rest(seconds=0.5), *asking, *HANGING_UP), **again)
    second.finish()
    first.finish()
    carrier.finish()
    world.calls_over(4)
    assert [call["status"] for call in world.calls()] == ["completed"] * 4


def test_a_phone_takes_the_place_of_another(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """RFC 3891: by a call of its own that names what it replaces."""
    world = start_world()
    carrier = start_sipp(steps=patient(seconds=6), **world.carrier_is_called())
    first = start_sipp(
        steps=(*proving(), *HUNG_UP), **world.phone("alice", f"sip:{BEYOND}@{DOMAIN}")
    )
    call_id, theirs, own = _dialog(first)
    named = f"Replaces: {call_id};to-tag={theirs};from-tag={own}"
    second = start_sipp(
        steps=(*proving("Require: replaces", named), *HUNG_UP),
        **world.phone("bob", f"sip:{BEYOND}@{DOMAIN}"),
    )
    first.finish()
    second.finish()
    carrier.finish()


def test_a_caller_asks_somebody_else(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """RFC 5359 §2.2: hold, call another, and come back."""
    world = start_world()
    carrier = start_sipp(steps=patient(), **world.carrier_is_called(calls=2))
    first = start_sipp(
        steps=(*proving(), *_HOLDING, *_RESUMING, *HANGING_UP),
        **world.phone("alice", f"sip:{BEYOND}@{DOMAIN}"),
    )
    first.wait_for("a=sendonly.*SIP/2.0 200 OK")
    second = start_sipp(
        steps=(*proving(), Rest(seconds=0.3), *HANGING_UP),
        **world.phone("alice", f"sip:{THIRD}@{DOMAIN}"),
    )
    second.finish()
    first.finish()
    carrier.finish()
    world.calls_over(4)
    assert [call["status"] for call in world.calls()] == ["completed"] * 4


def test_a_callee_asks_somebody_else(start_world: StartWorld, start_sipp: StartSipp) -> None:
    world = start_world(voice=document('<Pause length="9"/>'))
    callee = start_sipp(
        steps=(*answering(), *_HOLDING, *_RESUMING, *HANGING_UP), **world.carrier_is_called()
    )
    phone = start_sipp(
        steps=(*proving(), Hear(what="BYE", patience=20), *HUNG_UP[1:]),
        **world.phone("alice", f"sip:{BEYOND}@{DOMAIN}"),
    )
    callee.wait_for("a=sendonly.*SIP/2.0 200 OK")
    start_sipp(steps=ESTABLISHED.caller, **world.carrier_calls()).finish()
    callee.finish()
    phone.finish()
    world.calls_over(3)
    assert [call["status"] for call in world.calls()] == ["completed"] * 3
