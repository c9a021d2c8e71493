"""Answers to offers: who chose what, what is refused with which code, what media are sent where."""

import pytest

from protocols.sdp.codec import read, write
from protocols.sdp.description import Direction, SessionDescription
from protocols.sdp.errors import LocalProtocolError, WarningCode
from protocols.sdp.formats import COMFORT_NOISE, G722, OPUS, PCMA, PCMU, STATIC, Codec
from protocols.sdp.matching import Refused
from protocols.sdp.media import (
    DtmfMode,
    LocalMedia,
    MediaPlan,
    MediaPolicy,
    Preference,
    SrtpPolicy,
    reach,
)
from protocols.sdp.offer_answer import Answered, answer, refusal
from tests.unit.sdp.sdp_examples import ALICE, BOB, HEAD, Keys, bob, bobs, described, stream, types

G729 = STATIC[18]
G723 = STATIC[4]
ILBC = Codec(payload_type=97, name="iLBC", clock_rate=8000)
AUDIO = "m=audio 49170 RTP/AVP 0 8 101\na=rtpmap:101 telephone-event/8000\n"
A_KEY = "QUFB" * 10
KEYED = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{A_KEY}\n"


def answered(offered: SessionDescription | str, local: LocalMedia | None = None) -> Answered:
    result = tried(offered, local)
    assert isinstance(result, Answered), result
    assert read(write(result.description)) == result.description
    return result


def tried(offered: SessionDescription | str, local: LocalMedia | None = None) -> Answered | Refused:
    made, ours = bob(), local or bobs()
    description = described(offered) if isinstance(offered, str) else offered
    made.receive_offer(description)
    result = made.answer(ours)
    assert refusal(description, ours) == (result if isinstance(result, Refused) else None)
    return result


def text(result: Answered) -> list[str]:
    """The lines of the answer from m= on."""
    lines = write(result.description).decode().split("\r\n")[:-1]
    return lines[next(i for i, each in enumerate(lines) if each.startswith("m=")) :]


def test_a_plain_offer() -> None:
    result = answered(AUDIO)
    assert write(result.description).decode().split("\r\n") == [
        "v=0",
        f"o=- 7 7 IN IP4 {BOB}",
        "s=-",
        f"c=IN IP4 {BOB}",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]
    audio = stream(result)
    assert (audio.slot, audio.direction, audio.ptime) == (0, Direction.SENDRECV, 20)
    assert (audio.local, audio.local_rtcp) == ((BOB, 20000), (BOB, 20001))
    assert (audio.remote, audio.remote_rtcp) == ((ALICE, 49170), (ALICE, 49171))
    assert types(audio) == [(0, 0)]
    assert [each.sent.payload_type for each in audio.events] == [101]
    assert (audio.noise, audio.srtp, audio.rtcp_mux, audio.is_private) == ((), None, False, False)


def test_rfc_3264_10_1() -> None:
    """Audio and two videos: Bob takes the audio, the m= lines keep their places."""
    result = answered(
        "m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
        "m=video 51372 RTP/AVP 31\na=rtpmap:31 H261/90000\n"
        "m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n"
    )
    assert [line for line in text(result) if line.startswith("m=")] == [
        "m=audio 20000 RTP/AVP 0",
        "m=video 0 RTP/AVP 31",
        "m=video 0 RTP/AVP 32",
    ]


@pytest.mark.parametrize(
    ("offer", "ours", "most", "chosen"),
    [
        # RFC 4317 §2.1: PCMU, PCMA and iLBC offered, PCMU taken.
        ("0 8 97", (PCMU,), 1, [0]),
        # §2.2: PCMU and iLBC in common, both answered.
        ("0 8 97", (PCMU, ILBC), 2, [0, 97]),
        # §2.4: of PCMU, PCMA and iLBC Bob has only the last.
        ("0 8 97", (ILBC,), 3, [97]),
        # RFC 3264 §10.2: one of N, PCMU and G.723.
        ("0 4 18", (G723, PCMU), 9, [0, 4]),
    ],
)
def test_who_chose_what(offer: str, ours: tuple[Codec, ...], most: int, chosen: list[int]) -> None:
    result = answered(
        f"m=audio 49170 RTP/AVP {offer}\na=rtpmap:97 iLBC/8000\n", bobs(*ours, most_codecs=most)
    )
    assert [each.sent.payload_type for each in stream(result).codecs] == chosen
    assert [each.payload_type for each in result.description.media[0].codecs] == chosen


@pytest.mark.parametrize(
    ("preference", "most", "chosen"),
    [
        (Preference.OFFERED, 1, [0]),
        (Preference.OURS, 1, [9]),
        (Preference.OFFERED, 9, [0, 8, 9]),
        (Preference.OURS, 9, [9, 8, 0]),
        (Preference.OURS, 2, [9, 8]),
    ],
)
def test_the_order_is_the_offerers_or_ours(
    preference: Preference, most: int, chosen: list[int]
) -> None:
    local = bobs(G722, PCMA, PCMU, preference=preference, most_codecs=most)
    audio = stream(answered("m=audio 9 RTP/AVP 0 18 8 9\n", local))
    assert [each.sent.payload_type for each in audio.codecs] == chosen


def test_a_dynamic_type_is_the_offerers_and_the_parameters_are_each_sides_own() -> None:
    result = answered(
        "m=audio 9 RTP/AVP 120\na=rtpmap:120 OPUS/48000/2\na=fmtp:120 usedtx=1\n", bobs(OPUS)
    )
    (chosen,) = stream(result).codecs
    assert (chosen.sent.payload_type, chosen.sent.params) == (120, (("usedtx", "1"),))
    assert (chosen.received.payload_type, chosen.received.params) == (120, OPUS.params)
    assert "a=fmtp:120 minptime=10;useinbandfec=1" in text(result)


def test_an_offer_may_name_a_codec_twice() -> None:
    result = answered(
        "m=audio 9 RTP/AVP 96 0\na=rtpmap:96 PCMU/8000\n", bobs(PCMU, PCMA, most_codecs=4)
    )
    assert types(stream(result)) == [(96, 96)]


EVENTS = (
    "a=rtpmap:111 opus/48000/2\na=rtpmap:110 telephone-event/48000\na=fmtp:110 0-11\n"
    "a=rtpmap:101 telephone-event/8000\n"
)


@pytest.mark.parametrize(
    ("formats", "local", "events"),
    [
        ("111 0 110 101", bobs(OPUS, PCMU), [110]),
        ("0 111 110 101", bobs(OPUS, PCMU), [101]),
        ("0 111 110 101", bobs(OPUS, PCMU, most_codecs=2), [110, 101]),
        ("111 0 101", bobs(OPUS, PCMU), [101]),  # no event of this rate: the one there is
        ("111 0", bobs(OPUS, PCMU), []),
        ("0 101", bobs(PCMU, dtmf=DtmfMode.AUTO), [101]),
        ("0 101", bobs(PCMU, dtmf=DtmfMode.INFO), []),
        ("0 101", bobs(PCMU, dtmf=DtmfMode.INBAND), []),
    ],
)
def test_events_have_the_clock_of_the_codec(
    formats: str, local: LocalMedia, events: list[int]
) -> None:
    result = answered(f"m=audio 9 RTP/AVP {formats}\n{EVENTS}", local)
    assert [each.sent.payload_type for each in stream(result).events] == events
    written = [each.payload_type for each in result.description.media[0].codecs]
    assert written[len(stream(result).codecs) :] == events
    assert ("a=fmtp:110 0-11" in text(result)) is (110 in events)


def test_events_without_a_key_are_none() -> None:
    offer = "m=audio 9 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\na=fmtp:101 66\n"
    assert stream(answered(offer)).events == ()


@pytest.mark.parametrize(
    ("formats", "ours", "noise"),
    [
        ("0 13", (PCMU, COMFORT_NOISE), [13]),
        ("0 13", (PCMU,), []),
        ("0", (PCMU, COMFORT_NOISE), []),
        ("111 13", (OPUS, COMFORT_NOISE), []),
    ],
)
def test_comfort_noise(formats: str, ours: tuple[Codec, ...], noise: list[int]) -> None:
    offer = f"m=audio 9 RTP/AVP {formats}\na=rtpmap:111 opus/48000/2\n"
    audio = stream(answered(offer, bobs(*ours)))
    assert [each.sent.payload_type for each in audio.noise] == noise
    assert len(audio.codecs) == 1


@pytest.mark.parametrize(
    ("lines", "local", "sent", "written"),
    [
        ("", bobs(), 20, 20),
        ("", bobs(ptime=30), 30, 30),
        ("a=ptime:30\n", bobs(), 30, 30),
        ("a=ptime:30\na=maxptime:25\n", bobs(), 20, 20),
        ("a=ptime:200\n", bobs(), 60, 60),
        ("a=ptime:1\n", bobs(), 10, 10),
        ("a=ptime:40\n", bobs(maxptime=20), 40, 20),
        ("a=ptime:50\na=rtpmap:0 opus/48000/2\n", bobs(OPUS), 40, 40),
    ],
)
def test_the_length_of_packets(lines: str, local: LocalMedia, sent: int, written: int) -> None:
    result = answered(f"m=audio 9 RTP/AVP 0\n{lines}", local)
    assert stream(result).ptime == sent
    assert f"a=ptime:{written}" in text(result)


@pytest.mark.parametrize(
    ("lines", "local", "remote", "local_rtcp", "said"),
    [
        ("a=rtcp-mux\n", bobs(rtcp_mux=True), (ALICE, 40000), 20000, ["a=rtcp-mux"]),
        ("a=rtcp-mux\n", bobs(), (ALICE, 40001), 20001, []),
        ("", bobs(rtcp_mux=True), (ALICE, 40001), 20001, []),
        ("a=rtcp:53020\n", bobs(), (ALICE, 53020), 20001, []),
        ("a=rtcp:53020 IN IP4 203.0.113.8\n", bobs(), ("203.0.113.8", 53020), 20001, []),
        ("a=rtcp:53020 IN IP4 224.0.0.1\n", bobs(), None, 20001, []),
        ("a=rtcp:53020 IN IP6 2001:db8::1\n", bobs(), None, 20001, []),
        ("a=rtcp:53020 IN IP4 example.com\n", bobs(), None, 20001, []),
        ("", bobs(rtcp_port=30001), (ALICE, 40001), 30001, ["a=rtcp:30001"]),
        ("", bobs(rtcp_port=20001), (ALICE, 40001), 20001, []),
    ],
)
def test_where_rtcp_goes(
    lines: str,
    local: LocalMedia,
    remote: tuple[str, int] | None,
    local_rtcp: int,
    said: list[str],
) -> None:
    result = answered(f"m=audio 40000 RTP/AVP 0\n{lines}", local)
    audio = stream(result)
    assert (audio.remote_rtcp, audio.local_rtcp) == (remote, (BOB, local_rtcp))
    assert audio.rtcp_mux is ("a=rtcp-mux" in said)
    assert [line for line in text(result) if line.startswith("a=rtcp")] == said


def test_there_is_no_port_above_the_last() -> None:
    assert stream(answered("m=audio 65535 RTP/AVP 0\n")).remote_rtcp is None


D = Direction


@pytest.mark.parametrize(
    ("offered", "ours", "direction"),
    [
        (D.SENDRECV, D.SENDRECV, D.SENDRECV),
        (D.SENDONLY, D.SENDRECV, D.RECVONLY),
        (D.RECVONLY, D.SENDRECV, D.SENDONLY),
        (D.INACTIVE, D.SENDRECV, D.INACTIVE),
        (D.SENDRECV, D.SENDONLY, D.SENDONLY),
        (D.SENDRECV, D.RECVONLY, D.RECVONLY),
        (D.SENDONLY, D.SENDONLY, D.INACTIVE),
        (D.RECVONLY, D.SENDONLY, D.SENDONLY),
        (D.SENDONLY, D.INACTIVE, D.INACTIVE),
    ],
)
def test_directions(offered: Direction, ours: Direction, direction: Direction) -> None:
    """RFC 3264 §6.1, also where the offer says it for the whole session."""
    local = bobs(direction=ours)
    for description in (
        described(f"m=audio 9 RTP/AVP 0\na={offered}\n"),
        described(f"a={offered}\nm=audio 9 RTP/AVP 0\n"),
    ):
        result = answered(description, local)
        assert stream(result).direction is direction
        assert text(result)[-1] == f"a={direction}"


@pytest.mark.parametrize(
    ("said", "direction"),
    [("", D.RECVONLY), ("a=sendonly\n", D.RECVONLY), ("a=recvonly\n", D.INACTIVE)],
)
def test_0_0_0_0_is_a_hold(said: str, direction: Direction) -> None:
    """RFC 3264 §8.4: nothing is sent there, neither RTP nor RTCP."""
    result = answered(f"m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\n{said}")
    audio = stream(result)
    assert (audio.direction, audio.remote, audio.remote_rtcp) == (direction, None, None)


@pytest.mark.parametrize(
    ("address", "host", "private"),
    [
        ("203.0.113.7", "203.0.113.7", False),
        ("8.8.8.8", "8.8.8.8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("172.31.0.1", "172.31.0.1", True),
        ("172.32.0.1", "172.32.0.1", False),
        ("192.168.1.1", "192.168.1.1", True),
        ("100.64.0.1", "100.64.0.1", True),
        ("169.254.1.1", "169.254.1.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
    ],
)
def test_addresses_that_mean_something_only_at_the_peer(
    address: str, host: str, private: bool
) -> None:
    audio = stream(answered(f"m=audio 9 RTP/AVP 0\nc=IN IP4 {address}\n"))
    assert (audio.remote, audio.is_private) == ((host, 9), private)


@pytest.mark.parametrize(
    ("address", "private"),
    [("2001:db8::7", False), ("fc00::1", True), ("fe80::1", True), ("::1", True)],
)
def test_ipv6(address: str, private: bool) -> None:
    result = answered(f"m=audio 9 RTP/AVP 0\nc=IN IP6 {address}\n", bobs(address="2001:db8::1"))
    assert (stream(result).remote, stream(result).is_private) == ((address, 9), private)
    assert str(write(result.description)).count("IN IP6 2001:db8::1") == 2


SAVP = f"m=audio 9 RTP/SAVP 0\n{KEYED}"
OFF, ALLOW, REQUIRE = SrtpPolicy


@pytest.mark.parametrize(
    ("media", "policy", "warning"),
    [
        ("m=audio 9 RTP/AVP 18\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=audio 9 RTP/AVP 96\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=audio 9 RTP/AVP 13\na=rtpmap:13 telephone-event/8000\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=audio 9 RTP/AVP 13\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=image 9 udptl t38\n", {}, WarningCode.MEDIA_TYPE),
        ("m=audio 0 RTP/AVP 0\nm=image 9 udptl t38\n", {}, WarningCode.MEDIA_TYPE),
        ("m=video 9 RTP/AVP 31\n", {}, WarningCode.MEDIA_TYPE),
        ("m=video 9 RTP/AVP 31\nm=audio 9 RTP/AVP 18\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=audio 9 RTP/AVP 18\nm=video 9 RTP/AVP 31\n", {}, WarningCode.MEDIA_FORMAT),
        ("m=audio 9 udp 0\n", {}, WarningCode.TRANSPORT_PROTOCOL),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\n", {"srtp": ALLOW}, WarningCode.TRANSPORT_PROTOCOL),
        (SAVP, {}, WarningCode.TRANSPORT_PROTOCOL),
        ("m=audio 9 RTP/AVP 0\n", {"srtp": REQUIRE}, WarningCode.TRANSPORT_PROTOCOL),
        ("m=audio 9 RTP/SAVP 0\n", {"srtp": ALLOW}, WarningCode.MISCELLANEOUS),
        (SAVP.replace("_80", "_99"), {"srtp": REQUIRE}, WarningCode.MISCELLANEOUS),
        ("m=audio 9 RTP/AVP 0\nc=IN IP4 host.example.com\n", {}, WarningCode.ADDRESS_FORMAT),
        ("m=audio 9 RTP/AVP 0\nc=IN IP6 2001:db8::7\n", {}, WarningCode.ADDRESS_FORMAT),
        ("m=audio 9 RTP/AVP 0\nc=IN IP6 fe80::7%eth0\n", {}, WarningCode.ADDRESS_FORMAT),
        ("m=audio 9 RTP/AVP 0\nc=IN IP4 224.2.1.1/127/3\n", {}, WarningCode.MULTICAST),
        ("m=audio 9 RTP/AVP 0\nc=ATM NSAP 1234\n", {}, WarningCode.NETWORK_PROTOCOL),
    ],
)  # fmt: skip
def test_what_is_refused(media: str, policy: dict[str, object], warning: WarningCode) -> None:
    result = tried(media, bobs(**policy))  # type: ignore[arg-type]
    assert isinstance(result, Refused)
    assert (result.status, result.warning) == (488, warning)
    assert result.reason


def test_nothing_of_the_peers_stands_in_a_reason() -> None:
    for media in ('m=au"dio 9 RTP/AVP 0\n', 'm=audio 9 R"TP/AVP 0\n'):
        result = tried(media)
        assert isinstance(result, Refused) and '"' not in result.reason


@pytest.mark.parametrize(
    ("media", "lines"),
    [
        ("", []),
        ("m=audio 0 RTP/AVP 0 8\n", ["m=audio 0 RTP/AVP 0"]),
        (
            "m=image 0 udptl t38 x\nm=audio 0 RTP/AVP 96\n",
            ["m=image 0 udptl t38", "m=audio 0 RTP/AVP 96"],
        ),
    ],
)
def test_an_offer_that_wants_nothing_gets_it(media: str, lines: list[str]) -> None:
    result = answered(media)
    assert result.plan == MediaPlan()
    written = write(result.description).decode().split("\r\n")
    assert [line for line in written if line.startswith("m=")] == lines


def test_t38_beside_audio_is_declined_in_its_place() -> None:
    result = answered("m=image 9 udptl t38\nm=audio 9 RTP/AVP 0\na=rtcp-fb:* nack\n")
    assert text(result)[:2] == ["m=image 0 udptl t38", "m=audio 20000 RTP/AVP 0"]
    assert stream(result).slot == 1
    assert "rtcp-fb" not in str(text(result))


@pytest.mark.parametrize(
    ("media", "policy", "protocol", "encrypted"),
    [
        (SAVP, ALLOW, "RTP/SAVP", True),
        (SAVP, REQUIRE, "RTP/SAVP", True),
        (SAVP.replace("SAVP", "SAVPF"), ALLOW, "RTP/SAVPF", True),
        (f"m=audio 9 RTP/AVP 0\n{KEYED}", OFF, "RTP/AVP", False),
        (f"m=audio 9 RTP/AVP 0\n{KEYED}", ALLOW, "RTP/AVP", True),
        (f"m=audio 9 RTP/AVP 0\n{KEYED}", REQUIRE, "RTP/AVP", True),
        ("m=audio 9 RTP/AVP 0\n", ALLOW, "RTP/AVP", False),
        (f"m=audio 9 RTP/AVPF 0\n{KEYED.replace('_80', '_99')}", ALLOW, "RTP/AVPF", False),
    ],
)
def test_srtp(media: str, policy: SrtpPolicy, protocol: str, encrypted: bool) -> None:
    result = answered(media, bobs(srtp=policy))
    (line,) = result.description.media
    assert line.protocol == protocol
    srtp = stream(result).srtp
    assert (srtp is not None) is encrypted is bool(line.cryptos)
    if srtp is not None:
        assert srtp.suite == "AES_CM_128_HMAC_SHA1_80"
        assert (srtp.send_key, srtp.receive_key) == (b"\1" * 30, b"AAA" * 10)
        assert "AAA" not in repr(stream(result)) and "\\x01" not in repr(stream(result))
        assert line.cryptos[0].keys[0].octets == srtp.send_key


def test_the_tag_and_the_suite_of_an_answer_are_those_it_takes() -> None:
    """RFC 4568 §5.1.2: the offer's first that we can do."""
    offer = (
        "m=audio 9 RTP/SAVP 0\n"
        f"a=crypto:1 F8_128_HMAC_SHA1_80 inline:{A_KEY}\n"
        f"a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:{A_KEY}|2^31\n"
        f"a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{A_KEY}\n"
    )
    result = answered(offer, bobs(srtp=ALLOW))
    (crypto,) = result.description.media[0].cryptos
    assert (crypto.tag, crypto.suite) == (4, "AES_CM_128_HMAC_SHA1_32")


@pytest.mark.parametrize(
    ("policy", "slot"), [(SrtpPolicy.OFF, 0), (SrtpPolicy.ALLOW, 1), (SrtpPolicy.REQUIRE, 1)]
)
def test_of_the_same_audio_offered_twice_the_encrypted_is_taken(
    policy: SrtpPolicy, slot: int
) -> None:
    result = answered(f"m=audio 7 RTP/AVP 0\n{SAVP}", bobs(srtp=policy))
    assert stream(result).slot == slot
    assert [bool(each.port) for each in result.description.media] == [slot == 0, slot == 1]


def test_truncated_at_each_octet() -> None:
    """Whatever is left of an offer, it is refused or has an answer of as many m= lines."""
    whole = HEAD + f"{AUDIO}a=ptime:20\n{SAVP}m=image 9 udptl t38\n"
    for end in range(len(HEAD), len(whole) + 1):
        try:
            offered = read(whole[:end].encode())
        except Exception as error:
            assert "SDP" in str(error)
            continue
        result = tried(offered, bobs(srtp=ALLOW))
        if isinstance(result, Answered):
            assert len(result.description.media) == len(offered.media)


@pytest.mark.parametrize(
    "wrong",
    [
        {"codecs": ()},
        {"codecs": (PCMU, PCMA, PCMU)},
        {"most_codecs": 0},
        {"ptime": 5},
        {"ptime": 70},
        {"ptime": 30, "maxptime": 20},
        {"suites": ("ROT13",)},
        {"suites": (), "srtp": SrtpPolicy.ALLOW},
    ],
)
def test_a_policy_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        MediaPolicy(**wrong)  # type: ignore[arg-type]


def test_our_address_is_an_ip_address() -> None:
    with pytest.raises(LocalProtocolError, match="not an IP address"):
        LocalMedia(address="localhost", port=1)
    assert reach("1" * 5000) is None
    assert reach("fe80::7%eth0") is None


def test_answering_needs_no_machine() -> None:
    made = bob()
    offered = described(AUDIO)
    made.receive_offer(offered)
    by_machine = made.answer(bobs())
    assert isinstance(by_machine, Answered)
    origin = by_machine.description.origin
    assert answer(offered, bobs(), origin=origin, key=Keys()) == by_machine
