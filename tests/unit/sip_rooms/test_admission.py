"""Whose an INVITE is, by table: domains, trunks, strangers."""

import time
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from carriers.caller_id import Caller
from carriers.inbound import Doorkeeper
from carriers.trunks import Inbound, Trunk
from gateway.accounts import Accounts, new_token
from gateway.model import Account, AccountKind, AccountStatus, PhoneNumber
from gateway.phone_numbers import declared_number
from gateway.sids import ACCOUNT, new_sid
from gateway.sip.admission import Admission, FromAddress, FromTrunk, FromUser, Verdict
from gateway.sip.directory import SipDirectory
from gateway.sip.floods import FloodLimits, Floods
from gateway.sip.gate import Gate
from gateway.sip.model import (
    AccessList,
    Address,
    Credential,
    CredentialList,
    Domain,
    Entry,
    Purpose,
)
from gateway.sip.model import (
    Mapping as Asked,
)
from gateway.sip.refusals import Ask, Deny
from gateway.sip.rules import hashes_of
from gateway.store.sqlite import SqliteStore
from protocols.sip.agent_events import Invited, SessionId
from protocols.sip.challenger import Challenger
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.headers import read_reason, read_retry_after, read_warning
from protocols.sip.message import Headers, NameAddr, Request, Via
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri, TelUri, Uri, format_uri

NOW = 1_800_000_000.0
PASSWORD = "Correct-Horse-1"
NUMBER = "+442071838750"
IDLE_NUMBER = "+442071838751"  # of a suspended account
CARRIER, PROVEN, BOTH = "192.0.2.10", "203.0.113.3", "192.0.2.30"
OFFICE, STRANGER = "198.51.100.7", "203.0.113.9"
TRUNKS = {
    "acme": Trunk(uri="sip:192.0.2.10", addresses=("192.0.2.10/32",), country_code="44"),
    "digest": Trunk(
        uri="sip:d.example", inbound=Inbound.DIGEST, username="carrier", password="secret"
    ),
    "both": Trunk(
        uri="sip:b.example",
        inbound=Inbound.BOTH,
        addresses=(BOTH,),
        username="careful",
        password="secret",
    ),
}
# A domain's name, and what it asks for calls.
DOMAINS: Mapping[str, tuple[str, ...]] = {
    "users.example": ("CL",),
    "addresses.example": ("AL",),
    "both.example": ("CL", "AL"),
    "nothing.example": (),
    "secure.example": ("CL",),
    "idle.example": ("CL",),
}


class Trunks:
    """The doorkeeper and the config, as the trunks at work have them."""

    def __init__(self) -> None:
        self.whose = Doorkeeper(TRUNKS).whose
        self.get = TRUNKS.get


class Desk:
    """An admission and what it knows."""

    def __init__(self, accounts: Accounts, main: Account, idle: Account, **options: Any) -> None:
        self.main = main
        self.now = NOW
        numbers = {
            NUMBER: declared_number(main.sid, NUMBER, {}, NOW),
            IDLE_NUMBER: declared_number(idle.sid, IDLE_NUMBER, {}, NOW),
        }
        self.numbers: Mapping[str, PhoneNumber] = numbers
        directory = SipDirectory(None)  # type: ignore[arg-type]  # nothing is changed here
        entries: list[Entry] = []
        for name, lists in DOMAINS.items():
            entries += domain(name, lists, (idle if name.startswith("idle") else main).sid)
        directory.declare(entries)
        self.proved: list[str] = []  # from where
        self.gate = Gate(
            directory,
            accounts,
            Challenger(bytes(32)),
            Floods(options.get("floods", FloodLimits())),
            proved=lambda flow: self.proved.append(flow.remote[0]),
        )
        self.admission = Admission(self.gate, Trunks(), numbers.get, clock=lambda: self.now)

    def judge(
        self,
        uri: str | Uri,
        source: str = STRANGER,
        *,
        to: str | Uri | None = None,
        from_: str = "sip:someone@elsewhere.example",
        user: tuple[str, str] | None = None,
        transport: Transport = Transport.UDP,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Verdict:
        """The verdict; with a `user` (name, password) the challenge is answered."""
        asked = parse(uri)
        plain = Request(
            method="INVITE",
            uri=asked,
            vias=(Via(transport=transport, host=source),),
            from_=NameAddr(uri=parse(from_), params=(("tag", "1"),)),
            to=NameAddr(uri=asked if to is None else parse(to)),
            call_id="c1",
            cseq=1,
            headers=Headers((("User-Agent", "Phone 1.0"), *headers)),
        )
        verdict = self.give(plain, source, transport)
        if user is None or not isinstance(verdict, Ask):
            return verdict
        credentials = Credentials(username=user[0], password=user[1])
        sessions = Sessions([credentials], cnonce=lambda: "0123456789")
        sessions.challenged(plain.headers, verdict.reply.headers, tries=1)
        lines = sessions.authorize("INVITE", format_uri(asked))
        return self.give(
            msgspec.structs.replace(plain, headers=plain.headers.with_(*lines)), source, transport
        )

    def give(self, request: Request, source: str, transport: Transport) -> Verdict:
        flow = Flow(id=1, transport=transport, local=("192.0.2.1", 5060), remote=(source, 5060))
        return self.admission.judge(
            Invited(
                session=SessionId(1), request=request, flow=flow, offer=None, supports=frozenset()
            )
        )


def parse(uri: str | Uri) -> Uri:
    if not isinstance(uri, str):
        return uri
    user, _, host = uri.removeprefix("sip:").rpartition("@")
    return SipUri(user=user, host=host)


def domain(name: str, lists: tuple[str, ...], account_sid: str) -> list[Entry]:
    common: dict[str, Any] = {
        "account_sid": account_sid,
        "date_created": NOW,
        "date_updated": NOW,
        "declared": True,
    }
    secure = {"secure": "true"} if name.startswith("secure") else {}
    made = Domain(sid=f"SD {name}", domain_name=name, friendly_name=name, settings=secure, **common)
    users, addresses = f"CL {name}", f"AL {name}"
    network = ip_network(f"{OFFICE}/32")
    return [
        made,
        CredentialList(sid=users, friendly_name="", **common),
        Credential(
            sid=f"CR {name}",
            credential_list_sid=users,
            username="alice",
            hashes=hashes_of("alice", PASSWORD),
            **common,
        ),
        AccessList(sid=addresses, friendly_name="", **common),
        Address(
            sid=f"IP {name}",
            ip_access_control_list_sid=addresses,
            friendly_name="",
            ip_address=str(network.network_address),
            cidr_prefix_length=32,
            **common,
        ),
        *(
            Asked(sid=f"{kind} {name}", domain_sid=made.sid, purpose=Purpose.CALLS, **common)
            for kind in lists
        ),
    ]


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Accounts]:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=100, clock=time.time)
    accounts = Accounts(store)
    for status in (AccountStatus.ACTIVE, AccountStatus.SUSPENDED):
        sid = new_sid(ACCOUNT, NOW)
        await accounts.add(
            Account(
                sid=sid,
                parent_sid=sid,
                kind=AccountKind.FULL,
                friendly_name=status,
                auth_token=new_token(),
                status=status,
                date_created=NOW,
                date_updated=NOW,
                version=1,
            )
        )
    yield accounts
    await store.close()


def made(accounts: Accounts, **options: Any) -> Desk:
    found = {each.friendly_name: each for each in accounts._accounts.values()}
    return Desk(accounts, found["active"], found["suspended"], **options)


@pytest.fixture
def desk(accounts: Accounts) -> Desk:
    return made(accounts)


def refused(verdict: Verdict) -> tuple[int, str]:
    """The status and the rule, which stands in both headers."""
    assert isinstance(verdict, Deny)
    [warning], [reason] = read_warning(verdict.headers), read_reason(verdict.headers)
    assert warning.text == reason.text == verdict.rule
    assert (reason.cause, verdict.reply.status) == (verdict.status, verdict.status)
    return verdict.status, verdict.rule


ALICE = ("alice", PASSWORD)


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("sip:+15550001111@users.example", {}),
        ("sip:bob@users.example", {"source": OFFICE}),
        ("sip:bob@both.example", {"source": OFFICE}),
        ("sip:bob@192.0.2.1", {"to": "sip:bob@users.example"}),
        ("sip:bob@192.0.2.1", {"from_": "sip:alice@users.example"}),
        ("sip:bob@secure.example", {"transport": Transport.TLS}),
        # A domain that is asked for goes before the trunk that calls from there.
        ("sip:bob@users.example", {"source": CARRIER}),
    ],
)
def test_a_user_proves_itself(desk: Desk, uri: str, options: dict[str, Any]) -> None:
    verdict = desk.judge(uri, **options)
    assert isinstance(verdict, Ask) and (verdict.reply.status, verdict.rule) == (401, "")
    verdict = desk.judge(uri, user=ALICE, **options)
    assert isinstance(verdict, FromUser)
    asked = parse(uri)
    assert isinstance(asked, SipUri)
    assert (verdict.username, verdict.to_user) == ("alice", asked.user)
    assert verdict.account_sid == desk.main.sid


def test_only_a_password_proves_who_has_a_socket(desk: Desk) -> None:
    uri = "sip:bob@users.example"
    desk.judge(uri, transport=Transport.WSS)
    desk.judge(uri, transport=Transport.WSS, user=("alice", "wrong"))
    desk.judge("sip:b@addresses.example", OFFICE)
    assert desk.proved == []
    desk.judge(uri, OFFICE, transport=Transport.WSS, user=ALICE)
    assert desk.proved == [OFFICE]


def test_an_address_is_enough_where_no_user_is_asked(desk: Desk) -> None:
    verdict = desk.judge(TelUri(number="+15550001111"), OFFICE, to="sip:x@addresses.example")
    assert isinstance(verdict, FromAddress)
    assert (verdict.address, verdict.caller, verdict.to_user) == (OFFICE, "someone", "+15550001111")
    assert (verdict.domain.domain_name, verdict.account_sid) == ("addresses.example", desk.main.sid)


ADDRESS = "no list of addresses of the domain has this address"
INACTIVE = "the account is suspended or closed"
NO_NUMBER = "no account has the number"
SOCKET = "an address proves nothing by WebSocket: the domain has no list of users for this"


@pytest.mark.parametrize(
    ("uri", "options", "status", "rule"),
    [
        ("sip:bob@addresses.example", {}, 403, ADDRESS),
        ("sip:bob@both.example", {"user": ALICE}, 403, ADDRESS),
        (
            "sip:bob@nothing.example",
            {},
            403,
            "the domain has no list of users or addresses for this",
        ),
        (
            "sip:bob@secure.example",
            {},
            403,
            "the domain takes nothing that does not come by TLS",
        ),
        ("sip:bob@idle.example", {"user": ALICE}, 403, INACTIVE),
        (f"sip:{IDLE_NUMBER}@192.0.2.1", {"source": CARRIER}, 403, INACTIVE),
        ("sip:+15559999999@192.0.2.1", {"source": CARRIER}, 404, NO_NUMBER),
        ("sip:192.0.2.1", {"source": CARRIER}, 404, NO_NUMBER),
        ("sip:+15559999999@192.0.2.1", {"user": ("carrier", "secret")}, 404, NO_NUMBER),
    ],
)
def test_who_is_refused(
    desk: Desk, uri: str, options: dict[str, Any], status: int, rule: str
) -> None:
    with capture_logs() as logs:
        assert refused(desk.judge(uri, **options)) == (status, rule)
    [line] = logs
    assert (line["method"], line["rule"], line["count"]) == ("INVITE", rule, 1)
    assert line["source"] == options.get("source", STRANGER)


@pytest.mark.parametrize("dialled", [NUMBER, NUMBER[1:], "02071838750"])
@pytest.mark.parametrize("place", ["uri", "to"])
def test_a_trunk_is_known_by_its_address(desk: Desk, dialled: str, place: str) -> None:
    named = f"sip:{dialled}@192.0.2.1"
    uri, to = (named, None) if place == "uri" else ("sip:trunk@192.0.2.1", named)
    verdict = desk.judge(uri, CARRIER, to=to, from_="sip:+447700900123@acme.example")
    assert isinstance(verdict, FromTrunk)
    assert (verdict.carrier, verdict.to, verdict.number) == ("acme", NUMBER, desk.numbers[NUMBER])
    assert verdict.caller == Caller(number="+447700900123")
    assert verdict.account_sid == desk.main.sid


def test_who_is_asserted_is_the_caller(desk: Desk) -> None:
    verdict = desk.judge(
        f"sip:{NUMBER}@192.0.2.1",
        CARRIER,
        headers=(("P-Asserted-Identity", "<sip:+447700900999@acme.example>"),),
    )
    assert isinstance(verdict, FromTrunk)
    assert (verdict.caller.number, verdict.caller.asserted) == ("+447700900999", True)


def test_a_trunks_own_call_may_name_a_domain_in_from(desk: Desk) -> None:
    """A call that was forwarded comes back with what we said."""
    verdict = desk.judge(f"sip:{NUMBER}@192.0.2.1", CARRIER, from_="sip:alice@users.example")
    assert isinstance(verdict, FromTrunk)


@pytest.mark.parametrize(
    ("source", "user", "carrier"),
    [
        (PROVEN, ("carrier", "secret"), "digest"),
        (BOTH, ("careful", "secret"), "both"),
        (PROVEN, ("careful", "secret"), None),  # that trunk calls from its address alone
        (BOTH, ("carrier", "secret"), None),
        (PROVEN, ("carrier", "wrong"), None),
        (CARRIER, None, "acme"),
        (BOTH, None, None),
    ],
)
def test_a_trunk_proves_what_it_must(
    desk: Desk, source: str, user: tuple[str, str] | None, carrier: str | None
) -> None:
    verdict = desk.judge(f"sip:{NUMBER}@192.0.2.1", source, user=user)
    if carrier is None:
        assert isinstance(verdict, Ask) and verdict.reply.status == 401
    else:
        assert isinstance(verdict, FromTrunk) and verdict.carrier == carrier


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
def test_an_address_proves_nothing_by_websocket(desk: Desk, transport: Transport) -> None:
    """A page that runs beside a trunk, or behind a proxy there, is not the trunk."""
    for source in (CARRIER, BOTH):
        verdict = desk.judge(f"sip:{NUMBER}@192.0.2.1", source, transport=transport)
        assert isinstance(verdict, Ask) and verdict.reply.status == 401
    careful = desk.judge(
        f"sip:{NUMBER}@192.0.2.1", BOTH, transport=transport, user=("careful", "secret")
    )
    assert isinstance(careful, Ask)
    verdict = desk.judge("sip:bob@addresses.example", OFFICE, transport=transport)
    assert refused(verdict) == (403, SOCKET)
    for uri in ("sip:bob@users.example", "sip:bob@both.example"):
        assert isinstance(desk.judge(uri, OFFICE, transport=transport), Ask)
        assert isinstance(desk.judge(uri, OFFICE, transport=transport, user=ALICE), FromUser)
    assert refused(desk.judge("sip:bob@both.example", transport=transport)) == (403, ADDRESS)


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:bob@users.example", ("nobody", "wrong")),
        ("sip:bob@users.example", ("alice", "wrong")),
        ("sip:bob@unknown.example", ("alice", PASSWORD)),
        ("sip:100@192.0.2.1", ("carrier", "wrong")),
    ],
)
def test_strangers_learn_nothing(desk: Desk, uri: str, user: tuple[str, str]) -> None:
    """No user, no password, no domain: the answer is the same, headers and all."""
    verdict = desk.judge(uri, user=user)
    assert isinstance(verdict, Ask)
    assert verdict.rule == "the username or the password is wrong"
    names = [name for name, _ in verdict.reply.headers]
    assert (verdict.reply.status, names) == (401, [*["WWW-Authenticate"] * 2, "Reason", "Warning"])
    first = desk.judge(uri)
    assert isinstance(first, Ask)
    assert [name for name, _ in first.reply.headers] == ["WWW-Authenticate"] * 2


def test_a_flood_is_refused_cheaply_and_trunks_go_on(accounts: Accounts) -> None:
    desk = made(accounts, floods=FloodLimits(rate=1.0, burst=3.0))
    asked = [desk.judge("sip:100@192.0.2.1") for _ in range(4)]
    assert [type(each) for each in asked] == [Ask, Ask, Ask, Deny]
    assert refused(asked[-1])[0] == 503
    assert isinstance(asked[-1], Deny) and read_retry_after(asked[-1].headers) is None
    assert isinstance(desk.judge("sip:100@192.0.2.1", "203.0.113.10"), Ask)
    for _ in range(9):
        assert isinstance(desk.judge(f"sip:{NUMBER}@192.0.2.1", CARRIER), FromTrunk)
        assert isinstance(desk.judge("sip:b@addresses.example", OFFICE), FromAddress)
    desk.now += 1.0
    assert isinstance(desk.judge("sip:100@192.0.2.1"), Ask)
    assert isinstance(desk.judge("sip:100@192.0.2.1"), Deny)
