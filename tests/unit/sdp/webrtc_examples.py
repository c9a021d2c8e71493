"""Descriptions as browsers write them, cut to what says something; the tests of WebRTC share them.

The keys, addresses and fingerprints are made up.
"""

from typing import Final

from protocols.sdp.ice import Fingerprint, IceSide, Setup

PRINT: Final = ":".join(f"{each:02X}" for each in range(32))
OTHER: Final = ":".join(f"{each:02X}" for each in range(100, 132))
PASSWORD: Final = "q8L1XzYvbn2m4GdK0pWsTe5r"

OURS: Final = IceSide(
    ufrag="gwAB",
    password="aaaabbbbccccddddeeeeffff",
    fingerprints=(Fingerprint(algorithm="sha-256", value=OTHER),),
    candidates=(
        "1 1 udp 2130706431 198.51.100.9 20000 typ host",
        "2 1 udp 2130706430 2001:db8::9 20000 typ host",
    ),
)

_SESSION: Final = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
"""


def lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


_CHROME_AUDIO: Final = f"""m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=sendrecv
a=msid:- 5f4c3e21-0a1b-4c2d-8e3f-112233445566
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:3735928559 cname:Qx1y
a=ssrc:3735928559 msid:- 5f4c3e21-0a1b-4c2d-8e3f-112233445566
"""

CHROME: Final = lines(
    f"{_SESSION}a=group:BUNDLE 0\na=extmap-allow-mixed\na=msid-semantic: WMS\n{_CHROME_AUDIO}"
)
"""Chrome before it has gathered: a first offer of audio, without a candidate."""

CHROME_VIDEO: Final = lines(
    f"{_SESSION}a=group:BUNDLE 0 1 2\na=msid-semantic: WMS\n{_CHROME_AUDIO}"
    f"""m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:1
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:4ZcD
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:2
a=sctp-port:5000
"""
)

FIREFOX: Final = lines(
    f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 5185862341 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {PRINT}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 51472 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 203.0.113.7
a=candidate:0 1 UDP 2122252543 4b1d1f9e-9a53-4a0c-a5a7-0f1d5a3a1a11.local 51472 typ host
a=candidate:2 1 TCP 2105524479 10.0.0.7 9 typ host tcptype active
a=candidate:0 2 UDP 2122252542 10.0.0.7 51473 typ host
a=candidate:1 1 UDP 1686052863 203.0.113.7 51472 typ srflx raddr 0.0.0.0 rport 0
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=fmtp:101 0-15
a=ice-pwd:{PASSWORD}
a=ice-ufrag:8c1f4a22
a=mid:0
a=msid:{{11111111-2222-3333-4444-555555555555}} {{66666666-7777-8888-9999-000000000000}}
a=rtcp:51473 IN IP4 203.0.113.7
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:1234567890 cname:{{abcdefab-cdef-abcd-efab-cdefabcdefab}}
"""
)

OPUS_ALONE: Final = lines(
    f"{_SESSION}a=group:BUNDLE audio\n"
    + _CHROME_AUDIO.replace("111 63 9 0 8 13 110 126", "111 110 126")
    .replace("a=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n", "")
    .replace("a=rtpmap:13 CN/8000\na=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n", "")
    .replace("a=mid:0", "a=mid:audio")
)


def answered_by_chrome(
    offer_mid: str = "0", *, setup: str = "active", ufrag: str = "Zz9+"
) -> bytes:
    """Chrome's answer to our offer of PCMU and Opus."""
    return lines(
        f"""v=0
o=- 77 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE {offer_mid}
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 0 111 101 96
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 192.168.1.20 50001 typ host generation 0 network-cost 999
a=ice-ufrag:{ufrag}
a=ice-pwd:{PASSWORD}
a=fingerprint:sha-256 {PRINT}
a=setup:{setup}
a=mid:{offer_mid}
a=sendrecv
a=rtcp-mux
a=rtpmap:0 PCMU/8000
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=rtpmap:96 telephone-event/48000
"""
    )


def side(*, setup: Setup = Setup.ACTPASS, ufrag: str = "gwAB") -> IceSide:
    """Ours."""
    return IceSide(
        ufrag=ufrag,
        password=OURS.password,
        fingerprints=OURS.fingerprints,
        candidates=OURS.candidates,
        setup=setup,
    )
