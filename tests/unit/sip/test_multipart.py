"""A description among other parts, as carriers send it."""

import pytest

from protocols.sip import agent_events as events
from protocols.sip.headers import MediaType, read_content_type
from protocols.sip.message import Headers
from protocols.sip.multipart import MAX_PARTS, parts_of
from tests.unit.sip.builders import party, request
from tests.unit.sip.parties import ANSWER, Party, Wire, inject

SDP = b"Content-Type: application/sdp\r\n\r\nv=0\r\n"
ISUP = (
    b"Content-Type: application/ISUP; version=itu-t92+\r\n"
    b"Content-Disposition: signal; handling=%s\r\n\r\n\x01\x00\r\n--\x00"
)
MIXED = 'multipart/mixed; boundary="b=1"'


def joined(*parts: bytes, boundary: bytes = b"b=1", end: bytes = b"--") -> bytes:
    marked = [b"--" + boundary + b"\r\n" + each for each in parts]
    return b"preamble\r\n" + b"\r\n".join([*marked, b"--" + boundary + end])


def kind(text: str = MIXED) -> MediaType:
    found = read_content_type(Headers([("Content-Type", text)]))
    assert found is not None
    return found


def test_parts_are_read_as_they_were_written() -> None:
    sdp, isup = parts_of(joined(SDP, ISUP % b"optional"), kind())
    assert (sdp.type and sdp.type.name, sdp.octets) == ("application/sdp", b"v=0\r\n")
    assert (isup.type and isup.type.name) == "application/isup"
    assert isup.octets == b"\x01\x00\r\n--\x00" and not isup.is_required
    (bare,) = parts_of(joined(b"\r\nplain"), kind())
    assert bare.type is None and bare.octets == b"plain"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (joined(SDP), "multipart/mixed"),
        (joined(SDP), f"multipart/mixed; boundary={'b' * 71}"),
        (joined(SDP), "multipart/mixed; boundary=other"),
        (joined(SDP, boundary=b"b=12"), MIXED),
        (b"", MIXED),
        (b"--b=1", MIXED),
        (b"--b=1--", MIXED),
    ],
)
def test_what_has_no_parts(body: bytes, text: str) -> None:
    assert parts_of(body, kind(text)) == ()


def test_parts_without_end_are_not_read() -> None:
    assert len(parts_of(joined(*[b"\r\n"] * 1000), kind())) == MAX_PARTS
    assert len(parts_of(joined(SDP, end=b""), kind())) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (joined(SDP, ISUP % b"optional"), 0),
        (joined(ISUP % b"optional", SDP), 0),
        (joined(b"Content-Type: application/pidf+xml\r\n\r\n<presence/>", SDP), 0),
        (joined(SDP, ISUP % b"required"), 415),
        (joined(ISUP % b"optional"), 415),
        (joined(b"Content-Disposition: early-session\r\n" + SDP), 415),
        (b"no parts", 415),
    ],
)
def test_a_call_whose_offer_is_a_part(body: bytes, status: int) -> None:
    wire = Wire()
    callee = Party(wire, "192.0.2.2")
    headers = Headers([("Content-Type", MIXED)])
    invite = request(contacts=(party("alice"),), headers=headers, body=body)
    said = inject(callee, invite, "192.0.2.1")
    if status:
        assert said == [f"{status} INVITE"] and callee.told == []
        accept = wire.log[-1][2].headers.first("Accept")
        assert accept == "application/sdp, multipart/mixed"
    else:
        (invited,) = callee.heard(events.Invited)
        assert invited.offer is not None
        assert (invited.offer.octets, invited.offer.type) == (b"v=0\r\n", "application/sdp")
        callee.accept(ANSWER)
        assert wire.messages("200 INVITE")[0].body == ANSWER.octets
        callee.hang_up()
    wire.run()
    assert callee.agent.ledger() == {}
