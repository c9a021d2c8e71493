"""What RTP payloads hold: codecs with their numbers and parameters, and when two are the same.

A payload type is a number of 7 bits that a description binds to a codec: by `a=rtpmap`, or by the
table of RFC 3551 §6 for the types that were never free. Two sides mean the same codec when name,
clock rate and channels are equal, and those parameters that change what the octets mean; all
others only say what the side that wrote them would like to get.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

import msgspec

# As written, in their order; None: no "=".
Params = tuple[tuple[str, str | None], ...]

# Dynamic payload types (RFC 3551 §3).
DYNAMIC: Final = range(96, 128)


class Codec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payload type and what it stands for (RFC 8866 §6.6, §6.15).

    `name` is as written, "" if a dynamic type was given none; `clock_rate` is that of RTP's
    timestamps in Hz, which for G722 is not that of the samples.
    """

    payload_type: int
    name: str = ""
    clock_rate: int = 0
    channels: int = 1
    params: Params = ()

    @property
    def key(self) -> tuple[str, int, int]:
        """(name in small letters, clock rate, channels): what has to be equal in any case."""
        return self.name.lower(), self.clock_rate, self.channels

    def param(self, name: str) -> str | None:
        """The value of a parameter by its name in small letters; None if it is not there."""
        for each, value in self.params:
            if each.lower() == name:
                return value or ""
        return None


_STATIC: Final[tuple[tuple[int, str, int, int], ...]] = (
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44100, 2),
    (11, "L16", 44100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11025, 1),
    (17, "DVI4", 22050, 1),
    (18, "G729", 8000, 1),
    (25, "CelB", 90000, 1),
    (26, "JPEG", 90000, 1),
    (28, "nv", 90000, 1),
    (31, "H261", 90000, 1),
    (32, "MPV", 90000, 1),
    (33, "MP2T", 90000, 1),
    (34, "H263", 90000, 1),
)

# The types that RFC 3551 §6 binds without an rtpmap.
STATIC: Final[dict[int, Codec]] = {
    number: Codec(payload_type=number, name=name, clock_rate=rate, channels=channels)
    for number, name, rate, channels in _STATIC
}

PCMU: Final = STATIC[0]
PCMA: Final = STATIC[8]
G722: Final = STATIC[9]
COMFORT_NOISE: Final = STATIC[13]
# RFC 7587 §7: always 48000 and two channels, whatever is spoken over it.
OPUS: Final = Codec(
    payload_type=111,
    name="opus",
    clock_rate=48000,
    channels=2,
    params=(("minptime", "10"), ("useinbandfec", "1")),
)
L16_8000: Final = Codec(payload_type=96, name="L16", clock_rate=8000)
L16_16000: Final = Codec(payload_type=97, name="L16", clock_rate=16000)

EVENTS: Final = "telephone-event"
_NOISE: Final = "cn"
# The keys of a telephone: 0-9, *, #, A-D (RFC 4733 §3.2), what is meant without parameters too.
_KEYS: Final = frozenset(range(16))
_ALL_KEYS: Final = "0-15"
_MOST_EVENTS: Final = 256
_MOST_RANGES: Final = 64

# What changes the meaning of the octets, with what holds where it is not written: RFC 4867 §8.1
# and §8.2, RFC 3952 §4.1, RFC 5577 §6.
_MEANT: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "amr": (("octet-align", "0"), ("crc", "0"), ("robust-sorting", "0"), ("interleaving", "")),
    "amr-wb": (("octet-align", "0"), ("crc", "0"), ("robust-sorting", "0"), ("interleaving", "")),
    "ilbc": (("mode", "30"),),
    "g7221": (("bitrate", ""),),
}

# The lengths of a packet that we send, in ms; Opus has frames of its own (RFC 7587 §3.2).
_PTIMES: Final = (10, 20, 30, 40, 50, 60)
_OPUS_PTIMES: Final = (10, 20, 40, 60)


def is_same(one: Codec, other: Codec) -> bool:
    """Whether what one side sends as `one` the other can read as `other`, types apart.

    A codec without a name is none's match.
    """
    if one.clock_rate != other.clock_rate or one.channels != other.channels or not one.name:
        return False
    name = one.name.lower()
    if name != other.name.lower():
        return False
    for param, default in _MEANT.get(name, ()):
        if (one.param(param) or default) != (other.param(param) or default):
            return False
    return True


def ptime_within(codec: Codec, most: int) -> int:
    """The longest packet of `codec` that we send and that is no longer than `most`, in ms.

    10 if all are longer.
    """
    lengths = _OPUS_PTIMES if codec.name.lower() == "opus" else _PTIMES
    return lengths[max(bisect_right(lengths, most) - 1, 0)]


def is_events(codec: Codec) -> bool:
    """Whether it carries keys and tones as events (RFC 4733) and no sound."""
    return codec.name.lower() == EVENTS


def is_noise(codec: Codec) -> bool:
    """Whether it is comfort noise (RFC 3389), which fills the pauses of another codec."""
    return codec.name.lower() == _NOISE


def events(clock_rate: int, payload_type: int) -> Codec:
    """Our telephone-event for codecs of this clock rate: the sixteen keys."""
    params: Params = ((_ALL_KEYS, None),)
    return Codec(payload_type=payload_type, name=EVENTS, clock_rate=clock_rate, params=params)


def keys_of(codec: Codec) -> frozenset[int]:
    """The keys among the events that a telephone-event declares (RFC 4733 §2.4.1).

    What can't be read declares nothing.
    """
    if not codec.params:
        return _KEYS
    text = codec.param("events") or codec.params[0][0]
    return _KEYS if text == _ALL_KEYS else _read_keys(text)


def _read_keys(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(",")[:_MOST_RANGES]:
        first, dash, last = part.strip(" ").partition("-")
        if not _is_event(first) or (dash and not _is_event(last)):
            continue
        found.update(range(int(first), int(last if dash else first) + 1))
    return _KEYS & found


def _is_event(text: str) -> bool:
    return len(text) <= 3 and text.isascii() and text.isdigit() and int(text) < _MOST_EVENTS


def params_of_keys(keys: Iterable[int]) -> Params:
    """The parameters of a telephone-event that declares these keys and no more."""
    if keys == _KEYS:
        return ((_ALL_KEYS, None),)
    ranges: list[list[int]] = []
    for key in sorted(keys):
        if ranges and ranges[-1][1] == key - 1:
            ranges[-1][1] = key
        else:
            ranges.append([key, key])
    return ((",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges), None),)


def read_params(text: str) -> Params:
    """The parameters of an `a=fmtp` after its payload type."""
    found: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        name, equals, value = part.strip(" \t").partition("=")
        if name or equals:
            found.append((name.rstrip(" \t"), value.lstrip(" \t") if equals else None))
    return tuple(found)


def write_params(params: Params) -> str:
    """As `a=fmtp` has them after the payload type."""
    return ";".join([name if value is None else f"{name}={value}" for name, value in params])
