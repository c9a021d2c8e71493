"""The configuration: `trunkline.toml` and the environment, read into frozen values or refused.

The sections are those of `gateway/sections`, carriers and routes the values of `carriers/model`.
A key that nothing here knows is refused with the nearest right one named, and `load` tells all
that is wrong at once.
"""

import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from carriers.emergency import problems_of_emergency
from carriers.model import (
    Carrier,
    CarrierKind,
    Route,
    problems_of_carrier,
    problems_of_routes,
)
from gateway import certificates, consistency, forms, voice_document
from gateway.forms import Address
from gateway.media_section import Media
from gateway.sections import (
    ACCOUNT,
    Bus,
    Customer,
    Daemon,
    Domain,
    Http,
    MessagesSection,
    Number,
    Rtp,
    Sink,
    Sip,
    Smpp,
    Source,
    Speech,
    StoreSection,
    Turn,
    Webhooks,
)
from gateway.tables import (
    Finding,
    Key,
    Reader,
    keys_of_section,
    keys_of_struct,
    suggestion,
)
from gateway.trunk_keys import foreign, sip_carrier, sip_keys

FILE_NAME: Final = "trunkline.toml"
_PREFIX: Final = "TRUNKLINE_"
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})


class ConfigError(Exception):
    """The configuration can't be used; `findings` says everything that is wrong with it."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it, checked."""

    http: Http = field(default_factory=Http)
    smpp: Smpp = field(default_factory=Smpp)
    sip: Sip = field(default_factory=Sip)
    rtp: Rtp = field(default_factory=Rtp)
    media: Media = field(default_factory=Media)
    turn: Turn = field(default_factory=Turn)
    speech: Speech = field(default_factory=Speech)
    store: StoreSection = field(default_factory=StoreSection)
    bus: Bus = field(default_factory=Bus)
    messages: MessagesSection = field(default_factory=MessagesSection)
    webhooks: Webhooks = field(default_factory=Webhooks)
    daemon: Daemon = field(default_factory=Daemon)
    carriers: tuple[Carrier, ...] = ()
    routes: tuple[Route, ...] = ()
    numbers: tuple[Number, ...] = ()
    customers: tuple[Customer, ...] = ()
    domains: tuple[Domain, ...] = ()
    sources: tuple[Source, ...] = ()
    sinks: tuple[Sink, ...] = ()


_CARRIER: Final = {
    "name": (
        forms.matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", 'a short name such as "acme"'),
        "what routes, metrics and commands call it by",
    ),
    "kind": (None, "simulated: answers by the last four digits of the number"),
    "tps": (None, "submit_sm per second over all binds; 0 is no limit"),
    "host": (None, "the SMSC"),
    "port": (None, "simulated: 0 lets the simulator choose"),
    "system_id": (None, "the name to bind with"),
    "password": (forms.secret(), "what the carrier gave with it; at most 8 octets"),
    "system_type": (None, "some carriers ask for one"),
    "bind": (None, "trx: transceivers; tx_rx: one bind for each direction"),
    "binds": (None, "how many of them"),
    "window": (None, "unanswered submit_sm per bind"),
    "tls": (None, "TLS to the SMSC, its certificate checked"),
    "backup": (None, '"host:port" of a second one, tried while the first is away'),
    "on_uncertain": (None, "after a lost answer: send again, or hold for a receipt"),
    "response_timeout": (forms.duration(), "when an answer counts as lost"),
    "long_message": (None, "how parts are marked; udh8 gives Twilio's segment counts"),
    "media": (None, "a text with media: its links are added to the text, or it is refused"),
    "receipt_grace": (forms.duration(), "how long after its validity a text waits for a receipt"),
    "price": (forms.price(), "of one segment"),
    "prices": (forms.table_of(forms.price()), "of one segment, by prefix of the destination"),
}
_ROUTE: Final = {
    "carriers": (forms.list_of(forms.text("a carrier's name")), "in the order of preference"),
    "prefix": (
        forms.matching(r"\*|\+?\d{0,15}", 'how numbers begin, such as "+44"; "" or "*" is all'),
        "how the numbers begin; the longest prefix counts",
    ),
    "strategy": (None, ""),
    "weights": (forms.list_of(forms.whole_number()), "one for each carrier"),
    "account": (ACCOUNT, "for this account alone"),
    "price": (forms.price(), "what one segment is charged"),
}

_LATER_KEYS: Final = frozenset(
    f"{section}.{name}"
    for section, names in {
        "smpp": "tls_listen tls_cert tls_key",
        "carriers": "order",
    }.items()
    for name in names.split()
)


def _now(keys: Mapping[str, Key]) -> dict[str, Key]:
    return {name: key for name, key in keys.items() if f"carriers.{name}" not in _LATER_KEYS}


SECTIONS: Final[Mapping[str, tuple[type, Mapping[str, Key]]]] = {
    name: (section, keys_of_section(section))
    for name, section in (
        ("http", Http),
        ("smpp", Smpp),
        ("sip", Sip),
        ("rtp", Rtp),
        ("media", Media),
        ("turn", Turn),
        ("speech", Speech),
        ("store", StoreSection),
        ("bus", Bus),
        ("messages", MessagesSection),
        ("webhooks", Webhooks),
        ("daemon", Daemon),
    )
}
LISTS: Final[Mapping[str, tuple[Callable[..., Any], Mapping[str, Key]]]] = {
    "carriers": (Carrier, _now(keys_of_struct(Carrier, _CARRIER, but=("trunk",)))),
    "routes": (Route, keys_of_struct(Route, _ROUTE)),
    "numbers": (Number, keys_of_section(Number)),
    "customers": (Customer, keys_of_section(Customer)),
    "domains": (Domain, keys_of_section(Domain)),
    "sources": (Source, keys_of_section(Source)),
    "sinks": (Sink, keys_of_section(Sink)),
}

SIP_KEYS: Final[Mapping[str, Key]] = sip_keys(LISTS["carriers"][1])

_TITLES: Final = {
    "carriers": "name",
    "routes": "prefix",
    "numbers": "number",
    "customers": "system_id",
    "domains": "name",
    "sources": "name",
    "sinks": "name",
}


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of the file at `path` (None: no file) with the environment laid over it.

    Raises `ConfigError` with everything that is wrong.
    """
    source = FILE_NAME if path is None else str(path)
    reader = Reader(source, environ, _LATER_KEYS)
    found = {} if path is None else _parsed(path)
    origins = _lay_over(found, environ, reader)
    values, broken = _read(found, origins, reader)
    whole = {name: value for name, value in values.items() if name not in broken}
    config = _completed(Config(**whole), found)
    carriers = _named_carriers(found) if broken else config.carriers
    _check_routes(values.get("routes", ()), carriers, reader)
    _check(config, broken, reader)
    if reader.findings:
        raise ConfigError(reader.findings)
    return config


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "name a file that can be read, or make one with `trunkline init`"
        raise ConfigError([Finding(str(path), reason, remedy)]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = "it should be TOML: key = value, texts in double quotes"
        raise ConfigError([Finding(str(path), str(error), remedy)]) from None


def _lay_over(
    found: dict[str, Any], environ: Mapping[str, str], reader: Reader
) -> dict[str, dict[str, str]]:
    """Put what variables say into `found`; the answer names the variable of each such key.

    A variable without `__` that is no section is not ours to judge: container platforms make
    such names (`TRUNKLINE_SERVICE_HOST`) out of the name of a service.
    """
    origins: dict[str, dict[str, str]] = {}
    for variable in sorted(name for name in environ if name.startswith(_PREFIX)):
        section, _, name = variable.removeprefix(_PREFIX).lower().partition("__")
        if section in LISTS and not name:
            found[section] = forms.from_json(environ[variable])
            origins[section] = {"": variable}
        elif section in SECTIONS and not name:
            reader.note(section, "a section has no value of its own", _example(section), variable)
        elif name:
            table = found.setdefault(section, {})
            if isinstance(table, dict):
                table[name] = environ[variable]
            origins.setdefault(section, {"": variable})[name] = variable
    return origins


def _example(section: str) -> str:
    first = next(iter(SECTIONS[section][1]))
    return f"name a key, such as {_PREFIX}{section.upper()}__{first.upper()}"


def _read(
    found: Mapping[str, Any], origins: Mapping[str, dict[str, str]], reader: Reader
) -> tuple[dict[str, Any], frozenset[str]]:
    """What the sections say, and those that can't be told: all, if one has a wrong name."""
    values: dict[str, Any] = {}
    broken: set[str] = set()
    for name, content in found.items():
        origin = origins.get(name, {})
        before = len(reader.findings)
        if name in SECTIONS:
            section, keys = SECTIONS[name]
            named = {key: variable for key, variable in origin.items() if key}
            values[name] = reader.table(section, keys, content, f"[{name}]", name, named)
        elif name in LISTS:
            values[name] = _read_list(name, content, origin.get("", ""), reader)
        else:
            remedy = suggestion(name, [*SECTIONS, *LISTS])
            reader.note(f"[{name}]", "there is no such section", remedy, origin.get("", ""))
            broken.update(SECTIONS, LISTS)
        if len(reader.findings) > before:
            broken.add(name)
    if reader.findings and not broken:  # of a variable that is a section's
        broken.update(SECTIONS, LISTS)
    return values, frozenset(broken)


def _read_list(name: str, content: object, origin: str, reader: Reader) -> tuple[Any, ...]:
    into, keys = LISTS[name]
    if not isinstance(content, list):
        problem = f"found {forms.described(content)}"
        remedy = f"it should be a list of tables: [[{name}]] in the file, JSON in a variable"
        reader.note(name, problem, remedy, origin)
        return ()
    values: list[Any] = []
    for position, each in enumerate(content, 1):
        title = each.get(_TITLES[name]) if isinstance(each, dict) else None
        where = f"[[{name}]] {position}" + (f" ({title})" if title else "")
        if name == "carriers" and isinstance(each, dict):
            values.append(_read_carrier(each, where, origin, reader))
            continue
        values.append(reader.table(into, keys, each, where, name, {"": origin}))
    return tuple(value for value in values if value is not None)


def _read_carrier(
    found: Mapping[str, Any], where: str, origin: str, reader: Reader
) -> Carrier | None:
    """A carrier, by the keys of its kind, which has to be told first."""
    kind = found.get("kind")
    if kind not in tuple(CarrierKind):
        remedy = f"it should be {LISTS['carriers'][1]['kind'].form.expected}"
        if kind is None:
            reader.note(where, "kind is missing", remedy, origin)
        else:
            reader.note(f"{where} kind", f"found {forms.described(kind)}", remedy, origin)
        return None
    into, keys = LISTS["carriers"]
    others: Mapping[str, Key] = SIP_KEYS
    if kind == CarrierKind.SIP:
        into, keys, others = sip_carrier, SIP_KEYS, keys
    strange = found.keys() & (others.keys() - keys.keys())
    for name in sorted(strange):
        reader.note(where, *foreign(name, kind), origin)
    own = {name: value for name, value in found.items() if name not in strange}
    return reader.table(into, keys, own, where, "carriers", {"": origin})


def _completed(config: Config, found: Mapping[str, Any]) -> Config:
    """Fill in what depends on something else: the simulated carrier, the allowed networks."""
    if not config.carriers:
        config = replace(config, carriers=(_simulated(),))
    if "allow" not in found.get("webhooks", {}) and not _on_loopback_alone(config.http):
        config = replace(config, webhooks=replace(config.webhooks, allow=()))
    return config


def _simulated(name: str = "simulated") -> Carrier:
    return Carrier(name=name, kind=CarrierKind.SIMULATED)


def _named_carriers(found: Mapping[str, Any]) -> tuple[Carrier, ...] | None:
    """Carriers of the names that routes may name, whatever else is wrong with them.

    None when they can't be told: a section with a wrong name may be theirs.
    """
    tables = found.get("carriers", [])
    if not isinstance(tables, list) or not found.keys() <= {*SECTIONS, *LISTS}:
        return None
    names = [each.get("name") if isinstance(each, dict) else None for each in tables]
    carriers = tuple(_simulated(name) for name in names if isinstance(name, str))
    return None if len(carriers) < len(names) else carriers or (_simulated(),)


def _on_loopback_alone(http: Http) -> bool:
    """Whether HTTP is for this machine alone: through a proxy others come in."""
    return not http.proxies and all(
        _is_loopback(listen.host) for listen in (http.listen, http.tls_listen) if listen is not None
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check(config: Config, broken: Collection[str], reader: Reader) -> None:
    """What one key alone can't tell, of sections that can be told."""
    for section in _NAMED:
        if section not in broken:
            name = _TITLES[section]
            values = (getattr(each, name) for each in getattr(config, section))
            _unique(reader, section, name, values)
    for sections, check in _CHECKS:
        if not any(each in broken for each in sections.split()):
            check(config, reader)


def _check_users(config: Config, reader: Reader) -> None:
    for position, domain in enumerate(config.domains, 1):
        names = Counter(user.username for user in domain.users)
        for name in (name for name, count in names.items() if count > 1):
            where = f"[[domains]] {position} ({domain.name}) users"
            reader.note(where, f"{name} stands there twice", "each should stand there once")


def _check_carriers(config: Config, reader: Reader) -> None:
    for position, carrier in enumerate(config.carriers, 1):
        for problem in problems_of_carrier(carrier):
            reader.note(f"[[carriers]] {position} ({carrier.name})", problem)
        if _is_ours(carrier, config.smpp.listen):
            problem = f"{carrier.host}:{carrier.port} is our own [smpp] listen"
            remedy = "give host and port of the carrier's SMSC, or let [smpp] listen elsewhere"
            reader.note(f"[[carriers]] {position} ({carrier.name})", problem, remedy)
    trunks = {each.name: each.trunk for each in config.carriers if each.trunk is not None}
    for problem in problems_of_emergency(trunks):
        reader.note("[[carriers]]", problem)


def _check_sip(config: Config, reader: Reader) -> None:
    if config.sip.tls and not (config.sip.tls_cert and config.sip.tls_key):
        domains = (each.name for each in config.domains)
        hosts = (config.sip.advertised, *(each.host for each in config.sip.tls), *domains)
        remedy = certificates.remedy(hosts, name="sip")
        reader.note("[sip] tls", "TLS needs a certificate", remedy)
    if config.sip.min_expires > config.sip.max_expires:
        reader.note("[sip] min_expires", "it is more than max_expires", "give less, or raise that")


def _check_http(config: Config, reader: Reader) -> None:
    if config.http.tls_listen and not (config.http.tls_cert and config.http.tls_key):
        remedy = certificates.remedy((config.http.tls_listen.host,), name="http")
        reader.note("[http] tls_listen", "TLS needs a certificate", remedy)


def _check_places(config: Config, reader: Reader) -> None:
    for each in consistency.problems(
        config.http, config.smpp, config.sip, config.rtp, config.media
    ):
        reader.note(*each)


def _check_documents(config: Config, reader: Reader) -> None:
    for each in voice_document.both(config):
        reader.note(*each)


def _check_helpers(config: Config, reader: Reader) -> None:
    for each in (
        *consistency.mute(config.speech),
        *consistency.unrelayed(config.turn),
        *consistency.unasked(config.media),
    ):
        reader.note(*each)


def _check_advertised(config: Config, reader: Reader) -> None:
    """Peers send to the address that we name: 0.0.0.0 is none, and loopback is none of ours.

    SIP finds the address that it speaks to a peer from; media is named before any peer is known.
    """
    sip, rtp = config.sip, config.rtp
    remedy = 'name the address that peers reach, such as "192.0.2.1"'
    if sip.advertised.strip("[]") in _EVERYWHERE:
        reader.note("[sip] advertised", f"nobody can send to {sip.advertised}", remedy)
    if rtp.advertised in _EVERYWHERE:
        reader.note("[rtp] advertised", f"nobody can send to {rtp.advertised}", remedy)
    listens = (*sip.udp, *sip.tcp, *sip.tls)
    if rtp.advertised or not listens:
        return
    where = "[rtp] listen"
    if rtp.listen in _EVERYWHERE:
        problem = f"SDP would say {rtp.listen}, and nobody can send there"
        reader.note(where, problem, f"listen at one address, or {remedy} in [rtp] advertised")
    elif _is_loopback(rtp.listen) and not all(_is_loopback(each.host) for each in listens):
        problem = f"SIP is listened for elsewhere, and SDP would say {rtp.listen}"
        reader.note(where, problem, "listen at the same address, or at 127.0.0.1 for SIP, too")


def _check_routes(
    routes: Sequence[Route], carriers: Sequence[Carrier] | None, reader: Reader
) -> None:
    if carriers is not None:
        for problem in problems_of_routes(routes, carriers):
            reader.note("[[routes]]", problem)


def _is_ours(carrier: Carrier, listen: Address | None) -> bool:
    """Whether a carrier's texts would come back to us as those of a customer."""
    if carrier.kind is not CarrierKind.SMPP or listen is None or carrier.port != listen.port:
        return False
    everywhere = listen.host in _EVERYWHERE
    here = everywhere or _is_loopback(listen.host)
    return carrier.host == listen.host or (here and _is_loopback(carrier.host))


def _unique(reader: Reader, section: str, name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for position, value in enumerate(values, 1):
        if value in seen:
            where = f"[[{section}]] {position} {name}"
            reader.note(where, f"{value} stands there twice", "each should stand there once")
        seen.add(value)


_NAMED: Final = ("carriers", "numbers", "customers", "domains", "sinks")
_CHECKS: Final[tuple[tuple[str, Callable[[Config, Reader], None]], ...]] = (
    ("domains", _check_users),
    ("carriers smpp", _check_carriers),
    ("sip domains", _check_sip),
    ("sip rtp", _check_advertised),
    ("http smpp sip rtp media", _check_places),
    ("numbers domains", _check_documents),
    ("speech turn media", _check_helpers),
    ("http", _check_http),
)
"""What is checked of which sections."""
