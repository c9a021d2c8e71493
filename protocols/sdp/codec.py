"""Octets of application/sdp and descriptions: `read` and `write` (RFC 8866 §5, §9).

Reading is strict where media are set up by it (v=, o=, m=, c=) and lenient elsewhere: line ends of
any kind, spaces, lines in a wrong place, no s= or t=, letters and attributes that nobody knows.
An attribute that can't be read counts as one that is not known. All is bounded and linear.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from protocols.sdp.crypto import Crypto, read_crypto, write_crypto
from protocols.sdp.description import (
    Connection,
    Direction,
    Lines,
    Media,
    Origin,
    Rtcp,
    SessionDescription,
    is_rtp,
)
from protocols.sdp.errors import LocalProtocolError, RemoteProtocolError
from protocols.sdp.formats import STATIC, Codec, read_params, write_params

CONTENT_TYPE: Final = "application/sdp"
MAX_OCTETS: Final = 32 * 1024  # a browser writes 4,000 for each of its videos
MAX_MEDIA: Final = 32
MAX_FORMATS: Final = 64  # of one m=
MAX_ATTRIBUTES: Final = 1024  # of all

_MAX_PORT: Final = 0xFFFF
_MAX_TYPE: Final = 127
_DIRECTIONS: Final = {str(each): each for each in Direction}
# Letters whose line stands before c=, and all that follow it, in the order of §5.
_BEFORE: Final = "iuep"
_ORDER: Final = {"i": 0, "u": 1, "e": 2, "p": 3, "b": 4, "t": 5, "r": 5, "z": 6, "k": 7}


class _Draft:
    """What one level of a description has said so far."""

    __slots__ = (
        "attributes",
        "connection",
        "cryptos",
        "direction",
        "fmtp",
        "formats",
        "kind",
        "lines",
        "maxptime",
        "mux",
        "port",
        "port_count",
        "protocol",
        "ptime",
        "rtcp",
        "rtpmap",
        "types",
    )

    def __init__(self) -> None:
        self.attributes: list[tuple[str, str | None]] = []
        self.lines: list[tuple[str, str]] = []
        self.connection: Connection | None = None
        self.direction: Direction | None = None
        self.kind = self.protocol = ""
        self.port = 0
        self.port_count = 1
        self.formats: tuple[str, ...] = ()
        self.types: dict[str, int] = {}
        self.rtpmap: dict[str, tuple[str, int, int]] = {}
        self.fmtp: dict[str, list[tuple[str, str | None]]] = {}
        self.ptime = self.maxptime = 0
        self.rtcp: Rtcp | None = None
        self.mux = False
        self.cryptos: list[Crypto] = []


def read(octets: bytes) -> SessionDescription:
    """The description in a body. Raises `RemoteProtocolError`: status 400, or 413 if it is long.

    What was read can be written again: octets that are no UTF-8 are kept as surrogates.
    """
    if len(octets) <= _SHORT and b"crypto" not in octets and b"ice-pwd" not in octets:
        return _known(octets)
    return _read(octets)


def _read(octets: bytes) -> SessionDescription:
    session = level = _Draft()
    media: list[_Draft] = []
    origin: Origin | None = None
    name, time = "", ""
    for letter, value in _lines_of(octets):
        match letter:
            case "a":
                _read_attribute(level, value)
            case "m":
                level = _read_media(value)
                media.append(level)
            case "c" if level.connection is None:
                level.connection = _read_connection(value.split(), "c=")
            case "o" if origin is None:
                origin = _read_origin(value)
            case "s" if not name and level is session:
                name = value
            case "t" if not time and level is session:
                time = value
            case _:
                level.lines.append((letter, value))
    if origin is None:
        raise RemoteProtocolError("SDP has no o=")
    if session.connection is None and any(each.port and not each.connection for each in media):
        raise RemoteProtocolError("SDP has a medium without c=")
    return SessionDescription(
        origin=origin,
        name=name or "-",
        connection=session.connection,
        direction=session.direction,
        time=time or "0 0",
        media=tuple([_media_of(each) for each in media]),
        attributes=tuple(session.attributes),
        lines=_ordered(session.lines),
    )


# An offer is looked at by whoever may refuse it, by who answers and by who asks what it has. Keys
# are not kept for longer than their call.
_known: Final = lru_cache(maxsize=256)(_read)
_SHORT: Final = 1024


def _lines_of(octets: bytes) -> list[tuple[str, str]]:
    """(letter, value) of every line after v=0, values without the spaces around them."""
    if len(octets) > MAX_OCTETS:
        raise RemoteProtocolError(f"SDP has more than {MAX_OCTETS} octets", status=413)
    text = octets.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise RemoteProtocolError("SDP holds a NUL")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    found: list[tuple[str, str]] = []
    for line in text.split("\n"):
        letter, equals, value = line.partition("=")
        if len(letter) != 1:
            letter = letter.strip(" \t")
            if not letter and not equals:
                continue
        if not equals or len(letter) != 1:
            raise RemoteProtocolError("a line of SDP does not begin with a letter and =")
        found.append((letter, value.strip(" \t")))
    if not found or found[0] != ("v", "0"):
        raise RemoteProtocolError("SDP does not begin with v=0")
    letters = [letter for letter, _ in found]
    for letter, most in (("a", MAX_ATTRIBUTES), ("m", MAX_MEDIA)):
        if letters.count(letter) > most:
            raise RemoteProtocolError(f"SDP has more than {most} lines of {letter}=")
    return found[1:]


def _number(text: str, most: int, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > most:
        raise RemoteProtocolError(f"SDP's {what} is no number up to {most}")
    return int(text)


def _read_origin(value: str) -> Origin:
    # Some user names have spaces in them.
    parts = value.rsplit(None, 5)
    if len(parts) != 6:
        raise RemoteProtocolError("SDP's o= has not six parts")
    username, session_id, version, *rest = parts
    return Origin(
        username=username,
        session_id=session_id,
        version=_number(version, 10**20, "version in o="),
        connection=_read_connection(rest, "o="),
    )


def _read_connection(parts: list[str], line: str) -> Connection:
    if len(parts) != 3:
        raise RemoteProtocolError(f"SDP's {line} has not an address of three parts")
    network, kind, address = parts
    return Connection(network=network, type=kind, address=address)


def _read_media(value: str) -> _Draft:
    parts = value.split(None, MAX_FORMATS + 3)
    if len(parts) < 3:
        raise RemoteProtocolError("SDP's m= has not a kind, a port and a protocol")
    if len(parts) > MAX_FORMATS + 3:
        raise RemoteProtocolError(f"SDP's m= has more than {MAX_FORMATS} formats")
    made = _Draft()
    made.kind, port, made.protocol, *formats = parts
    port, slash, count = port.partition("/")
    made.port = _number(port, _MAX_PORT, "port in m=")
    made.port_count = _number(count, _MAX_PORT, "count of ports in m=") if slash else 1
    if not formats:
        # Seen where a medium is refused: then no format matters.
        if made.port:
            raise RemoteProtocolError("SDP's m= has no format")
        formats = ["0"]
    if is_rtp(made.protocol):
        for each in formats:
            number = _number(each, _MAX_TYPE, "payload type")
            made.types[str(number)] = number
    else:
        made.formats = tuple(formats)
    return made


def _media_of(draft: _Draft) -> Media:
    return Media(
        kind=draft.kind,
        port=draft.port,
        protocol=draft.protocol,
        codecs=tuple([_codec_of(draft, text, number) for text, number in draft.types.items()]),
        formats=draft.formats,
        port_count=draft.port_count,
        connection=draft.connection,
        direction=draft.direction,
        ptime=draft.ptime,
        maxptime=draft.maxptime,
        rtcp=draft.rtcp,
        rtcp_mux=draft.mux,
        cryptos=tuple(draft.cryptos),
        attributes=tuple(draft.attributes),
        lines=_ordered(draft.lines),
    )


def _codec_of(draft: _Draft, text: str, number: int) -> Codec:
    params = tuple(draft.fmtp.get(text, ()))
    given = draft.rtpmap.get(text)
    if given is not None:
        name, rate, channels = given
        return Codec(
            payload_type=number, name=name, clock_rate=rate, channels=channels, params=params
        )
    bound = STATIC.get(number)
    if bound is None:
        return Codec(payload_type=number, params=params)
    if not params:
        return bound
    return Codec(
        payload_type=number,
        name=bound.name,
        clock_rate=bound.clock_rate,
        channels=bound.channels,
        params=params,
    )


def _read_attribute(level: _Draft, text: str) -> None:
    name, colon, value = text.partition(":")
    reader = _READERS.get(name)
    if reader is None or not reader(level, name, value):
        level.attributes.append((name, value if colon else None))


def _of_type(value: str) -> tuple[str, str]:
    """The payload type that an attribute is about, as in `types`, and what it says of it."""
    number, _, rest = value.partition(" ")
    return number.lstrip("0") or number[-1:], rest


def _read_rtpmap(level: _Draft, name: str, value: str) -> bool:
    number, mapping = _of_type(value)
    codec, _, rest = mapping.strip(" \t").partition("/")
    rate, slash, channels = rest.partition("/")
    if number not in level.types or number in level.rtpmap or not codec or " " in codec:
        return False
    if not _is_short(rate) or (slash and not _is_short(channels)):
        return False
    level.rtpmap[number] = (codec, int(rate), int(channels) if slash else 1)
    return True


def _read_fmtp(level: _Draft, name: str, value: str) -> bool:
    number, params = _of_type(value)
    if number not in level.types:
        return False
    level.fmtp.setdefault(number, []).extend(read_params(params))
    return True


def _read_direction(level: _Draft, name: str, value: str) -> bool:
    if value or level.direction is not None:
        return False
    level.direction = _DIRECTIONS[name]
    return True


def _read_ptime(level: _Draft, name: str, value: str) -> bool:
    # Fractions of ms are allowed (§6.4), and nobody means them.
    whole = value.strip(" \t").partition(".")[0]
    if getattr(level, name) or not level.kind or not _is_short(whole):
        return False
    setattr(level, name, int(whole))
    return True


def _read_rtcp(level: _Draft, name: str, value: str) -> bool:
    port, *address = value.split(None, 4) or [""]
    if level.rtcp or not level.kind or not _is_short(port) or int(port) > _MAX_PORT:
        return False
    if len(address) not in (0, 3):
        return False
    connection = _read_connection(address, "a=rtcp") if address else None
    level.rtcp = Rtcp(port=int(port), connection=connection)
    return True


def _read_mux(level: _Draft, name: str, value: str) -> bool:
    if value or level.mux or not level.kind:
        return False
    level.mux = True
    return True


def _read_crypto(level: _Draft, name: str, value: str) -> bool:
    crypto = read_crypto(value) if level.kind else None
    if crypto is None:
        return False
    level.cryptos.append(crypto)
    return True


def _is_short(text: str) -> bool:
    return 0 < len(text) <= 6 and text.isascii() and text.isdigit() and text[0] != "0"


_READERS: Final[dict[str, Callable[[_Draft, str, str], bool]]] = {
    "rtpmap": _read_rtpmap,
    "fmtp": _read_fmtp,
    "ptime": _read_ptime,
    "maxptime": _read_ptime,
    "rtcp": _read_rtcp,
    "rtcp-mux": _read_mux,
    "crypto": _read_crypto,
    **dict.fromkeys(_DIRECTIONS, _read_direction),
}


def write(description: SessionDescription) -> bytes:
    """The octets of a description, in the order of RFC 8866 §5.

    Raises `LocalProtocolError` if a value holds an end of line or a NUL.
    """
    origin = description.origin
    address = _address(origin.connection)
    said = [
        "v=0",
        f"o={origin.username} {origin.session_id} {origin.version} {address}",
        f"s={description.name or '-'}",
    ]
    rest = _write_head(said, description.lines, description.connection)
    said.extend([f"{letter}={value}" for letter, value in rest if letter == "b"])
    said.append(f"t={description.time}")
    said.extend([f"{letter}={value}" for letter, value in rest if letter != "b"])
    _write_attributes(said, description)
    for each in description.media:
        _write_media(said, each)
    said.append("")
    text = "".join(said)
    if "\n" in text or "\r" in text or "\0" in text:
        raise LocalProtocolError("a value of SDP holds an end of line or a NUL")
    return "\r\n".join(said).encode("utf-8", "surrogateescape")


def _ordered(lines: Iterable[tuple[str, str]]) -> Lines:
    return tuple(sorted(lines, key=lambda line: _ORDER.get(line[0], len(_ORDER))))


def _write_head(said: list[str], lines: Lines, connection: Connection | None) -> Lines:
    """Write what stands up to c=; the lines that come after it."""
    rest: Lines = ()
    if lines:
        lines = _ordered(lines)
        said.extend([f"{letter}={value}" for letter, value in lines if letter in _BEFORE])
        rest = tuple([line for line in lines if line[0] not in _BEFORE])
    if connection is not None:
        said.append(f"c={_address(connection)}")
    return rest


def _write_attributes(said: list[str], level: SessionDescription | Media) -> None:
    if level.direction is not None:
        said.append(f"a={level.direction}")
    for name, value in level.attributes:
        said.append(f"a={name}" if value is None else f"a={name}:{value}")


def _write_media(said: list[str], media: Media) -> None:
    port = str(media.port) if media.port_count == 1 else f"{media.port}/{media.port_count}"
    formats = [str(each.payload_type) for each in media.codecs] or media.formats or ["0"]
    said.append(f"m={media.kind} {port} {media.protocol} {' '.join(formats)}")
    rest = _write_head(said, media.lines, media.connection)
    said.extend([f"{letter}={value}" for letter, value in rest])
    for codec in media.codecs:
        if codec.name:
            channels = "" if codec.channels == 1 else f"/{codec.channels}"
            said.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
        if codec.params:
            said.append(f"a=fmtp:{codec.payload_type} {write_params(codec.params)}")
    if media.ptime:
        said.append(f"a=ptime:{media.ptime}")
    if media.maxptime:
        said.append(f"a=maxptime:{media.maxptime}")
    if media.rtcp is not None:
        own = media.rtcp.connection
        said.append(f"a=rtcp:{media.rtcp.port}" + (f" {_address(own)}" if own else ""))
    if media.rtcp_mux:
        said.append("a=rtcp-mux")
    said.extend([f"a=crypto:{write_crypto(each)}" for each in media.cryptos])
    _write_attributes(said, media)


def _address(connection: Connection) -> str:
    return f"{connection.network} {connection.type} {connection.address}"
