"""A registration of ours: what it asks of which server when, and what it makes of the answers."""

from itertools import count

import msgspec
import pytest

from protocols.sip.challenge import read_authorizations
from protocols.sip.derive import reply
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.message import Headers, NameAddr, Request, Response
from protocols.sip.registrar import Limits, Registrar
from protocols.sip.registration import Registration
from protocols.sip.registration_events import (
    Event,
    Expired,
    Failed,
    GaveUp,
    Patience,
    Registered,
    State,
    Terms,
    Unregistered,
)
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri, format_uri, parameter, parse_uri

HERE = SipUri(host="192.0.2.1", user="trunk", port=5060)
THERE = SipUri(host="198.51.100.7", user="trunk", port=5070)
ONE, TWO = SipUri(host="one.example"), SipUri(host="two.example")
CHALLENGE = ("WWW-Authenticate", 'Digest realm="carrier", nonce="n1", qop="auth"')
FLOW = Flow(id=1, transport=Transport.UDP, local=("192.0.2.9", 5060), remote=("192.0.2.1", 5060))


class Ours:
    """A registration, its clock, and what it says."""

    def __init__(
        self,
        servers: tuple[SipUri, ...] = (ONE,),
        *,
        patience: Patience | None = None,
        random: float = 1.0,
        **terms: object,
    ) -> None:
        given = {
            "aor": NameAddr(uri=SipUri(host="carrier.example", user="trunk")),
            "registrar": SipUri(host="carrier.example"),
            "contact": NameAddr(uri=HERE),
            "servers": servers,
            **terms,
        }
        tags = count(1)
        self.now = 1000.0
        self.machine = Registration(
            Terms(**given),  # type: ignore[arg-type]
            Sessions([Credentials(username="trunk", password="secret")], cnonce=lambda: "cn0nce00"),
            call_id="registration-1",
            tag=lambda: f"t{next(tags)}",
            random=lambda: random,
            patience=patience,
        )

    def asks(self) -> tuple[Request, SipUri]:
        sending = self.machine.next_request()
        assert sending is not None, "nothing is asked"
        assert self.machine.next_request() is None
        return sending.request, sending.server

    def quiet(self) -> bool:
        return self.machine.next_request() is None

    def answer(self, request: Request, status: int, *headers: tuple[str, str]) -> None:
        self.machine.responded(answered(request, status, *headers), self.now)

    def events(self) -> list[Event]:
        found = []
        while (event := self.machine.next_event()) is not None:
            found.append(event)
        return found

    def wait(self) -> float:
        """Let time pass until something is due; how long that was."""
        due = self.machine.timer()
        assert due is not None, "nothing is due"
        passed, self.now = due - self.now, due
        self.machine.handle_timer(self.now)
        return passed

    def registered(self, seconds: int = 3600) -> Registered:
        """Start it and let the first server grant it."""
        self.machine.start(self.now)
        request, _ = self.asks()
        self.answer(request, 200, ("Expires", str(seconds)))
        (event,) = self.events()
        assert isinstance(event, Registered)
        return event


def answered(request: Request, status: int, *headers: tuple[str, str]) -> Response:
    return reply(request, status, tag="c1", headers=Headers(headers))


def with_contacts(request: Request, *texts: tuple[str, str]) -> Response:
    contacts = tuple(
        NameAddr(uri=parse_uri(uri), params=(("expires", seconds),) if seconds else ())
        for uri, seconds in texts
    )
    return with_listed(answered(request, 200, ("Expires", "900")), contacts)


def with_listed(response: Response, contacts: tuple[NameAddr, ...]) -> Response:
    return msgspec.structs.replace(response, contacts=contacts)


def test_it_asks_for_its_contact_at_the_domain_and_stands_when_that_is_granted() -> None:
    ours = Ours()
    assert ours.machine.standing().state is State.IDLE
    ours.machine.start(ours.now)
    request, server = ours.asks()
    assert server == ONE
    assert (request.method, request.uri, request.call_id) == (
        "REGISTER",
        SipUri(host="carrier.example"),
        "registration-1",
    )
    assert request.from_.uri == request.to.uri == SipUri(host="carrier.example", user="trunk")
    assert request.from_.tag and not request.to.tag
    assert request.contacts[0].uri == HERE
    assert parameter(request.contacts[0].params, "expires") == "3600"
    assert request.headers.first("Supported") == "path"
    assert ours.machine.standing().state is State.TRYING
    ours.answer(request, 200, ("Expires", "1800"))
    (event,) = ours.events()
    assert event == Registered(
        server=ONE,
        expires_at=ours.now + 1800,
        service_route=(),
        outbound=False,
        flow_timer=0,
        refreshed=False,
    )
    standing = ours.machine.standing()
    assert (standing.state, standing.server, standing.expires_at) == (
        State.REGISTERED,
        ONE,
        ours.now + 1800,
    )


@pytest.mark.parametrize(
    ("granted", "random", "after"),
    [
        (3600, 1.0, 3536.0),
        (3600, 0.0, 0.85 * 3536),
        (600, 1.0, 536.0),
        (120, 1.0, 60.0),
        (60, 1.0, 30.0),
        (60, 0.0, 25.5),
        (1, 1.0, 1.0),  # its end comes first: what is asked again comes later
    ],
)
def test_it_is_refreshed_in_time(granted: int, random: float, after: float) -> None:
    ours = Ours(random=random)
    ours.registered(granted)
    assert ours.wait() == pytest.approx(after)


def test_a_server_that_grants_a_second_is_not_asked_each_second() -> None:
    ours = Ours()
    ours.registered(1)
    assert ours.wait() + ours.wait() == pytest.approx(5.0)
    assert [type(each) for each in ours.events()] == [Expired]
    ours.asks()


def test_a_refresh_has_the_same_call_id_a_higher_cseq_and_a_tag_of_its_own() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    first, _ = ours.asks()
    ours.answer(first, 200, ("Expires", "600"))
    ours.events()
    ours.wait()
    second, _ = ours.asks()
    assert (second.call_id, second.cseq) == (first.call_id, first.cseq + 1)
    assert second.from_.tag != first.from_.tag
    ours.answer(second, 200, ("Expires", "600"))
    (event,) = ours.events()
    assert isinstance(event, Registered) and event.refreshed


def test_one_request_is_under_way_at_a_time() -> None:
    ours = Ours()
    ours.registered(60)
    ours.wait()
    ours.asks()
    ours.wait()  # the end of what was granted
    assert ours.quiet()
    assert [type(each) for each in ours.events()] == [Expired]
    assert ours.machine.standing().state is State.TRYING


@pytest.mark.parametrize(
    ("listed", "seconds"),
    [
        ([("sip:trunk@192.0.2.1:5060", "120")], 120),
        ([("sip:other@192.0.2.7", "60"), ("sip:trunk@192.0.2.1:5060", "120")], 120),
        ([("sip:trunk@203.0.113.5:1024", "300")], 300),
        ([("sip:a@203.0.113.5", "300"), ("sip:b@203.0.113.6", "200")], 200),
        ([("sip:trunk@192.0.2.1:5060", "")], 900),
        ([("sip:trunk@192.0.2.1:5060", "soon")], 900),
        ([], 900),
    ],
    ids=["echo", "among others", "rewritten", "the first to end", "Expires", "unread", "none"],
)
def test_what_was_granted(listed: list[tuple[str, str]], seconds: int) -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.machine.responded(with_contacts(request, *listed), ours.now)
    (event,) = ours.events()
    assert isinstance(event, Registered)
    assert event.expires_at - ours.now == seconds


def test_without_any_time_it_is_what_was_asked_for() -> None:
    ours = Ours(expires=1200)
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 200)
    (event,) = ours.events()
    assert isinstance(event, Registered) and event.expires_at == ours.now + 1200


def test_a_contact_that_is_not_kept_is_a_failure() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.machine.responded(with_contacts(request, ("sip:trunk@192.0.2.1:5060", "0")), ours.now)
    (event,) = ours.events()
    assert isinstance(event, Failed)
    assert event.reason == "the server does not keep our contact"


def test_challenges_are_answered_and_refreshes_carry_credentials() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    first, _ = ours.asks()
    assert "Authorization" not in first.headers
    ours.answer(first, 401, CHALLENGE)
    second, server = ours.asks()
    assert server == ONE and second.cseq == first.cseq + 1
    (given,) = read_authorizations(second.headers.all("Authorization"))
    assert (given.username, given.uri, given.nc) == ("trunk", "sip:carrier.example", "00000001")
    ours.answer(second, 200, ("Expires", "600"))
    ours.wait()
    third, _ = ours.asks()
    (given,) = read_authorizations(third.headers.all("Authorization"))
    assert given.nc == "00000002"


def test_a_proxy_asks_too() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 407, ("Proxy-Authenticate", CHALLENGE[1]))
    request, _ = ours.asks()
    assert "Proxy-Authorization" in request.headers


def test_a_wrong_password_is_tried_ever_more_rarely_and_then_no_more() -> None:
    ours = Ours((ONE, TWO), patience=Patience(refusals=3, longest_refused=100.0))
    ours.machine.start(ours.now)
    delays, nonce = [], count(1)
    while ours.machine.standing().state is State.TRYING:
        request, server = ours.asks()
        assert server == ONE, "the account is at fault, not the server"
        fresh = f'Digest realm="carrier", nonce="{next(nonce)}", qop="auth"'
        if "Authorization" not in request.headers:
            ours.answer(request, 401, ("WWW-Authenticate", fresh))
            request, _ = ours.asks()
        ours.answer(request, 401, ("WWW-Authenticate", fresh))
        if ours.machine.timer() is not None:
            delays.append(ours.wait())
    assert delays == [60.0, 100.0]
    *failures, end = ours.events()
    assert [each.retry_at is None for each in failures if isinstance(each, Failed)] == [
        False,
        False,
        True,
    ]
    assert end == GaveUp(reason="401 Unauthorized: the peer does not take our username or password")
    assert ours.machine.timer() is None
    ours.machine.start(ours.now)
    ours.asks()


def test_a_server_that_challenges_without_end_is_left() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    asked = 0
    for number in range(100):
        sending = ours.machine.next_request()
        if sending is None:
            break
        asked += 1
        stale = f'Digest realm="carrier", nonce="n{number}", qop="auth", stale=true'
        ours.answer(sending.request, 401, ("WWW-Authenticate", stale))
    assert asked == 5
    (event,) = ours.events()
    assert isinstance(event, Failed)


def test_too_short_a_time_is_asked_for_again_with_what_the_server_wants() -> None:
    ours = Ours(expires=60)
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 423, ("Min-Expires", "300"))
    request, _ = ours.asks()
    assert parameter(request.contacts[0].params, "expires") == "300"
    assert request.headers.first("Expires") == "300"
    ours.answer(request, 200)
    ours.wait()
    request, _ = ours.asks()
    assert parameter(request.contacts[0].params, "expires") == "300"


@pytest.mark.parametrize("least", ["60", "5", "86401", "many", None])
def test_a_423_without_sense_is_a_refusal(least: str | None) -> None:
    ours = Ours(expires=60)
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 423, *([("Min-Expires", least)] if least else []))
    (event,) = ours.events()
    assert isinstance(event, Failed) and event.status == 423
    assert event.retry_at == ours.now + 60.0


def test_a_time_that_grows_with_each_answer_has_an_end() -> None:
    ours = Ours(expires=60)
    ours.machine.start(ours.now)
    asked = 0
    while (sending := ours.machine.next_request()) is not None:
        asked += 1
        ours.answer(sending.request, 423, ("Min-Expires", str(60 + asked)))
    assert asked == 8


@pytest.mark.parametrize("status", [500, 503, 480, 302, 0])
def test_the_next_server_is_asked_at_once(status: int) -> None:
    ours = Ours((ONE, TWO))
    ours.machine.start(ours.now)
    request, server = ours.asks()
    if status:
        ours.answer(request, status)
    else:
        ours.machine.failed("nobody answered", ours.now)
    (event,) = ours.events()
    assert isinstance(event, Failed)
    assert (event.server, event.status, event.retry_at) == (ONE, status, ours.now)
    following, server = ours.asks()
    assert server == TWO
    assert (following.call_id, following.cseq) == (request.call_id, request.cseq + 1)


def test_it_returns_to_the_first_server() -> None:
    ours = Ours((ONE, TWO), patience=Patience(back=300.0))
    ours.machine.start(ours.now)
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    request, _ = ours.asks()
    ours.answer(request, 200, ("Expires", "3600"))
    assert ours.machine.standing().server == TWO
    assert ours.wait() == 300.0
    request, server = ours.asks()
    assert server == ONE
    ours.answer(request, 503)
    request, server = ours.asks()
    assert server == TWO, "what stands there is refreshed"
    assert ours.machine.standing().state is State.REGISTERED
    ours.answer(request, 200, ("Expires", "3600"))
    assert ours.wait() == 300.0
    request, server = ours.asks()
    ours.events()
    ours.answer(request, 200, ("Expires", "3600"))
    (event,) = ours.events()
    assert isinstance(event, Registered)
    assert (event.server, event.refreshed) == (ONE, False)
    assert ours.wait() == pytest.approx(3536.0)


def test_what_stands_at_another_server_is_kept_when_the_first_refuses() -> None:
    ours = Ours((ONE, TWO))
    ours.machine.start(ours.now)
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    request, _ = ours.asks()
    ours.answer(request, 200, ("Expires", "3600"))
    ours.wait()
    request, _ = ours.asks()
    ours.answer(request, 403)
    request, server = ours.asks()
    assert server == TWO
    ours.answer(request, 200, ("Expires", "3600"))
    ours.wait()
    _, server = ours.asks()
    assert server == TWO, "the first one is left alone for long"


def test_while_nobody_answers_the_delays_double_up_to_a_bound() -> None:
    ours = Ours(patience=Patience(first=4.0, longest=20.0))
    ours.machine.start(ours.now)
    delays = []
    for _ in range(5):
        ours.asks()
        ours.machine.failed("nobody answered", ours.now)
        delays.append(ours.wait())
    assert delays == [4.0, 8.0, 16.0, 20.0, 20.0]
    assert ours.machine.standing().failures == 5
    request, _ = ours.asks()
    ours.answer(request, 200)
    assert ours.machine.standing().failures == 0
    ours.wait()
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    assert ours.wait() == 4.0


def test_delays_are_spread_over_their_upper_half() -> None:
    ours = Ours(patience=Patience(first=4.0), random=0.0)
    ours.machine.start(ours.now)
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    assert ours.wait() == 2.0


def test_retry_after_rests_the_server_that_sent_it_alone() -> None:
    ours = Ours((ONE, TWO), patience=Patience(first=4.0, back=10.0))
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 503, ("Retry-After", "100 (full);duration=5"))
    request, server = ours.asks()
    assert server == TWO
    ours.answer(request, 200)
    ours.wait()
    _, server = ours.asks()
    assert server == TWO, "the first one rests"


def test_where_all_rest_nobody_is_asked() -> None:
    ours = Ours(patience=Patience(first=4.0, rest=500.0))
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 503, ("Retry-After", "100"))
    assert ours.wait() == 100.0
    request, _ = ours.asks()
    ours.answer(request, 503, ("Retry-After", "4000000000"))
    assert ours.wait() == 500.0


def test_it_expires_when_refreshing_fails_and_goes_on() -> None:
    ours = Ours()
    ours.registered(60)
    ours.wait()
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    assert ours.machine.standing().state is State.REGISTERED, "it stands as long as was granted"
    while ours.machine.standing().state is State.REGISTERED:
        ours.wait()
        if not ours.quiet():
            ours.machine.failed("nobody answered", ours.now)
    assert ours.now == 1060.0
    assert Expired(reason="nobody answered") in ours.events()
    assert ours.machine.standing().reason == "nobody answered"
    assert ours.machine.standing().server is None


def test_the_service_route_is_kept_while_it_stands() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(
        request,
        200,
        ("Service-Route", "<sip:edge.example;lr>, <sip:core.example;lr>"),
        ("Path", "<sip:foreign.example;lr>"),
    )
    (event,) = ours.events()
    assert isinstance(event, Registered)
    hosts = [each.uri.host for each in event.service_route if isinstance(each.uri, SipUri)]
    assert hosts == ["edge.example", "core.example"]
    assert ours.machine.service_route == event.service_route
    ours.machine.close(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 200)
    assert ours.machine.service_route == ()


def test_a_flow_is_registered_with_its_instance() -> None:
    ours = Ours(instance="urn:uuid:00000000-0000-1000-8000-000A95A0E128", reg_id=2)
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    params = request.contacts[0].params
    assert parameter(params, "+sip.instance") == '"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
    assert parameter(params, "reg-id") == "2"
    assert request.headers.first("Supported") == "path, outbound"
    ours.answer(request, 200, ("Require", "Outbound"), ("Flow-Timer", "120"))
    (event,) = ours.events()
    assert isinstance(event, Registered)
    assert (event.outbound, event.flow_timer) == (True, 120)
    ours.machine.flow_lost("the peer closed", ours.now)
    assert ours.wait() == 2.0
    ours.asks()


def test_a_first_hop_without_flows_gets_an_ordinary_registration() -> None:
    ours = Ours(instance="urn:uuid:00000000-0000-1000-8000-000A95A0E128")
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 439)
    request, server = ours.asks()
    assert server == ONE
    assert parameter(request.contacts[0].params, "reg-id") is None
    assert request.headers.first("Supported") == "path"


def test_closing_takes_it_back_with_the_credentials() -> None:
    ours = Ours((ONE, TWO))
    ours.machine.start(ours.now)
    ours.asks()
    ours.machine.failed("nobody answered", ours.now)
    request, _ = ours.asks()
    ours.answer(request, 200)
    ours.machine.close(ours.now)
    request, server = ours.asks()
    assert server == TWO, "where it stands"
    assert parameter(request.contacts[0].params, "expires") == "0"
    assert len([name for name, _ in request.contacts[0].params if name == "expires"]) == 1
    assert request.headers.first("Expires") == "0"
    ours.answer(request, 401, CHALLENGE)
    request, server = ours.asks()
    assert (server, parameter(request.contacts[0].params, "expires")) == (TWO, "0")
    assert "Authorization" in request.headers
    ours.events()
    ours.answer(request, 200)
    assert ours.events() == [Unregistered(reason="")]
    assert ours.machine.standing().state is State.CLOSED
    assert ours.machine.timer() is None
    ours.machine.close(ours.now)
    ours.machine.start(ours.now)
    assert ours.quiet() and not ours.events()


@pytest.mark.parametrize("status", [0, 500])
def test_closing_ends_whatever_the_server_says(status: int) -> None:
    ours = Ours()
    ours.registered()
    ours.machine.close(ours.now)
    request, _ = ours.asks()
    if status:
        ours.answer(request, status)
    else:
        ours.machine.failed("nobody answered", ours.now)
    (event,) = ours.events()
    assert isinstance(event, Unregistered) and event.reason
    assert ours.quiet()


def test_closing_waits_for_the_request_under_way() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.machine.close(ours.now)
    assert ours.quiet()
    ours.answer(request, 200, ("Expires", "600"))
    request, _ = ours.asks()
    assert request.headers.first("Expires") == "0"


def test_closing_what_never_stood_asks_nobody() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    ours.machine.close(ours.now)
    assert ours.quiet()
    assert ours.events() == [Unregistered(reason="")]


def test_answers_to_older_requests_and_provisional_ones_are_passed_over() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    first, _ = ours.asks()
    ours.answer(first, 100)
    ours.answer(first, 401, CHALLENGE)
    ours.asks()
    ours.answer(first, 200)
    assert not ours.events()
    ours.machine.flow_lost("gone", ours.now)
    assert ours.machine.standing().state is State.TRYING


def test_a_registrar_keeps_it_over_a_day() -> None:
    registrar = Registrar(Limits(default_expires=600, max_expires=600))
    ours = Ours(random=0.5)
    ours.machine.start(ours.now)
    started = ours.now
    while ours.now < started + 86_400:
        request, _ = ours.asks()
        answer, _ = registrar.register("trunk", request, FLOW, ours.now)
        response = answered(request, answer.status, *answer.headers)
        ours.machine.responded(with_listed(response, answer.contacts), ours.now)
        assert len(registrar.bindings("trunk", ours.now)) == 1
        ours.wait()
        assert registrar.bindings("trunk", ours.now), "it was refreshed too late"
    ours.machine.close(ours.now)
    assert not any(isinstance(each, Failed | Expired) for each in ours.events())


def test_a_flow_that_is_lost_while_it_is_refreshed_is_not_made_twice() -> None:
    ours = Ours()
    ours.registered(600)
    ours.wait()
    request, _ = ours.asks()
    ours.machine.flow_lost("the peer closed", ours.now)
    ours.answer(request, 200, ("Expires", "600"))
    assert ours.wait() == 536.0


def test_it_asks_when_the_first_of_all_that_rest_is_up_again() -> None:
    ours = Ours((ONE, TWO), patience=Patience(first=1.0))
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 503, ("Retry-After", "90"))
    request, _ = ours.asks()
    ours.answer(request, 503, ("Retry-After", "30"))
    assert ours.wait() == 30.0
    _, server = ours.asks()
    assert server == TWO


def test_a_flow_is_taken_back_as_the_flow_that_it_is() -> None:
    ours = Ours(instance="urn:uuid:00000000-0000-1000-8000-000A95A0E128")
    ours.registered()
    ours.machine.close(ours.now)
    request, _ = ours.asks()
    assert request.headers.first("Supported") == "path, outbound"
    assert parameter(request.contacts[0].params, "reg-id") == "1"
    ours = Ours()
    ours.registered()
    ours.machine.close(ours.now)
    request, _ = ours.asks()
    assert request.headers.first("Supported") == "path"


def test_what_is_refused_while_closing_is_not_asked_again() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.machine.close(ours.now)
    ours.answer(request, 500)
    assert ours.quiet()
    assert [type(each) for each in ours.events()] == [Unregistered]


def test_where_we_are_reached_is_said_when_the_way_is_known() -> None:
    ours = Ours(instance="urn:uuid:1", contact=NameAddr(uri=HERE, params=(("q", "0.5"),)))
    assert ours.machine.reached_at(NameAddr(uri=THERE)) is None
    ours.machine.start(ours.now)
    first, _ = ours.asks()
    named = ours.machine.reached_at(NameAddr(uri=THERE, params=(("q", "1.0"),)))
    assert named is not None
    (contact,) = named.contacts
    assert contact.uri == THERE
    assert contact.params == (("q", "1.0"), *first.contacts[0].params[1:])
    assert msgspec.structs.replace(named, contacts=first.contacts) == first
    # It is by that that the server is understood, and that is what is taken back.
    response = with_contacts(first, (format_uri(HERE), "100"), (format_uri(THERE), "1800"))
    ours.machine.responded(response, ours.now)
    (event,) = ours.events()
    assert isinstance(event, Registered) and event.expires_at == ours.now + 1800
    ours.machine.close(ours.now)
    last, _ = ours.asks()
    assert last.contacts[0].uri == THERE
    assert ours.machine.reached_at(NameAddr(uri=HERE)) == last


def test_the_next_request_names_where_we_were_reached_last() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    first, _ = ours.asks()
    ours.machine.reached_at(NameAddr(uri=THERE))
    ours.answer(first, 401, CHALLENGE)
    second, _ = ours.asks()
    assert second.contacts[0].uri == THERE
    assert second.contacts[0].params == first.contacts[0].params


def test_a_439_where_no_flow_was_asked_for_is_a_failure() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 439)
    assert ours.quiet()
    assert [type(each) for each in ours.events()] == [Failed]


def test_failures_and_refusals_are_shown_together() -> None:
    ours = Ours()
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    ours.answer(request, 500)
    ours.wait()
    request, _ = ours.asks()
    ours.answer(request, 403)
    assert ours.machine.standing().failures == 2
    assert ours.machine.standing().reason == "403 Forbidden"


def test_among_flows_of_one_device_ours_is_that_of_our_number() -> None:
    ours = Ours(instance="urn:uuid:00000000-0000-1000-8000-000A95A0E128", reg_id=2)
    ours.machine.start(ours.now)
    request, _ = ours.asks()
    instance = parameter(request.contacts[0].params, "+sip.instance")
    listed = tuple(
        NameAddr(
            uri=SipUri(host="203.0.113.5", port=port),
            params=(("+sip.instance", instance), ("reg-id", reg_id), ("expires", expires)),
        )
        for port, reg_id, expires in ((1, "1", "60"), (2, "2", "600"))
    )
    ours.machine.responded(with_listed(answered(request, 200), listed), ours.now)
    (event,) = ours.events()
    assert isinstance(event, Registered) and event.expires_at == ours.now + 600
