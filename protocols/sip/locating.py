"""Where a URI leads, step by step, without asking anybody (RFC 3263 §4, RFC 2782).

`plan` is a conversation: it yields the questions that it has for DNS, is sent what came of them,
and returns the hops in the order in which they are to be tried. `resolver` holds it with name
servers; a test holds it by itself. What DNS says is taken in bounded numbers, whoever wrote it.
"""

import ipaddress
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Final

import msgspec

from protocols.sip.transport import PORTS, SECURE, Hop, Transport
from protocols.sip.uri import SipUri, parameter

MAX_RECORDS: Final = 32
"""Records of one answer that are looked at, the best by their order."""

MAX_HOPS: Final = 64

Chance = Callable[[], float]
"""Gives a number from 0 to below 1, each as likely as the other."""


class Kind(StrEnum):
    """The kinds of records that lead to a SIP server."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    A = "A"
    AAAA = "AAAA"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: `name` in small letters, without the last dot."""

    kind: Kind
    name: str


class Naptr(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a domain: which name has the servers of which transport (RFC 3403 §4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


class Srv(msgspec.Struct, frozen=True, kw_only=True):
    """A server of a service; `target` "" says that there is none (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str
"""A and AAAA are addresses as text."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Records, good for `ttl` seconds; with none the name or the kind does not exist.

    `additional` are the answers that came along unasked.
    """

    records: tuple[Record, ...]
    ttl: float
    additional: Mapping[Question, "Found"] = msgspec.field(default_factory=dict)


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """No name server gave an answer that counts; nothing is known about the name."""

    reason: str


Answer = Found | Silent


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """At least one hop, best first."""

    hops: tuple[Hop, ...]


class Unlocated(msgspec.Struct, frozen=True, kw_only=True):
    """There is no way to the URI. `temporary`: only because name servers did not answer."""

    reason: str
    temporary: bool = False


Plan = Generator[tuple[Question, ...], Sequence[Answer], Located | Unlocated]


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint can do: transports and address families, the preferred first."""

    transports: tuple[Transport, ...] = (Transport.UDP, Transport.TCP, Transport.TLS)
    families: tuple[Kind, ...] = (Kind.A, Kind.AAAA)


SERVICES: Final = {
    "SIP+D2U": Transport.UDP,
    "SIP+D2T": Transport.TCP,
    "SIPS+D2T": Transport.TLS,
}
PREFIXES: Final = {
    Transport.UDP: "_sip._udp.",
    Transport.TCP: "_sip._tcp.",
    Transport.TLS: "_sips._tcp.",
}
# What the parameter "transport" means, by scheme (RFC 3261 §26.2.2: "tls" there is of old).
WRITTEN: Final = {
    ("sip", "udp"): Transport.UDP,
    ("sip", "tcp"): Transport.TCP,
    ("sip", "tls"): Transport.TLS,
    ("sips", "tcp"): Transport.TLS,
    ("sips", "tls"): Transport.TLS,
}
LOCAL: Final = {Kind.A: "127.0.0.1", Kind.AAAA: "::1"}  # RFC 6761 §6.3: never asked for


def plan(uri: SipUri, abilities: Abilities, chance: Chance) -> Plan:
    """The way to `uri`: yields questions, takes their answers in the same order.

    `maddr` stands in for the host (RFC 3261 §19.1.1). The result holds for a request that is sent
    now: another run may weigh equals another way.
    """
    target = (parameter(uri.params, "maddr") or uri.host).lower().rstrip(".")
    if target.endswith(".invalid"):  # RFC 6761 §6.4; RFC 7118 §5.1 has browsers say so
        return Unlocated(reason=f"{target[:64]} is a name of nobody (RFC 6761)")
    host = numeric(target)
    written = parameter(uri.params, "transport")
    transports, wrong = _transports(uri.scheme, written, abilities)
    if not transports:
        return Unlocated(reason=wrong)
    if host:
        return _numeric_hop(uri, _plain(transports), host, abilities)
    if uri.port or _is_local(target):
        places = [(_plain(transports), target, uri.port)]
    else:
        rules: list[tuple[Transport, str]] = []
        if written is None:
            (answer,) = yield (Question(kind=Kind.NAPTR, name=target),)
            rules = _follow(answer, transports)
        found = yield from _services(target, transports, rules, chance)
        if isinstance(found, Unlocated):
            return found
        places = found
    return (yield from _addresses(uri.host, places[:MAX_HOPS], abilities))


@lru_cache(maxsize=1024)  # each call asks
def numeric(host: str) -> str:
    """`host` as an address in its shortest form; "" if it is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return ""


def family(address: str) -> Kind:
    """The kind of record that would hold this address."""
    return Kind.AAAA if ":" in address else Kind.A


def by_weight(records: Iterable[Srv], chance: Chance) -> list[Srv]:
    """Servers in the order in which a client tries them (RFC 2782, "Weight")."""
    ordered: list[Srv] = []
    for _, equals in groupby(sorted(records, key=_rank), key=lambda record: record.priority):
        left = list(equals)
        while left:
            ordered.append(left.pop(_drawn(left, chance())))
    return ordered


def _drawn(left: Sequence[Srv], drawn: float) -> int:
    """Which of these is next; those without weight stand first, so they come up at 0 alone."""
    total = sum(record.weight for record in left)
    if not total:
        return int(drawn * len(left))
    bound = int(drawn * (total + 1))
    running = accumulate(record.weight for record in left)
    return next(at for at, reached in enumerate(running) if reached >= bound)


def _rank(record: Srv) -> tuple[int, int, str, int]:
    return (record.priority, record.weight, record.target, record.port)


def _transports(
    scheme: str, written: str | None, abilities: Abilities
) -> tuple[tuple[Transport, ...], str]:
    """What may carry the request, best first, and what is wrong if nothing may (§4.1)."""
    if scheme not in ("sip", "sips"):
        return (), f"no server is found for the scheme {scheme}"
    if written is not None:
        transport = WRITTEN.get((scheme, written.lower()))
        if transport is None:
            return (), f"{scheme} does not go over {written}"
        wanted: tuple[Transport, ...] = (transport,)
    elif scheme == "sips":
        wanted = (Transport.TLS,)
    else:
        wanted = tuple(PREFIXES)
    able = tuple(each for each in abilities.transports if each in wanted)
    return able, f"{wanted[0]} is not spoken here"


def _plain(transports: Sequence[Transport]) -> Transport:
    """What goes without saying: UDP, if it may be (§4.1)."""
    return Transport.UDP if Transport.UDP in transports else transports[0]


def _numeric_hop(
    uri: SipUri, transport: Transport, host: str, abilities: Abilities
) -> Located | Unlocated:
    if family(host) not in abilities.families:
        return Unlocated(reason=f"{host} is of a family that is not spoken here")
    return Located(hops=(_hop(transport, host, uri.port, uri.host),))


def _hop(transport: Transport, host: str, port: int, domain: str) -> Hop:
    """RFC 5922 §7.3: the certificate shows the URI's domain, whatever DNS made of it."""
    return Hop(
        transport=transport,
        host=host,
        port=port or PORTS[transport],
        domain=domain if transport in SECURE else "",
    )


Place = tuple[Transport, str, int]


def _services(
    target: str,
    transports: tuple[Transport, ...],
    rules: Sequence[tuple[Transport, str]],
    chance: Chance,
) -> Generator[tuple[Question, ...], Sequence[Answer], list[Place] | Unlocated]:
    """Names and ports by SRV, and where there are none, by default (§4.1, §4.2)."""
    asked = rules or [(transport, PREFIXES[transport] + target) for transport in transports]
    questions = tuple(Question(kind=Kind.SRV, name=name) for _, name in asked)
    answers = yield questions
    places: list[Place] = []
    denied = False
    for (transport, _), answer in zip(asked, answers, strict=True):
        servers = _servers(answer)
        denied |= any(not server.target for server in servers)
        places += [
            (transport, server.target, server.port)
            for server in by_weight((each for each in servers if each.target), chance)
        ]
    if places:
        return places
    if denied:
        return Unlocated(reason=f"{target} says that it has no SIP service")
    silent = next((answer for answer in answers if isinstance(answer, Silent)), None)
    if silent:
        # A name server that is away is not one that says "no SRV": the default would be a guess.
        return Unlocated(reason=silent.reason, temporary=True)
    return [(_plain(transports), target, 0)]


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _follow(rules: Answer, transports: tuple[Transport, ...]) -> list[tuple[Transport, str]]:
    """The SRV names that the domain's rules lead to, in the domain's order."""
    if isinstance(rules, Silent):
        return []
    ours = [
        (record.order, record.preference, SERVICES[record.service.upper()], record.replacement)
        for record in rules.records
        if isinstance(record, Naptr)
        and record.flags.lower() == "s"
        and record.replacement
        and SERVICES.get(record.service.upper()) in transports
    ]
    ours.sort(key=lambda rule: rule[:2])
    return [(transport, name) for _, _, transport, name in ours[: len(SERVICES)]]


def _servers(answer: Answer) -> list[Srv]:
    if isinstance(answer, Silent):
        return []
    found = [record for record in answer.records if isinstance(record, Srv)]
    return sorted(found, key=lambda each: (each.priority, -each.weight))[:MAX_RECORDS]


def _addresses(domain: str, places: Sequence[Place], abilities: Abilities) -> Plan:
    """A and AAAA of every place, all asked at once; in the places' order."""
    names = dict.fromkeys(name for _, name, _ in places if not numeric(name))
    questions = [
        Question(kind=kind, name=name)
        for name in names
        for kind in abilities.families
        if not _is_local(name)
    ]
    answers: dict[Question, Answer] = {}
    if questions:
        got = yield tuple(questions)
        answers = dict(zip(questions, got, strict=True))
    hops: dict[Hop, None] = {}
    for transport, name, port in places:
        for address in _known(name, abilities, answers):
            hops[_hop(transport, address, port, domain)] = None
    if hops:
        return Located(hops=tuple(hops)[:MAX_HOPS])
    silent = next((each for each in answers.values() if isinstance(each, Silent)), None)
    if silent:
        return Unlocated(reason=silent.reason, temporary=True)
    return Unlocated(reason=f"{', '.join(list(names)[:3]) or domain} has no address")


def _known(name: str, abilities: Abilities, answers: Mapping[Question, Answer]) -> list[str]:
    if address := numeric(name):
        return [address] if family(address) in abilities.families else []
    if _is_local(name):
        return [LOCAL[kind] for kind in abilities.families]
    found: list[str] = []
    for kind in abilities.families:
        answer = answers.get(Question(kind=kind, name=name))
        if isinstance(answer, Found):
            found += [each for each in answer.records if isinstance(each, str)][:8]
    return found
