"""A session's offers and answers in their order: hold, change, refusal, forks, keys, versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sdp.codec import read, write
from protocols.sdp.description import Direction, SessionDescription
from protocols.sdp.errors import LocalProtocolError, WarningCode
from protocols.sdp.formats import COMFORT_NOISE, G722, L16_8000, L16_16000, OPUS, PCMA, PCMU, Codec
from protocols.sdp.matching import Refused
from protocols.sdp.media import DtmfMode, LocalMedia, MediaPlan, SrtpPolicy
from protocols.sdp.negotiation import Negotiation, State
from protocols.sdp.offer_answer import Accepted, Answered
from tests.unit.sdp.sdp_examples import ALICE, BOB, bob, bobs, described, ports, stream, types

OFF, ALLOW, REQUIRE = SrtpPolicy
A_KEY = "QUFB" * 10


def formats(of: SessionDescription, slot: int = 0) -> list[tuple[int, str, int]]:
    return [(each.payload_type, each.name, each.clock_rate) for each in of.media[slot].codecs]


def reanswered(made: Negotiation, media: str, local: LocalMedia | None = None) -> Answered:
    """An offer of the peer's and our answer."""
    made.receive_offer(described(media))
    assert made.state is State.REMOTE_OFFER
    result = made.answer(local or bobs())
    assert isinstance(result, Answered), result
    assert made.state is State.STABLE
    assert (made.plan, made.local) == (result.plan, result.description)
    return result


def taken(made: Negotiation, media: str) -> Accepted:
    """The peer's answer to our offer."""
    result = made.accept(described(media))
    assert isinstance(result, Accepted), result
    assert (made.state, made.plan) == (State.STABLE, result.plan)
    return result


def version(of: SessionDescription) -> int:
    return of.origin.version


def test_an_offer_of_ours() -> None:
    made = bob()
    offer = made.offer(bobs(OPUS, G722, PCMU, COMFORT_NOISE, maxptime=60, rtcp_mux=True))
    assert made.state is State.LOCAL_OFFER
    assert write(offer).decode().split("\r\n") == [
        "v=0",
        f"o=- 7 7 IN IP4 {BOB}",
        "s=-",
        f"c=IN IP4 {BOB}",
        "t=0 0",
        "m=audio 20000 RTP/AVP 111 9 0 13 101 96",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:13 CN/8000",
        "a=rtpmap:101 telephone-event/48000",
        "a=fmtp:101 0-15",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=rtcp-mux",
        "a=sendrecv",
        "",
    ]
    assert read(write(offer)) == offer
    result = taken(
        made,
        "m=audio 4000 RTP/AVP 120 0 13 121\na=rtpmap:120 opus/48000/2\na=fmtp:120 stereo=1\n"
        "a=rtpmap:121 telephone-event/48000\na=ptime:40\na=rtcp-mux\n",
    )
    audio = stream(result)
    # The peer numbers what it receives as it likes.
    assert types(audio) == [(120, 111), (0, 0)]
    assert audio.codecs[0].sent.params == (("stereo", "1"),)
    assert [(e.sent.payload_type, e.received.payload_type) for e in audio.events] == [(121, 101)]
    assert [each.sent.payload_type for each in audio.noise] == [13]
    assert (audio.ptime, audio.rtcp_mux) == (40, True)
    assert audio.remote == audio.remote_rtcp == (ALICE, 4000)
    assert audio.local == audio.local_rtcp == (BOB, 20000)


@pytest.mark.parametrize("mode", [DtmfMode.INFO, DtmfMode.INBAND])
def test_without_events(mode: DtmfMode) -> None:
    assert formats(bob().offer(bobs(PCMU, dtmf=mode))) == [(0, "PCMU", 8000)]


def test_auto_offers_events() -> None:
    offered = formats(bob().offer(bobs(PCMU, dtmf=DtmfMode.AUTO)))
    assert offered == [(0, "PCMU", 8000), (101, "telephone-event", 8000)]


def test_rfc_3264_10_1_what_follows() -> None:
    """Bob, in the middle of the call, moves audio and adds a stream that we don't take."""
    made = bob()
    video = "m=video {} RTP/AVP 31\nm=video {} RTP/AVP 32\n"
    first = reanswered(made, "m=audio 49920 RTP/AVP 0\n" + video.format(0, 53000))
    assert ports(first.description) == [20000, 0, 0]
    second = reanswered(
        made,
        "m=audio 65422 RTP/AVP 0\n" + video.format(0, 53000) + "m=audio 51434 RTP/AVP 110\n"
        "a=rtpmap:110 telephone-event/8000\na=recvonly\n",
    )
    assert ports(second.description) == [20000, 0, 0, 0]
    assert stream(second).remote == (ALICE, 65422)
    assert version(second.description) == version(first.description) + 1
    # Our own next offer has the four lines in the same places.
    offer = made.offer(bobs())
    assert [each.kind for each in offer.media] == ["audio", "video", "video", "audio"]
    assert ports(offer) == [20000, 0, 0, 0]


def test_rfc_3264_10_2_one_of_n() -> None:
    """Inactive with all codecs first, then one of them for real."""
    made = bob()
    first = made.offer(bobs(PCMU, PCMA, G722, direction=Direction.INACTIVE))
    audio = stream(taken(made, "m=audio 54344 RTP/AVP 0 8\na=inactive\n"))
    assert (types(audio), audio.direction) == ([(0, 0), (8, 8)], Direction.INACTIVE)
    second = made.offer(bobs(PCMA))
    assert formats(second)[0] == (8, "PCMA", 8000)
    assert version(second) == version(first) + 1
    audio = stream(taken(made, "m=audio 54344 RTP/AVP 8\na=sendrecv\n"))
    assert (types(audio), audio.direction) == ([(8, 8)], Direction.SENDRECV)


def test_rfc_4317_3_hold_by_the_peer_and_resume() -> None:
    """§3.1, and §8.4 of RFC 3264 for those who hold by 0.0.0.0."""
    made = bob()
    call = "m=audio 49170 RTP/AVP 0\n"
    directions = []
    for said in ("", "a=sendonly\n", "", "c=IN IP4 0.0.0.0\n", "", "a=inactive\n", ""):
        audio = stream(reanswered(made, call + said))
        directions.append((audio.direction.value, audio.remote is not None))
    assert directions == [
        ("sendrecv", True),
        ("recvonly", True),
        ("sendrecv", True),
        ("recvonly", False),
        ("sendrecv", True),
        ("inactive", True),
        ("sendrecv", True),
    ]


def test_hold_by_us_and_resume() -> None:
    made = bob()
    reanswered(made, "m=audio 49170 RTP/AVP 0\n")
    held = made.offer(bobs(direction=Direction.SENDONLY))
    assert held.media[0].direction is Direction.SENDONLY
    audio = stream(taken(made, "m=audio 49170 RTP/AVP 0\na=recvonly\n"))
    assert audio.direction is Direction.SENDONLY
    # Both hold: nothing flows until both have resumed (RFC 6337 §5.3).
    both = reanswered(
        made, "m=audio 49170 RTP/AVP 0\na=sendonly\n", bobs(direction=Direction.SENDONLY)
    )
    assert stream(both).direction is Direction.INACTIVE
    made.offer(bobs())
    audio = stream(taken(made, "m=audio 49170 RTP/AVP 0\na=sendonly\n"))
    assert audio.direction is Direction.RECVONLY


def test_an_answer_may_hold_by_0_0_0_0() -> None:
    made = bob()
    made.offer(bobs())
    audio = stream(taken(made, "m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\n"))
    assert (audio.direction, audio.remote) == (Direction.RECVONLY, None)


def test_an_answer_cannot_give_more_than_was_offered() -> None:
    made = bob()
    made.offer(bobs(direction=Direction.SENDONLY))
    audio = stream(taken(made, "m=audio 9 RTP/AVP 0\na=sendrecv\n"))
    assert audio.direction is Direction.SENDONLY


def test_a_change_of_codec() -> None:
    made = bob()
    made.offer(bobs(PCMU, PCMA))
    assert types(stream(taken(made, "m=audio 9 RTP/AVP 0\n"))) == [(0, 0)]
    audio = stream(reanswered(made, "m=audio 9 RTP/AVP 8 0\n", bobs(PCMU, PCMA)))
    assert types(audio) == [(8, 8)]


def test_a_payload_type_never_changes_its_meaning() -> None:
    """RFC 3264 §8.3.2, whoever bound it."""
    made = bob()
    reanswered(
        made,
        "m=audio 9 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/48000\n",
        bobs(OPUS),
    )
    offer = made.offer(bobs(OPUS, L16_8000, L16_16000, PCMU))
    assert formats(offer) == [
        (96, "opus", 48000),
        (97, "L16", 8000),
        (98, "L16", 16000),
        (0, "PCMU", 8000),
        (101, "telephone-event", 48000),
        (99, "telephone-event", 8000),
        (100, "telephone-event", 16000),
    ]


def test_a_type_that_meant_something_is_not_taken_for_something_else() -> None:
    made = bob()
    reanswered(
        made,
        "m=audio 9 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/48000\n",
        bobs(OPUS),
    )
    assert formats(made.offer(bobs(L16_8000, dtmf=DtmfMode.INFO))) == [(98, "L16", 8000)]


def test_a_peer_that_uses_up_all_types_does_not_stop_us() -> None:
    made = bob()
    for number in range(96, 128):
        other = Codec(payload_type=number, name=f"x{number}", clock_rate=8000)
        reanswered(
            made, f"m=audio 9 RTP/AVP {number}\na=rtpmap:{number} x{number}/8000\n", bobs(other)
        )
    assert len({each for each, *_ in formats(made.offer(bobs(OPUS, L16_8000)))}) == 4


def test_more_codecs_than_types_are_our_own_fault() -> None:
    codecs = [Codec(payload_type=96, name=f"x{i}", clock_rate=8000) for i in range(33)]
    with pytest.raises(LocalProtocolError, match="dynamic payload types"):
        bob().offer(bobs(*codecs, dtmf=DtmfMode.INFO))


def test_the_same_offer_again_gets_the_same_answer() -> None:
    """Also with keys: a session refresh (RFC 4028 §7.4) must not change a thing."""
    made = bob()
    media = f"m=audio 9 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{A_KEY}\n"
    local = bobs(srtp=REQUIRE)
    first = reanswered(made, media, local)
    assert reanswered(made, media, local) == first
    changed = reanswered(made, media + "a=sendonly\n", local)
    assert version(changed.description) == version(first.description) + 1
    again = reanswered(made, media, local)
    assert version(again.description) == version(first.description) + 2
    assert stream(again) == stream(first)


def test_our_own_offer_again_has_its_version() -> None:
    made = bob()
    local = bobs(srtp=ALLOW)
    offers = []
    for _ in range(3):
        offers.append(made.offer(local))
        taken(made, "m=audio 9 RTP/AVP 0\n")
    assert offers[0] == offers[1] == offers[2]
    assert version(made.offer(bobs(srtp=ALLOW, port=20002))) == version(offers[0]) + 1


def test_another_port_has_another_key() -> None:
    """Else two streams could be encrypted alike (RFC 4568 §6.1: keys are unique)."""
    made = bob()
    media = f"m=audio 9 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{A_KEY}\n"
    keys = []
    for port in (20000, 20002, 20002):
        srtp = stream(reanswered(made, media, bobs(srtp=REQUIRE, port=port))).srtp
        assert srtp is not None
        keys.append(srtp.send_key)
    assert keys[0] != keys[1] == keys[2]


def test_no_key_is_taken_along_to_another_port() -> None:
    made = bob()
    used: list[bytes] = []
    for port in (20000, 20002, 20004):
        (media,) = made.offer(bobs(srtp=ALLOW, port=port)).media
        used.extend(each.keys[0].octets for each in media.cryptos)
        taken(made, "m=audio 9 RTP/AVP 0\n")
        crypto = CRYPTO.format("1 AES_CM_128_HMAC_SHA1_80")
        answer = reanswered(made, f"m=audio 9 RTP/AVP 0\n{crypto}", bobs(srtp=ALLOW, port=port + 1))
        used.append(answer.description.media[0].cryptos[0].keys[0].octets)
        (media,) = made.offer(bobs(srtp=ALLOW, port=port + 1)).media
        assert media.cryptos[0].keys[0].octets == used[-1]
        used.append(media.cryptos[1].keys[0].octets)
        made.withdraw()
    assert len(set(used)) == len(used)


@pytest.mark.parametrize("policy", SrtpPolicy)
def test_srtp_offered(policy: SrtpPolicy) -> None:
    made = bob()
    (media,) = made.offer(bobs(srtp=policy)).media
    assert media.protocol == ("RTP/SAVP" if policy is REQUIRE else "RTP/AVP")
    suites = ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"] if policy != OFF else []
    assert [each.suite for each in media.cryptos] == suites
    if policy is OFF:
        return
    audio = stream(
        taken(
            made,
            f"m=audio 9 {media.protocol} 0\n"
            f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{A_KEY}|2^31\n",
        )
    )
    assert audio.srtp is not None
    assert (audio.srtp.suite, audio.srtp.receive_key) == ("AES_CM_128_HMAC_SHA1_32", b"AAA" * 10)
    assert audio.srtp.send_key == media.cryptos[1].keys[0].octets != media.cryptos[0].keys[0].octets


def test_a_peer_without_srtp_gets_plain_rtp_where_that_is_allowed() -> None:
    made = bob()
    made.offer(bobs(srtp=ALLOW))
    assert stream(taken(made, "m=audio 9 RTP/AVP 0\n")).srtp is None


CRYPTO = f"a=crypto:{{}} inline:{A_KEY}\n"


@pytest.mark.parametrize(
    ("policy", "media", "warning"),
    [
        (OFF, "m=audio 9 RTP/AVP 8\n", WarningCode.MEDIA_FORMAT),
        (OFF, "m=audio 9 RTP/AVP 5\na=rtpmap:5 telephone-event/8000\n", WarningCode.MEDIA_FORMAT),
        (OFF, "m=video 9 RTP/AVP 31\n", WarningCode.MEDIA_TYPE),
        (OFF, "m=audio 9 udptl 0\n", WarningCode.TRANSPORT_PROTOCOL),
        (OFF, "m=audio 9 RTP/SAVP 0\n", WarningCode.TRANSPORT_PROTOCOL),
        (REQUIRE, "m=audio 9 RTP/SAVP 0\n", WarningCode.TRANSPORT_PROTOCOL),
        (REQUIRE, "m=audio 9 RTP/AVP 0\n", WarningCode.TRANSPORT_PROTOCOL),
        (
            REQUIRE,
            "m=audio 9 RTP/SAVP 0\n" + CRYPTO.format("3 AES_CM_128_HMAC_SHA1_80"),
            WarningCode.MISCELLANEOUS,
        ),
        (
            ALLOW,
            "m=audio 9 RTP/AVP 0\n" + CRYPTO.format("2 AES_CM_128_HMAC_SHA1_80"),
            WarningCode.MISCELLANEOUS,
        ),
        (OFF, "m=audio 9 RTP/AVP 0\nc=IN IP6 2001:db8::1\n", WarningCode.ADDRESS_FORMAT),
    ],
)  # fmt: skip
def test_an_answer_that_is_none(policy: SrtpPolicy, media: str, warning: WarningCode) -> None:
    made = bob()
    reanswered(
        made,
        f"m=audio 9 RTP/SAVP 0\n{CRYPTO.format('1 AES_CM_128_HMAC_SHA1_80')}",
        bobs(srtp=ALLOW),
    )
    before = made.plan
    made.offer(bobs(PCMU, srtp=policy))
    result = made.accept(described(media))
    assert isinstance(result, Refused)
    assert result.warning is warning
    assert (made.state, made.plan) == (State.STABLE, before)


def test_keys_that_were_not_asked_for_are_ignored() -> None:
    made = bob()
    made.offer(bobs())
    media = "m=audio 9 RTP/AVP 0\n" + CRYPTO.format("1 AES_CM_128_HMAC_SHA1_80")
    assert stream(taken(made, media)).srtp is None


def test_an_answer_that_forgets_what_its_types_mean() -> None:
    made = bob()
    made.offer(bobs(OPUS))
    audio = stream(taken(made, "m=audio 9 RTP/AVP 111 101\n"))
    assert audio.codecs[0].sent == Codec(
        payload_type=111, name="opus", clock_rate=48000, channels=2
    )
    assert len(audio.events) == 1


@pytest.mark.parametrize("media", ["", "m=audio 0 RTP/AVP 0\n"])
def test_an_answer_that_takes_nothing(media: str) -> None:
    made = bob()
    made.offer(bobs())
    assert taken(made, media).plan == MediaPlan()
    # The next offer stands in the same place.
    assert ports(made.offer(bobs())) == [20000]


def test_a_stream_that_was_removed_comes_back_elsewhere() -> None:
    """RFC 3264 §8.1, §8.2."""
    made = bob()
    reanswered(made, "m=audio 9 RTP/AVP 0\n")
    gone = reanswered(made, "m=audio 0 RTP/AVP 0\n")
    assert (gone.plan, ports(gone.description)) == (MediaPlan(), [0])
    back = reanswered(made, "m=audio 0 RTP/AVP 0\nm=audio 7 RTP/AVP 0\n")
    assert (stream(back).slot, ports(back.description)) == (1, [0, 20000])
    assert ports(made.offer(bobs())) == [0, 20000]


def test_the_stream_stays_the_one_it_was() -> None:
    made = bob()
    reanswered(made, "m=audio 7 RTP/AVP 18\nm=audio 9 RTP/AVP 0\n")
    audio = stream(reanswered(made, "m=audio 7 RTP/AVP 0\nm=audio 9 RTP/AVP 0\n"))
    assert (audio.slot, audio.remote) == (1, (ALICE, 9))


def test_a_peer_that_drops_lines() -> None:
    """It must not, and a call does not end by it."""
    made = bob()
    reanswered(made, "m=video 9 RTP/AVP 31\nm=audio 9 RTP/AVP 0\n")
    assert ports(reanswered(made, "m=audio 9 RTP/AVP 0\n").description) == [20000]
    reanswered(made, "m=video 9 RTP/AVP 31\nm=audio 9 RTP/AVP 0\n")
    assert ports(reanswered(made, "m=video 0 RTP/AVP 31\n").description) == [0]
    assert ports(made.offer(bobs())) == [0, 20000]


def test_audio_does_not_come_back_in_the_place_of_video() -> None:
    made = bob()
    reanswered(made, "m=audio 9 RTP/AVP 0\n")
    reanswered(made, "m=video 0 RTP/AVP 31\n")
    offer = made.offer(bobs())
    assert [(each.kind, each.port) for each in offer.media] == [("video", 0), ("audio", 20000)]


def test_t38_is_refused_and_the_call_stays() -> None:
    made = bob()
    before = reanswered(made, "m=audio 9 RTP/AVP 0\n")
    made.receive_offer(described("m=audio 0 RTP/AVP 0\nm=image 9 udptl t38\n"))
    result = made.answer(bobs())
    assert isinstance(result, Refused) and result.status == 488
    assert (made.state, made.plan, made.local) == (State.STABLE, before.plan, before.description)
    assert reanswered(made, "m=audio 9 RTP/AVP 0\n") == before


def test_an_offer_of_ours_that_was_refused_leaves_all_as_it_was() -> None:
    made = bob()
    before = reanswered(made, "m=audio 9 RTP/AVP 0\n")
    made.offer(bobs(G722, port=30000))
    made.withdraw()
    assert (made.state, made.plan) == (State.STABLE, before.plan)
    with pytest.raises(LocalProtocolError, match="no offer of ours"):
        made.accept(described("m=audio 9 RTP/AVP 9\n"))
    # What was seen once is not told again with other words.
    again = reanswered(made, "m=audio 9 RTP/AVP 0\n")
    assert version(again.description) == version(before.description) + 2


def test_what_is_out_of_order_is_our_own_fault() -> None:
    made = bob()
    with pytest.raises(LocalProtocolError, match="no offer to answer"):
        made.answer(bobs())
    with pytest.raises(LocalProtocolError, match="no offer of ours"):
        made.accept(described(""))
    made.offer(bobs())
    for under_way in (lambda: made.offer(bobs()), lambda: made.receive_offer(described(""))):
        with pytest.raises(LocalProtocolError, match="local-offer"):
            under_way()
    with pytest.raises(LocalProtocolError, match="no offer to answer"):
        made.answer(bobs())
    made.withdraw()
    made.receive_offer(described(""))
    with pytest.raises(LocalProtocolError, match="remote-offer"):
        made.offer(bobs())
    with pytest.raises(LocalProtocolError, match="no offer of ours"):
        made.accept(described(""))


def test_early_media_of_forks() -> None:
    """Each fork answers the one offer, and goes its own way from there."""
    first = bob()
    offer = first.offer(bobs(PCMU, PCMA))
    second = first.fork()
    one = stream(taken(first, "m=audio 1000 RTP/AVP 0\n"))
    other = stream(taken(second, "m=audio 2000 RTP/AVP 8\n"))
    assert (one.remote, types(one)) == ((ALICE, 1000), [(0, 0)])
    assert (other.remote, types(other)) == ((ALICE, 2000), [(8, 8)])
    held = second.offer(bobs(PCMA, direction=Direction.SENDONLY))
    assert version(held) == version(offer) + 1
    assert (first.state, first.local) == (State.STABLE, offer)


def test_a_2xx_that_differs_from_its_183() -> None:
    made = bob()
    made.offer(bobs(PCMU, PCMA))
    early = stream(taken(made, "m=audio 1000 RTP/AVP 0\n"))
    final = stream(taken(made, "m=audio 3000 RTP/AVP 8\n"))
    assert (early.remote, final.remote) == ((ALICE, 1000), (ALICE, 3000))
    assert stream(made.plan) == final
    made.receive_offer(described("m=audio 1 RTP/AVP 0\n"))
    made.withdraw()
    with pytest.raises(LocalProtocolError, match="no offer of ours"):
        made.accept(described("m=audio 3000 RTP/AVP 8\n"))


def test_nothing_secret_shows() -> None:
    made = bob()
    made.offer(bobs(srtp=ALLOW))
    taken(made, "m=audio 9 RTP/AVP 0\n" + CRYPTO.format("1 AES_CM_128_HMAC_SHA1_80"))
    shown = repr(made) + repr(made.plan) + repr(made.local) + repr(made.remote)
    assert "AAA" not in shown and "\\x01" not in shown


kinds = st.sampled_from(["audio", "audio", "video", "image", "x"])
protocols = st.sampled_from(["RTP/AVP", "RTP/AVP", "RTP/SAVP", "udptl", "UDP/TLS/RTP/SAVPF"])
extras = st.lists(
    st.sampled_from(
        [
            "a=sendonly",
            "a=inactive",
            "c=IN IP4 0.0.0.0",
            "c=IN IP4 x.invalid",
            "a=rtcp-mux",
            "a=ptime:30",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:97 telephone-event/48000",
            f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{A_KEY}",
        ]
    ),
    max_size=4,
)
lines = st.builds(
    lambda kind, port, protocol, types, extra: "\n".join(
        (f"m={kind} {port} {protocol} {' '.join(map(str, types))}", *extra, "")
    ),
    kinds,
    st.sampled_from([0, 9, 65535]),
    protocols,
    st.lists(st.sampled_from([0, 8, 13, 18, 96, 97]), min_size=1, max_size=4, unique=True),
    extras,
)
offers = st.lists(lines, max_size=4).map("".join).map(described)
locals_ = st.builds(
    lambda srtp, most, mux, port: bobs(
        OPUS, PCMU, COMFORT_NOISE, srtp=srtp, most_codecs=most, rtcp_mux=mux, port=port
    ),
    st.sampled_from(SrtpPolicy),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([20000, 20002]),
)


@given(st.lists(st.tuples(offers, locals_), max_size=5))
def test_an_answer_has_the_lines_of_its_offer(
    exchanges: list[tuple[SessionDescription, LocalMedia]],
) -> None:
    """Whatever is offered in whatever order, and our offers between keep to it."""
    made = bob()
    last = -1
    for offered, local in exchanges:
        made.receive_offer(offered)
        result = made.answer(local)
        if isinstance(result, Refused):
            assert any(each.port for each in offered.media)
            continue
        answer = result.description
        assert [(e.kind, e.protocol) for e in answer.media] == [
            (e.kind, e.protocol) for e in offered.media
        ]
        assert all(
            bool(theirs.port) >= bool(ours.port)
            for theirs, ours in zip(offered.media, answer.media, strict=True)
        )
        assert (result.plan.audio is not None) is any(ports(answer))
        assert version(answer) >= last
        assert read(write(answer)) == answer
        ours = made.offer(local)
        assert len(ours.media) in (len(answer.media), len(answer.media) + 1)
        assert [e.kind for e in ours.media[: len(answer.media)]] == [e.kind for e in answer.media]
        assert sum(map(bool, ports(ours))) == 1
        last = version(ours)
        # The offer, answered by a peer like us, gives both sides the same.
        peer = Negotiation(session_id=1, key=lambda octets: b"p" * octets)
        peer.receive_offer(read(write(ours)))
        theirs = peer.answer(bobs(*local.policy.codecs, srtp=local.policy.srtp, address=ALICE))
        assert isinstance(theirs, Answered)
        back = made.accept(read(write(theirs.description)))
        here, there = stream(back), stream(theirs)
        assert here.codecs[0].sent.key == there.codecs[0].received.key
        assert here.direction is there.direction.reversed
        assert (here.srtp is None) is (there.srtp is None)
        if here.srtp is not None and there.srtp is not None:
            assert here.srtp.send_key == there.srtp.receive_key
            assert here.srtp.receive_key == there.srtp.send_key
