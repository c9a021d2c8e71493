"""Descriptions read and written: what RFC 8866 has, what peers write, and what must not hurt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sdp.codec import MAX_ATTRIBUTES, MAX_FORMATS, MAX_MEDIA, MAX_OCTETS, read, write
from protocols.sdp.crypto import Crypto, Key
from protocols.sdp.description import (
    Connection,
    Direction,
    Media,
    Origin,
    Rtcp,
    SessionDescription,
)
from protocols.sdp.errors import LocalProtocolError, RemoteProtocolError
from protocols.sdp.formats import STATIC, Codec
from tests.unit.sdp.sdp_examples import HEAD, described

# RFC 8866 §5.
EXAMPLE = (
    "v=0\r\n"
    "o=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\n"
    "s=Call to John Smith\r\n"
    "i=SDP Offer #1\r\n"
    "u=http://www.jdoe.example.com/home.html\r\n"
    "e=Jane Doe <jane@jdoe.example.com>\r\n"
    "p=+1 617 555-6011\r\n"
    "c=IN IP4 198.51.100.1\r\n"
    "t=0 0\r\n"
    "m=audio 49170 RTP/AVP 0\r\n"
    "m=audio 49180 RTP/AVP 0\r\n"
    "m=video 51372 RTP/AVP 99\r\n"
    "c=IN IP6 2001:db8::2\r\n"
    "a=rtpmap:99 h263-1998/90000\r\n"
)


KEY = "QUJD" * 10


def test_the_example_of_the_rfc() -> None:
    read_ = read(EXAMPLE.encode())
    assert read_.origin == Origin(
        username="jdoe",
        session_id="3724394400",
        version=3724394405,
        connection=Connection(address="198.51.100.1"),
    )
    assert read_.name == "Call to John Smith"
    assert [letter for letter, _ in read_.lines] == ["i", "u", "e", "p"]
    first, second, third = read_.media
    assert (first.kind, first.port, first.protocol) == ("audio", 49170, "RTP/AVP")
    assert first.codecs == second.codecs == (STATIC[0],)
    assert third.codecs == (Codec(payload_type=99, name="h263-1998", clock_rate=90000),)
    assert read_.connection_of(first) == Connection(address="198.51.100.1")
    assert read_.connection_of(third) == Connection(address="2001:db8::2", type="IP6")
    assert read_.direction_of(first) is Direction.SENDRECV
    # An rtpmap is written for a static type as well; everything else is as it was.
    written = write(read_).decode()
    assert written.replace("a=rtpmap:0 PCMU/8000\r\n", "") == EXAMPLE


def test_what_is_read_again_is_read_once_but_keys_are_not_kept() -> None:
    plain = f"{HEAD}m=audio 4000 RTP/AVP 0\n".encode()
    keyed = f"{HEAD}m=audio 4000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n"
    assert read(plain) is read(bytes(bytearray(plain)))
    assert read(keyed.encode()) == read(keyed.encode())
    assert read(keyed.encode()) is not read(keyed.encode())


def test_what_media_are_set_up_by() -> None:
    (media,) = described(
        "m=audio 49170/2 RTP/SAVP 0 111 101\n"
        "i=a call\n"
        "b=AS:80\n"
        "a=rtpmap:111 opus/48000/2\n"
        "a=fmtp:111 minptime=10; useinbandfec=1;stereo\n"
        "a=rtpmap:101 telephone-event/8000\n"
        "a=fmtp:101 0-15,66\n"
        "a=ptime:20\n"
        "a=maxptime:60.0\n"
        "a=rtcp:53020 IN IP6 2001:db8::2\n"
        "a=rtcp-mux\n"
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4 WSH=64\n"
        "a=recvonly\n"
        "a=ice-ufrag:8hhY\n"
        "a=fingerprint:sha-256 AB:CD\n"
        "a=end-of-candidates\n"
    ).media
    assert media == Media(
        kind="audio",
        port=49170,
        port_count=2,
        protocol="RTP/SAVP",
        codecs=(
            STATIC[0],
            Codec(
                payload_type=111,
                name="opus",
                clock_rate=48000,
                channels=2,
                params=(("minptime", "10"), ("useinbandfec", "1"), ("stereo", None)),
            ),
            Codec(
                payload_type=101,
                name="telephone-event",
                clock_rate=8000,
                params=(("0-15,66", None),),
            ),
        ),
        ptime=20,
        maxptime=60,
        rtcp=Rtcp(port=53020, connection=Connection(address="2001:db8::2", type="IP6")),
        rtcp_mux=True,
        cryptos=(
            Crypto(
                tag=1,
                suite="AES_CM_128_HMAC_SHA1_32",
                keys=(Key(octets=b"ABC" * 10, lifetime=1 << 20, mki=1, mki_octets=4),),
                params=("WSH=64",),
            ),
        ),
        direction=Direction.RECVONLY,
        attributes=(
            ("ice-ufrag", "8hhY"),
            ("fingerprint", "sha-256 AB:CD"),
            ("end-of-candidates", None),
        ),
        lines=(("i", "a call"), ("b", "AS:80")),
    )


@pytest.mark.parametrize(
    ("text", "as_if"),
    [
        ("v=0\ro=- 1 1 IN IP4 1.2.3.4\rm=audio 0 RTP/AVP 0\r", "line ends of CR"),
        ("v=0\n\no=- 1 1 IN IP4 1.2.3.4\n\nm=audio 0 RTP/AVP 0", "empty lines, none at the end"),
        (" v = 0 \no=- 1  1 IN IP4\t1.2.3.4 \nm=audio  0 RTP/AVP  0 \n", "spaces"),
        ("v=0\nm=audio 0 RTP/AVP 0\no=- 1 1 IN IP4 1.2.3.4", "o= in a wrong place"),
        ("v=0\no=- 1 1 IN IP4 1.2.3.4\ns= \nt=\nm=audio 0 RTP/AVP", "no format, and no port"),
        ("v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 0 RTP/AVP 0 00 0", "a type twice"),
    ],
)
def test_what_peers_write(text: str, as_if: str) -> None:
    assert read(text.encode()) == SessionDescription(
        origin=Origin(session_id="1", version=1, connection=Connection(address="1.2.3.4")),
        media=(Media(kind="audio", port=0, protocol="RTP/AVP", codecs=(STATIC[0],)),),
    ), as_if


@pytest.mark.parametrize(("listed", "told"), [("97", "97"), ("097", "97"), ("97", "0097")])
def test_a_type_is_a_number_however_it_is_written(listed: str, told: str) -> None:
    text = f"m=audio 9 RTP/AVP {listed} 0\na=rtpmap:{told} opus/48000/2\na=fmtp:{told} stereo\n"
    description = read(f"{HEAD}{text}".encode())
    (media,) = description.media
    opus, pcmu = media.codecs
    assert (opus.payload_type, opus.name, opus.params) == (97, "opus", (("stereo", None),))
    assert pcmu == STATIC[0] and not media.attributes
    assert read(write(description)) == description


@pytest.mark.parametrize("line", ["a=fmtp: stereo", "a=rtpmap: opus/48000/2", "a=fmtp:00x stereo"])
def test_what_is_of_no_type_is_kept_as_it_stands(line: str) -> None:
    description = read(f"{HEAD}m=audio 9 RTP/AVP 0\n{line}\n".encode())
    (media,) = description.media
    assert media.codecs == (STATIC[0],) and len(media.attributes) == 1
    assert read(write(description)) == description


def test_a_user_name_may_have_spaces() -> None:
    read_ = read(b"v=0\r\no=John Smith 1 2 IN IP4 1.2.3.4\r\n")
    assert (read_.origin.username, read_.origin.session_id) == ("John Smith", "1")


def test_what_is_unknown_is_kept() -> None:
    text = (
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nb=AS:1\r\nt=1 2\r\nr=7d 1h\r\nt=3 4\r\n"
        b"k=clear\r\ny=more\r\na=group:BUNDLE a\r\n"
        b"a=caf\xe9:\xff\r\nm=image 0 udptl t38 x\r\na=mid:a\r\n"
    )
    read_ = read(text)
    assert read_.lines[-1] == ("y", "more")
    assert read_.media[0].formats == ("t38", "x")
    assert write(read_) == text
    assert read(write(read_)) == read_


def test_lines_in_a_wrong_order_come_into_theirs() -> None:
    right = described("i=a\nb=AS:1\nb=RR:0\nk=clear\nm=audio 9 RTP/AVP 0\nb=AS:2\nk=prompt\n")
    assert right == described(
        "k=clear\nb=AS:1\ni=a\nb=RR:0\nm=audio 9 RTP/AVP 0\nk=prompt\nb=AS:2\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        "rtpmap:8 PCMA/8000",
        "rtpmap:96 opus",
        "rtpmap:96 opus/0",
        "rtpmap:96 opus/x",
        "rtpmap:96 /48000",
        "rtpmap:96 opus/48000/",
        "rtpmap:96 opus/²/2",
        "rtpmap:0 PCMU/9999999",
        "rtpmap",
        "fmtp:97 mode=20",
        "ptime:x",
        "ptime:0",
        "ptime:-20",
        "ptime",
        "rtcp:70000",
        "rtcp:5 IN IP4",
        "rtcp",
        "rtcp-mux:1",
        "sendrecv:1",
        "crypto:1 AES_CM_128_HMAC_SHA1_80",
        "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:?",
        "crypto",
        "",
    ],
)
def test_an_attribute_that_cannot_be_read_counts_as_unknown(line: str) -> None:
    name, colon, value = line.partition(":")
    read_ = described(f"m=audio 9 RTP/AVP 0 96\na={line}\n")
    (media,) = read_.media
    assert media == Media(
        kind="audio",
        port=9,
        protocol="RTP/AVP",
        codecs=(STATIC[0], Codec(payload_type=96)),
        attributes=((name, value if colon else None),),
    )
    assert read(write(read_)) == read_


def test_of_attributes_that_contradict_each_other_the_first_counts() -> None:
    (media,) = described(
        "m=audio 9 RTP/AVP 96\na=sendonly\na=sendrecv\na=ptime:20\na=ptime:30\n"
        "a=rtpmap:96 opus/48000/2\na=rtpmap:96 L16/8000\na=rtcp:7\na=rtcp:8\n"
    ).media
    assert (media.direction, media.ptime, media.rtcp) == ("sendonly", 20, Rtcp(port=7))
    assert media.codecs[0].name == "opus"
    assert len(media.attributes) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "v=0"),
        ("v=1\no=- 1 1 IN IP4 1.2.3.4\n", "v=0"),
        ("o=- 1 1 IN IP4 1.2.3.4\nv=0\n", "v=0"),
        ("v=0\ns=-\n", "no o="),
        ("v=0\no=- 1 IN IP4 1.2.3.4\n", "six parts"),
        ("v=0\no=- 1 x IN IP4 1.2.3.4\n", "version"),
        ("v=0\no=- 1 ² IN IP4 1.2.3.4\n", "version"),
        (f"v=0\no=- 1 {'9' * 5000} IN IP4 1.2.3.4\n", "version"),
        (HEAD + "c=IN IP4\nm=audio 1 RTP/AVP 0\nc=IN IP4\n", "three parts"),
        (HEAD + "m=audio\n", "a kind, a port and a protocol"),
        (HEAD + "m=audio 1 RTP/AVP\n", "no format"),
        (HEAD + "m=audio 65536 RTP/AVP 0\n", "port"),
        (HEAD + "m=audio -1 RTP/AVP 0\n", "port"),
        (HEAD + "m=audio 1/ RTP/AVP 0\n", "count of ports"),
        (HEAD + "m=audio 1 RTP/AVP 128\n", "payload type"),
        (HEAD + "m=audio 1 RTP/AVP x\n", "payload type"),
        (HEAD + "nonsense\n", "letter and ="),
        (HEAD + "=\n", "letter and ="),
        (HEAD + "aa=x\n", "letter and ="),
        (HEAD + "a=\0\n", "NUL"),
        ("v=0\no=- 1 1 IN IP4 1.2.3.4\nm=audio 1 RTP/AVP 0\n", "without c="),
    ],
)
def test_what_cannot_be_understood(text: str, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        read(text.encode())
    assert (caught.value.status, caught.value.warning) == (400, 399)


@pytest.mark.parametrize(
    ("most", "one_more", "status"),
    [
        (HEAD + "a=x\n" * MAX_ATTRIBUTES, "a=x\n", 400),
        (HEAD + "m=audio 1 RTP/AVP 0\n" * MAX_MEDIA, "m=audio 1 RTP/AVP 0\n", 400),
        (HEAD + "m=audio 1 x" + " 1" * MAX_FORMATS, " 1", 400),
        (HEAD + "i=".ljust(MAX_OCTETS - len(HEAD), "x"), "x", 413),
    ],
)
def test_the_bounds(most: str, one_more: str, status: int) -> None:
    read(most.encode())
    with pytest.raises(RemoteProtocolError, match="more than") as caught:
        read((most + one_more).encode())
    assert caught.value.status == status


def test_truncated_at_each_octet() -> None:
    """Each beginning is a description, or is refused."""
    whole = (HEAD + "m=audio 9 RTP/SAVP 0 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 a=1\n").encode()
    whole += f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20\na=rtcp:7\n".encode()
    read_ = 0
    for end in range(len(whole)):
        try:
            made = read(whole[:end])
        except RemoteProtocolError:
            continue
        read_ += 1
        assert read(write(made)) == made
    assert read_ > 100


def test_a_value_cannot_break_out_of_its_line() -> None:
    origin = Origin(session_id="1", version=1, connection=Connection(address="1.2.3.4"))
    for value in ("x\r\nm=audio 1 RTP/AVP 0", "x\nm=a", "x\r", "\0"):
        with pytest.raises(LocalProtocolError, match="end of line"):
            write(SessionDescription(origin=origin, name=value))


token = st.text("abcXYZ019-.+", min_size=1, max_size=8)
value = st.text(
    st.characters(min_codepoint=33, blacklist_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]),
    min_size=1,
    max_size=12,
)
number = st.integers(1, 65535)
attributes = st.lists(st.tuples(token.map("x-{}".format), st.none() | value), max_size=3).map(tuple)
connections = st.builds(Connection, address=token, type=token, network=token)
params = st.lists(st.tuples(token, st.none() | st.text("abc=019,-", max_size=5)), max_size=3).map(
    tuple
)
directions = st.none() | st.sampled_from(Direction)
keys = st.builds(
    Key,
    octets=st.binary(min_size=1, max_size=46),
    lifetime=st.integers(0, 1 << 48),
    mki=st.integers(1, 99),
    mki_octets=st.integers(1, 128),
)
cryptos = st.builds(
    Crypto,
    tag=st.integers(0, 999999999),
    suite=token,
    keys=st.lists(keys, min_size=1, max_size=3).map(tuple),
    params=st.lists(token, max_size=3).map(tuple),
)
codecs = st.builds(
    Codec,
    payload_type=st.integers(0, 127),
    name=token,
    clock_rate=st.integers(1, 999999),
    channels=st.integers(1, 255),
    params=params,
) | st.builds(Codec, payload_type=st.integers(96, 127), params=params)


def common(letters: str) -> dict[str, Any]:
    """Fields of both levels; `letters` of lines in their order."""
    lines = st.lists(st.tuples(st.sampled_from(letters), value), max_size=4).map(
        lambda found: tuple(sorted(found, key=lambda line: letters.index(line[0])))
    )
    return {"attributes": attributes, "direction": directions, "lines": lines}


rtp_media = st.builds(
    Media,
    kind=token,
    port=number,
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"]),
    codecs=st.lists(codecs, min_size=1, max_size=4, unique_by=lambda each: each.payload_type).map(
        tuple
    ),
    port_count=number,
    connection=st.none() | connections,
    ptime=st.integers(0, 999),
    maxptime=st.integers(0, 999),
    rtcp=st.none() | st.builds(Rtcp, port=number, connection=st.none() | connections),
    rtcp_mux=st.booleans(),
    cryptos=st.lists(cryptos, max_size=2).map(tuple),
    **common("ibkx"),
)
other_media = st.builds(
    Media,
    kind=token,
    port=number,
    protocol=st.just("udptl"),
    formats=st.lists(token, min_size=1, max_size=3).map(tuple),
    **common("ibkx"),
)
descriptions = st.builds(
    SessionDescription,
    origin=st.builds(
        Origin,
        username=token,
        session_id=token,
        version=st.integers(0, 10**20 - 1),
        connection=connections,
    ),
    name=value,
    connection=connections,
    time=value,
    media=st.lists(rtp_media | other_media, max_size=3).map(tuple),
    **common("iuepbrzkxy"),
)


@given(descriptions)
def test_what_was_written_reads_as_it_was(description: SessionDescription) -> None:
    assert read(write(description)) == description


@given(st.binary(max_size=200) | st.text("vosctma=0 1/\n:", max_size=80).map(str.encode))
def test_any_octets_are_a_description_or_are_refused(octets: bytes) -> None:
    for each in (octets, HEAD.encode() + octets):
        try:
            made = read(each)
        except RemoteProtocolError:
            continue
        assert read(write(made)) == made
