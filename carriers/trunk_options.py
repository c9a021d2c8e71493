"""Signs of life: OPTIONS to the gateways of one SIP trunk, at every hop of each.

A gateway lives if one of its hops answers well. One that is still being waited for is not asked
again.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from carriers.gateways import DEAD, Gateways
from carriers.trunk_desk import Desk
from carriers.trunk_registration import MAX_HOPS, identity, trouble_of
from carriers.trunks import Gateway, Trunk, gateway_uri
from protocols.sip.agent_commands import Ask
from protocols.sip.agent_events import Responded, Source
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import read_retry_after
from protocols.sip.locating import Unlocated
from protocols.sip.message import NameAddr, Response
from protocols.sip.transport import Hop

_SILENCE: Final = 0


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """What OPTIONS found of a gateway: a status, 0 for no answer and then why."""

    uri: str
    status: int
    retry_after: int = 0
    reason: str = ""


class _Probe:
    """One gateway that is being asked: hops that have not answered, and the word so far."""

    __slots__ = ("gateway", "left", "sign", "told")

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.left = 0
        self.sign: Sign | None = None
        self.told = False


class Probing:
    """See the module; `tell` is called once for each gateway that was asked."""

    def __init__(self, name: str, trunk: Trunk, desk: Desk, tell: Callable[[Sign], None]) -> None:
        self._name = name
        self._desk = desk
        self._tell = tell
        self._asking: set[str] = set()
        self.trunk = trunk

    def ask_due(self, gateways: Gateways, now: float) -> None:
        """Ask those of `gateways` that are due."""
        for gateway in gateways.due(now):
            if gateway.uri not in self._asking:
                self._asking.add(gateway.uri)
                self._desk.do(self._ask(_Probe(gateway)), f"options {self._name}")

    async def _ask(self, probe: _Probe) -> None:
        gateway = probe.gateway
        found = await self._desk.places.find(gateway, self.trunk.transport)
        if isinstance(found, Unlocated):
            self._found(probe, Sign(uri=gateway.uri, status=_SILENCE, reason=found.reason))
            self._end(probe)
            return
        hops = found.hops[:MAX_HOPS]
        probe.left = len(hops)
        for hop in hops:
            self._desk.ask(self._options(gateway, hop), hop, self._taker(probe, hop))

    def _options(self, gateway: Gateway, hop: Hop) -> Ask:
        station, uri = self._desk.station, gateway_uri(gateway)
        asked = msgspec.structs.replace(uri, user="", password="", headers=())
        who = identity(self.trunk.username, self.trunk.domain, self.trunk.doors())
        return Ask(
            method="OPTIONS",
            uri=asked,
            from_=NameAddr(uri=who),
            to=NameAddr(uri=msgspec.structs.replace(asked, params=(), port=0)),
            contacts=(station.contact(hop),),
            headers=station.agent.abilities(),
        )

    def _taker(self, probe: _Probe, hop: Hop) -> Callable[[Responded], None]:
        def take(event: Responded) -> None:
            uri, response = probe.gateway.uri, event.response
            match event.source:
                case Source.PEER:
                    self._desk.places.reached(hop)
                    after = _retry_after(response)
                    self._found(probe, Sign(uri=uri, status=response.status, retry_after=after))
                case Source.TIMEOUT | Source.TRANSPORT:
                    self._desk.places.failed(hop)
                    self._found(probe, Sign(uri=uri, status=_SILENCE, reason=trouble_of(event)))
                case Source.OVERLOAD:
                    pass  # it is we who had no room: nothing is known of the gateway
            self._one_less(probe)

        return take

    def _found(self, probe: _Probe, sign: Sign) -> None:
        """A good sign is told at once, of bad ones the one that says most, when all are in."""
        if sign.status not in DEAD and not probe.told:
            probe.told = True
            self._tell(sign)
        elif probe.sign is None or sign.status:
            probe.sign = sign

    def _one_less(self, probe: _Probe) -> None:
        probe.left -= 1
        if probe.left <= 0:
            self._end(probe)

    def _end(self, probe: _Probe) -> None:
        self._asking.discard(probe.gateway.uri)
        if not probe.told and probe.sign is not None:
            self._tell(probe.sign)


def _retry_after(response: Response) -> int:
    try:
        found = read_retry_after(response.headers)
    except RemoteProtocolError:
        return 0
    return 0 if found is None else found.seconds
