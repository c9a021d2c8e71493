"""Where whoever is dialled may be reached: nouns of a dial as ways, found one after the other.

A noun becomes arms that ring at once, such as the devices of one user; an arm becomes ways that are
tried in turn, such as the gateways of a trunk and then those of the next carrier. What became of a
way decides about the next. Limits of trunks are taken as a way is given out, and given back by
`Arm.release`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, Final, Protocol

import msgspec

from carriers import header_rules
from carriers.call_outcomes import CallOutcome, Next
from carriers.caller_id import ANONYMOUS, Caller, identity_of
from carriers.dialling import request_uri
from carriers.routing import Plan
from carriers.trunk import Trunks
from carriers.trunk_places import Door
from carriers.trunks import Srtp, Trunk, gateway_uri
from gateway.calls.browser import AnyWay
from gateway.calls.leg import Gone
from gateway.calls.model import Call, CallStatus, Party
from gateway.calls.redirects import led_to, may_follow
from gateway.calls.way import CODECS, PHONES, Way, preferring
from gateway.sip.model import Domain
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.formats import Codec
from protocols.sdp.media import DtmfMode, MediaPolicy, SrtpPolicy
from protocols.sip.agent_events import Source
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import Replaces
from protocols.sip.locating import Unlocated
from protocols.sip.message import Headers, NameAddr
from protocols.sip.resolver import Resolver
from protocols.sip.session_refresh import Wish
from protocols.sip.transport import SECURE, Destination, Hop
from protocols.sip.uri import SipUri, parse_uri
from twiml import nouns

MOST_REDIRECTS: Final = 5


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What all of a dial's nouns share: for which call, under whose number, with which codecs.

    `replaces` is a dialog of theirs that our INVITE takes the place of (RFC 3891).
    """

    call: Call
    caller: Caller
    codecs: tuple[str, ...] = ()
    replaces: Replaces | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a user: where it is, and where else if it isn't there.

    `media` says whether its domain wants keys, where they can be sent.
    """

    uri: SipUri
    destinations: tuple[Destination, ...]
    routes: tuple[NameAddr, ...] = ()
    media: SrtpPolicy = SrtpPolicy.ALLOW


class Users(Protocol):
    """Who of a domain of ours can be reached where."""

    def is_ours(self, domain: str) -> bool:
        """Whether a SIP domain is one of this gateway's."""
        ...

    def devices(self, account_sid: str, user: str, domain: str) -> Sequence[Device]:
        """The devices of a user, for calls of this account."""
        ...


class Arm(Protocol):
    """Ways that are tried in turn."""

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> AnyWay | None:
        """The way to try after `outcome`, None at first; None if there is no other."""
        ...

    def release(self) -> None:
        """The last way is not used any more."""
        ...

    @property
    def reason(self) -> str:
        """Why there was no way, in a sentence."""
        ...


class Reach:
    """See the module. `host` gives our own host as From names it; `plan` the carriers of a call."""

    def __init__(
        self,
        *,
        trunks: Trunks,
        resolver: Resolver,
        users: Users,
        plan: Callable[[str, str, str], Plan],
        host: Callable[[], str],
        clock: Callable[[], float],
        cnonce: Callable[[], str],
    ) -> None:
        self.trunks = trunks
        self.resolver = resolver
        self.host = host
        self.clock = clock
        self._users = users
        self._plan = plan
        self._cnonce = cnonce

    def arms(self, noun: nouns.Noun, asked: Asked) -> Sequence[Arm]:
        """The arms of a noun: at least one, which may have no way."""
        match noun:
            case nouns.Number(number=number):
                plan = self._plan(asked.call.account_sid, number, asked.caller.number)
                return (NumberArm(self, number, asked, plan),)
            case nouns.Sip():
                return self._sip_arms(noun, asked)

    def is_ours(self, host: str) -> bool:
        """Whether a host is a domain of ours, or the gateway itself."""
        return self._users.is_ours(host) or host == self.host()

    def is_user(self, noun: nouns.Rung) -> bool:
        """Whether a noun is a user of a domain of ours."""
        first = _uri(noun.uris[0].uri) if isinstance(noun, nouns.Sip) else None
        return first is not None and self._users.is_ours(first.host)

    def has_devices(self, account_sid: str, user: str, domain: str) -> bool:
        """Whether somebody of a domain is registered."""
        return bool(self._users.devices(account_sid, user, domain))

    def policy(
        self,
        destination: Destination,
        asked: Asked,
        only: tuple[str, ...],
        srtp: SrtpPolicy = SrtpPolicy.ALLOW,
    ) -> MediaPolicy:
        """What is spoken with a phone; keys go only where nobody can read along."""
        secure = destination.transport in SECURE
        codecs = _named(only) or PHONES
        srtp = srtp if secure else SrtpPolicy.OFF
        policy = MediaPolicy(codecs=codecs, dtmf=DtmfMode.AUTO, srtp=srtp)
        return preferring(policy, asked.codecs)

    def from_(self, asked: Asked) -> NameAddr:
        """Who calls, as phones and other peers are told: no carrier, so not who stays unknown."""
        if asked.caller.anonymous:
            return ANONYMOUS
        address = asked.caller.number
        if address.startswith(("sip:", "sips:")):
            return NameAddr(uri=_plain(address, self.host()), display=asked.caller.display)
        user = address or "anonymous"
        return NameAddr(uri=SipUri(user=user, host=self.host()), display=asked.caller.display)

    def _sip_arms(self, noun: nouns.Sip, asked: Asked) -> Sequence[Arm]:
        first = _uri(noun.uris[0].uri)
        if first is not None and self.is_user(noun):
            devices = self._users.devices(asked.call.account_sid, first.user, first.host)
            if not devices:
                return (NoArm(f"{first.user}@{first.host} is not registered"),)
            return tuple(DeviceArm(self, each, first, noun, asked) for each in devices)
        ranked = sorted(noun.uris, key=lambda each: (each.priority, -each.weight))
        return (PeerArm(self, ranked, noun, asked),)

    def credentials(self, username: str, password: str) -> Sessions | None:
        """What answers a peer's challenge, if anything does."""
        if not username:
            return None
        known = Credentials(username=username, password=password)
        return Sessions((known,), cnonce=self._cnonce)


class NoArm:
    """Nobody is there; its call ends with `status`."""

    def __init__(self, reason: str, status: CallStatus = CallStatus.FAILED) -> None:
        self.reason = reason
        self.status = status

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> Way | None:
        """See `Arm`."""
        return None

    def release(self) -> None:
        """See `Arm`."""


class DeviceArm:
    """A registered device, by its flow and then by others that it registered."""

    def __init__(
        self, reach: Reach, device: Device, aor: SipUri, noun: nouns.Sip, asked: Asked
    ) -> None:
        self._left = list(device.destinations)
        self._reach = reach
        self._device = device
        self._aor = aor
        self._noun = noun
        self._asked = asked
        self.reason = "the device can't be reached"

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> Way | None:
        """See `Arm`: another flow is tried only where nobody answered by the first."""
        if outcome is not None and (
            outcome.next is Next.NOBODY or outcome.sip_code not in _UNREACHED
        ):
            return None
        if not self._left:
            return None
        destination = self._left.pop(0)
        return Way(
            uri=self._device.uri,
            from_=self._reach.from_(self._asked),
            to=NameAddr(uri=self._aor),
            destination=destination,
            policy=self._reach.policy(
                destination, self._asked, self._noun.codecs, self._device.media
            ),
            routes=self._device.routes,
            headers=Headers(self._noun.headers),
            replaces=self._asked.replaces,
            pinned=True,
        )

    def release(self) -> None:
        """See `Arm`."""


class _Located:
    """What arms have in common that find hops by DNS and follow redirects."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._ways: list[Way] = []
        self._redirects = MOST_REDIRECTS
        self._tried: list[SipUri] = []
        self._current: Way | None = None
        self.reason = "there is no way"

    async def _after(self, outcome: CallOutcome | None, gone: Gone | None) -> Way | None:
        """Another hop of the same place, or where a redirect points."""
        way = self._current
        if outcome is None or way is None:
            return self._give()
        if gone is not None and self._redirects and may_follow(gone, way.stop_codes):
            # Somebody else is meant, also by who rang for a while first.
            self._redirects -= 1
            self._ways.clear()
            for uri in led_to(gone.contacts, self._tried):
                await self._add(uri, way)
            return self._give()
        if outcome.next is Next.NOBODY:
            self._ways.clear()  # whoever was rung is not rung by another hop
            return None
        if outcome.sip_code not in _UNREACHED and outcome.sip_code != 503:
            self._ways.clear()  # RFC 3263 §4.3: only who did not answer has others asked
        return self._give()

    async def _add(self, uri: SipUri, like: Way) -> None:
        self._tried.append(uri)
        target = msgspec.structs.replace(uri, headers=())
        found = await self._reach.resolver.locate(target)
        if isinstance(found, Unlocated):
            self.reason = found.reason
            return
        self._ways += _ways_to(found.hops, msgspec.structs.replace(like, uri=target))

    def _give(self) -> Way | None:
        self._current = self._ways.pop(0) if self._ways else None
        return self._current

    def release(self) -> None:
        """See `Arm`."""


class PeerArm(_Located):
    """A SIP peer elsewhere: its addresses in their order."""

    def __init__(
        self, reach: Reach, uris: Sequence[nouns.SipUri], noun: nouns.Sip, asked: Asked
    ) -> None:
        super().__init__(reach)
        self._uris = list(uris)
        self._noun = noun
        self._asked = asked

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> Way | None:
        """See `Arm`."""
        way = await self._after(outcome, gone)
        if outcome is not None and outcome.next is Next.NOBODY and way is None:
            return None
        while way is None and self._uris:
            await self._open(self._uris.pop(0))
            way = self._give()
        return way

    async def _open(self, address: nouns.SipUri) -> None:
        uri = _uri(address.uri)
        if uri is None:
            self.reason = f"{address.uri} can't be read"
            return
        reach, asked, nowhere = self._reach, self._asked, Hop(transport=_ANY, host="", port=0)
        like = Way(
            uri=uri,
            from_=reach.from_(asked),
            to=NameAddr(uri=msgspec.structs.replace(uri, params=(), headers=())),
            destination=nowhere,
            policy=reach.policy(nowhere, asked, self._noun.codecs),
            headers=Headers(self._noun.headers),
            replaces=asked.replaces,
            sessions=reach.credentials(address.username, address.password),
        )
        await self._add(uri, like)
        self._ways = [
            msgspec.structs.replace(
                way, policy=reach.policy(way.destination, asked, self._noun.codecs)
            )
            for way in self._ways
        ]


class NumberArm(_Located):
    """A telephone number: carriers in their order, the gateways of each, the hops of those."""

    def __init__(self, reach: Reach, number: str, asked: Asked, plan: Plan) -> None:
        super().__init__(reach)
        self._number = number
        self._asked = asked
        self._plan = plan
        self._carriers = [each.carrier for each in plan.candidates]
        self._doors: list[Door] = []
        self._carrier = ""  # that has counted the call, under `_name`
        self._name = f"{asked.call.sid}>{number}"
        self.reason = ""

    async def next(self, outcome: CallOutcome | None, gone: Gone | None) -> Way | None:
        """See `Arm`."""
        self._tell(outcome, gone)
        way = await self._after(outcome, gone)
        if way is None and outcome is not None:
            if outcome.next is Next.NOBODY:
                return None
            if outcome.next is Next.CARRIER:
                self._doors.clear()
        while way is None:
            if self._doors:
                way = self._by(self._doors.pop(0))
            elif self._carriers:
                await self._turn_to(self._carriers.pop(0))
            else:
                self.reason = self.reason or f"no carrier for {self._number}: {self._plan.why()}"
                return None
        return way

    def release(self) -> None:
        """See `Arm`."""
        if self._carrier:
            self._reach.trunks.release(self._carrier, self._name)
            self._carrier = ""

    def _tell(self, outcome: CallOutcome | None, gone: Gone | None) -> None:
        """The gateway that was asked is judged by its answer, and not by what we lacked."""
        way = self._current
        is_ours = gone is not None and gone.by is Party.GATEWAY
        if outcome is not None and way is not None and way.carrier and not is_ours:
            trunks, hop = self._reach.trunks, way.destination
            retry_after = 0 if gone is None else gone.retry_after
            trunks.answered(way.carrier, way.gateway, outcome.sip_code, retry_after=retry_after)
            if gone is not None and gone.source in _SILENT and isinstance(hop, Hop):
                trunks.unreached(hop)

    async def _turn_to(self, carrier: str) -> None:
        self.release()
        admission = self._plan.admission
        full = self._reach.trunks.admit(carrier, self._name, kind=admission)
        if full is not None:
            self.reason = f"{carrier}: {full.reason()}"
            return
        self._carrier = carrier
        self._doors = list(await self._reach.trunks.doors(carrier, kind=admission))
        if not self._doors:
            self.reason = f"no gateway of {carrier} can be reached"

    def _by(self, door: Door) -> Way | None:
        trunk = self._reach.trunks.get(self._carrier)
        if trunk is None:
            return None
        way = self._way(door, trunk)
        self._ways = [way, *_ways_to(door.hops[1:], way)]
        return self._give()

    def _way(self, door: Door, trunk: Trunk) -> Way:
        reach, call = self._reach, self._asked.call
        uri = request_uri(self._number, trunk, door.gateway)
        host = trunk.domain or gateway_uri(door.gateway).host
        identity = identity_of(self._asked.caller, trunk, host)
        named = {
            "from": self._asked.caller.number,
            "to": self._number,
            "call_sid": call.sid,
            "account_sid": call.account_sid,
            "carrier": self._carrier,
        }
        headers = header_rules.with_rules(
            Headers(identity.headers), trunk.set_headers, trunk.remove_headers, named
        )
        return Way(
            uri=uri,
            from_=identity.from_,
            to=NameAddr(uri=msgspec.structs.replace(uri, params=(), host=host, port=0)),
            destination=door.hops[0],
            policy=preferring(policy_of(trunk), self._asked.codecs),
            routes=reach.trunks.service_route(self._carrier),
            headers=headers,
            latch=trunk.latch,
            refresh=wish_of(trunk),
            carrier=self._carrier,
            gateway=door.gateway.uri,
            pinned=door.pinned,
            early_media=trunk.early_media,
            stop_codes=trunk.stop_codes,
            sessions=reach.trunks.sessions(self._carrier),
        )


_UNREACHED: Final = frozenset({0, 408})
_SILENT: Final = frozenset({Source.TIMEOUT, Source.TRANSPORT})
_ANY: Final[Any] = "UDP"
_SRTP: Final = {
    Srtp.OFF: SrtpPolicy.OFF,
    Srtp.ALLOW: SrtpPolicy.ALLOW,
    Srtp.REQUIRE: SrtpPolicy.REQUIRE,
}


def policy_of(trunk: Trunk) -> MediaPolicy:
    """What is spoken with a carrier, as its trunk says."""
    return _policy(trunk.codecs, trunk.dtmf, trunk.srtp)


@lru_cache(maxsize=1024)  # each call asks
def _policy(codecs: tuple[str, ...], dtmf: str, srtp: Srtp) -> MediaPolicy:
    return MediaPolicy(codecs=_named(codecs) or PHONES, dtmf=DtmfMode(dtmf), srtp=_SRTP[srtp])


def wish_of(trunk: Trunk) -> Wish | None:
    """The session timer of calls by a trunk."""
    return Wish(seconds=int(trunk.session_expires)) if trunk.session_expires else None


@cache
def phone_policy(srtp: SrtpPolicy = SrtpPolicy.ALLOW) -> MediaPolicy:
    """What is spoken with who calls us and is no carrier: whatever is offered, keys as well."""
    return MediaPolicy(codecs=PHONES, dtmf=DtmfMode.AUTO, srtp=srtp)


def srtp_of(domain: Domain) -> SrtpPolicy:
    """Whether a domain's calls must be encrypted: Twilio's `Secure` of a domain."""
    is_secure = domain.settings.get("secure") == "true"
    return SrtpPolicy.REQUIRE if is_secure else SrtpPolicy.ALLOW


LATCH: Final = LatchPolicy.SIGNALLED


def _ways_to(hops: Iterable[Hop], like: Way) -> list[Way]:
    return [msgspec.structs.replace(like, destination=hop) for hop in hops]


def _named(names: Sequence[str]) -> tuple[Codec, ...]:
    return tuple(CODECS[name.lower()] for name in names if name.lower() in CODECS)


def _uri(text: str) -> SipUri | None:
    try:
        uri = parse_uri(text)
    except RemoteProtocolError:
        return None
    return uri if isinstance(uri, SipUri) else None


def _plain(text: str, host: str) -> SipUri:
    uri = _uri(text)
    if uri is None:
        return SipUri(user="anonymous", host=host)
    return msgspec.structs.replace(uri, password="", params=(), headers=())
