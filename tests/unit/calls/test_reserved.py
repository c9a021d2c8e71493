"""The names that nobody but the gateway says: all that the code sends, and no fewer."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.calls.browser_calls import BrowserCalls
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.reserved import BEGINNINGS, KNOWN, SENT, is_reserved
from twiml.parameters import Leg, Place, Progress, status_parameters

ROOT = Path(__file__).parents[3]
NAMED = re.compile(r"[A-Z][A-Za-z]*[a-z]|msg")
# REST and the command line read names of their own, and tell apps nothing.
OTHERS = (ROOT / "gateway/api", ROOT / "gateway/cli")
PARTS = {"City", "State", "Zip", "Country"}  # of the four places


def written() -> set[str]:
    """Every name that stands before a value in the code, as in `("CallSid", call.sid)`."""
    found = set()
    for folder in ("gateway", "twiml"):
        for path in (ROOT / folder).rglob("*.py"):
            if any(path.is_relative_to(each) for each in OTHERS):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Tuple(elts=[ast.Constant(value=str(name)), _]) if NAMED.fullmatch(
                        name
                    ):
                        found.add(name)
    return found


def of_a_leg() -> set[str]:
    """What is told of a leg of which all is known."""
    every = {each: "x" for each in Leg.__struct_fields__ if isinstance(each, str)}
    place = Place(city="x", state="x", zip="x", country="x")
    leg = Leg(**{**every, "from_place": place, "to_place": place, "sip_headers": (), "custom": ()})
    return {name for name, _ in status_parameters(leg, Progress(at=0.0, sequence=0, duration=1))}


def test_all_that_the_code_sends_is_in_the_table_and_nothing_else() -> None:
    assert written() - PARTS | of_a_leg() == SENT
    assert not SENT & KNOWN


@pytest.mark.parametrize(
    "name",
    [
        *("Digits", "SpeechResult", " Digits", "Digits[x]", "Digits\0x", "SipHeader_X-Ticket"),
        *("DialSipHeader_X-A", "MediaUrl0", "msg"),
    ],
)
def test_what_only_the_gateway_says(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["name", "number", "digits", "Digit", "SipHeaders", "orderId"])
def test_what_a_page_may_say(name: str) -> None:
    assert not is_reserved(name)


def test_a_page_forges_nothing_that_the_gateway_says() -> None:
    forged = [*SENT, *KNOWN, *(f"{each}1" for each in BEGINNINGS)]
    asking: Any = SimpleNamespace(
        account_sid="AC1",
        identity="alice",
        application_sid="AP1",
        parameters=tuple((name, "forged") for name in (*forged, "order")),
    )
    house: Any = SimpleNamespace(clock=lambda: 1.0, sid=lambda: "CA1", owner="me")
    nothing: Any = None
    calls = BrowserCalls(house, full=nothing, begin=nothing, find=nothing)
    arrival = calls._arrival(asking)
    assert arrival.extra == (("ApplicationSid", "AP1"), ("order", "forged"))
    made = msgspec.structs.replace(arrival.call, to_address="")
    assert made == Call(
        account_sid="AC1",
        sid="CA1",
        direction=CallDirection.INBOUND,
        status=CallStatus.RINGING,
        from_address="client:alice",
        to_address="",
        origin="application:AP1",
        owner="me",
        date_created=1.0,
        date_updated=1.0,
    )
