"""The registrar: what REGISTER binds, in which order it is rung, and how it ends."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.binding import MAX_CONTACT, MAX_PATH, REMOVED, Binding, Cause, by_device
from protocols.sip.message import Headers, NameAddr, Request, Via
from protocols.sip.registrar import Answer, Changes, Limits, Registrar
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import STAR, OtherUri, Params, SipUri, TelUri, Uri, parse_uri

NOW = 1_800_000_000.0
ALICE = "alice@example.org"
TO = NameAddr(uri=SipUri(user="alice", host="example.org"))
PHONE = "sip:alice@192.0.2.7:5062"
INSTANCE = ("+sip.instance", '"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"')
EDGE = Via(transport="UDP", host="192.0.2.9")


def udp(port: int = 5062, host: str = "192.0.2.7") -> Flow:
    return Flow(id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=(host, port))


def tls(number: int) -> Flow:
    return Flow(
        id=number,
        transport=Transport.TLS,
        local=("192.0.2.1", 5061),
        remote=("198.51.100.4", 40000 + number),
    )


def contact(uri: str | Uri = PHONE, *params: tuple[str, str | None], display: str = "") -> NameAddr:
    return NameAddr(
        uri=parse_uri(uri) if isinstance(uri, str) else uri, params=params, display=display
    )


def register(
    *contacts: NameAddr,
    cseq: int = 1,
    call_id: str = "c1",
    vias: tuple[Via, ...] = (Via(transport="UDP", host="192.0.2.7"),),
    **headers: str,
) -> Request:
    return Request(
        method="REGISTER",
        uri=SipUri(host="example.org"),
        vias=vias,
        from_=TO,
        to=TO,
        call_id=call_id,
        cseq=cseq,
        contacts=contacts,
        headers=Headers((name.replace("_", "-"), value) for name, value in headers.items()),
    )


class Domain:
    """A registrar whose user sends one request after the other."""

    def __init__(self, **limits: int) -> None:
        self.registrar = Registrar(Limits(**limits))
        self.stored: dict[tuple[str, str], Binding] = {}
        self._cseq = itertools.count(1)

    def send(
        self,
        *contacts: NameAddr,
        flow: Flow | None = None,
        now: float = NOW,
        aor: str = ALICE,
        vias: tuple[Via, ...] = (EDGE,),
        **headers: str,
    ) -> Answer:
        request = register(*contacts, cseq=next(self._cseq), vias=vias, **headers)
        return self.take(request, flow or udp(), now, aor)

    def take(
        self, request: Request, flow: Flow | None = None, now: float = NOW, aor: str = ALICE
    ) -> Answer:
        answer, changes = self.registrar.register(aor, request, flow or udp(), now)
        self.store(changes)
        return answer

    def store(self, changes: Changes) -> None:
        """Keep what a store would keep; it must be what the registrar has."""
        for change in changes:
            key = (change.binding.aor, change.binding.id)
            if change.cause in REMOVED:
                self.stored.pop(key, None)
            else:
                self.stored[key] = change.binding
        live = {(each.aor, each.id): each for each in self.registrar.snapshot()}
        assert live == self.stored

    def uris(self, now: float = NOW, aor: str = ALICE) -> list[str]:
        return [f"{each.uri.user}@{each.uri.host}" for each in self.registrar.bindings(aor, now)]


def listed(answer: Answer) -> list[tuple[str, Params]]:
    return [
        (each.uri.user, each.params) for each in answer.contacts if isinstance(each.uri, SipUri)
    ]


def test_binds_a_contact_and_lists_it_with_what_is_left() -> None:
    domain = Domain()
    answer = domain.send(contact(PHONE, ("q", "0.5"), ("expires", "600")), User_Agent="x" * 200)
    assert (answer.status, answer.reason, answer.headers) == (200, "OK", ())
    assert listed(answer) == [("alice", (("q", "0.5"), ("expires", "600")))]
    (binding,) = domain.registrar.bindings(ALICE, NOW)
    assert binding == Binding(
        aor=ALICE,
        id=PHONE,
        uri=SipUri(user="alice", host="192.0.2.7", port=5062),
        call_id="c1",
        cseq=1,
        registered_at=NOW,
        expires_at=NOW + 600,
        flow=udp(),
        params=(("q", "0.5"),),
        q=0.5,
        user_agent="x" * 128,
    )
    later = domain.send(now=NOW + 100.5)
    assert listed(later) == [("alice", (("q", "0.5"), ("expires", "500")))]


@pytest.mark.parametrize(
    ("params", "headers", "seconds"),
    [
        ((), {}, 1800),
        ((), {"Expires": "900"}, 900),
        ((("expires", "300"),), {"Expires": "900"}, 300),
        ((("expires", "9999"),), {}, 7200),
        ((("expires", "99999999999"),), {}, 3600),
        ((("expires", "soon"),), {"Expires": "900"}, 3600),
        ((), {"Expires": "-1"}, 3600),
        ((("expires", None),), {}, 3600),
    ],
)
def test_how_long_a_binding_lasts(params: Params, headers: dict[str, str], seconds: int) -> None:
    """RFC 3261 §10.3, 7; §20.19 says what malformed seconds are."""
    domain = Domain(default_expires=1800)
    domain.send(contact(PHONE, *params), **headers)
    (binding,) = domain.registrar.bindings(ALICE, NOW)
    assert binding.expires_at == NOW + seconds


def test_too_brief_is_refused_with_the_least() -> None:
    domain = Domain(min_expires=120)
    answer = domain.send(contact("sip:a@h"), contact("sip:b@h", ("expires", "119")))
    assert (answer.status, answer.headers) == (423, (("Min-Expires", "120"),))
    assert domain.uris() == [], "all of a request or nothing"
    assert domain.send(contact("sip:b@h", ("expires", "120"))).status == 200


def test_refreshes_by_an_equivalent_uri() -> None:
    """RFC 3261 §10.3, 7, with the comparison of §19.1.4; its name stays, for a store."""
    domain = Domain()
    domain.send(contact("sip:alice@Phone.example.org;x=1"))
    answer, changes = domain.registrar.register(
        ALICE, register(contact("sip:alice@phone.example.org"), cseq=9), udp(), NOW + 60
    )
    ((cause, binding),) = [(each.cause, each.binding) for each in changes]
    assert cause is Cause.REFRESHED
    assert binding.id == "sip:alice@phone.example.org;x=1"
    assert (binding.uri.params, binding.expires_at) == ((), NOW + 3660)
    assert len(answer.contacts) == 1


@pytest.mark.parametrize("cseq", [4, 5])
@pytest.mark.parametrize(
    "request_of",
    [
        lambda cseq: register(contact(), cseq=cseq),
        lambda cseq: register(contact(PHONE, ("expires", "0")), cseq=cseq),
        lambda cseq: register(contact(STAR), cseq=cseq, Expires="0"),
        lambda cseq: register(contact("sip:new@h"), contact(), cseq=cseq),
    ],
    ids=["refresh", "unbind", "unbind all", "with a new one"],
)
def test_a_late_request_changes_nothing(cseq: int, request_of: object) -> None:
    domain = Domain()
    domain.take(register(contact(), cseq=5))
    before = domain.registrar.snapshot()
    answer = domain.take(request_of(cseq), now=NOW + 1)  # type: ignore[operator]
    assert (answer.status, answer.reason) == (500, "CSeq Out Of Order")
    assert domain.registrar.snapshot() == before
    assert domain.take(request_of(6), now=NOW + 1).status == 200  # type: ignore[operator]


def test_a_phone_that_starts_anew_counts_from_the_start() -> None:
    domain = Domain()
    domain.take(register(contact(), cseq=500, call_id="before"))
    assert domain.take(register(contact(), cseq=1, call_id="after"), now=NOW + 9).status == 200
    (binding,) = domain.registrar.bindings(ALICE, NOW + 9)
    assert (binding.call_id, binding.cseq) == ("after", 1)


def test_unbinds_one_or_all() -> None:
    domain = Domain()
    domain.send(contact("sip:a@h"), contact("sip:b@h"), contact("sip:c@h"))
    answer = domain.send(contact("sip:b@h", ("expires", "0")), contact("sip:never@h"), Expires="0")
    assert sorted(name for name, _ in listed(answer)) == ["a", "c"]
    answer = domain.send(contact(STAR), Expires="0")
    assert (answer.status, answer.contacts) == (200, ())
    assert len(domain.registrar) == 0


@pytest.mark.parametrize(
    "request_",
    [
        register(contact(STAR)),
        register(contact(STAR), Expires="60"),
        register(contact(STAR, ("expires", "0"))),
        register(contact(STAR), contact(), Expires="0"),
        register(contact(TelUri(number="+15550001"))),
        register(contact(OtherUri(scheme="mailto", rest="a@b"))),
        register(contact(f"sip:{'x' * MAX_CONTACT}@h")),
        register(contact(PHONE, ("x", "y" * MAX_CONTACT))),
        register(contact(display="\udcff")),
        register(contact("sip:%FF@h")),
        register(contact(), call_id="\udcff"),
        register(contact(), Path="<sip:%FF@h;lr>"),
        register(contact(), Path=f"<sip:{'x' * 2048}@h;lr>"),
        register(contact(), Path="nonsense"),
        register(contact(), Path=", ".join(["<sip:h;lr>"] * (MAX_PATH + 1))),
        register(*(contact(f"sip:u{number}@h") for number in range(11))),
        register(contact(PHONE, INSTANCE, ("reg-id", "0"))),
        register(contact(PHONE, INSTANCE, ("reg-id", "x"))),
        register(contact(PHONE, INSTANCE, ("reg-id", "2147483648"))),
        register(
            contact("sip:a@h", INSTANCE, ("reg-id", "1")),
            contact("sip:b@h", INSTANCE, ("reg-id", "2")),
        ),
    ],
)
def test_refuses_and_changes_nothing(request_: Request) -> None:
    domain = Domain()
    domain.send(contact("sip:old@h"))
    answer = domain.take(msgspec.structs.replace(request_, cseq=99))
    assert answer.status == 400 and answer.reason
    assert domain.uris() == ["old@h"]


def test_the_order_to_ring_is_by_q_and_then_the_newest_first() -> None:
    domain = Domain()
    qs = [("a", "0.1"), ("b", "1.0"), ("c", None), ("d", "0.50"), ("e", "2"), ("f", "0.5")]
    for step, (name, q) in enumerate(qs):
        params = () if q is None else (("q", q),)
        domain.send(contact(f"sip:{name}@h", *params), now=NOW + step)
    assert [each[0] for each in domain.uris(NOW + 9)] == ["e", "c", "b", "f", "d", "a"]


def test_users_do_not_see_each_other() -> None:
    domain = Domain()
    domain.send(contact())
    answer = domain.send(contact("sip:bob@192.0.2.8"), aor="bob@example.org")
    assert [name for name, _ in listed(answer)] == ["bob"]
    domain.send(contact(STAR), aor="bob@example.org", Expires="0")
    assert domain.uris() == ["alice@192.0.2.7"]


def test_the_newest_contacts_win_the_places() -> None:
    domain = Domain(bindings=3)
    for step in range(9):
        answer = domain.send(contact(f"sip:u{step}@h"), now=NOW + step)
        assert answer.status == 200 and len(answer.contacts) <= 3
    domain.send(contact("sip:u6@h"), now=NOW + 10)
    answer, changes = domain.registrar.register(
        ALICE,
        register(contact("sip:x@h"), contact("sip:y@h"), cseq=99),
        udp(),
        NOW + 11,
    )
    domain.store(changes)
    assert {name for name, _ in listed(answer)} == {"u6", "x", "y"}
    gone = [each.binding.id for each in changes if each.cause is Cause.CROWDED_OUT]
    assert gone == ["sip:u7@h", "sip:u8@h"]


def test_one_request_may_take_all_places() -> None:
    domain = Domain(bindings=3)
    answer = domain.send(*(contact(f"sip:u{number}@h") for number in range(3)))
    assert (answer.status, len(answer.contacts)) == (200, 3)


def test_path_is_kept_and_given_back() -> None:
    """RFC 3327 §5.3."""
    domain = Domain()
    path = '<sip:p1.example.org;lr>, "Edge" <sip:p2.example.org;lr>;x="y"'
    answer = domain.send(contact(), flow=tls(3), Path=path)
    assert answer.headers == (("Path", path),)
    (binding,) = domain.registrar.bindings(ALICE, NOW)
    assert list(binding.path) == [
        SipUri(host="p1.example.org", params=(("lr", None),)),
        SipUri(host="p2.example.org", params=(("lr", None),)),
    ]
    assert domain.registrar.flow_closed(3) == (), "the proxy keeps the phone's connection"
    domain.send(contact())
    assert domain.registrar.bindings(ALICE, NOW)[0].path == ()


def test_flows_of_an_instance_are_one_device() -> None:
    """RFC 5626 §6 and §7: bound by instance and reg-id, whatever the contact is."""
    domain = Domain()
    phone = "sip:alice@192.0.2.7;transport=tls"
    for reg_id, flow in ((1, tls(1)), (2, tls(2))):
        answer = domain.send(
            contact(phone, INSTANCE, ("reg-id", str(reg_id))), flow=flow, now=NOW + reg_id
        )
        assert answer.headers == (("Require", "outbound"),)
    domain.send(contact("sip:desk@h"), now=NOW + 3)
    assert len(domain.registrar) == 3
    domain.send(
        contact("sip:alice@203.0.113.1:9", INSTANCE, ("reg-id", "1")), flow=tls(3), now=NOW + 4
    )
    domain.store(domain.registrar.flow_closed(1))
    devices = by_device(domain.registrar.bindings(ALICE, NOW + 5))
    assert [[each.flow.id for each in device] for device in devices] == [[3, 2], [1]]
    answer = domain.send(
        contact(phone, INSTANCE, ("reg-id", "2"), ("expires", "0")), flow=tls(2), now=NOW + 6
    )
    assert len(answer.contacts) == 2


def test_reg_id_counts_only_where_the_first_hop_keeps_flows() -> None:
    """RFC 5626 §6: 439 for a phone that relies on it; else it is as if there were none."""
    domain = Domain()
    phone = contact(PHONE, INSTANCE, ("reg-id", "1"))
    behind = (EDGE, Via(transport="UDP", host="192.0.2.7"))
    refused = domain.send(phone, vias=behind, Supported="path, outbound", Path="<sip:p;lr>")
    assert refused.status == 439
    passed = domain.send(phone, vias=behind, Supported="path", Path="<sip:p;lr>")
    assert (passed.status, passed.headers) == (200, (("Path", "<sip:p;lr>"),))
    (binding,) = domain.registrar.bindings(ALICE, NOW)
    assert (binding.id, binding.reg_id) == (PHONE, 0)
    domain.send(contact(STAR), Expires="0")
    taken = domain.send(phone, vias=behind, Supported="path, outbound", Path="<sip:p;lr;ob>")
    assert taken.headers == (("Path", "<sip:p;lr;ob>"), ("Require", "outbound"))


def test_reg_id_without_an_instance_says_nothing() -> None:
    domain = Domain()
    answer = domain.send(contact(PHONE, ("reg-id", "1")))
    assert (answer.status, answer.headers) == (200, ())
    (binding,) = domain.registrar.bindings(ALICE, NOW)
    assert (binding.id, binding.reg_id) == (PHONE, 0)


def test_what_is_bound_over_a_connection_ends_with_it() -> None:
    domain = Domain()
    domain.send(contact("sip:a@h"), flow=tls(2))
    domain.send(contact("sip:b@h"), flow=tls(3))
    domain.send(contact("sip:c@h"), flow=tls(2), aor="bob@example.org")
    domain.send(contact("sip:d@h"), flow=udp())
    changes = domain.registrar.flow_closed(2)
    domain.store(changes)
    assert [(each.binding.id, each.cause) for each in changes] == [
        ("sip:a@h", Cause.FLOW_CLOSED),
        ("sip:c@h", Cause.FLOW_CLOSED),
    ]
    assert sorted(domain.uris()) == ["b@h", "d@h"]
    assert domain.registrar.flow_closed(2) == ()
    assert domain.registrar.flow_closed(udp().id) == (), "a UDP socket is nobody's connection"


def test_a_phone_that_came_back_over_another_connection_keeps_its_binding() -> None:
    """The old connection is often noticed dead only after the new one was registered."""
    domain = Domain()
    domain.send(contact(), flow=tls(2))
    domain.send(contact(), flow=tls(3), now=NOW + 1)
    assert domain.registrar.flow_closed(2) == ()
    assert domain.uris() == ["alice@192.0.2.7"]
    domain.store(domain.registrar.flow_closed(3))
    assert domain.uris() == []


def test_bindings_expire() -> None:
    domain = Domain()
    assert domain.registrar.timer() is None
    domain.send(contact("sip:a@h", ("expires", "100")))
    domain.send(contact("sip:b@h", ("expires", "60")), flow=tls(4), aor="bob@example.org")
    domain.send(contact("sip:c@h", ("expires", "300")))
    assert domain.registrar.timer() == NOW + 60
    assert domain.registrar.expire(NOW + 59.9) == ()
    changes = domain.registrar.expire(NOW + 60)
    domain.store(changes)
    assert [(each.binding.id, each.cause) for each in changes] == [("sip:b@h", Cause.EXPIRED)]
    assert domain.registrar.flow_closed(4) == ()
    assert domain.uris(NOW + 100) == ["c@h"], "it is over at its time, whenever `expire` is called"
    domain.store(domain.registrar.expire(NOW + 1000))
    assert (len(domain.registrar), domain.registrar.timer()) == (0, None)


def test_what_expired_is_no_longer_compared() -> None:
    domain = Domain()
    domain.take(register(contact(PHONE, ("expires", "60")), cseq=9))
    answer, changes = domain.registrar.register(ALICE, register(contact(), cseq=2), udp(), NOW + 61)
    assert answer.status == 200
    assert [each.cause for each in changes] == [Cause.EXPIRED, Cause.REGISTERED]


def test_refreshing_for_long_keeps_the_timer_small() -> None:
    """A phone that refreshes each half hour has one entry, not one for each refresh."""
    domain = Domain()
    for step in range(1000):
        domain.send(contact(), now=NOW + step)
    assert len(domain.registrar._due) == 1
    assert domain.registrar.expire(NOW + 3600) == ()
    assert domain.registrar.timer() == NOW + 999 + 3600


def test_an_address_goes_back_to_what_it_had() -> None:
    registrar = Registrar(Limits())
    registrar.register(ALICE, register(contact()), udp(), NOW)
    before = registrar.held(ALICE)
    other = contact("sip:alice@192.0.2.8")
    registrar.register(
        ALICE, register(contact(PHONE, ("expires", "0")), other, cseq=2), tls(7), NOW + 1
    )
    registrar.reset(ALICE, before)
    assert registrar.held(ALICE) == registrar.bindings(ALICE, NOW + 1) == before
    assert registrar.flow_closed(7) == ()
    assert registrar.timer() is not None and len(registrar) == 1
    registrar.reset(ALICE, ())
    assert (registrar.held(ALICE), len(registrar)) == ((), 0)


def test_a_restart_keeps_what_needs_no_connection() -> None:
    domain = Domain()
    domain.send(contact("sip:udp@h", display="Zoë"), User_Agent="\udcff phone")
    domain.send(contact("sip:tls@h"), flow=tls(7))
    domain.send(contact("sip:path@h"), flow=tls(8), Path="<sip:p;lr>")
    domain.send(contact("sip:brief@h", ("expires", "60")))
    gone = msgspec.structs.replace(udp(), local=("192.0.2.2", 5060))
    domain.send(contact("sip:elsewhere@h"), flow=gone)
    octets = msgspec.json.encode(domain.registrar.snapshot())
    stored = msgspec.json.decode(octets, type=tuple[Binding, ...])
    assert stored == domain.registrar.snapshot()

    def flow_of(flow: Flow) -> Flow | None:
        same = flow.transport is Transport.UDP and flow.local == udp().local
        return msgspec.structs.replace(flow, id=55) if same else None

    restarted = Registrar(Limits())
    lost = restarted.restore(stored, NOW + 70, flow_of)
    assert {(each.binding.uri.user, each.cause) for each in lost} == {
        ("tls", Cause.FLOW_CLOSED),
        ("brief", Cause.EXPIRED),
        ("elsewhere", Cause.FLOW_CLOSED),
    }
    found = {each.uri.user: each.flow.id for each in restarted.bindings(ALICE, NOW + 70)}
    assert found == {"udp": 55, "path": 8}
    assert restarted.timer() == NOW + 3600
    late, _ = restarted.register(ALICE, register(contact("sip:udp@h"), cseq=1), udp(), NOW + 71)
    assert late.status == 500, "the order of requests outlives the process"


_NAMES = st.sampled_from("abcd")
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("register"),
            st.sampled_from(["x", "y"]),
            st.lists(st.tuples(_NAMES, st.sampled_from([0, 60, 90, 200])), max_size=3),
            st.integers(0, 3),
            st.integers(0, 2),
        ),
        st.tuples(st.just("clear"), st.sampled_from(["x", "y"])),
        st.tuples(st.just("close"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.integers(1, 120)),
    ),
    max_size=30,
)


@given(_STEPS)
def test_the_store_has_what_the_registrar_has(steps: list[tuple[object, ...]]) -> None:
    """Whatever comes in whatever order; and no address-of-record has too many bindings."""
    domain = Domain(bindings=3)
    now = NOW
    for step in steps:
        match step:
            case "register", str(aor), list(wishes), int(number), int(reg_id):
                outbound = (INSTANCE, ("reg-id", str(reg_id))) if reg_id else ()
                contacts = [
                    contact(f"sip:{name}@h", ("expires", str(expires)), *outbound)
                    for name, expires in wishes
                ]
                flow = tls(number) if number else udp()
                domain.send(*contacts, flow=flow, now=now, aor=aor)
            case "clear", str(aor):
                domain.send(contact(STAR), aor=aor, now=now, Expires="0")
            case "close", int(number):
                domain.store(domain.registrar.flow_closed(number))
            case "wait", int(seconds):
                now += seconds
                domain.store(domain.registrar.expire(now))
                assert all(each.expires_at > now for each in domain.registrar.snapshot())
        for aor in ("x", "y"):
            assert len(domain.registrar.bindings(aor, now)) <= 3
        ends = [each.expires_at for each in domain.registrar.snapshot()]
        timer = domain.registrar.timer()
        assert not ends or (timer is not None and timer <= min(ends))
    for number in range(1, 4):
        domain.store(domain.registrar.flow_closed(number))
    assert not domain.registrar._flows
    domain.store(domain.registrar.expire(now + 10_000))
    assert (len(domain.registrar), domain.registrar.timer()) == (0, None)
    assert not domain.registrar._bindings
