"""tshark reads the capture files that we make of calls: every message SIP, none malformed."""

import subprocess
from pathlib import Path

import pytest

from gateway.calls.ladder_file import packed, unpacked
from gateway.calls.model import Crossing
from gateway.calls.pcap import pcap

pytestmark = pytest.mark.interop

US, PEER = ("192.0.2.1", 5060), ("198.51.100.7", 5062)
US6, PEER6 = ("2001:db8::1", 5061), ("2001:db8::7", 40000)
SDP = b"""v=0\r
o=- 1 1 IN IP4 192.0.2.1\r
s=-\r
c=IN IP4 192.0.2.1\r
t=0 0\r
m=audio 20000 RTP/SAVP 0 101\r
a=rtpmap:101 telephone-event/8000\r
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r
"""
FIELDS = (
    "sip.Method",
    "sip.Status-Code",
    "ip.src",
    "ipv6.src",
    "sdp.media",
    "sip.auth.digest.response",
)


def message(first: bytes, cseq: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    lines = [
        first,
        b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
        b"Max-Forwards: 70",
        b"From: <sip:+15550001000@192.0.2.1>;tag=a",
        b"To: <sip:+447700900123@198.51.100.7>",
        b"Call-ID: 1@192.0.2.1",
        b"CSeq: 1 " + cseq,
        *headers,
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


OFFER = (b"Contact: <sip:192.0.2.1>", b"Content-Type: application/sdp")
CREDENTIALS = (
    b'Proxy-Authorization: Digest username="u", realm="r", nonce="0a1b2c3d", uri="sip:b",'
    b' response="6629fae49393a05397450978507c4ef1"'
)
CALL = (
    (True, message(b"INVITE sip:b SIP/2.0", b"INVITE", CREDENTIALS, *OFFER, body=SDP)),
    (False, message(b"SIP/2.0 180 Ringing", b"INVITE")),
    (False, message(b"SIP/2.0 200 OK", b"INVITE", *OFFER, body=SDP)),
    (True, message(b"ACK sip:b SIP/2.0", b"ACK")),
    (False, message(b"BYE sip:a SIP/2.0", b"BYE")),
    (True, message(b"SIP/2.0 200 OK", b"BYE")),
)


@pytest.mark.parametrize("local, remote", [(US, PEER), (US6, PEER6)])
def test_a_call_is_read(tmp_path: Path, local: tuple[str, int], remote: tuple[str, int]) -> None:
    ladder = unpacked(
        packed(
            [
                Crossing(1_795_168_800.0 + at, sent, "TLS", local, remote, octets)
                for at, (sent, octets) in enumerate(CALL)
            ]
        )
    )
    file = tmp_path / "call.pcap"
    file.write_bytes(pcap(ladder))
    assert tshark(file, "-Y", "_ws.malformed || !sip") == []
    checked = ("-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    wrong = "udp.checksum.status != 1 || ip.checksum.status == 0"
    assert tshark(file, *checked, "-Y", wrong) == []
    fields = [option for name in FIELDS for option in ("-e", name)]
    rows = [line.split("|") for line in tshark(file, "-T", "fields", "-E", "separator=|", *fields)]
    ipv4 = ":" not in local[0]
    assert [(row[0] or row[1], row[2] if ipv4 else row[3]) for row in rows] == [
        ("INVITE", local[0]),
        ("180", remote[0]),
        ("200", remote[0]),
        ("ACK", local[0]),
        ("BYE", remote[0]),
        ("200", local[0]),
    ]
    assert rows[0][4].startswith("audio 20000") and rows[0][5].strip('"') == "*" * 32
    assert b"WVNfX19zZW1j" not in file.read_bytes()


def tshark(file: Path, *options: str) -> list[str]:
    """What tshark prints of `file`, by line."""
    done = subprocess.run(
        ["tshark", "-r", str(file), *options], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()
