"""The headers that stay text until somebody asks for one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip import headers as h
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.message import Headers, NameAddr
from protocols.sip.uri import SipUri, TelUri

ALICE = NameAddr(uri=SipUri(user="alice", host="a.example"))

# A header as a peer wrote it, what it says, and how we write that.
READ: tuple[tuple[Callable[[Headers], object], tuple[str, str], object, tuple[str, str]], ...] = (
    (
        lambda each: h.read_tokens(each, "Allow"),
        ("Allow", "INVITE,ACK , BYE"),
        ("INVITE", "ACK", "BYE"),
        h.write_tokens("Allow", ("INVITE", "ACK", "BYE")),
    ),
    (
        lambda each: h.read_tokens(each, "Supported"),
        ("Supported", ""),
        (),
        h.write_tokens("Supported", ()),
    ),
    (
        lambda each: h.read_count(each, "Expires"),
        ("Expires", "007"),
        7,
        h.write_count("Expires", 7),
    ),
    (
        lambda each: h.read_count(each, "RSeq"),
        ("RSeq", "4294967295"),
        4294967295,
        h.write_count("RSeq", 4294967295),
    ),
    (
        h.read_accept,
        ("Accept", 'application/SDP;level=1, text/*;q=0.5;x="a,b"'),
        (
            h.MediaType(name="application/sdp", params=(("level", "1"),)),
            h.MediaType(name="text/*", params=(("q", "0.5"), ("x", '"a,b"'))),
        ),
        ("Accept", 'application/sdp;level=1, text/*;q=0.5;x="a,b"'),
    ),
    (
        h.read_content_type,
        ("Content-Type", "multipart / mixed ; boundary=7a9"),
        h.MediaType(name="multipart/mixed", params=(("boundary", "7a9"),)),
        ("Content-Type", "multipart/mixed;boundary=7a9"),
    ),
    (
        h.read_content_disposition,
        ("Content-Disposition", "Session; handling=Optional"),
        h.Disposition(kind="session", handling="optional"),
        ("Content-Disposition", "session;handling=optional"),
    ),
    (
        h.read_session_expires,
        ("Session-Expires", "1800 ;Refresher=UAS"),
        h.SessionExpires(seconds=1800, refresher="uas"),
        ("Session-Expires", "1800;refresher=uas"),
    ),
    (
        h.read_session_expires,
        ("Session-Expires", "90"),
        h.SessionExpires(seconds=90),
        ("Session-Expires", "90"),
    ),
    (h.read_min_se, ("Min-SE", "90;x=y"), 90, h.write_count("Min-SE", 90)),
    (
        h.read_rack,
        ("RAck", "776656 1 INVITE"),
        h.RAck(rseq=776656, cseq=1, method="INVITE"),
        ("RAck", "776656 1 INVITE"),
    ),
    (
        h.read_reason,
        ("Reason", 'Q.850 ;cause=16 ;text="Terminated, so", SIP;cause="600", preemption'),
        (
            h.Reason(protocol="Q.850", cause=16, text="Terminated, so"),
            h.Reason(protocol="SIP", cause=600),
            h.Reason(protocol="preemption"),
        ),
        ("Reason", 'Q.850;cause=16;text="Terminated, so", SIP;cause=600, preemption'),
    ),
    (
        h.read_warning,
        ("Warning", '307 isi.edu "Session \\"x\\", a", 399 [::1]:5060 "b"'),
        (
            h.SipWarning(code=307, agent="isi.edu", text='Session "x", a'),
            h.SipWarning(code=399, agent="[::1]:5060", text="b"),
        ),
        ("Warning", '307 isi.edu "Session \\"x\\", a", 399 [::1]:5060 "b"'),
    ),
    (
        h.read_retry_after,
        ("Retry-After", "18000 (I'm in a meeting) ;duration=3600"),
        h.RetryAfter(seconds=18000, comment="I'm in a meeting", duration=3600),
        ("Retry-After", "18000 (I'm in a meeting);duration=3600"),
    ),
    (
        h.read_retry_after,
        ("Retry-After", "120"),
        h.RetryAfter(seconds=120),
        ("Retry-After", "120"),
    ),
    (
        lambda each: h.read_address(each, "Refer-To"),
        ("Refer-To", "<sip:bob@b?Replaces=1%40a%3Bto-tag%3D2%3Bfrom-tag%3D3>"),
        NameAddr(
            uri=SipUri(user="bob", host="b", headers=(("Replaces", "1@a;to-tag=2;from-tag=3"),))
        ),
        ("Refer-To", "<sip:bob@b?Replaces=1%40a%3Bto-tag%3D2%3Bfrom-tag%3D3>"),
    ),
    (
        lambda each: h.read_addresses(each, "Path"),
        ("Path", "<sip:P1;lr>,<sip:P2;lr>;x"),
        (
            NameAddr(uri=SipUri(host="p1", params=(("lr", None),))),
            NameAddr(uri=SipUri(host="p2", params=(("lr", None),)), params=(("x", None),)),
        ),
        ("Path", "<sip:p1;lr>, <sip:p2;lr>;x"),
    ),
    (
        lambda each: h.read_identities(each, "P-Asserted-Identity"),
        ("P-Asserted-Identity", '"Cullen, J" <sip:alice@a.example>, tel:+14085264000'),
        (
            NameAddr(display="Cullen, J", uri=ALICE.uri),
            NameAddr(uri=TelUri(number="+14085264000")),
        ),
        ("P-Asserted-Identity", '"Cullen, J" <sip:alice@a.example>, <tel:+14085264000>'),
    ),
    (h.read_privacy, ("Privacy", "ID; user"), ("id", "user"), ("Privacy", "id;user")),
    (
        h.read_replaces,
        ("Replaces", "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only"),
        h.Replaces(
            call_id="98732@sip.example.com",
            to_tag="ff87ff",
            from_tag="r33th4x0r",
            early_only=True,
        ),
        ("Replaces", "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r;early-only"),
    ),
    (
        h.read_event,
        ("Event", "refer;id=93809824;x=1"),
        h.Event(package="refer", id="93809824", params=(("x", "1"),)),
        ("Event", "refer;id=93809824;x=1"),
    ),
    (
        h.read_subscription_state,
        ("Subscription-State", "Terminated;Reason=noresource;retry-after=5"),
        h.SubscriptionState(state="terminated", reason="noresource", retry_after=5),
        ("Subscription-State", "terminated;reason=noresource;retry-after=5"),
    ),
    (
        h.read_subscription_state,
        ("Subscription-State", "active;expires=60"),
        h.SubscriptionState(state="active", expires=60),
        ("Subscription-State", "active;expires=60"),
    ),
    (
        h.read_date,
        ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"),
        datetime(2010, 11, 13, 23, 29, tzinfo=UTC),
        ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"),
    ),
)

WRITERS: dict[str, Callable[..., tuple[str, str]]] = {
    "Accept": h.write_accept,
    "Content-Type": h.write_content_type,
    "Content-Disposition": h.write_content_disposition,
    "Session-Expires": h.write_session_expires,
    "RAck": h.write_rack,
    "Reason": lambda value: h.write_reason(*value),
    "Warning": lambda value: h.write_warning(*value),
    "Retry-After": h.write_retry_after,
    "Refer-To": lambda value: h.write_address("Refer-To", value),
    "Path": lambda value: h.write_addresses("Path", value),
    "P-Asserted-Identity": lambda value: h.write_addresses("P-Asserted-Identity", value),
    "Privacy": h.write_privacy,
    "Replaces": h.write_replaces,
    "Event": h.write_event,
    "Subscription-State": h.write_subscription_state,
    "Date": h.write_date,
}


@pytest.mark.parametrize(
    ("read", "header", "value", "written"), READ, ids=[f"{e[1][0]}-{n}" for n, e in enumerate(READ)]
)
def test_a_header_is_read_and_written(
    read: Callable[[Headers], object],
    header: tuple[str, str],
    value: object,
    written: tuple[str, str],
) -> None:
    assert read(Headers([("Subject", "x"), header])) == value
    if header[0] in WRITERS:
        assert WRITERS[header[0]](value) == written
    assert read(Headers([written])) == value


@pytest.mark.parametrize("read", [each[0] for each in READ])
def test_a_header_that_is_not_there_says_nothing(read: Callable[[Headers], object]) -> None:
    assert read(Headers()) in (None, ())


@pytest.mark.parametrize(
    ("read", "name", "text"),
    [
        (lambda each: h.read_tokens(each, "Require"), "Require", "a,,b"),
        (lambda each: h.read_tokens(each, "Require"), "Require", "a b"),
        (lambda each: h.read_count(each, "Expires"), "Expires", "4294967296"),
        (lambda each: h.read_count(each, "Expires"), "Expires", "soon"),
        (lambda each: h.read_count(each, "Expires"), "Expires", "-1"),
        (h.read_accept, "Accept", "sdp"),
        (h.read_content_type, "Content-Type", "application/"),
        (h.read_content_disposition, "Content-Disposition", ";handling=optional"),
        (h.read_session_expires, "Session-Expires", "90;refresher=me"),
        (h.read_session_expires, "Session-Expires", ""),
        (h.read_min_se, "Min-SE", "x"),
        (h.read_rack, "RAck", "1 INVITE"),
        (h.read_rack, "RAck", "4294967296 1 INVITE"),
        (h.read_retry_after, "Retry-After", "later"),
        (h.read_retry_after, "Retry-After", "5 (a"),
        (lambda each: h.read_address(each, "Refer-To"), "Refer-To", "<sip:a@b"),
        (lambda each: h.read_addresses(each, "Path"), "Path", "<sip:a>,"),
        (h.read_replaces, "Replaces", "1@a;to-tag=2"),
        (h.read_event, "Event", ""),
        (h.read_subscription_state, "Subscription-State", "active;expires=x"),
    ],
)
def test_a_fault_names_its_header(read: Callable[[Headers], object], name: str, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=name) as raised:
        read(Headers([(name, text)]))
    assert (raised.value.header, raised.value.status) == (name, 400)


def test_what_is_there_once_is_not_there_twice() -> None:
    with pytest.raises(RemoteProtocolError, match="2 times"):
        h.read_count(Headers([("Expires", "1"), ("Expires", "1")]), "Expires")


def test_lists_go_over_lines() -> None:
    lines = Headers([("Require", "a, b"), ("Allow", "ACK"), ("Require", "c")])
    assert h.read_tokens(lines, "Require") == ("a", "b", "c")


@pytest.mark.parametrize(
    ("read", "name", "good", "bad"),
    [
        (h.read_reason, "Reason", "SIP;cause=200", "SIP;cause=x"),
        (h.read_warning, "Warning", '399 a "b"', "399 a b"),
        (
            lambda each: h.read_identities(each, "P-Asserted-Identity"),
            "P-Asserted-Identity",
            "<sip:a@b>",
            "<sip:a@b",
        ),
        (h.read_privacy, "Privacy", "id", "@"),
    ],
)
def test_what_only_informs_is_passed_over_if_it_cannot_be_read(
    read: Callable[[Headers], tuple[object, ...]], name: str, good: str, bad: str
) -> None:
    assert len(read(Headers([(name, bad), (name, good)]))) == 1
    assert read(Headers([(name, bad)])) == ()


@pytest.mark.parametrize("text", ["", "tomorrow", "Fri, 32 Jan 2010 16:00:00 GMT", "9" * 4000])
def test_a_date_that_cannot_be_read_is_none(text: str) -> None:
    assert h.read_date(Headers([("Date", text)])) is None


def test_a_date_is_written_in_gmt() -> None:
    when = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert h.write_date(when) == ("Date", "Wed, 31 Dec 2025 23:00:00 GMT")


@pytest.mark.parametrize(
    ("accept", "name", "taken"),
    [
        (None, "application/sdp", True),
        (None, "text/plain", False),
        ("", "application/sdp", False),
        ("text/nobodyKnowsThis", "application/sdp", False),
        ("application/*", "application/sdp", True),
        ("*/*", "application/sdp", True),
        ("*/*, application/sdp;q=0.0", "application/sdp", False),
        ("*/*;q=0, application/*;q=0.1", "application/sdp", True),
    ],
)
def test_what_a_peer_takes(accept: str | None, name: str, taken: bool) -> None:
    given_headers = Headers() if accept is None else Headers([("Accept", accept)])
    assert h.accepts(h.read_accept(given_headers), name) is taken


@pytest.mark.parametrize(
    "write",
    [
        lambda: h.write_tokens("Supported", ["a b"]),
        lambda: h.write_tokens("Supported", [""]),
        lambda: h.write_count("Expires", -1),
        lambda: h.write_count("Expires", 2**32),
        lambda: h.write_session_expires(h.SessionExpires(seconds=-1)),
    ],
)
def test_what_must_not_be_written_is_refused(write: Callable[[], object]) -> None:
    with pytest.raises(LocalProtocolError):
        write()


@given(st.text(max_size=60), st.sampled_from(READ))
def test_a_reader_gives_a_value_or_names_its_header(text: str, row: object) -> None:
    read, (name, _), *_ = row  # type: ignore[misc]
    try:
        read(Headers([(name, text)]))
    except RemoteProtocolError as error:
        assert error.header == name
