"""What no graph may say of its nodes, because a worker could not make it true.

A graph comes from the gateway itself, but what stands in it comes from peers. Everything that the
sockets, SRTP or the codecs would raise for is found here, before anything of the call is changed:
a leg that can't be costs its own call an answer, and no other call anything.
"""

import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Final

from gateway.media.graph import File, Leg, Node, Note, Player, Recorder, Silence, Tone, WebRtc
from protocols.addresses import address_of
from protocols.rtp.audio import QUIETEST
from protocols.rtp.tones import Sound
from protocols.sdp.crypto import SUITES, octets_of
from protocols.sdp.media import Stream

_LONGEST: Final = 200  # milliseconds of a packet
_MOST_RATE: Final = 192_000  # hertz of an RTP clock
_DYNAMIC_END: Final = 128
_PORTS: Final = 1 << 16
_MOST_PARTS: Final = 8
_HIGHEST: Final = 4000.0  # hertz
_SHORTEST: Final = 0.1  # seconds of a cadence
_SLOWEST: Final = 30.0
_MOST_CLIPS: Final = 100
_MOST_LOOPS: Final = 1000
_LONGEST_CLIP: Final = 3600.0  # seconds
_LONGEST_RECORDING: Final = 86_400.0
_LONGEST_PATH: Final = 1024
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 §5.4
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/]{22,256}")
_MOST_LINES: Final = 100  # candidates of a peer
_LONGEST_LINE: Final = 1024


def of_leg(leg: Leg) -> str | None:
    """Why this leg can't be; None if it can."""
    if address_of(leg.host) is None or address_of(leg.signalling) is None:
        return f"{leg.id}: {leg.host!r} and {leg.signalling!r} are to be IP addresses"
    if not (isfinite(leg.silence) and leg.silence >= 0):
        return f"{leg.id}: a silence of {leg.silence} s"
    reason = None if leg.webrtc is None else _of_webrtc(leg.webrtc, leg.stream)
    if reason is not None:
        return f"{leg.id}: {reason}"
    if leg.stream is None:
        return None
    for check in _CHECKS:
        reason = check(leg.stream)
        if reason is not None:
            return f"{leg.id}: {reason}"
    return None


def _of_webrtc(webrtc: WebRtc, stream: Stream | None) -> str | None:
    if stream is not None and (stream.srtp is not None or not stream.rtcp_mux):
        return "WebRTC has keys of its own, and RTCP where RTP is"
    remote = webrtc.remote
    if remote is None:
        return None
    if not _UFRAG.fullmatch(remote.ufrag) or not _PASSWORD.fullmatch(remote.password):
        return "the peer's name and password for ICE are none"
    if not 0 < len(remote.fingerprints) <= _MOST_PARTS:
        return f"{len(remote.fingerprints)} fingerprints; WebRTC asks for one"
    if len(remote.candidates) > _MOST_LINES:
        return f"{len(remote.candidates)} candidates"
    if any(len(each) > _LONGEST_LINE for each in remote.candidates):
        return "a candidate that is a page long"
    return None


def _of_codecs(stream: Stream) -> str | None:
    if not stream.codecs:
        return "a stream without a codec"
    for each in (*stream.codecs, *stream.events, *stream.noise):
        for codec in (each.sent, each.received):
            if not 0 <= codec.payload_type < _DYNAMIC_END:
                return f"{codec.payload_type} is no payload type"
            if not 0 < codec.clock_rate <= _MOST_RATE:
                return f"{codec.name} with a clock of {codec.clock_rate} Hz"
    if not 0 < stream.ptime <= _LONGEST:
        return f"packets of {stream.ptime} ms"
    return None


def _of_addresses(stream: Stream) -> str | None:
    for address in (stream.remote, stream.remote_rtcp):
        if address is not None and not 0 <= address[1] < _PORTS:
            return f"{address[1]} is no port"
    return None


def _of_keys(stream: Stream) -> str | None:
    srtp = stream.srtp
    if srtp is None:
        return None
    if srtp.suite not in SUITES:
        return f"no SRTP suite {srtp.suite!r}"
    wanted = octets_of(srtp.suite)
    for key in (srtp.send_key, srtp.receive_key):
        if len(key) != wanted:
            return f"{srtp.suite} takes {wanted} octets of key and salt, not {len(key)}"
    return None


_CHECKS: Final[tuple[Callable[[Stream], str | None], ...]] = (_of_codecs, _of_addresses, _of_keys)


def of_tone(tone: Tone) -> str | None:
    """Why this tone can't be; None if it can."""
    reason = _of_sound(tone.sound)
    return None if reason is None else f"{tone.id}: {reason}"


def _of_sound(sound: Sound) -> str | None:
    if not 0 < len(sound.frequencies) <= _MOST_PARTS or len(sound.cadence) > _MOST_PARTS:
        return f"a tone has 1 to {_MOST_PARTS} frequencies, and as many turns"
    if not all(0 < each <= _HIGHEST for each in sound.frequencies):
        return f"frequencies of {sound.frequencies} Hz"
    turns = sound.cadence
    if turns and not (all(each >= 0 for each in turns) and _SHORTEST <= sum(turns) <= _SLOWEST):
        return f"a cadence of {turns} s"
    if not 0 <= sound.level <= QUIETEST:
        return f"a level of {sound.level} dB"
    return None


def of_player(player: Player) -> str | None:
    """Why this player can't be; None if it can, though its files may be unreadable."""
    if not 0 < len(player.clips) <= _MOST_CLIPS:
        return f"{player.id}: a player has 1 to {_MOST_CLIPS} clips"
    if not 0 <= player.loop <= _MOST_LOOPS:
        return f"{player.id}: a loop of {player.loop} times"
    for clip in player.clips:
        reason = _of_path(clip.path) if isinstance(clip, File) else _of_clip(clip)
        if reason is not None:
            return f"{player.id}: {reason}"
    if all(isinstance(each, Silence | Note) and not each.seconds for each in player.clips):
        return f"{player.id}: clips that last no time"
    return None


def _of_clip(clip: Silence | Note) -> str | None:
    if not 0 <= clip.seconds <= _LONGEST_CLIP:  # nor what is no number
        return f"a clip of {clip.seconds} s"
    return _of_sound(clip.sound) if isinstance(clip, Note) else None


def _of_path(path: str) -> str | None:
    if not 0 < len(path) <= _LONGEST_PATH or "\0" in path:
        return f"{path[:80]!r} is no path"
    return None


def of_recorder(recorder: Recorder) -> str | None:
    """Why this recorder can't be; None if it can, though its file may not be to be written."""
    reason = _of_path(recorder.path)
    if reason is not None:
        return f"{recorder.id}: {reason}"
    if recorder.channels not in (1, 2):
        return f"{recorder.id}: {recorder.channels} channels"
    for seconds in (recorder.silence, recorder.limit):
        if not 0 <= seconds <= _LONGEST_RECORDING:  # nor what is no number
            return f"{recorder.id}: a bound of {seconds} s"
    return None


_OF: Final[dict[type[Node], Callable[..., str | None]]] = {
    Leg: of_leg,
    Tone: of_tone,
    Player: of_player,
    Recorder: of_recorder,
}


def of_nodes(nodes: Iterable[Node]) -> str | None:
    """The first reason among several nodes."""
    for node in nodes:
        check = _OF.get(type(node))
        reason = None if check is None else check(node)
        if reason is not None:
            return reason
    return None
