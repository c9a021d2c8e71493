"""What a leg and its peer agree on: refreshes in which the peer repeats itself, and ICE."""

from typing import Any

import pytest

from gateway.calls.description import (
    Description,
    Disagreed,
    host_in,
    is_webrtc,
    objection,
    offered,
)
from gateway.calls.way import BROWSERS, CLIENTS
from gateway.media.wire import Place
from protocols.sdp import codec as sdp
from protocols.sdp.formats import PCMA, PCMU
from protocols.sdp.ice import IceSide
from protocols.sdp.media import LocalMedia, MediaPolicy, Stream
from protocols.sdp.negotiation import Negotiation
from protocols.sip.session_offers import Body
from tests.unit.sdp.webrtc_examples import CHROME, answered_by_chrome, side


class Media:
    """What a leg says of itself."""

    def __init__(self) -> None:
        self.said: list[tuple[Stream | None, int]] = []

    def describe(
        self, id: str, stream: Stream | None, offers: int, ice: IceSide | None = None
    ) -> None:
        assert id == "leg"
        self.said.append((stream, offers))


def description(media: Media, *codecs: Any) -> Description:
    return Description(
        media,  # type: ignore[arg-type]
        "leg",
        address="192.0.2.1",
        place=Place(address=("192.0.2.1", 20000), control=20001),
        policy=MediaPolicy(codecs=codecs or (PCMU, PCMA)),
        session_id=1,
        key=bytes,
    )


def body(address: str, port: int, *codecs: Any) -> Body:
    """An offer of somebody's, octet by octet the same each time."""
    policy = MediaPolicy(codecs=codecs or (PCMU,))
    local = LocalMedia(address=address, port=port, policy=policy)
    return Body(octets=sdp.write(Negotiation(session_id=7, key=bytes).offer(local)))


def test_a_refresh_of_ours_is_answered_with_what_held() -> None:
    media = Media()
    ours = description(media)
    ours.answer("", body("192.0.2.9", 30000))
    ours.accept_again("", body("192.0.2.9", 30000))
    assert [offers for _, offers in media.said] == [1]  # nothing may latch anew


def test_a_peer_moves_in_its_answer_to_a_refresh() -> None:
    media = Media()
    ours = description(media)
    ours.answer("", body("192.0.2.9", 30000))
    ours.accept_again("", body("192.0.2.9", 30002))
    stream, offers = media.said[-1]
    assert stream is not None and (stream.remote, offers) == (("192.0.2.9", 30002), 2)


def test_a_peer_that_leaves_the_codec_in_its_answer_to_a_refresh_disagrees() -> None:
    ours = description(Media(), PCMU)
    ours.answer("", body("192.0.2.9", 30000))
    with pytest.raises(Disagreed):
        ours.accept_again("", body("192.0.2.9", 30000, PCMA))


class OverIce(Media):
    """The media of a leg over WebRTC, which gives another place whenever ICE begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self.remote: IceSide | None = None
        self.restarts = self.stayed = 0

    def describe(
        self, id: str, stream: Stream | None, offers: int, ice: IceSide | None = None
    ) -> None:
        super().describe(id, stream, offers)
        self.remote = ice

    async def restart(self, id: str) -> Place:
        assert id == "leg"
        self.restarts += 1
        return placed(f"anew{self.restarts}")

    def stay(self, id: str) -> None:
        self.stayed += 1


def placed(ufrag: str) -> Place:
    return Place(address=("192.0.2.1", 0), control=0, ice=side(ufrag=ufrag))


def browsers(media: OverIce) -> Description:
    return Description(
        media,  # type: ignore[arg-type]
        "leg",
        address="192.0.2.1",
        place=placed("first"),
        policy=BROWSERS,
        session_id=1,
        key=bytes,
    )


def said(body: Body, *wanted: str) -> list[str]:
    """The lines of a description that begin so."""
    return [line for line in body.octets.decode().splitlines() if line.startswith(wanted)]


async def test_a_browsers_offer_is_answered_with_our_side() -> None:
    media = OverIce()
    ours = browsers(media)
    await ours.ready(Body(octets=CHROME))
    answered = ours.answer("", Body(octets=CHROME))
    assert said(answered, "m=", "c=", "a=ice-ufrag") == [
        "c=IN IP4 198.51.100.9",
        "m=audio 20000 UDP/TLS/RTP/SAVPF 0 126",
        "a=ice-ufrag:first",
    ]
    assert media.remote is not None and (media.remote.ufrag, media.restarts) == ("4ZcD", 0)


async def test_a_browser_that_begins_ice_anew_is_answered_from_another_place() -> None:
    media = OverIce()
    ours = browsers(media)
    ours.answer("", Body(octets=CHROME))
    again = Body(octets=CHROME.replace(b"4ZcD", b"5AdE"))
    assert ours.restarts(again) and not ours.restarts(Body(octets=CHROME))
    await ours.ready(again)
    answered = ours.answer("", again)
    assert said(answered, "a=ice-ufrag", "a=setup") == ["a=ice-ufrag:anew1", "a=setup:active"]
    assert media.remote is not None and (media.remote.ufrag, media.restarts) == ("5AdE", 1)
    assert [offers for _, offers in media.said] == [1, 2]
    await ours.ready(again)
    assert media.restarts == 1  # a refresh of what holds


async def test_we_begin_ice_anew() -> None:
    media = OverIce()
    ours = browsers(media)
    assert said(ours.offer(), "a=ice-ufrag", "a=setup") == ["a=ice-ufrag:first", "a=setup:actpass"]
    ours.accept("fork", Body(octets=answered_by_chrome()))
    anew = await ours.offer_restart()
    assert said(anew, "a=ice-ufrag", "a=mid") == ["a=mid:0", "a=ice-ufrag:anew1"]
    ours.accept("fork", Body(octets=answered_by_chrome(ufrag="Yy8+")))
    assert media.remote is not None and media.remote.ufrag == "Yy8+"


async def test_a_restart_of_ours_that_is_refused_leaves_our_side_as_it_was() -> None:
    media = OverIce()
    ours = browsers(media)
    ours.offer()
    ours.accept("", Body(octets=answered_by_chrome()))
    await ours.offer_restart()
    ours.withdraw("")
    assert media.stayed == 1
    hold = Body(octets=answered_by_chrome().replace(b"a=setup:active", b"a=setup:actpass"))
    assert not ours.restarts(hold)
    assert said(ours.answer("", hold), "a=ice-ufrag") == ["a=ice-ufrag:first"]
    ours.withdraw("")
    assert media.stayed == 1  # nothing was under way


async def test_a_restart_of_theirs_that_we_refuse_leaves_our_side_as_it_was() -> None:
    media = OverIce()
    ours = browsers(media)
    ours.answer("", Body(octets=CHROME))
    again = CHROME.replace(b"4ZcD", b"5AdE").replace(b"a=rtcp-mux\r\n", b"")
    await ours.ready(Body(octets=again))
    with pytest.raises(Disagreed):
        ours.answer("", Body(octets=again))
    assert (media.restarts, media.stayed) == (1, 1)
    assert said(ours.answer("", Body(octets=CHROME)), "a=ice-ufrag") == ["a=ice-ufrag:first"]


def test_codecs_of_an_offer_in_the_order_that_counts() -> None:
    chrome = Body(octets=CHROME)
    assert offered(chrome)[:3] == ("opus", "red", "G722")
    assert offered(chrome, CLIENTS) == offered(chrome)
    assert offered(chrome, BROWSERS) == ("PCMU", "PCMA", "opus", "G722")
    assert offered(Body(octets=b"x"), BROWSERS) == ()


def test_where_media_is_said_to_be() -> None:
    plain = body("192.0.2.9", 30000)
    assert host_in(plain) == "192.0.2.9"
    media = b"m=audio 30000 RTP/AVP 0\r\n"
    assert host_in(Body(octets=plain.octets + b"c=IN IP6 fd00::9\r\n")) == "fd00::9"
    refused = plain.octets.replace(b"m=audio 30000", b"m=audio 0")
    assert host_in(Body(octets=refused)) == ""
    assert host_in(Body(octets=refused + media)) == "192.0.2.9"
    assert host_in(Body(octets=b"x")) == ""


def test_offers_are_judged_by_what_they_are() -> None:
    plain = body("192.0.2.9", 30000)
    assert is_webrtc(Body(octets=CHROME))
    assert not is_webrtc(plain) and not is_webrtc(Body(octets=b"x"))
    assert objection(Body(octets=CHROME), BROWSERS, "192.0.2.1") is None
    assert objection(plain, BROWSERS, "192.0.2.1") is None
    unusable = CHROME.replace(b"a=rtcp-mux\r\n", b"")
    refused = objection(Body(octets=unusable), BROWSERS, "192.0.2.1")
    assert refused is not None and refused.reply.status == 488


def test_who_keeps_an_objection_is_in_no_circle_with_it() -> None:
    """Calls of strangers would stay, with all that they sent, until the collector looks."""
    kept = objection(Body(octets=b"no SDP"), MediaPolicy(), "192.0.2.1")
    assert kept is not None and kept.reply.status == 400
    assert kept.__traceback__ is None and kept.__context__ is None
