"""RFC 4475 and RFC 5118: what reading each of their messages gives."""

import gc

import pytest

from protocols.sip.codec import Malformed, StreamReader, encode, read_datagram
from protocols.sip.message import NameAddr, Request, Response, Via
from protocols.sip.uri import OtherUri, SipUri
from tests.vectors.torture import VECTORS, Torture, torture

MESSAGES = [*torture("rfc4475"), *torture("rfc5118")]
BY_NAME = {each.name: each for each in MESSAGES}
VALID = [each for each in MESSAGES if each.codec == "accepted"]


def named(message: Torture) -> str:
    return f"{message.rfc}-{message.name}"


def request(name: str) -> Request:
    read = read_datagram(BY_NAME[name].wire)
    assert isinstance(read, Request)
    return read


def refused(name: str) -> Malformed:
    read = read_datagram(BY_NAME[name].wire)
    assert isinstance(read, Malformed)
    return read


def user(address: NameAddr) -> str:
    assert isinstance(address.uri, SipUri)
    return address.uri.user


@pytest.mark.parametrize(("rfc", "messages"), [("rfc4475", 49), ("rfc5118", 12)])
def test_the_table_has_every_message_and_every_message_is_in_the_table(
    rfc: str, messages: int
) -> None:
    files = {path.stem for path in (VECTORS / rfc).iterdir()} - {"messages", ".gitattributes"}
    assert {each.name for each in torture(rfc)} == files
    assert len(files) == messages


@pytest.mark.parametrize("message", MESSAGES, ids=named)
def test_the_verdict_is_that_of_the_table(message: Torture) -> None:
    read = read_datagram(message.wire)
    match message.codec:
        case "accepted":
            assert isinstance(read, Request | Response)
        case "silence":
            assert isinstance(read, Malformed) and read.answer is None
        case status:
            assert isinstance(read, Malformed) and read.answer is not None
            assert read.status == read.answer.status == status
            assert message.statuses == [status]
            assert encode(read.answer).startswith(b"SIP/2.0 %d " % read.status)


@pytest.mark.parametrize("message", VALID, ids=named)
def test_what_was_read_is_written_so_that_it_reads_the_same(message: Torture) -> None:
    read = read_datagram(message.wire)
    assert isinstance(read, Request | Response)
    assert read_datagram(encode(read)) == read


@pytest.mark.parametrize("message", VALID, ids=named)
def test_a_stream_gives_the_same_octet_by_octet(message: Torture) -> None:
    whole = read_datagram(message.wire)
    assert isinstance(whole, Request | Response)
    reader = StreamReader()
    for at in range(len(octets := encode(whole))):
        assert reader.next() is None
        reader.feed(octets[at : at + 1])
    assert reader.next() == whole
    assert reader.next() is None


def test_what_cannot_be_read_is_gone_when_nobody_has_it() -> None:
    """It would hold all that was read with it, until the collector looks for cycles."""
    gc.collect()
    gc.disable()
    try:
        for message in MESSAGES:
            read_datagram(message.wire)
            StreamReader().feed(message.wire)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_3_1_1_1_a_short_tortuous_invite() -> None:
    read = request("wsinv")
    assert read.max_forwards == 68
    assert read.cseq == 9
    assert read.to.tag == "1918181833n"
    assert read.from_.display == 'J Rosenberg \\"'
    assert read.from_.tag == "98asjd8"
    assert read.vias == (
        Via(transport="UDP", host="192.0.2.2", params=(("branch", "390skdjuw"),)),
        Via(transport="TCP", host="spindle.example.com", params=(("branch", "z9hG4bK9ikj8"),)),
        Via(transport="UDP", host="192.168.255.111", params=(("branch", "z9hG4bK30239"),)),
    )
    assert read.headers.first("Subject") == ""
    assert read.headers.first("NewFangledHeader") == "newfangled value continued newfangled value"
    assert read.headers.first("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (contact,) = read.contacts
    assert contact.display == 'Quoted string ""'
    assert contact.params == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))
    (route,) = read.routes
    assert isinstance(route.uri, SipUri)
    assert route.uri.params == (("lr", None), ("unknownwith", "value"), ("unknown-no-value", None))
    assert len(read.body) == 150


def test_3_1_1_2_every_character_that_may_be() -> None:
    read = request("intmeth")
    assert read.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert isinstance(read.uri, SipUri)
    assert read.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert read.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert read.to.display == "BEL:\x07 NUL:\0 DEL:\x7f"
    assert read.from_.tag == "_token~1'+`*%!-."
    assert read.headers.first("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_and_4_escapes_are_taken_out_once() -> None:
    read = request("esc01")
    assert isinstance(read.uri, SipUri)
    assert read.uri.user == "sips:user@example.com"
    assert user(read.from_) == "I have spaces"
    (contact,) = read.contacts
    assert isinstance(contact.uri, SipUri)
    assert contact.uri.params == (("lr", None), ("name", "value%41"))
    assert [user(each) for each in request("escnull").contacts] == ["\0", "\0\0"]


def test_3_1_1_5_what_looks_like_an_escape_is_none() -> None:
    read = request("esc02")
    assert read.method == "RE%47IST%45R"
    assert read.to.display == "%Z%45"
    assert [user(each) for each in read.contacts] == ["alias1", "alias3"]


def test_3_1_1_8_a_second_request_in_a_datagram_is_dropped() -> None:
    read = request("dblreq")
    assert (read.method, read.body) == ("REGISTER", b"")


def test_3_1_1_9_semicolons_of_the_user_are_no_parameters() -> None:
    read = request("semiuri")
    assert read.uri == SipUri(user="user;par=u@example.net", host="example.com")


def test_3_3_1_what_was_not_there_is_left_out_of_the_answer() -> None:
    answer = refused("insuf").answer
    assert answer is not None
    assert encode(answer) == (
        b"SIP/2.0 400 Bad Request\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf\r\n"
        b"CSeq: 193942 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_3_1_2_6_what_could_not_be_read_is_repeated_as_it_was() -> None:
    answer = refused("quotbal").answer
    assert answer is not None
    assert answer.to.uri == OtherUri(scheme="", rest='"Mr. J. User <sip:j.user@example.com>')
    assert b'\r\nTo: "Mr. J. User <sip:j.user@example.com>\r\n' in encode(answer)


def test_3_3_12_and_13_whose_parameter_it_is() -> None:
    (outside,) = request("cparam01").contacts
    (inside,) = request("cparam02").contacts
    assert outside.params == (("unknownparam", None),)
    assert isinstance(inside.uri, SipUri)
    assert inside.uri.params == (("unknownparam", None),)


@pytest.mark.parametrize("name", ["ncl", "mcl01", "clerr", "inv2543"])
def test_a_length_that_says_nothing_ends_or_holds_a_stream(name: str) -> None:
    reader = StreamReader()
    reader.feed(BY_NAME[name].wire)
    read = reader.next()
    if name == "clerr":  # 9999 octets are to come
        assert read is None
        return
    assert isinstance(read, Malformed) and not read.recoverable
    assert read.header == "Content-Length"
    reader.feed(BY_NAME["zeromf"].wire)
    assert reader.next() is None


def test_rfc_5118_4_10_three_colons_are_two() -> None:
    wrong, right = request("ipv6-bug-abnf-3-colons"), request("ipv6-correct-abnf-2-colons")
    assert wrong.uri == right.uri == SipUri(user="user", host="2001:db8::192.0.2.1")


def test_rfc_5118_4_3_a_port_within_the_brackets_is_none() -> None:
    assert request("port-ambiguous").uri == SipUri(host="2001:db8::10:5070")
    assert request("port-unambiguous").uri == SipUri(host="2001:db8::10", port=5070)
