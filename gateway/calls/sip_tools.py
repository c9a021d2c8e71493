"""What all legs of SIP share: the station, where media is received, time and chance."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from protocols.sip.agent_events import SessionId
from protocols.sip.station import Station

if TYPE_CHECKING:
    from gateway.calls.sip_leg import SipLeg


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What all legs share.

    `host` is where their media is received, `advertised` how peers see that ("": as it is).
    `watch` has events of a session told to a leg, `clock` is the time of day in seconds.
    `number` gives numbers for `o=`, `key` octets of chance.
    """

    station: Station
    watch: Callable[[SessionId, "SipLeg"], None]
    host: str
    advertised: str
    clock: Callable[[], float]
    number: Callable[[], int]
    key: Callable[[int], bytes]
    silence: float = 0.0
