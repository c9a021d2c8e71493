"""Carriers and routes as the config file names them: `[[carriers]]` and `[[routes]]`.

The field names are the file's keys. What can be wrong with a value alone is in its type; what
is wrong between values, `problems_of_carrier` and `problems_of_routes` say in sentences.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from carriers.trunks import Trunk, problems_of_trunk
from protocols.smpp.text import Concatenation


class CarrierKind(StrEnum):
    """What is spoken with it; `simulated` is SMPP and SIP to a carrier of our own making."""

    SMPP = "smpp"
    SIP = "sip"
    SIMULATED = "simulated"


class BindKind(StrEnum):
    """Which binds are opened: a transceiver, one of each direction, or one direction alone."""

    TRX = "trx"
    TX_RX = "tx_rx"
    TX = "tx"
    RX = "rx"


class OnUncertain(StrEnum):
    """What becomes of a submit_sm whose answer was lost: it goes again, or it waits."""

    RESEND = "resend"
    HOLD = "hold"


class MediaPolicy(StrEnum):
    """What becomes of media that the carrier cannot carry: a link in the text, or a refusal."""

    LINK = "link"
    REFUSE = "refuse"


class Order(StrEnum):
    """Whether texts between two numbers may pass each other: `strict` sends one at a time."""

    DEFAULT = "default"
    STRICT = "strict"


class Strategy(StrEnum):
    """In which order the carriers of a route are tried."""

    FAILOVER = "failover"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"


_SECRET: Final = frozenset({"password"})


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """One carrier. Times are seconds; `tps` is submit_sm a second over all binds, 0 no limit.

    `binds` are opened of `bind`, each with `window` submit_sm in flight. `backup` is the
    "host:port" that is tried while the first is away. `price` is what one segment costs there,
    `prices` the same by prefix of the destination, the longest one counting. One of kind SIP has a
    `trunk`, and of the other fields only name, kind and prices count.
    """

    name: str
    kind: CarrierKind
    tps: float = 0.0
    host: str = "127.0.0.1"
    port: int = 2775
    system_id: str = ""
    password: str = ""
    system_type: str = ""
    bind: BindKind = BindKind.TRX
    binds: int = 1
    window: int = 10
    on_uncertain: OnUncertain = OnUncertain.RESEND
    response_timeout: float = 10.0
    long_message: Concatenation = Concatenation.UDH8
    media: MediaPolicy = MediaPolicy.LINK
    order: Order = Order.DEFAULT
    receipt_grace: float = 86400.0
    tls: bool = False
    backup: str = ""
    price: Decimal | None = None
    prices: dict[str, Decimal] = {}  # msgspec copies it
    trunk: Trunk | None = None

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if name in _SECRET else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"Carrier({', '.join(shown)})"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Which carriers serve the numbers that begin with `prefix`; "" and "*" are all numbers.

    `weights` go with `carriers` one to one, equal without; `account` limits it to one account.
    `price` is what one segment is charged on this route.
    """

    carriers: tuple[str, ...]
    prefix: str = ""
    strategy: Strategy = Strategy.FAILOVER
    weights: tuple[int, ...] = ()
    account: str = ""
    price: Decimal | None = None


_MAX_SYSTEM_ID: Final = 15  # octets without the NUL (SMPP v3.4 §4.1.1)
_MAX_PASSWORD: Final = 8


def problems_of_carrier(carrier: Carrier) -> tuple[str, ...]:
    """What is wrong with `carrier`, a sentence for each; empty if nothing is."""
    if carrier.kind is CarrierKind.SIP:
        return problems_of_trunk(carrier.trunk or Trunk())
    limits = (
        ("window", carrier.window, 1, 10_000),
        ("binds", carrier.binds, 1, 100),
        ("port", carrier.port, 0 if carrier.kind is CarrierKind.SIMULATED else 1, 65_535),
    )
    found = [
        f"{name} is {value}; it must be from {low} to {high}"
        for name, value, low, high in limits
        if not low <= value <= high
    ]
    if not carrier.name:
        found.append("name is empty; routes, metrics and commands call a carrier by it")
    if carrier.tps < 0:
        found.append(f"tps is {carrier.tps:g}; it must be 0 (no limit) or more")
    if carrier.response_timeout <= 0:
        found.append(f"response_timeout is {carrier.response_timeout:g}; it must be above 0")
    _, colon, port = carrier.backup.rpartition(":")
    if colon and not (port.isdecimal() and 1 <= int(port) <= 65_535):
        found.append(f"backup is {carrier.backup!r}; it must be a host, or host:port")
    if carrier.kind is CarrierKind.SMPP and not carrier.system_id:
        found.append("system_id is missing; the carrier gives it to you with the password")
    if len(carrier.system_id.encode()) > _MAX_SYSTEM_ID:
        found.append(f"system_id is longer than {_MAX_SYSTEM_ID} octets, SMPP's limit")
    if len(carrier.password.encode()) > _MAX_PASSWORD:
        found.append(f"password is longer than {_MAX_PASSWORD} octets, SMPP's limit")
    return tuple(found)


def _plus_missing(prefix: str) -> str:
    if prefix.startswith("0"):
        return "numbers are in E.164: + and the country code in place of the 0"
    return f"numbers are in E.164, with their +; did you mean +{prefix}?"


def problems_of_routes(routes: Sequence[Route], carriers: Sequence[Carrier]) -> tuple[str, ...]:
    """What is wrong with `routes` among `carriers`, a sentence for each."""
    known = {carrier.name for carrier in carriers}
    seen: set[tuple[str, str]] = set()
    found: list[str] = []
    for route in routes:
        where = f"route {route.prefix or '*'}"
        if route.prefix.isdecimal():
            found.append(f"{where}: it matches nothing, {_plus_missing(route.prefix)}")
        found += [
            f"{where}: there is no carrier {name!r}; there are {', '.join(sorted(known)) or 'none'}"
            for name in route.carriers
            if name not in known
        ]
        if len(set(route.carriers)) < len(route.carriers):
            found.append(f"{where}: a carrier is named twice")
        if not route.carriers:
            found.append(f"{where}: carriers is empty; name at least one")
        if route.weights and (len(route.weights) != len(route.carriers) or min(route.weights) < 0):
            found.append(f"{where}: weights must be one number, 0 or more, for each carrier")
        if (route.account, route.prefix) in seen:
            found.append(f"{where}: given twice; the first one counts")
        seen.add((route.account, route.prefix))
    return tuple(found)
