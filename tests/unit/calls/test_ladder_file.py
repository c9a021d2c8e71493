"""How a call's messages are packed, and what is taken out of them."""

import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.ladder_file import LADDER, ladder_of, masked, packed, unpacked
from gateway.calls.model import Crossing

US, PEER = ("192.0.2.1", 5060), ("2001:db8::7", 5062)


def crossing(octets: bytes, at: float = 1.5) -> Crossing:
    return Crossing(at, True, "UDP", US, PEER, octets)


def shown_of(octets: bytes) -> bytes:
    (shown,) = masked([octets])
    return shown


def header(line: bytes) -> bytes:
    return b"REGISTER sip:b SIP/2.0\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n"


def sdp(line: bytes) -> bytes:
    return b"INVITE sip:b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n" + line + b"\r\n"


Frame = Callable[[bytes], bytes]

SECRETS: list[tuple[Frame, bytes]] = [
    (header, b'Authorization: Digest username="u", nonce="SECRET", response="SECRET"'),
    (header, b'authorization :DIGEST response = "SECRET",qop=auth,cnonce="SECRET"'),
    (header, b'Authorization: Digest username="u",\r\n response="SECRET",\r\n\tcnonce=SECRET'),
    (header, b'Proxy-Authorization: Digest realm="x", response=SECRET'),
    (header, b'WWW-Authenticate: Digest realm="r", nonce="SECRET", stale=FALSE'),
    (header, b'Proxy-Authenticate: Digest realm="r",nonce="SECRET"'),
    (header, b'Authentication-Info: nextnonce="SECRET", rspauth="SECRET"'),
    (header, b"Authorization: Basic SECRET"),
    (header, b"Authorization: bearer SECRET"),
    (sdp, b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET|2^20|1:4"),
    (sdp, b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:SECRET;inline:SECRET|2^20"),
    (sdp, b"k=clear:SECRET"),
    (sdp, b"m=audio 1 RTP/AVP 0\r\na=crypto:1 X inline:SECRET\r\na=crypto:2 X inline:SECRET"),
]


@pytest.mark.parametrize("frame, line", SECRETS)
def test_secrets_become_as_many_signs(frame: Frame, line: bytes) -> None:
    octets = frame(line)
    shown = shown_of(octets)
    assert b"SECRET" not in shown
    assert len(shown) == len(octets)
    for word in (b"username", b"realm", b"inline:", b"AES_CM_128_HMAC_SHA1_80", b"2^20"):
        assert shown.count(word) == octets.count(word)
    (kept,) = unpacked(packed([crossing(octets)]))
    assert kept.octets == shown


def test_keys_stay_base64_for_who_reads_the_description() -> None:
    octets = sdp(b"a=crypto:1 AEAD_AES_128_GCM inline:c2VjcmV0c2VjcmV0c2VjcmV0==|2^31")
    line = b"a=crypto:1 AEAD_AES_128_GCM inline:AAAAAAAAAAAAAAAAAAAAAAAA==|2^31\r\n"
    assert shown_of(octets).endswith(line)


@pytest.mark.parametrize(
    "kind, body, left",
    [
        (b"application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", b"*\r\nDuration=160\r\n"),
        (b"application/dtmf-relay", b"\r\nsignal= # \r\n", b"\r\nsignal= * \r\n"),
        (b"application/dtmf", b"5", b"*"),
        (b"text/plain", b"5", b"5"),
    ],
)
def test_digits_that_were_pressed_are_secrets(kind: bytes, body: bytes, left: bytes) -> None:
    octets = b"INFO sip:b SIP/2.0\r\nContent-Type: " + kind + b"\r\n\r\n" + body
    assert shown_of(octets).endswith(left)
    assert len(shown_of(octets)) == len(octets)


def test_what_is_no_secret_stays() -> None:
    octets = sdp(b"a=rtpmap:0 PCMU/8000\r\na=response:x\r\ns=nonce=1 response=2")
    assert shown_of(octets) == octets


@given(st.binary(max_size=300))
def test_any_octets_are_packed_and_keep_their_length(octets: bytes) -> None:
    (kept,) = unpacked(packed([crossing(octets)]))
    assert len(kept.octets) == len(octets)


@given(st.lists(st.sampled_from([line for _, line in SECRETS]), max_size=4), st.binary(max_size=20))
def test_secrets_are_found_wherever_they_stand(lines: list[bytes], between: bytes) -> None:
    between = between.replace(b"SECRET", b"")
    octets = sdp(b"\r\n".join(line + b"\r\n" + between for line in lines))
    assert len(shown_of(octets)) == len(octets)


@given(st.lists(st.sampled_from(SECRETS), max_size=5), st.binary(max_size=20))
def test_each_of_many_is_shown_as_it_is_alone(
    secrets: list[tuple[Frame, bytes]], rubbish: bytes
) -> None:
    made = [frame(line) for frame, line in secrets]
    messages = [part for each in made for part in (each, rubbish, each[:-4], each + rubbish, b"5")]
    dtmf = b"INFO sip:b SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n5"
    for several in (messages, [*messages, dtmf], [dtmf, *messages]):
        assert list(masked(several)) == [shown_of(each) for each in several]


def test_a_hostile_message_takes_no_longer_than_its_length() -> None:
    octets = header(b"Authorization: " + b"inline:" * 9000) + b"\nk=" * 20000
    assert len(shown_of(octets)) == len(octets)


def test_a_ladder_is_in_the_order_of_its_times_whatever_the_rows() -> None:
    one, two, three = (crossing(b"m", at) for at in (1.0, 2.0, 3.0))
    assert ladder_of([(packed([three, one]),), (packed([two]),)]) == [one, two, three]


@pytest.mark.parametrize(
    "frames",
    [b"", b"\x91\x93\xcb", LADDER, LADDER + b"rubbish", LADDER + zlib.compress(b"\xc1")],
)
def test_what_is_no_ladder_has_no_messages(frames: bytes) -> None:
    assert unpacked(frames) == []


def test_sip_is_packed_small() -> None:
    invite = sdp(b"\r\n".join(b"a=rtpmap:%d PCMU/8000" % n for n in range(40)))
    assert len(packed([crossing(invite)] * 8)) < len(invite)
