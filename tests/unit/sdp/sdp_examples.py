"""Descriptions that the tests of SDP share, and the short ways to make them."""

from typing import Any, Final

from protocols.sdp.codec import read
from protocols.sdp.description import Direction, SessionDescription
from protocols.sdp.formats import Codec
from protocols.sdp.matching import Refused
from protocols.sdp.media import LocalMedia, MediaPlan, MediaPolicy, Stream
from protocols.sdp.negotiation import Negotiation
from protocols.sdp.offer_answer import Accepted, Answered

ALICE: Final = "203.0.113.7"
BOB: Final = "198.51.100.9"
HEAD: Final = f"v=0\no=alice 2890844526 2890844526 IN IP4 {ALICE}\ns=\nc=IN IP4 {ALICE}\nt=0 0\n"

# RFC 4568 §9.2.
RFC4568_KEY: Final = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


class Keys:
    """Keys that tell themselves apart: so many octets of 1, the next of 2, …"""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self, octets: int) -> bytes:
        self.given += 1
        return bytes((self.given,)) * octets


def described(media: str, head: str = HEAD) -> SessionDescription:
    """Alice's description of these lines from m= on."""
    return read((head + media).encode())


def bobs(
    *codecs: Codec,
    port: int = 20000,
    rtcp_port: int = 0,
    address: str = BOB,
    direction: Direction = Direction.SENDRECV,
    **policy: Any,
) -> LocalMedia:
    """Bob's side: codecs by position, all else of the policy by name."""
    if codecs:
        policy["codecs"] = codecs
    return LocalMedia(
        address=address,
        port=port,
        rtcp_port=rtcp_port,
        direction=direction,
        policy=MediaPolicy(**policy),
    )


def bob(session_id: int = 7) -> Negotiation:
    return Negotiation(session_id=session_id, key=Keys())


def stream(result: Answered | Accepted | Refused | MediaPlan | None) -> Stream:
    """The stream of audio that an exchange came to."""
    plan = result.plan if isinstance(result, Answered | Accepted) else result
    assert isinstance(plan, MediaPlan), plan
    assert plan.audio is not None
    return plan.audio


def types(of: Stream) -> list[tuple[int, int]]:
    """The payload types of its codecs: (what we send, what we receive)."""
    return [(each.sent.payload_type, each.received.payload_type) for each in of.codecs]


def ports(of: SessionDescription) -> list[int]:
    return [each.port for each in of.media]
