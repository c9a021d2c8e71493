"""How a party is reached, as a value: one INVITE to one place, and what is spoken with it."""

from typing import Final

import msgspec

from carriers.call_outcomes import STOP_CODES
from carriers.trunks import EarlyMedia
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.formats import G722, L16_16000, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import MediaPolicy, Preference, SrtpPolicy
from protocols.sip.digest import Sessions
from protocols.sip.headers import Replaces
from protocols.sip.message import NO_HEADERS, Headers, NameAddr
from protocols.sip.parts import format_name_addr
from protocols.sip.session_refresh import Wish
from protocols.sip.transport import Destination
from protocols.sip.uri import SipUri, format_uri

CODECS: Final[dict[str, Codec]] = {
    "pcmu": PCMU,
    "pcma": PCMA,
    "g722": G722,
    "opus": OPUS,
    "l16": L16_16000,
}
"""By their names in the config, in small letters."""

PHONES: Final = (PCMU, PCMA, G722, OPUS)
"""What is spoken with phones and peers that nothing was said of."""

BROWSERS: Final = MediaPolicy(
    codecs=(PCMU, PCMA, OPUS, G722), preference=Preference.OURS, rtcp_mux=True
)
"""What is spoken with browsers, over ICE and DTLS. They would rather have Opus, and all of them
have PCMU, which passes on to a carrier as it is; Opus is for who is spoken with in it."""

CLIENTS: Final = msgspec.structs.replace(BROWSERS, preference=Preference.OFFERED)
"""The same with clients of the Voice SDK, whose order is their app's choice."""


def over_ice(policy: MediaPolicy) -> MediaPolicy:
    """`policy` as it is for browsers: its codecs in our order, and keys that DTLS makes."""
    return msgspec.structs.replace(
        policy, preference=BROWSERS.preference, rtcp_mux=True, srtp=SrtpPolicy.OFF
    )


# Octets of an INVITE of ours: what all have, a codec in its description, the keys of SRTP.
_REST: Final = 750
_CODEC: Final = 40
_KEYS: Final = 200


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a party may be reached.

    `size` is about how many octets its INVITE has. `carrier` and `gateway` are the trunk and its
    gateway's URI, "" for phones and others. With `pinned` a large request goes by this transport
    too. `sessions` answers challenges, `replaces` is the dialog whose place it takes there.
    """

    uri: SipUri
    from_: NameAddr
    to: NameAddr
    destination: Destination
    policy: MediaPolicy
    routes: tuple[NameAddr, ...] = ()
    headers: Headers = NO_HEADERS
    latch: LatchPolicy = LatchPolicy.SIGNALLED
    refresh: Wish | None = None
    carrier: str = ""
    gateway: str = ""
    pinned: bool = False
    early_media: EarlyMedia = EarlyMedia.PASS
    stop_codes: tuple[int, ...] = STOP_CODES
    replaces: Replaces | None = None
    sessions: Sessions | None = None

    @property
    def size(self) -> int:
        """See the class."""
        parties = (self.from_, self.to, *self.routes)
        said = [format_uri(self.uri), *map(format_name_addr, parties)]
        said += [name + value for name, value in self.headers]
        keys = 0 if self.policy.srtp is SrtpPolicy.OFF else _KEYS
        return _REST + keys + _CODEC * len(self.policy.codecs) + sum(map(len, said))


def preferring(policy: MediaPolicy, names: tuple[str, ...]) -> MediaPolicy:
    """`policy` with the codecs of these names first: what the other side speaks need not be made.

    No codec comes in that the policy does not have.
    """
    wanted = {name.lower(): rank for rank, name in enumerate(names)}
    ordered = sorted(policy.codecs, key=lambda each: wanted.get(each.name.lower(), len(wanted)))
    if tuple(ordered) == policy.codecs:
        return policy
    return msgspec.structs.replace(policy, codecs=tuple(ordered))
