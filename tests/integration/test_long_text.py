"""Long texts: every border falls into a character of two units, and nothing is lost or changed.

What left is read by an SMSC and a join that share no code with the gateway.
"""

from collections.abc import Callable, Iterator
from string import ascii_lowercase

import pytest
from twilio.base.exceptions import TwilioRestException

from tests.conftest import StartGateway
from tests.integration.gateway_process import (
    NUMBER,
    carrier_config,
    command,
    get,
    wait_for_status,
)
from tests.integration.octet_smsc import GSM, UCS2, OctetSmsc, Text, octet_smsc, texts
from tests.running import RunningGateway

TO = "+447700900777"
EMOJI = "😀"  # a surrogate pair
EURO = "€"  # an escape pair in the GSM alphabet


@pytest.fixture
def smsc() -> Iterator[OctetSmsc]:
    with octet_smsc() as running:
        yield running


def body_of(wide: str, room: int, *, code_points: int = 0, units: int = 0) -> str:
    """A body of just so many code points, or UTF-16 units, with `wide` across every border."""
    pieces = [ascii_lowercase[n % 26] for n in range(room - 1)]
    while len(pieces) < max(code_points, units):
        # It opens a part, whose last unit the next one would need too.
        pieces += [wide, *(ascii_lowercase[n % 26] for n in range(room - 3))]
    if code_points:
        return "".join(pieces[:code_points])
    while utf16_units("".join(pieces)) > units:
        pieces.pop()
    return "".join(pieces).ljust(units - utf16_units("".join(pieces)) + len(pieces), "z")


def utf16_units(text: str) -> int:
    """As SMS counts them where the alphabet is UCS-2."""
    return len(text.encode("utf-16-be")) // 2


def cut_everywhere(body: str, wide: str, room: int, width: Callable[[str], int]) -> bool:
    """Whether greedy filling meets `wide` at every border."""
    used, borders, hit = 0, 0, 0
    for character in body:
        size = width(character)
        if used + size > room:
            borders += 1
            hit += character == wide
            used = 0
        used += size
    return borders > 3 and borders == hit


def only_text(smsc: OctetSmsc) -> Text:
    """The one text that came."""
    ((_, text),) = texts(smsc.submits).items()
    return text


def started(start_gateway: StartGateway, smsc: OctetSmsc, config: str = "") -> RunningGateway:
    """A gateway whose only carrier is `smsc`."""
    return start_gateway(config + carrier_config(smsc.port))


def test_1600_code_points_over_rest_with_an_emoji_across_every_border(
    start_gateway: StartGateway, smsc: OctetSmsc
) -> None:
    body = body_of(EMOJI, 67, code_points=1600)
    assert len(body) == 1600 and cut_everywhere(body, EMOJI, 67, utf16_units)
    gateway = started(start_gateway, smsc)
    client = gateway.client()
    message = client.messages.create(to=TO, from_=NUMBER, body=body)
    wait_for_status(gateway, message.sid, ["sent"])

    text = only_text(smsc)
    assert text.body() == body
    assert text.data_coding == UCS2
    assert int(message.num_segments) == text.total == len(smsc.submits) > 20
    assert client.messages(message.sid).fetch().body == body

    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=TO, from_=NUMBER, body=body + "!")
    assert (refused.value.status, refused.value.code) == (400, 21617)
    assert len(smsc.submits) == text.total


def test_1600_gsm_characters_with_an_escape_across_every_border(
    start_gateway: StartGateway, smsc: OctetSmsc
) -> None:
    body = body_of(EURO, 153, code_points=1600)
    assert cut_everywhere(body, EURO, 153, lambda character: 1 + (character == EURO))
    gateway = started(start_gateway, smsc)
    message = gateway.client().messages.create(to=TO, from_=NUMBER, body=body)
    wait_for_status(gateway, message.sid, ["sent"])
    text = only_text(smsc)
    assert (text.body(), text.data_coding) == (body, GSM)
    assert int(message.num_segments) == text.total == len(smsc.submits) > 10


def test_5000_utf16_units_by_the_command_line(start_gateway: StartGateway, smsc: OctetSmsc) -> None:
    body = body_of(EMOJI, 67, units=5000)
    assert utf16_units(body) == 5000 and cut_everywhere(body, EMOJI, 67, utf16_units)
    gateway = started(start_gateway, smsc, "[messages]\nmax_body = 5000\n")
    sent = command(gateway, "send", "--to", TO, "--from", NUMBER, "--body", body)
    assert sent.returncode == 0, sent.stderr
    sid = sent.stdout.split()[0]
    wait_for_status(gateway, sid, ["sent"])

    text = only_text(smsc)
    assert text.body() == body
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages/{sid}.json"
    assert int(get(gateway, path)["num_segments"]) == text.total == len(smsc.submits) > 70


EDGES = {
    "x" * 160: 1,
    "x" * 161: 2,
    "я" * 70: 1,
    "я" * 71: 2,
    EURO * 80: 1,
    EURO * 81: 2,
    EMOJI * 35: 1,
    EMOJI * 36: 2,
}


def test_the_edges_of_one_segment(start_gateway: StartGateway, smsc: OctetSmsc) -> None:
    gateway = started(start_gateway, smsc)
    for body, segments in EDGES.items():
        before = len(smsc.submits)
        message = gateway.client().messages.create(to=TO, from_=NUMBER, body=body)
        wait_for_status(gateway, message.sid, ["sent"])
        (text,) = texts(smsc.submits[before:]).values()
        assert text.body() == body
        assert int(message.num_segments) == len(smsc.submits) - before == segments
