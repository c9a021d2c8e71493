"""Offer and answer with browsers: ICE, DTLS and BUNDLE in what they write and in what we do."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sdp import webrtc
from protocols.sdp.codec import MAX_ATTRIBUTES, read, write
from protocols.sdp.crypto import redact
from protocols.sdp.description import Direction, SessionDescription
from protocols.sdp.errors import RemoteProtocolError
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU
from protocols.sdp.ice import Fingerprint, IceSide, Setup
from protocols.sdp.matching import Refused
from protocols.sdp.media import LocalMedia, MediaPolicy, Preference
from protocols.sdp.negotiation import Negotiation
from protocols.sdp.offer_answer import Accepted, Answered
from tests.unit.sdp.sdp_examples import bob, bobs, ports, stream
from tests.unit.sdp.webrtc_examples import (
    CHROME,
    CHROME_VIDEO,
    FIREFOX,
    OPUS_ALONE,
    OURS,
    PASSWORD,
    PRINT,
    answered_by_chrome,
    side,
)

BROWSERS = MediaPolicy(codecs=(PCMU, PCMA, OPUS, G722), preference=Preference.OURS)


def gateway(ice: IceSide = OURS, **changes: object) -> LocalMedia:
    given = {"address": "198.51.100.9", "port": 20000, "policy": BROWSERS, "ice": ice, **changes}
    return LocalMedia(**given)  # type: ignore[arg-type]


def answer(
    offered: bytes, local: LocalMedia | None = None, session: Negotiation | None = None
) -> Answered:
    session = session or bob()
    session.receive_offer(read(offered))
    result = session.answer(local or gateway())
    assert isinstance(result, Answered), result
    return result


def refused(offered: bytes, local: LocalMedia | None = None) -> Refused:
    session = bob()
    session.receive_offer(read(offered))
    result = session.answer(local or gateway())
    assert isinstance(result, Refused), result
    return result


def written(description: SessionDescription) -> list[str]:
    return write(description).decode().splitlines()


def test_chromes_offer_is_answered_with_all_that_it_needs() -> None:
    result = answer(CHROME)
    assert written(result.description) == [
        "v=0",
        "o=- 7 7 IN IP4 198.51.100.9",
        "s=-",
        "c=IN IP4 198.51.100.9",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 20000 UDP/TLS/RTP/SAVPF 0 126",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:126 telephone-event/8000",
        "a=fmtp:126 0-15",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=sendrecv",
        "a=mid:0",
        "a=msid:trunkline audio",
        "a=ice-ufrag:gwAB",
        "a=ice-pwd:aaaabbbbccccddddeeeeffff",
        f"a=fingerprint:sha-256 {OURS.fingerprints[0].value}",
        "a=setup:active",
        "a=candidate:1 1 udp 2130706431 198.51.100.9 20000 typ host",
        "a=candidate:2 1 udp 2130706430 2001:db8::9 20000 typ host",
        "a=end-of-candidates",
    ]
    audio = stream(result)
    assert (audio.remote, audio.rtcp_mux, audio.srtp) == (None, True, None)
    assert audio.direction is Direction.SENDRECV  # 0.0.0.0 in c= is no hold here
    assert result.plan.ice == IceSide(
        ufrag="4ZcD",
        password=PASSWORD,
        fingerprints=(Fingerprint(algorithm="sha-256", value=PRINT),),
        setup=Setup.PASSIVE,  # we begin, so that is what is left for it
    )


def test_firefox_has_its_fingerprint_in_the_session_and_candidates_of_all_kinds() -> None:
    ice = answer(FIREFOX).plan.ice
    assert ice is not None
    assert ice.ufrag == "8c1f4a22"
    assert ice.fingerprints[0].value == PRINT
    # No name, no TCP, no second component, and nothing behind what checks need.
    assert ice.candidates == ("1 1 UDP 1686052863 203.0.113.7 51472 typ srflx",)


def test_video_and_data_are_refused_and_audio_goes_on() -> None:
    result = answer(CHROME_VIDEO)
    assert ports(result.description) == [20000, 0, 0]
    said = written(result.description)
    assert "a=group:BUNDLE 0" in said
    assert said[said.index("m=video 0 UDP/TLS/RTP/SAVPF 96") :] == [
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "a=rtpmap:96 VP8/90000",
        "a=mid:1",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:2",
    ]


def test_keys_are_pressed_by_the_clock_of_the_codec_alone() -> None:
    (events,) = stream(answer(OPUS_ALONE)).events
    assert (events.sent.payload_type, events.sent.clock_rate) == (110, 48000)
    assert "a=mid:audio" in written(answer(OPUS_ALONE).description)
    opus_first = gateway(policy=MediaPolicy(codecs=(OPUS, PCMU), preference=Preference.OURS))
    assert stream(answer(FIREFOX, opus_first)).events == ()  # it has them at 8000 only


def test_opus_is_spoken_with_forward_error_correction_if_both_want_it() -> None:
    opus = gateway(policy=MediaPolicy(codecs=(OPUS,)))
    (chosen,) = stream(answer(CHROME, opus)).codecs
    assert chosen.sent.param("useinbandfec") == chosen.received.param("useinbandfec") == "1"
    without = CHROME.replace(b"minptime=10;useinbandfec=1", b"minptime=10")
    assert stream(answer(without, opus)).codecs[0].sent.param("useinbandfec") is None


def test_the_part_in_the_handshake_stays_when_browsers_offer_again() -> None:
    session = bob()
    session.offer(gateway())
    accepted = session.accept(read(answered_by_chrome()))
    assert isinstance(accepted, Accepted) and accepted.plan.ice is not None
    assert accepted.plan.ice.setup is Setup.ACTIVE
    again = answer(CHROME, session=session)  # actpass, as they always say
    assert "a=setup:passive" in written(again.description)
    assert again.plan.ice is not None and again.plan.ice.setup is Setup.ACTIVE


@pytest.mark.parametrize(
    ("theirs", "ours"), [("actpass", "active"), ("active", "passive"), ("passive", "active")]
)
def test_who_begins_the_handshake(theirs: str, ours: str) -> None:
    offered = CHROME.replace(b"a=setup:actpass", f"a=setup:{theirs}".encode())
    assert f"a=setup:{ours}" in written(answer(offered).description)


def test_our_offer_and_chromes_answer() -> None:
    session = bob()
    offered = session.offer(gateway())
    said = written(offered)
    assert "m=audio 20000 UDP/TLS/RTP/SAVPF 0 8 111 9 101 96" in said
    assert {"a=group:BUNDLE 0", "a=setup:actpass", "a=rtcp-mux", "a=mid:0"} <= set(said)
    accepted = session.accept(read(answered_by_chrome()))
    audio = stream(accepted)
    assert [each.sent.name for each in audio.codecs] == ["PCMU", "opus"]
    assert [each.sent.clock_rate for each in audio.events] == [8000]  # that of what is sent
    assert isinstance(accepted, Accepted) and accepted.plan.ice is not None
    assert accepted.plan.ice.candidates == ("1 1 udp 2113937151 192.168.1.20 50001 typ host",)


def test_names_of_media_stay_when_we_offer_again() -> None:
    session = bob()
    answer(CHROME_VIDEO.replace(b"a=mid:0", b"a=mid:x").replace(b"BUNDLE 0", b"BUNDLE x"), None,
           session)  # fmt: skip
    said = written(session.offer(gateway(side(ufrag="anew"))))
    assert [each for each in said if each.startswith("a=mid:")] == ["a=mid:x", "a=mid:1", "a=mid:2"]
    assert {"a=group:BUNDLE x", "a=ice-ufrag:anew", "o=- 7 8 IN IP4 198.51.100.9"} <= set(said)


def test_bundled_audio_that_leaves_its_transport_to_the_first_medium() -> None:
    head, audio = CHROME.decode().split("m=audio")
    audio = "m=audio" + audio
    kept = [
        line
        for line in audio.split("\r\n")
        if not line.startswith(("a=ice-", "a=fingerprint", "a=setup", "a=mid"))
    ]
    bare = "\r\n".join([*kept[:-1], "a=mid:1", ""])
    video = audio.replace("m=audio", "m=video")
    offered = head.replace("BUNDLE 0", "BUNDLE 0 1") + video + bare
    result = answer(offered.encode())
    assert result.plan.ice is not None and result.plan.ice.ufrag == "4ZcD"
    assert ports(result.description) == [0, 20000]
    assert "a=group:BUNDLE 1" in written(result.description)


def test_a_browser_holds_and_comes_back() -> None:
    session = bob()
    answer(CHROME, session=session)
    held = answer(CHROME.replace(b"a=sendrecv", b"a=sendonly"), session=session)
    assert stream(held).direction is Direction.RECVONLY
    assert stream(answer(CHROME, session=session)).direction is Direction.SENDRECV


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a=rtcp-mux", b"a=x"),
        (b"a=ice-ufrag:4ZcD", b"a=ice-ufrag:a b"),
        (b"a=ice-ufrag:4ZcD", b"a=x"),
        (PASSWORD.encode(), b"short"),
        (b"sha-256", b"md5"),
        (PRINT.encode(), PRINT.encode()[:-3]),
        (b"a=setup:actpass", b"a=setup:holdconn"),
        (b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"),
    ],
)
def test_offers_that_media_can_not_go_by(old: bytes, new: bytes) -> None:
    result = refused(CHROME.replace(old, new))
    assert result.status == 488


def test_who_speaks_plain_rtp_is_not_answered_as_a_browser_nor_the_other_way_round() -> None:
    plain = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    plain += b"m=audio 4000 RTP/AVP 0\r\n"
    assert not webrtc.is_webrtc(read(plain)) and webrtc.is_webrtc(read(CHROME))
    assert refused(plain).status == 488
    assert refused(CHROME, bobs(PCMU)).status == 488


def test_an_answer_that_leaves_ice_away_is_none() -> None:
    session = bob()
    session.offer(gateway())
    bare = answered_by_chrome().replace(b"a=ice-pwd", b"a=x")
    assert isinstance(session.accept(read(bare)), Refused)


def test_a_thousand_candidates_are_refused_and_many_are_cut() -> None:
    candidate = b"a=candidate:1 1 udp 2113937151 192.168.1.20 50001 typ host\r\n"
    ice = answer(CHROME + candidate * 150).plan.ice
    assert ice is not None and len(ice.candidates) == webrtc.MOST_CANDIDATES
    with pytest.raises(RemoteProtocolError):
        read(CHROME + candidate * MAX_ATTRIBUTES)


def test_a_megabyte_is_refused_unread() -> None:
    with pytest.raises(RemoteProtocolError) as error:
        read(CHROME + b"a=candidate:" + b"1" * 1024 * 1024)
    assert error.value.status == 413


def test_a_browser_with_six_videos_has_room() -> None:
    video = b"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\n"
    video += b"a=rtcp-fb:96 transport-cc\r\n" * 120
    assert ports(answer(CHROME + video * 6).description) == [20000, *[0] * 6]


@pytest.mark.parametrize(
    "candidate",
    [
        "",
        "1 1 udp",
        "1 1 udp 0 192.0.2.1 5000 typ host",
        "1 1 udp 4294967296 192.0.2.1 5000 typ host",
        "1 1 udp ² 192.0.2.1 5000 typ host",
        "1 1 udp 1 192.0.2.1 70000 typ host",
        "1 1 udp 1 224.0.0.1 5000 typ host",
        "1 1 udp 1 0.0.0.0 5000 typ host",
        "1 1 udp 1 internal.example 5000 typ host",
        "1 2 udp 1 192.0.2.1 5000 typ host",
        "1 1 tcp 1 192.0.2.1 5000 typ host",
        "1 1 udp 1 192.0.2.1 5000 typ odd",
        f"{'1' * 40} 1 udp 1 192.0.2.1 5000 typ host",
        "1 1 udp 1 192.0.2.1 5000 typ host " + "x" * 300,
    ],
)
def test_candidates_that_nothing_is_sent_to(candidate: str) -> None:
    ice = answer(CHROME + f"a=candidate:{candidate}\r\n".encode()).plan.ice
    assert ice is not None and ice.candidates == ()


def test_passwords_of_ice_are_taken_out_of_what_is_shown() -> None:
    shown = redact(CHROME)
    assert PASSWORD.encode() not in shown and b"a=ice-ufrag:4ZcD" in shown


def test_without_candidates_media_are_nowhere_yet() -> None:
    bare = msgspec.structs.replace(OURS, candidates=())
    assert webrtc.default_of(bare) == ("0.0.0.0", 9)
    assert webrtc.default_of(OURS) == ("198.51.100.9", 20000)


_NAMES = st.text("ABCDEFGHIJKLMNOPabcdefghijklmnop0123456789+/", min_size=4, max_size=16)
_SIDES = st.builds(
    IceSide,
    ufrag=_NAMES,
    password=st.text("abcdefXYZ0123456789+/", min_size=22, max_size=40),
    fingerprints=st.lists(
        st.builds(
            Fingerprint,
            algorithm=st.just("sha-256"),
            value=st.binary(min_size=32, max_size=32).map(lambda octets: octets.hex(":").upper()),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    candidates=st.lists(
        st.builds(
            "{} 1 udp {} {} {} typ {}".format,
            st.integers(1, 9),
            st.integers(1, 2**32 - 1),
            st.sampled_from(["192.0.2.7", "2001:db8::7", "10.1.2.3"]),
            st.integers(1, 65535),
            st.sampled_from(["host", "srflx", "relay"]),
        ),
        max_size=5,
    ).map(tuple),
    setup=st.just(Setup.ACTPASS),
)


@given(one=_SIDES, other=_SIDES)
def test_what_one_side_of_ours_writes_the_other_reads(one: IceSide, other: IceSide) -> None:
    here, there = bob(7), bob(8)
    offered = write(here.offer(gateway(one)))
    there.receive_offer(read(offered))
    answered = there.answer(gateway(other))
    assert isinstance(answered, Answered)
    accepted = here.accept(read(write(answered.description)))
    assert isinstance(accepted, Accepted)
    assert accepted.plan.ice == msgspec.structs.replace(other, setup=Setup.ACTIVE)
    assert answered.plan.ice == msgspec.structs.replace(one, setup=Setup.PASSIVE)


@given(cuts=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4)), max_size=4))
def test_a_bent_offer_is_answered_or_refused(cuts: list[tuple[int, bytes]]) -> None:
    octets = CHROME_VIDEO
    for at, put in cuts:
        octets = octets[:at] + put + octets[at + 1 :]
    try:
        offered = read(octets)
    except RemoteProtocolError:
        return
    session = bob()
    session.receive_offer(offered)
    result = session.answer(gateway())
    if isinstance(result, Answered):
        assert read(write(result.description)) == result.description
        assert result.plan.audio is None or result.plan.ice is not None
