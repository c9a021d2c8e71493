"""Reading and writing whole messages; RFC 3261's own examples are from §24."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.codec import (
    KeepAlive,
    Kind,
    Limits,
    Malformed,
    Names,
    StreamReader,
    check_said,
    encode,
    read_datagram,
)
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import Headers, Message, NameAddr, Request, Response, Via
from protocols.sip.status import phrase
from protocols.sip.uri import STAR, OtherUri, SipUri, TelUri

INVITE = (
    b"INVITE sip:bob@biloxi.com SIP/2.0\r\n"
    b"Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    b"To: Bob <sip:bob@biloxi.com>\r\n"
    b"Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:alice@pc33.atlanta.com>\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"v=0\n"
)
READ = Request(
    method="INVITE",
    uri=SipUri(user="bob", host="biloxi.com"),
    vias=(
        Via(
            transport="TCP",
            host="client.atlanta.example.com",
            port=5060,
            params=(("branch", "z9hG4bK74bf9"),),
        ),
    ),
    from_=NameAddr(
        display="Alice",
        uri=SipUri(user="alice", host="atlanta.com"),
        params=(("tag", "1928301774"),),
    ),
    to=NameAddr(display="Bob", uri=SipUri(user="bob", host="biloxi.com")),
    call_id="a84b4c76e66710@pc33.atlanta.com",
    cseq=314159,
    contacts=(NameAddr(uri=SipUri(user="alice", host="pc33.atlanta.com")),),
    headers=Headers([("Content-Type", "application/sdp")]),
    body=b"v=0\n",
)
OK = Response(
    status=200,
    reason="OK",
    method="INVITE",
    vias=READ.vias,
    from_=READ.from_,
    to=READ.to,
    call_id=READ.call_id,
    cseq=READ.cseq,
)


def changed(old: bytes, new: bytes) -> bytes:
    assert INVITE.count(old) == 1
    return INVITE.replace(old, new)


def refused(octets: bytes, limits: Limits | None = None) -> Malformed:
    read = read_datagram(octets) if limits is None else read_datagram(octets, limits)
    assert isinstance(read, Malformed), read
    return read


def streamed(
    octets: bytes, size: int, limits: Limits | None = None
) -> list[Message | Malformed | KeepAlive]:
    reader = StreamReader() if limits is None else StreamReader(limits)
    found = []
    for at in range(0, len(octets), size):
        reader.feed(octets[at : at + size])
        while (each := reader.next()) is not None:
            found.append(each)
    return found


def test_a_request_is_read() -> None:
    assert read_datagram(INVITE) == READ


def test_a_message_is_nothing_for_the_collector() -> None:
    message = read_datagram(INVITE)
    assert isinstance(message, Request)
    parts = [message, *message.vias, message.from_, message.to, message.uri]
    assert [each for each in parts if gc.is_tracked(each)] == []


def test_a_request_is_written_in_order_with_its_length() -> None:
    value = Request(
        method="REGISTER",
        uri=SipUri(host="example.com"),
        vias=(Via(transport="UDP", host="2001:db8::1", port=5060), READ.vias[0]),
        from_=READ.from_,
        to=NameAddr(uri=TelUri(number="+1-201-555-0123")),
        call_id="1@h",
        cseq=7,
        max_forwards=0,
        routes=(NameAddr(uri=SipUri(host="p1", params=(("lr", None),))),),
        record_routes=(NameAddr(uri=SipUri(host="p2", params=(("lr", None),))),),
        contacts=(NameAddr(uri=STAR),),
        headers=Headers([("Expires", "0"), ("X-Own", "é")]),
        body=b"\0\xff",
    )
    octets = encode(value)
    assert octets.decode("latin-1").split("\r\n") == [
        "REGISTER sip:example.com SIP/2.0",
        "Via: SIP/2.0/UDP [2001:db8::1]:5060",
        "Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9",
        'From: "Alice" <sip:alice@atlanta.com>;tag=1928301774',
        "To: <tel:+1-201-555-0123>",
        "Call-ID: 1@h",
        "CSeq: 7 REGISTER",
        "Max-Forwards: 0",
        "Route: <sip:p1;lr>",
        "Record-Route: <sip:p2;lr>",
        "Contact: *",
        "Expires: 0",
        "X-Own: Ã©",
        "Content-Length: 2",
        "",
        "\0\xff",
    ]
    assert read_datagram(octets) == value


def test_compact_names_are_written_and_read() -> None:
    octets = encode(READ, names=Names.COMPACT)
    names = [line.split(b":")[0] for line in octets.split(b"\r\n")[1:-2]]
    assert names == [b"v", b"f", b"t", b"i", b"CSeq", b"Max-Forwards", b"m", b"c", b"l"]
    assert read_datagram(octets) == READ


def test_a_response_takes_its_method_from_cseq() -> None:
    octets = encode(OK)
    assert octets.startswith(b"SIP/2.0 200 OK\r\nVia: ")
    assert b"Max-Forwards" not in octets
    assert read_datagram(octets) == OK


@pytest.mark.parametrize("line", [b"SIP/2.0 200 \r\n", b"SIP/2.0 200\r\n", b"sip/2.0 200 \r\n"])
def test_a_response_may_lack_its_phrase(line: bytes) -> None:
    read = read_datagram(line + encode(OK).partition(b"\r\n")[2])
    assert isinstance(read, Response)
    assert (read.status, read.reason) == (200, "")


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b" \r\n\t"], ids=lambda each: repr(each)
)
def test_what_keeps_a_path_open_is_no_message(octets: bytes) -> None:
    assert read_datagram(octets) is None


def test_line_ends_before_a_datagrams_message_are_passed_over() -> None:
    assert read_datagram(b"\r\n\r\n" + INVITE) == READ


def test_octets_that_are_no_utf_8_are_written_as_they_were() -> None:
    octets = changed(b"Content-Type: application/sdp", b"Subject: \xff\xfe \xc3\xa9")
    read = read_datagram(octets)
    assert isinstance(read, Request)
    assert b"\r\nSubject: \xff\xfe \xc3\xa9\r\n" in encode(read)


@pytest.mark.parametrize(
    ("old", "new", "header"),
    [
        (b"INVITE sip:bob@biloxi.com SIP/2.0", b"INVITE  sip:bob@biloxi.com SIP/2.0", ""),
        (b"INVITE sip:bob@biloxi.com SIP/2.0", b"INV;ITE sip:bob@biloxi.com SIP/2.0", ""),
        (b"sip:bob@biloxi.com SIP", b"sip:bob@ SIP", ""),
        (b"sip:bob@biloxi.com SIP", b"sip:bob@b?a=b SIP", ""),
        (b"\r\nMax", b"\r\n nothing", "Via"),
        (b"Via: SIP/2.0/TCP", b"Via: SIP/3.0/TCP", "Via"),
        (b";branch=", b";;branch=", "Via"),
        (b"Max-Forwards: 70", b"Max-Forwards: 256", "Max-Forwards"),
        (b"Max-Forwards: 70", b"Max-Forwards: 7\r\nMax-Forwards: 7", "Max-Forwards"),
        (b"From: Alice", b'From: "Alice', "From"),
        (b"From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n", b"", "From"),
        (b"To: Bob <sip:bob@biloxi.com>", b"To: Bob <sip:bob@biloxi.com", "To"),
        (b"To: Bob <sip:bob@biloxi.com>", b"To: <sip:bob@biloxi.com>;tag=a b", "To"),
        (b"Call-ID: a84b", b"Call-ID: a 84b", "Call-ID"),
        (b"CSeq: 314159 INVITE", b"CSeq: 314159 ACKNOWLEDGE", "CSeq"),
        (b"CSeq: 314159 INVITE", b"CSeq: 4294967296 INVITE", "CSeq"),
        (b"CSeq: 314159 INVITE", b"CSeq: -1 INVITE", "CSeq"),
        (b"Contact: <sip:alice@pc33.atlanta.com>", b"Contact: *", "Contact"),
        (b"Contact: <sip:alice@pc33.atlanta.com>", b"Contact:", "Contact"),
        (b"Contact:", b"Route: <tel:+1>\r\nContact:", "Route"),
        (b"Content-Length: 4", b"Content-Length: 5", "Content-Length"),
        (b"Content-Length: 4", b"Content-Length: 4 4", "Content-Length"),
        (b"Content-Length: 4", b"Content-Length: \xd9\xa4", "Content-Length"),
        (b"Content-Length: 4", b"Content-Length: " + b"4" * 9000, "Content-Length"),
        (b"Content-Type: application/sdp", b"Content-Type application/sdp", ""),
        (b"Content-Type: application/sdp", b"Content Type: application/sdp", ""),
        (b"Content-Type: application/sdp", b"Subject: a\nb: c", ""),
        (b"Content-Type: application/sdp", b"Subject: a\rb", ""),
    ],
)
def test_what_routes_is_read_strictly_and_the_answer_goes_where_it_can(
    old: bytes, new: bytes, header: str
) -> None:
    read = refused(changed(old, new))
    assert (read.kind, read.status, read.header) == (Kind.REQUEST, 400, header)
    assert header in read.reason
    assert read.answer is not None
    assert read.answer.status == 400
    octets = encode(read.answer)
    assert octets.startswith(b"SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/TCP client.atlanta.")
    if header != "Call-ID":
        assert read.answer.call_id == READ.call_id


def test_an_answer_has_all_of_the_hops_and_no_more() -> None:
    second = b"Via: SIP/2.0/UDP a.example, SIP/2.0/UDP b.example;received=192.0.2.1\r\nMax"
    octets = changed(b"Max", second).replace(b"To: Bob", b'To: "Bob')
    answer = refused(octets).answer
    assert answer is not None
    assert [via.host for via in answer.vias] == [READ.vias[0].host, "a.example", "b.example"]
    assert answer.vias[2].params == (("received", "192.0.2.1"),)
    assert (answer.method, answer.cseq, answer.from_) == ("INVITE", 314159, READ.from_)


@pytest.mark.parametrize(
    "octets",
    [
        encode(OK).replace(b"CSeq: 314159", b"CSeq: x"),
        encode(OK).replace(b"200 OK", b"700 OK"),
        encode(OK).replace(b"SIP/2.0 200", b"SIP/2.1 200"),
        INVITE.replace(b"INVITE", b"ACK").replace(b"To: Bob", b'To: "Bob'),
        INVITE.replace(b"INVITE sip", b"ACK sip"),
        INVITE.replace(b"Via: SIP/2.0/TCP", b"Via: nowhere"),
        INVITE.replace(b":5060;", b":65536;"),
        INVITE.replace(b"client.atlanta.example.com", b"[2001:db8::1::2]"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
        b"jaK\0",
    ],
)
def test_silence_where_no_answer_is_right(octets: bytes) -> None:
    assert refused(octets).answer is None


@pytest.mark.parametrize(
    ("octets", "limits", "status"),
    [
        (INVITE, Limits(head=len(INVITE) - 5), 513),
        (INVITE, Limits(lines=8), 513),
        (INVITE, Limits(uri=17), 414),
        (INVITE, Limits(body=3), 413),
        (INVITE[:-8], Limits(), 400),
    ],
)
def test_limits_have_codes_of_their_own(octets: bytes, limits: Limits, status: int) -> None:
    read = refused(octets, limits)
    assert read.status == status
    if limits.lines >= 9:
        assert read.answer is not None
    assert isinstance(read_datagram(INVITE, Limits(head=len(INVITE) - 4, lines=9, body=4)), Request)


@pytest.mark.parametrize(
    ("status", "words"),
    [(486, "Busy Here"), (199, "Early Dialog Terminated"), (499, "Bad Request")],
)
def test_a_status_has_its_phrase_or_that_of_its_class(status: int, words: str) -> None:
    assert phrase(status) == words


@pytest.mark.parametrize("header", ["Via: SIP/2.0/UDP a", "Contact: <sip:a@b>"])
def test_a_list_has_its_limit(header: str) -> None:
    name, value = header.split(": ")
    octets = INVITE.replace(b"Max-", f"{name}: {', '.join([value] * 129)}\r\nMax-".encode())
    read = refused(octets)
    assert read.header == name and "128" in read.reason


def test_a_datagram_that_was_cut_anywhere_is_refused() -> None:
    for end in range(1, len(INVITE)):
        assert isinstance(read_datagram(INVITE[:end]), Malformed), end


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_a_stream_gives_each_message_once_however_it_is_cut(size: int) -> None:
    octets = INVITE + b"\r\n\r\n" + encode(OK) + b"\r\n" + INVITE
    assert streamed(octets, size) == [
        READ,
        KeepAlive.PONG,
        KeepAlive.PING,
        OK,
        KeepAlive.PONG,
        READ,
    ]


def test_a_crlf_is_known_at_once_and_a_second_one_is_a_ping() -> None:
    reader = StreamReader()
    for expected in (KeepAlive.PONG, KeepAlive.PING, KeepAlive.PONG, KeepAlive.PING):
        reader.feed(b"\r")
        assert reader.next() is None
        reader.feed(b"\n")
        assert reader.next() == expected


@pytest.mark.parametrize("size", [1, 5, 4096])
def test_a_stream_goes_on_behind_a_message_that_was_not_understood(size: int) -> None:
    bad = changed(b"CSeq: 314159", b"CSeq: many")
    read, *others = streamed(bad + INVITE, size)
    assert isinstance(read, Malformed) and read.recoverable
    assert read.octets == bad[:-4]
    assert others == [READ]


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (changed(b"Content-Length: 4\r\n", b""), 400),
        (changed(b"Content-Length: 4", b"Content-Length: 65537"), 413),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        (b"a" * 16384, 513),
        (INVITE[:-8] + b"\r\nX: " + b"a" * 16384, 513),
    ],
)
@pytest.mark.parametrize("size", [1, 4096])
def test_a_stream_ends_where_nobody_knows_what_comes_next(
    octets: bytes, status: int, size: int
) -> None:
    read, *others = streamed(octets + INVITE, size)
    assert isinstance(read, Malformed) and not read.recoverable
    assert read.status == status
    assert others == []


@pytest.mark.parametrize(
    "value",
    [
        {"headers": Headers([("Subject", "a\r\nX: b")])},
        {"headers": Headers([("Subject", "a\nb")])},
        {"headers": Headers([("Via", "SIP/2.0/UDP a")])},
        {"headers": Headers([("Sub ject", "a")])},
        {"headers": Headers([("Subject", "\ud800")])},
        {"method": "IN VITE"},
        {"cseq": 2**32},
        {"max_forwards": 256},
        {"call_id": "a\r\nb"},
        {"uri": SipUri(host="a b")},
        {"to": NameAddr(uri=TelUri(number="+1 2"))},
        {"to": NameAddr(uri=STAR, display="a")},
    ],
)
def test_what_must_not_be_written_is_refused(value: dict[str, object]) -> None:
    fields = {name: getattr(READ, name) for name in READ.__struct_fields__} | value
    with pytest.raises(LocalProtocolError):
        encode(Request(**fields))


def test_a_status_has_three_digits() -> None:
    fields = {name: getattr(OK, name) for name in OK.__struct_fields__}
    with pytest.raises(LocalProtocolError):
        encode(Response(**(fields | {"status": 99})))


@pytest.mark.parametrize(
    "said",
    [
        {"headers": Headers([("Subject", "a\r\nb")])},
        {"headers": Headers([("Subject", "a\rb")])},
        {"headers": Headers([("Via", "SIP/2.0/UDP a")])},
        {"headers": Headers([("Sub ject", "a")])},
        {"headers": Headers([("Subject", "\ud800")])},
        {"reason": "a\nb"},
        {"reason": "\ud800"},
        {"contacts": (NameAddr(uri=SipUri(host="a b")),)},
        {"contacts": (NameAddr(uri=STAR, display="a"),)},
    ],
)
def test_what_must_not_be_said_is_refused_before_there_is_a_message(said: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "headers": Headers([("Subject", "a"), ("X-Own", "é")]),
        "reason": "Décliné",
        "contacts": (NameAddr(uri=SipUri(host="b", user="a")),),
    }
    check_said(**good)
    with pytest.raises(LocalProtocolError):
        check_said(**(good | said))
    fields = {name: getattr(OK, name) for name in OK.__struct_fields__} | good
    with pytest.raises(LocalProtocolError):
        encode(Response(**(fields | said)))


@pytest.mark.parametrize(
    ("text", "display", "uri"),
    [
        ("<sip:a@b>", "", SipUri(user="a", host="b")),
        ("sip:a@b", "", SipUri(user="a", host="b")),
        ('"A, B" <sip:a@b>', "A, B", SipUri(user="a", host="b")),
        ('"A \\"B\\" \\\\" <sip:a@b>', 'A "B" \\', SipUri(user="a", host="b")),
        ("A. B (C) <sip:a@b>", "A. B (C)", SipUri(user="a", host="b")),
        ("Žofie <sip:a@b>", "Žofie", SipUri(user="a", host="b")),
        ("tel:+12015550123", "", TelUri(number="+12015550123")),
        ('"" <urn:service:sos>', "", OtherUri(scheme="urn", rest="service:sos")),
    ],
)
def test_addresses_in_all_their_forms(text: str, display: str, uri: SipUri) -> None:
    octets = changed(b"To: Bob <sip:bob@biloxi.com>", f"To: {text};tag=1".encode())
    read = read_datagram(octets)
    assert isinstance(read, Request)
    assert read.to == NameAddr(display=display, uri=uri, params=(("tag", "1"),))
    assert read_datagram(encode(read)) == read


@given(display=st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_any_display_name_comes_back_as_it_was(display: str) -> None:
    fields = {name: getattr(OK, name) for name in OK.__struct_fields__}
    value = Response(**(fields | {"to": NameAddr(display=display, uri=READ.uri)}))
    assert read_datagram(encode(value)) == value


@given(st.binary(max_size=300), st.integers(0, len(INVITE)), st.integers(0, 40))
def test_nothing_is_raised_whatever_comes(octets: bytes, at: int, cut: int) -> None:
    for given_octets in (octets, INVITE[:at] + octets + INVITE[at + cut :]):
        read_datagram(given_octets)
        streamed(given_octets, 11)


@pytest.mark.parametrize(
    ("contact", "users"),
    [
        (b"<sip:a b@192.0.2.9>", []),
        (b"<sip:one@192.0.2.9>, <sip:a b@192.0.2.9>, <sip:two@192.0.2.9>;;", ["one"]),
        (b'"half <sip:a@192.0.2.9>', []),
        (b"<sip:a@192.0.2.9;x=YWJj==>", ["a"]),
    ],
)
def test_a_response_is_taken_without_the_contacts_that_cannot_be_read(
    contact: bytes, users: list[str]
) -> None:
    """Its sender can't be told: an answer that is dropped is a call that fails by silence."""
    response = (
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
        b"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: " + contact + b"\r\nContent-Length: 0\r\n\r\n"
    )
    found = read_datagram(response)
    assert isinstance(found, Response)
    assert [each.uri.user for each in found.contacts if isinstance(each.uri, SipUri)] == users
    request = response.replace(b"SIP/2.0 200 OK", b"INVITE sip:b@example.com SIP/2.0", 1)
    assert isinstance(read_datagram(request), Request if users == ["a"] else Malformed)
