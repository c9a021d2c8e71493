"""What a leg and its peer agree on: refreshes, in which the peer says again what it said."""

from typing import Any

import pytest

from gateway.calls.description import Description, Disagreed
from gateway.media.wire import Place
from protocols.sdp import codec as sdp
from protocols.sdp.formats import PCMA, PCMU
from protocols.sdp.media import LocalMedia, MediaPolicy, Stream
from protocols.sdp.negotiation import Negotiation
from protocols.sip.session_offers import Body


class Media:
    """What a leg says of itself."""

    def __init__(self) -> None:
        self.said: list[tuple[Stream | None, int]] = []

    def describe(self, id: str, stream: Stream | None, offers: int) -> None:
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
