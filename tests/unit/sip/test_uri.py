"""URIs read, written and compared; RFC 3261's own examples are from §19.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.uri import (
    STAR,
    OtherUri,
    SipUri,
    TelUri,
    Uri,
    equivalent,
    format_uri,
    parse_uri,
)

# Text, value, and text again where it is not written as it was read.
READ: tuple[tuple[str, Uri, str | None], ...] = (
    ("sip:alice@atlanta.com", SipUri(user="alice", host="atlanta.com"), None),
    (
        "sip:alice:secretword@atlanta.com;transport=tcp",
        SipUri(
            user="alice",
            password="secretword",
            host="atlanta.com",
            params=(("transport", "tcp"),),
        ),
        None,
    ),
    (
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        SipUri(
            scheme="sips",
            user="alice",
            host="atlanta.com",
            headers=(("subject", "project x"), ("priority", "urgent")),
        ),
        None,
    ),
    (
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        SipUri(
            user="+1-212-555-1212", password="1234", host="gateway.com", params=(("user", "phone"),)
        ),
        None,
    ),
    ("sip:alice@192.0.2.4", SipUri(user="alice", host="192.0.2.4"), None),
    (
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        SipUri(
            host="atlanta.com",
            params=(("method", "REGISTER"),),
            headers=(("to", "alice@atlanta.com"),),
        ),
        None,
    ),
    (
        "sip:alice;day=tuesday@atlanta.com",
        SipUri(user="alice;day=tuesday", host="atlanta.com"),
        None,
    ),
    ("SIP:Alice@AtLanTa.CoM:5061", SipUri(user="Alice", host="atlanta.com", port=5061),
     "sip:Alice@atlanta.com:5061"),
    (
        "sip:[2001:DB8::10]:5070;lr",
        SipUri(host="2001:db8::10", port=5070, params=(("lr", None),)),
        "sip:[2001:db8::10]:5070;lr",
    ),
    (
        "sip:u@[2001:db8:::192.0.2.1]",
        SipUri(user="u", host="2001:db8::192.0.2.1"),
        "sip:u@[2001:db8::192.0.2.1]",
    ),
    ("sip:*98#@pbx", SipUri(user="*98#", host="pbx"), "sip:*98%23@pbx"),
    ("sip:a%20b%c3%a9@h", SipUri(user="a bé", host="h"), "sip:a%20b%C3%A9@h"),
    ("sip:a%ff@h", SipUri(user="a\udcff", host="h"), "sip:a%FF@h"),
    ("sip:h;Maddr=[::1];x=%3b", SipUri(host="h", params=(("maddr", "[::1]"), ("x", ";"))),
     "sip:h;maddr=[::1];x=%3B"),
    ("tel:+1-201-555-0123", TelUri(number="+1-201-555-0123"), None),
    (
        "tel:7042;phone-context=example.com",
        TelUri(number="7042", params=(("phone-context", "example.com"),)),
        None,
    ),
    ("TEL:*21#", TelUri(number="*21#"), "tel:*21#"),
    ("urn:service:sos", OtherUri(scheme="urn", rest="service:sos"), None),
    ("HTTP://a/b?c;d", OtherUri(scheme="http", rest="//a/b?c;d"), "http://a/b?c;d"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "value", "again"), READ, ids=[each[0] for each in READ])
def test_a_uri_is_read_and_written(text: str, value: Uri, again: str | None) -> None:
    assert parse_uri(text) == value
    assert format_uri(value) == (again or text)


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", "sip:@h", "sip:a@", "sip:a@h:", "sip:a@h:0", "sip:a@h:65536",
        "sip:a@h:5060x", "sip:a@h h", " sip:a@h", "sip:a@h ", "sip:a@h;", "sip:a@h;;lr",
        "sip:a@h;=x", "sip:a@h?x", "sip:a@h?", "sip:a@h?=x", "sip:a%2@h", "sip:a%zz@h", "sip:a@b@c",
        "sip:2001:db8::10", "sip:[2001:db8::10", "sip:[::1::2]", "sip:[fe80::1%25eth0]", "sip:[]",
        "sip:a@h\r\nX: y", "sip:a\0@h", "sip:é@h", "sip:<a@h>", 'sip:"a"@h', "\u017fip:a@h",
        "sip:a@\u017f",
        "tel:", "tel:+", "tel:-", "tel:+1 2", "tel:hello", "tel:+1;", "1a:b", "isbn:", "a b:c",
        "name:a>b", "*",
    ],
)  # fmt: skip
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_uri(text)


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_long_uri_costs_no_more_than_its_length(size: int) -> None:
    for text in (
        "sip:" + "a" * size,
        "sip:" + "a:" * size,
        "sip:h" + ";a" * size + "?",
        "%" * size,
    ):
        with pytest.raises(RemoteProtocolError):
            parse_uri(text + " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (SipUri(user="a@b:c/d;e", host="h"), "sip:a%40b%3Ac/d;e@h"),
        (SipUri(user="a", password="b@c;d", host="h"), "sip:a:b%40c%3Bd@h"),
        (SipUri(host="h", params=(("a=b", "c;d"),)), "sip:h;a%3Db=c%3Bd"),
        (SipUri(host="h", headers=(("a", "b&c=d"),)), "sip:h?a=b%26c%3Dd"),
        (SipUri(user="a\r\nb", host="h"), "sip:a%0D%0Ab@h"),
        (STAR, "*"),
    ],
)
def test_what_its_place_does_not_allow_is_escaped(value: Uri, text: str) -> None:
    assert format_uri(value) == text


@pytest.mark.parametrize(
    "value",
    [
        SipUri(host=""),
        SipUri(host="a b"),
        SipUri(host="a\r\n"),
        SipUri(host="h:1"),
        SipUri(host="fe80::1%eth0"),
        TelUri(number="+1 2"),
        TelUri(number=""),
    ],
)
def test_what_no_escape_can_mend_is_not_written(value: Uri) -> None:
    with pytest.raises(LocalProtocolError):
        format_uri(value)


SAME = (
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::0001]"),
    ("tel:+1-201-555-0123", "tel:+12015550123"),
    ("tel:+1(201)555.0123;isub=1;ext=7-7", "tel:+12015550123;EXT=77;isub=1"),
    ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555"),
    ("urn:service:sos", "URN:service:sos"),
)
DIFFERENT = (
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
    ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
    ("sip:bob:a@biloxi.com", "sip:bob:b@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.1"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=ip"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;ttl=1"),
    ("tel:+12015550123", "tel:12015550123"),
    ("tel:8631234;phone-context=+1914", "tel:8631234;phone-context=+1915"),
    ("tel:8631234", "tel:8631234;phone-context=+1915"),
    ("tel:+12015550123", "sip:+12015550123@h;user=phone"),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_address_written_in_two_ways(one: str, other: str) -> None:
    assert equivalent(parse_uri(one), parse_uri(other))
    assert equivalent(parse_uri(other), parse_uri(one))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_addresses(one: str, other: str) -> None:
    assert not equivalent(parse_uri(one), parse_uri(other))
    assert not equivalent(parse_uri(other), parse_uri(one))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SOME = TEXT.filter(bool)


@given(
    user=SOME,
    password=TEXT,
    params=st.lists(st.tuples(SOME.map(str.lower), st.none() | TEXT), max_size=3),
    headers=st.lists(st.tuples(SOME, TEXT), max_size=3),
    host=st.sampled_from(["h", "a.b-c_d.example", "192.0.2.1", "::1"]),
    port=st.integers(0, 65535),
)
def test_whatever_stands_in_a_uri_comes_back(
    user: str,
    password: str,
    params: list[tuple[str, str | None]],
    headers: list[tuple[str, str]],
    host: str,
    port: int,
) -> None:
    lower = tuple((name, value) for name, value in params if name.lower() == name)
    value = SipUri(
        user=user,
        password=password,
        host=host,
        port=port,
        params=lower,
        headers=tuple(headers),
    )
    read = parse_uri(format_uri(value))
    assert read == value
    assert equivalent(read, value)
