"""What sections of the config have to agree on, with each other and with this machine.

`problems` are faults that `serve` would meet later, `notes` what may be meant and seldom is: both
are for a person who wrote a file and wonders.
"""

import socket
import ssl
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

from carriers.model import Carrier, CarrierKind
from carriers.trunks import Inbound, Trunk, gateway_uri
from gateway import voice_document
from gateway.forms import Address
from gateway.media_section import Media
from gateway.model import Engine, MediaPlane
from gateway.sections import Http, Rtp, Sip, Smpp, Speech, Turn
from gateway.sip.rules import Invalid, read_password
from gateway.tables import Finding
from protocols.sip.locating import numeric

if TYPE_CHECKING:
    from gateway.config import Config

_STRONG: Final = (
    "strangers try them all day long; give 12 characters or more, with a digit, a small and a"
    " capital letter, as REST asks for"
)
_CALLED: Final = (CarrierKind.SIP, CarrierKind.SIMULATED)


def problems(http: Http, smpp: Smpp, sip: Sip, rtp: Rtp, media: Media) -> Iterator[Finding]:
    """What nothing could be served with."""
    yield from _twice(http, smpp, sip)
    wanted = (
        ("sip", sip.tls_cert, sip.tls_key),
        ("http", http.tls_cert if http.tls_listen else None, http.tls_key),
    )
    for section, certificate, key in wanted:
        if certificate is not None and key is not None:
            yield from _unusable(section, certificate, key)
    if sip.tls_ca is not None:
        yield from _untrusted(sip.tls_ca)
    if legs(rtp) < (workers := media.workers or 1):
        problem = f"{rtp.ports[0]}-{rtp.ports[1]} are too few for [media] workers = {workers}"
        remedy = "each leg of a call takes two, an even one and the next: 20000-21999 is for 1000"
        yield Finding("[rtp] ports", problem, remedy)


def legs(rtp: Rtp) -> int:
    """How many legs of calls there are ports for."""
    first, last = rtp.ports
    return (last - (first + first % 2) + 1) // 2


def _twice(http: Http, smpp: Smpp, sip: Sip) -> Iterator[Finding]:
    streams = [
        ("[http] listen", http.listen),
        ("[http] tls_listen", http.tls_listen),
        ("[smpp] listen", smpp.listen),
        *(("[sip] tcp", each) for each in sip.tcp),
        *(("[sip] tls", each) for each in sip.tls),
    ]
    for group in (streams, [("[sip] udp", each) for each in sip.udp]):
        for (one, first), (other, second) in combinations(group, 2):
            if first is not None and second is not None and _overlap(first, second):
                yield Finding(other, f"{second} is listened at for {one}", "give another port")


def _overlap(one: Address, other: Address) -> bool:
    if one.port != other.port or not one.port:
        return False
    hosts = {one.host, other.host}
    if len(hosts) == 1:
        return True
    alike = (":" in one.host) == (":" in other.host)
    return alike and bool(hosts & {"0.0.0.0", "::"})


def _unusable(section: str, certificate: Path, key: Path) -> Iterator[Finding]:
    for name, path in (("tls_cert", certificate), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            problem = f"{path} can't be read: {error.strerror}"
            yield Finding(f"[{section}] {name}", problem, "give the path of a PEM file")
            return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        problem = f"{certificate} and {key} can't be used together"
        remedy = "give a certificate and its key, without a passphrase, in PEM form"
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            problem, remedy = (
                f"{key} is the key of another certificate",
                f"give that of {certificate}",
            )
        yield Finding(f"[{section}] tls_key", problem, remedy)


def _untrusted(authorities: Path) -> Iterator[Finding]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authorities)
    except OSError as error:
        known = "" if isinstance(error, ssl.SSLError) else f": {error.strerror}"
        remedy = "give the path of a PEM file of certificates"
        yield Finding("[sip] tls_ca", f"{authorities} can't be used{known}", remedy)


def unasked(media: Media) -> Iterator[Finding]:
    """An rtpengine that can't be spoken to, or that workers on this machine can't."""
    if media.plane is not MediaPlane.RTPENGINE:
        return
    remedy = 'name the address of its listen-ng, such as "127.0.0.1:2223"'
    if media.rtpengine is None:
        problem = "[media] plane is rtpengine, and nothing says where it is"
        yield Finding("[media] rtpengine", problem, remedy)
    elif not _is_here(media.rtpengine.host):
        problem = f"{media.rtpengine} is not on this machine, where the media workers are"
        yield Finding("[media] rtpengine", problem, remedy)
    elif not media.rtpengine.port:
        problem = f"{media.rtpengine} has no port, and rtpengine listens at one"
        yield Finding("[media] rtpengine", problem, remedy)
    if len(media.interfaces) not in (0, 2):
        problem = f"{len(media.interfaces)} names, and a call has two sides"
        remedy = "name the interface towards the workers and that towards peers, or none"
        yield Finding("[media] interfaces", problem, remedy)


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's: what is not can't be bound."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if address.is_unspecified or address.is_multicast:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.bind((host, 0))
    except OSError:
        return address.is_loopback  # such as ::1 where IPv6 is off: `serve` says what is wrong
    return True


def mute(speech: Speech) -> Iterator[Finding]:
    """An engine of speech that can't speak."""
    if speech.engine is Engine.HTTP and not speech.url:
        yield Finding("[speech] engine", "http needs a url", "give [speech] url")
    if speech.engine is Engine.ESPEAK and not has_espeak():
        remedy = "install the extra: pip install '.[speech]' in the checkout; or leave engine out"
        yield Finding("[speech] engine", "espeak-ng is not installed", remedy)
    if speech.url and speech.engine not in (Engine.AUTO, Engine.HTTP):
        yield Finding("[speech] url", f"{speech.engine} asks no url", 'set engine = "http"')


def unrelayed(turn: Turn) -> Iterator[Finding]:
    """TURN servers that let nobody in, or a secret of none."""
    relays = [url for url in turn.urls if url.startswith("turn")]
    if relays and not turn.secret:
        remedy = "give the static-auth-secret of coturn, as env:NAME or file:PATH: docs/turn.md"
        yield Finding("[turn] secret", f"{relays[0]} lets nobody in without one", remedy)
    if turn.secret and not relays:
        remedy = 'give their urls, such as ["turn:turn.example.com:3478?transport=udp"]'
        yield Finding("[turn] urls", "there is a secret, and no TURN server", remedy)


def voiceless(config: "Config") -> Iterator[Finding]:
    """That nobody speaks what calls say, which is no fault: a tone is heard."""
    speech = config.speech
    is_called = config.sip.udp or config.sip.tcp or config.sip.tls
    if is_called and speech.engine is Engine.AUTO and not speech.url and not has_espeak():
        remedy = (
            "install the extra (pip install '.[speech]' in the checkout), or give [speech] a url"
        )
        yield Finding("[speech]", "a tone is heard in place of speech: there is no engine", remedy)


def has_espeak() -> bool:
    """Whether espeak-ng is here: the extra `speech`."""
    return find_spec("espeakng_loader") is not None


def notes(config: "Config") -> Iterator[Finding]:
    """What is no fault and may surprise."""
    trunks = {each.name: each.trunk for each in config.carriers if each.trunk is not None}
    yield from _shared(trunks)
    yield from _unrouted(config)
    yield from _hidden(config.http)
    yield from voice_document.dubious(config)
    if not (config.sip.udp or config.sip.tcp or config.sip.tls):
        names = ", ".join((*trunks, *(each.name for each in config.domains)))
        if names:
            yield Finding("[sip]", f"SIP is listened for nowhere: no calls for {names}", "")
        return
    if any(each.kind in _CALLED for each in config.carriers):
        for at, number in enumerate(config.numbers, 1):
            if not (number.voice_url or number.voice_twiml):
                yield _refused(f"[[numbers]] {at} ({number.number})", "calls to it")
    for at, domain in enumerate(config.domains, 1):
        where = f"[[domains]] {at} ({domain.name})"
        if not (domain.voice_url or domain.voice_twiml):
            yield _refused(where, "calls of its users")
        if not domain.users:
            yield Finding(where, "it has no users, so nobody can register or call", "")
        weak = ", ".join(each.username for each in domain.users if _is_weak(each.password))
        if weak:
            yield Finding(where, f"weak passwords: {weak}", _STRONG)


def _hidden(http: Http) -> Iterator[Finding]:
    """Proxies that hide where we are, or that anybody can be."""
    if http.proxies and not http.public_url:
        remedy = 'give the URL of the proxy, such as public_url = "https://gw.example.com"'
        problem = "behind a proxy apps and pages know no other way to us than our own listener"
        yield Finding("[http] public_url", problem, remedy)
    for each in http.proxies:
        if not each.prefixlen:
            problem = f"{each} is everybody: whoever asks may say that it is somebody else"
            yield Finding("[http] proxies", problem, "name the addresses of your proxies alone")


def _refused(where: str, calls: str) -> Finding:
    return Finding(where, f"without a voice_url or voice_twiml {calls} are refused with 480", "")


def _is_weak(password: str) -> bool:
    try:
        read_password(password)
    except Invalid:
        return True
    return False


def _shared(trunks: dict[str, Trunk]) -> Iterator[Finding]:
    """Trunks that call from the same place, and say nothing else of who they are."""
    known = {name: each for name, each in trunks.items() if each.inbound is not Inbound.DIGEST}
    for (one, first), (other, second) in combinations(known.items(), 2):
        if both := _places(first) & _places(second):
            yield Finding(
                "[[carriers]]",
                f"{one} and {other} both call from {', '.join(sorted(both))}: all of it counts as"
                f" {one}'s",
                'give one of them inbound = "digest" to tell them apart',
            )


def _places(trunk: Trunk) -> set[str]:
    """Where a trunk calls from, as its config writes it."""
    hosts = (gateway_uri(door).host for door in trunk.doors())
    return {_place(each) for each in (*hosts, *trunk.addresses)}


def _place(written: str) -> str:
    address = numeric(written)
    if not address and "/" not in written:
        return written.lower()
    network = ip_network(address or written)
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address if alone else network)


def _unrouted(config: "Config") -> Iterator[Finding]:
    """Trunks that no route names, where there are routes: no number goes out by them."""
    named = {name for route in config.routes for name in route.carriers}
    for name in _without(config.carriers, named) if config.routes else ():
        yield Finding("[[routes]]", f"no route names {name}: nothing is sent or called by it", "")


def _without(carriers: Iterable[Carrier], named: set[str]) -> list[str]:
    return [
        each.name
        for each in carriers
        if each.name not in named and not (each.trunk is not None and each.trunk.emergency)
    ]
