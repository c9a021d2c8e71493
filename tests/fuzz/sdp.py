"""Invariant: any body is a description or is refused, and any offer is answered line by line.

- Reading ends in a value, or in `RemoteProtocolError` with a status; what was read is written and
  reads as it was; no key shows in its repr;
- an answer has the m= lines of its offer, by kind and protocol, and none at a port where the
  offer had 0; a refusal leaves the machine as it was;
- of two sides of ours each takes the other's description, and both come to the same.
"""

import random
from typing import Final

import msgspec

from protocols.sdp.codec import read, write
from protocols.sdp.description import Direction, SessionDescription
from protocols.sdp.errors import RemoteProtocolError
from protocols.sdp.formats import COMFORT_NOISE, G722, OPUS, PCMA, PCMU
from protocols.sdp.ice import Fingerprint, IceSide
from protocols.sdp.matching import Refused
from protocols.sdp.media import LocalMedia, MediaPolicy, Preference, SrtpPolicy, Stream
from protocols.sdp.negotiation import Negotiation, State

_HEAD: Final = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
_KEY: Final = "QUJD" * 10
_MEDIA: Final = (
    "m=audio 9 RTP/AVP 0 8 96 97 13", "m=audio 9 RTP/SAVP 96 0", "m=audio 0 RTP/AVP 0",
    "m=audio 65535 RTP/AVPF 9 111", "m=image 9 udptl t38", "m=video 9 RTP/AVP 31 96",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 0 RTP/AVP",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0 97\na=rtcp-mux\na=ice-ufrag:abcd\na=ice-pwd:" + "p" * 22
    + "\na=fingerprint:sha-256 " + ":".join(["AB"] * 32),
)  # fmt: skip
_LINES: Final = (
    "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/8000", "a=rtpmap:111 opus/48000/2",
    "a=fmtp:97 0-15,66", "a=fmtp:96 minptime=10;x", "a=rtpmap:13 telephone-event/48000",
    "a=ptime:30", "a=maxptime:20", "a=rtcp-mux", "a=rtcp:53020", "a=rtcp:7 IN IP4 192.0.2.9",
    "a=sendonly", "a=inactive", "a=recvonly", "c=IN IP4 0.0.0.0", "c=IN IP6 2001:db8::1",
    "c=IN IP4 10.0.0.1", "c=IN IP4 x.example", "c=IN IP4 224.1.1.1/127", "b=AS:64", "k=clear:x",
    f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{_KEY}", "a=group:BUNDLE a", "i=x", "t=1 1",
    f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{_KEY}|2^20|1:4", "a=mid:a", "a=rtpmap:0 x",
    "a=setup:active", "a=setup:holdconn", "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host",
    "a=candidate:1 1 udp 1 x.local 5000 typ host", "a=group:BUNDLE b a", "a=ice-ufrag:",
)  # fmt: skip


_OURS: Final = IceSide(
    ufrag="ours",
    password="o" * 22,
    fingerprints=(Fingerprint(algorithm="sha-256", value=":".join(["CD"] * 32)),),
)


def body(chance: random.Random) -> bytes:
    """Something like an offer, bent in a place or two."""
    said = [_HEAD]
    for _ in range(chance.randrange(5)):
        said.append(chance.choice(_MEDIA))
        said.extend(chance.choices(_LINES, k=chance.randrange(7)))
    octets = chance.choice(("\r\n", "\n", "\r")).join(said).encode()
    for _ in range(chance.choice((0, 0, 0, 1, 1, 3))):
        at = chance.randrange(len(octets) + 1)
        octets = octets[:at] + chance.randbytes(chance.randrange(3)) + octets[at + 1 :]
    if chance.random() < 0.1:
        octets = octets[: chance.randrange(len(octets) + 1)]
    return octets


def local(chance: random.Random, address: str) -> LocalMedia:
    codecs = (OPUS, G722, PCMA, COMFORT_NOISE)
    return LocalMedia(
        address=address,
        port=chance.choice((20000, 20002)),
        direction=chance.choice(list(Direction)),
        policy=MediaPolicy(
            codecs=(PCMU, *chance.sample(codecs, chance.randrange(len(codecs)))),
            preference=chance.choice(list(Preference)),
            most_codecs=chance.randrange(1, 4),
            rtcp_mux=chance.random() < 0.5,
            srtp=chance.choice(list(SrtpPolicy)),
        ),
    )


def check_answer(chance: random.Random, session: Negotiation, offered: SessionDescription) -> None:
    before = (session.plan, session.local, session.remote)
    session.receive_offer(offered)
    ours = local(chance, "198.51.100.1")
    if chance.random() < 0.4:
        ours = msgspec.structs.replace(ours, ice=_OURS)
    result = session.answer(ours)
    assert session.state is State.STABLE
    if isinstance(result, Refused):
        assert (session.plan, session.local, session.remote) == before
        assert result.status == 488 and result.reason.isascii()
        return
    answer = result.description
    assert result.plan.audio is None or (result.plan.ice is None) is (ours.ice is None)
    assert read(write(answer)) == answer
    assert len(answer.media) == len(offered.media)
    for theirs, ours in zip(offered.media, answer.media, strict=True):
        assert (theirs.kind, theirs.protocol) == (ours.kind, ours.protocol)
        assert theirs.port or not ours.port


def check_pair(chance: random.Random, session: Negotiation, peer: Negotiation) -> None:
    """What we offer is taken by one like us, or refused; then both have the same."""
    offered = session.offer(local(chance, "198.51.100.1"))
    peer.receive_offer(read(write(offered)))
    answered = peer.answer(local(chance, "203.0.113.1"))
    if isinstance(answered, Refused):
        session.withdraw()
        return
    accepted = session.accept(read(write(answered.description)))
    assert not isinstance(accepted, Refused), accepted
    same(accepted.plan.audio, answered.plan.audio)


def same(here: Stream | None, there: Stream | None) -> None:
    assert here is not None and there is not None
    assert here.local == there.remote and there.local == here.remote
    assert here.local_rtcp == there.remote_rtcp and there.local_rtcp == here.remote_rtcp
    assert here.direction is there.direction.reversed
    sent = [each.sent.payload_type for each in here.codecs]
    assert sent == [each.received.payload_type for each in there.codecs]
    assert (here.srtp is None) is (there.srtp is None)
    if here.srtp is not None and there.srtp is not None:
        assert here.srtp.send_key == there.srtp.receive_key
        assert here.srtp.receive_key == there.srtp.send_key


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    session = Negotiation(session_id=7, key=chance.randbytes)
    peer = Negotiation(session_id=8, key=chance.randbytes)
    for _ in range(3):
        try:
            offered = read(body(chance))
        except RemoteProtocolError as error:
            assert error.status in (400, 413)
        else:
            assert read(write(offered)) == offered
            assert "ABCABC" not in repr(offered)
            check_answer(chance, session, offered)
        check_pair(chance, session, peer)
