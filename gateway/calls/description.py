"""What one leg and its peer agree on about media: offers and answers as octets, forks, holds.

Descriptions come and go as the bodies of SIP; what they come to goes into the call's media. A
provisional answer of one fork may be followed by the final one of another: each has its own
negotiation, and the last that was heard is what holds.

Where the leg's place has a side of ICE all of it goes over WebRTC. A peer's offer may begin ICE
anew there, which needs another place: `ready` comes before `answer`.
"""

from collections.abc import Callable
from typing import Final

from gateway.calls.media import CallMedia
from gateway.media.wire import Place
from protocols.sdp import codec as sdp
from protocols.sdp import webrtc
from protocols.sdp.description import SessionDescription
from protocols.sdp.errors import RemoteProtocolError, WarningCode
from protocols.sdp.ice import IceSide, Setup
from protocols.sdp.matching import Refused
from protocols.sdp.media import LocalMedia, MediaPlan, MediaPolicy, Preference, Stream
from protocols.sdp.negotiation import Negotiation, State
from protocols.sdp.offer_answer import Accepted, Answered, refusal
from protocols.sip.agent_commands import Reply
from protocols.sip.headers import SipWarning, write_warning
from protocols.sip.message import Headers
from protocols.sip.session_offers import Body

AGENT: Final = "trunkline"
"""Who warns, in the header Warning."""


class Disagreed(Exception):
    """Nothing came of an offer; `reply` is what it is refused with."""

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply


class Description:
    """One leg's. `address` is how the peer is to see where `place` is, `id` the leg's node."""

    def __init__(
        self,
        media: CallMedia,
        id: str,
        *,
        address: str,
        place: Place,
        policy: MediaPolicy,
        session_id: int,
        key: Callable[[int], bytes],
    ) -> None:
        self._media = media
        self._id = id
        if place.ice is not None:
            self._local = _over_ice(policy, place.ice)
        else:
            self._local = LocalMedia(
                address=address, port=place.address[1], rtcp_port=place.control, policy=policy
            )
        self._held: LocalMedia | None = None  # what holds while ICE is to begin anew
        self._ufrag = ""  # the peer's that holds
        self._fork = ""  # in which that was said
        self._first = Negotiation(session_id=session_id, key=key)
        self._heard: Body | None = None  # the peer's last description
        self._forks: dict[str, Negotiation] = {}
        self._offers = 0
        self.stream: Stream | None = None

    def offer(self, fork: str = "") -> Body:
        """Our offer."""
        return _written(sdp.write(self._of(fork).offer(self._local)))

    def accept(self, fork: str, body: Body) -> None:
        """Take the peer's answer to it; raises `Disagreed`. Who called us has no forks: ""."""
        negotiation = self._forks.get(fork) if fork else self._first
        if negotiation is None:
            negotiation = self._forks[fork] = self._first.fork()
        result = negotiation.accept(read(body))
        if not isinstance(result, Accepted):
            raise disagreed(result)
        self._heard, self._fork = body, fork
        self._agree(result.plan)

    def accept_again(self, fork: str, body: Body) -> None:
        """Take the answer to a refresh, which offered what held; raises `Disagreed`."""
        if body == self._heard:
            return
        negotiation = self._of(fork)
        if negotiation.state is State.STABLE:
            negotiation.repeat(self._local)
        self.accept(fork, body)

    def restarts(self, body: Body) -> bool:
        """Whether an offer begins ICE anew, so that `ready` is needed before `answer`."""
        ufrag = _ufrag_in(body)
        return bool(self._ufrag and ufrag and ufrag != self._ufrag)

    async def ready(self, body: Body) -> None:
        """Make ready to answer an offer, whatever it is; raises `NoMedia`."""
        if self.restarts(body):
            await self._move()

    async def offer_restart(self) -> Body:
        """Our offer to begin ICE anew, in the fork that was agreed with last; raises `NoMedia`."""
        await self._move()
        return self.offer(self._fork)

    def answer(self, fork: str, body: Body) -> Body:
        """Our answer to the peer's offer; raises `Disagreed`, and then what held holds on."""
        negotiation = self._of(fork)
        negotiation.receive_offer(read(body))
        result = negotiation.answer(self._local)
        if not isinstance(result, Answered):
            self.stay()
            raise disagreed(result)
        self._heard = body
        self._agree(result.plan)
        return _written(sdp.write(result.description))

    def withdraw(self, fork: str) -> None:
        """An offer of ours was refused: what held holds on."""
        self._of(fork).withdraw()
        self.stay()

    def stay(self) -> None:
        """Begin ICE not anew: our place is the one that it was."""
        if self._held is not None:
            self._local, self._held = self._held, None
            self._media.stay(self._id)

    def _of(self, fork: str) -> Negotiation:
        return self._forks.get(fork, self._first)

    def _agree(self, plan: MediaPlan) -> None:
        self._offers += 1
        self._held = None
        self.stream = plan.audio
        if plan.ice is not None:
            self._ufrag = plan.ice.ufrag
        self._media.describe(self._id, plan.audio, self._offers, plan.ice)

    async def _move(self) -> None:
        self._held = self._held or self._local  # whoever does not wait may `stay` at once
        place = await self._media.restart(self._id)
        assert place.ice is not None, "a leg over WebRTC has its side"
        self._local = _over_ice(self._local.policy, place.ice)


def read(body: Body) -> SessionDescription:
    """The description in a body; raises `Disagreed`."""
    try:
        return sdp.read(body.octets)
    except RemoteProtocolError as error:
        raise Disagreed(_warned(error.status, error.warning, str(error)), str(error)) from error


def is_webrtc(body: Body) -> bool:
    """Whether an offer is to be answered over ICE and DTLS; not if it can't be read."""
    try:
        return webrtc.is_webrtc(read(body))
    except Disagreed:
        return False


def is_answer(body: Body) -> bool:
    """Whether it says who begins DTLS, as an answer does and an offer does not (RFC 8842 §5)."""
    try:
        media = read(body).media
    except Disagreed:
        return False
    said = [webrtc.setup_of(each) for each in media if each.port]
    return any(each not in (None, Setup.ACTPASS) for each in said)


def _ufrag_in(body: Body) -> str:
    try:
        offered = read(body)
    except Disagreed:
        return ""  # `answer` says why
    sides = [webrtc.side_of(offered, each) for each in offered.media if each.port]
    return next((each.ufrag for each in sides if each is not None), "")


_ANYBODY: Final = IceSide(ufrag="", password="", fingerprints=())


def _over_ice(policy: MediaPolicy, side: IceSide) -> LocalMedia:
    address, port = webrtc.default_of(side)
    return LocalMedia(address=address, port=port, policy=policy, ice=side)


def objection(body: Body, policy: MediaPolicy, address: str) -> Disagreed | None:
    """Why an offer would be refused, before there is anything to answer it with."""
    local = LocalMedia(address=address, port=0, policy=policy)
    if is_webrtc(body):
        local = _over_ice(policy, _ANYBODY)
    try:
        refused = refusal(read(body), local)
    except Disagreed as error:
        # Not itself: it knows the frames that it came through, and whoever keeps it is one of them.
        return Disagreed(error.reply, str(error))
    return None if refused is None else disagreed(refused)


def disagreed(refused: Refused) -> Disagreed:
    """A refusal of SDP as one of SIP (RFC 3261 §21.4.26)."""
    return Disagreed(_warned(refused.status, refused.warning, refused.reason), refused.reason)


def _warned(status: int, code: WarningCode, text: str) -> Reply:
    warning = write_warning(SipWarning(code=code, agent=AGENT, text=text))
    return Reply(status=status, headers=Headers((warning,)))


def _written(octets: bytes) -> Body:
    return Body(octets=octets)


def codecs_of(stream: Stream | None) -> tuple[str, ...]:
    """The names of what is spoken, the one that is sent first."""
    if stream is None:
        return ()
    return tuple(dict.fromkeys([each.sent.name for each in stream.codecs]))


def offered(body: Body, policy: MediaPolicy | None = None) -> tuple[str, ...]:
    """The names of the codecs in an offer, in its order; none of one that can't be read.

    With a `policy` whose order counts they are those of both, in that order.
    """
    try:
        media = read(body).media
    except Disagreed:
        return ()
    names = tuple(dict.fromkeys([codec.name for each in media for codec in each.codecs]))
    if policy is None or policy.preference is Preference.OFFERED:
        return names
    known = {each.lower() for each in names}
    return tuple([each.name for each in policy.codecs if each.name.lower() in known])


def host_in(body: Body) -> str:
    """Where media is said to be; "" if that is not said, or can't be read."""
    try:
        said = read(body)
    except Disagreed:
        return ""
    found = (said.connection_of(each) for each in said.media if each.port)
    return next((each.address for each in found if each is not None), "")
