"""Descriptions that the tests of SDP share, and the short ways to make them."""

from typing import Final

from protocols.sdp.codec import read
from protocols.sdp.description import SessionDescription

ALICE: Final = "203.0.113.7"
HEAD: Final = f"v=0\no=alice 2890844526 2890844526 IN IP4 {ALICE}\ns=\nc=IN IP4 {ALICE}\nt=0 0\n"

# RFC 4568 §9.2.
RFC4568_KEY: Final = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"


def described(media: str, head: str = HEAD) -> SessionDescription:
    """Alice's description of these lines from m= on."""
    return read((head + media).encode())
