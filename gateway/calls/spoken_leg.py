"""What legs have in common whose peers agree on media by descriptions, whatever carries those."""

from collections.abc import Callable
from typing import Any

import msgspec

from gateway.calls.description import Description
from gateway.calls.info_keys import Key
from gateway.calls.leg import Tell
from gateway.calls.media import CallMedia
from gateway.calls.model import CallLeg, Party, Quality
from gateway.calls.sip_tools import Tools
from gateway.media import graph
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.media import MediaPolicy, Stream


class SpokenLeg:
    """Its place, its description and its record; how its peer is told is for the kinds of it."""

    def __init__(
        self,
        tools: Tools,
        media: CallMedia,
        tell: Tell,
        *,
        id: str,
        record: CallLeg,
        policy: MediaPolicy,
    ) -> None:
        self.id = id
        self.record = record
        self.policy = policy
        self._tools = tools
        self._media = media
        self._tell = tell
        self._description: Description | None = None
        self._told_gone = False
        self.is_up = False
        self.is_heard = False  # the peer of a call of ours said something

    @property
    def stream(self) -> Stream | None:
        """See `PeerLeg`."""
        return None if self._description is None else self._description.stream

    @property
    def call_of(self) -> str:
        """See `PeerLeg`."""
        return self._media.call

    @property
    def described(self) -> Description:
        """What it and its peer agree on; it is prepared."""
        assert self._description is not None, "the leg has no ports"
        return self._description

    def measured(self, received: Quality, sent: Quality) -> None:
        """See `PeerLeg`."""
        self._keep(received=received, sent=sent)

    def agreed(self) -> None:
        """Keep what is spoken now."""
        if spoken := self._spoken():
            self._keep(**spoken)

    async def prepare(self) -> None:
        """See `PeerLeg`."""
        tools = self._tools
        place = await self._media.placed(self.id)
        self._description = Description(
            self._media,
            self.id,
            address=tools.advertised or place.address[0],
            place=place,
            policy=self.policy,
            session_id=tools.number(),
            key=tools.key,
        )

    def _expect(
        self,
        signalling: str,
        latch: LatchPolicy,
        webrtc: graph.WebRtc | None,
        press: Callable[[Key], None] | None = None,
        claimed: str = "",
    ) -> None:
        """Tell the call's media of it."""
        self._media.expect(
            graph.Leg(
                id=self.id,
                host=self._tools.host,
                signalling=signalling,
                claimed=claimed,
                latch=latch,
                dtmf=self.policy.dtmf,
                silence=self._tools.silence,
                webrtc=webrtc,
            ),
            press=press,
        )

    def _keep(self, **changes: Any) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)

    def _keep_ringing(self) -> None:
        if not self.record.ringing:
            self._keep(ringing=self._tools.clock())

    def _keep_answered(self, status: int, **also: Any) -> None:
        self.is_up = True
        self._keep(answered=self._tools.clock(), sip_code=status, **also)

    def _spoken(self) -> dict[str, str]:
        """What is spoken now, as the record has it; nothing before that is known."""
        stream = self.described.stream
        if stream is None or not stream.codecs:
            return {}
        first = stream.codecs[0]
        return {"codec_sent": first.sent.name, "codec_received": first.received.name}

    def _keep_end(self, by: Party, status: int, reason: str) -> None:
        """It is over; whoever calls it has yet to tell."""
        self._told_gone, self.is_up = True, False
        self._keep(
            ended=self._tools.clock(),
            cause=reason,
            released_by=by,
            sip_code=self.record.sip_code if self.record.answered else status,
        )
