"""What a simulated phone does in a call, as data: a script of steps, and how it answers.

A script is a list of JSON objects, one step each, taken in their order. What a step came to is
written down under the very words in which it was asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from protocols.rtp.dtmf import DIGITS, PAUSES
from protocols.sip.agent_commands import By, Reliability
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.session_refresh import MIN_SE, Refresher
from protocols.sip.uri import parse_uri

_MOST_STEPS: Final = 200
_MOST_KEYS: Final = 100
_LONGEST: Final = 86_400.0  # seconds
_WITHIN: Final = 10.0  # seconds that an expectation has if none are said
_TONE_FOR: Final = 1.0
_LOWEST, _HIGHEST = 20.0, 3900.0  # Hz
_MAX_EXPIRES: Final = 2**31

RIGHT_SCRIPT: Final = (
    'a script is a list of steps: {"wait": 1}, {"press": "1#"}, {"tone": 440, "for": 2},'
    ' {"play": "hello.wav"}, {"expect": "tone:440" | "dtmf:1" | "energy" | "silence", "within": 5},'
    ' {"hangup": true}, {"echo": 5}, {"repeat": 0.5}, {"noise": 4}, {"hold": true},'
    ' {"refresh": "INVITE" | "UPDATE"}, {"transfer": "+15550001001"}'
)


class ScriptError(Exception):
    """A script or a way to answer that can't be followed; the text says what is wrong."""


class _Action(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing but the options that all actions share."""


class Wait(_Action, frozen=True, kw_only=True):
    """Do nothing, and send silence, for `seconds`."""

    seconds: float


class Press(_Action, frozen=True, kw_only=True):
    """Press keys: 0-9, *, #, A-D; w waits half a second, W a second."""

    keys: str


class Tone(_Action, frozen=True, kw_only=True):
    """A tone of `frequency` Hz for `seconds`."""

    frequency: float
    seconds: float


class Noise(_Action, frozen=True, kw_only=True):
    """Noise in syllables, which sounds like somebody who speaks, for `seconds`."""

    seconds: float


class Play(_Action, frozen=True, kw_only=True):
    """Play a WAV file of 16-bit PCM."""

    path: str


class Expect(_Action, frozen=True, kw_only=True):
    """Hear something within `seconds`: `kind` is tone, dtmf, energy or silence.

    `keys` are those of dtmf, in their order; what was pressed since the last such step counts.
    """

    kind: str
    frequency: float = 0.0
    keys: str = ""
    seconds: float = _WITHIN


class Echo(_Action, frozen=True, kw_only=True):
    """Send back what comes, payload by payload, for `seconds`; None: until the call ends."""

    seconds: float | None


class Repeat(_Action, frozen=True, kw_only=True):
    """Send each key that is heard back as sound, `after` seconds later, until the call ends."""

    after: float


class Hold(_Action, frozen=True, kw_only=True):
    """Put the other side on hold, or take it back."""

    on: bool


class Refresh(_Action, frozen=True, kw_only=True):
    """Say once more what was agreed on, by re-INVITE or UPDATE, and wait for the answer."""

    by: By


class Transfer(_Action, frozen=True, kw_only=True):
    """Ask the other side to call `to` in our place; what was heard of it is a status."""

    to: str


class HangUp(_Action, frozen=True, kw_only=True):
    """End the call."""


Action = (
    Wait | Press | Tone | Noise | Play | Expect | Echo | Repeat | Hold | Refresh | Transfer | HangUp
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An action, and how it was written; `script` is the id of one that was given in the call."""

    action: Action
    written: Mapping[str, Any]
    script: str = ""


Script = tuple[Step, ...]


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a phone behaves when it is called; times are seconds.

    It answers after `answer_after`, None for never, and then follows `script`; `early` is played
    before that, over a 183. With `refuse` it answers with that status then, with `redirect` (a
    URI) with 302. After `drop_after` from the answer it is dead: nothing comes of it any more,
    and nothing is answered. `reliable` says what becomes of provisional responses (RFC 3262),
    `session_expires` and `refresher` are those of RFC 4028, 0 for the usual.
    """

    answer_after: float | None = 0.0
    script: Script = ()
    early: Script = ()
    refuse: int = 0
    redirect: str = ""
    drop_after: float | None = None
    reliable: Reliability = Reliability.NEVER
    session_expires: int = 0
    refresher: Refresher | None = None


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step's keys; one of all but `for` and `within` says what it is."""

    wait: float | None = None
    press: str | None = None
    tone: float | None = None
    noise: float | None = None
    play: str | None = None
    expect: str | None = None
    echo: float | bool | None = None
    repeat: float | None = None
    hold: bool | None = None
    refresh: By | None = None
    transfer: str | None = None
    hangup: bool | None = None
    for_: float | None = msgspec.field(default=None, name="for")
    within: float | None = None


class _WrittenManner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    answer_after: float | None = 0.0
    script: list[dict[str, Any]] = []
    early: list[dict[str, Any]] = []
    refuse: int = 0
    redirect: str = ""
    drop_after: float | None = None
    reliable: Reliability = Reliability.NEVER
    session_expires: int = 0
    refresher: Refresher | None = None


def read_script(written: Sequence[Mapping[str, Any]], id: str = "") -> Script:
    """The steps of a script; raises `ScriptError`."""
    if len(written) > _MOST_STEPS:
        raise ScriptError(f"a script has at most {_MOST_STEPS} steps, not {len(written)}")
    return tuple(_read_step(each, number, id) for number, each in enumerate(written, 1))


def read_manner(written: bytes | str | Mapping[str, Any]) -> Manner:
    """How a phone answers, from JSON or from what it was decoded to; raises `ScriptError`."""
    try:
        if isinstance(written, bytes | str):
            found = msgspec.json.decode(written, type=_WrittenManner)
        else:
            found = msgspec.convert(written, _WrittenManner)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScriptError(str(error)) from error
    if found.refuse and not 300 <= found.refuse <= 699:
        raise ScriptError(f"'refuse' is a status of 300 to 699, not {found.refuse}")
    if found.redirect:
        _uri(found.redirect)
    if found.session_expires and not MIN_SE <= found.session_expires < _MAX_EXPIRES:
        raise ScriptError(f"'session_expires' is {MIN_SE} or more, or 0")
    return Manner(
        answer_after=_optional(found.answer_after, "answer_after"),
        script=read_script(found.script),
        early=read_script(found.early),
        refuse=found.refuse,
        redirect=found.redirect,
        drop_after=_optional(found.drop_after, "drop_after"),
        reliable=found.reliable,
        session_expires=found.session_expires,
        refresher=found.refresher,
    )


def _uri(text: str) -> None:
    try:
        parse_uri(text)
    except RemoteProtocolError as error:
        raise ScriptError(f"'redirect': {error}") from error


def _read_step(given: Mapping[str, Any], number: int, script: str) -> Step:
    try:
        written = msgspec.convert(given, _Written)
        (kind,) = given.keys() - {"for", "within"}
        action = _ACTIONS[kind](written)
    except (msgspec.ValidationError, ScriptError) as error:
        raise ScriptError(f"step {number}: {error}") from error
    except ValueError as error:
        raise ScriptError(f"step {number}: it says {len(given)} things to do, not one") from error
    return Step(action=action, written=dict(given), script=script)


def _seconds(value: float | None, what: str) -> float:
    if value is None or not 0 <= value <= _LONGEST:
        raise ScriptError(f"{what!r} is a time of 0 to {_LONGEST:g} seconds")
    return value


def _optional(value: float | None, what: str) -> float | None:
    return None if value is None else _seconds(value, what)


def _frequency(value: float) -> float:
    if not _LOWEST <= value <= _HIGHEST:
        raise ScriptError(f"a tone has {_LOWEST:g} to {_HIGHEST:g} Hz, not {value:g}")
    return value


def _keys(text: str, known: frozenset[str]) -> str:
    if not 0 < len(text) <= _MOST_KEYS or not known.issuperset(text):
        raise ScriptError(f"{text!r} are no keys; a phone has {DIGITS}")
    return text


_TELLING: Final = frozenset(DIGITS)
_PRESSED: Final = _TELLING | frozenset(DIGITS.lower()) | frozenset(PAUSES)


def _press(written: _Written) -> Press:
    return Press(keys=_keys(written.press or "", _PRESSED))


def _tone(written: _Written) -> Tone:
    seconds = _TONE_FOR if written.for_ is None else _seconds(written.for_, "for")
    return Tone(frequency=_frequency(written.tone or 0.0), seconds=seconds)


def _expect(written: _Written) -> Expect:
    seconds = _WITHIN if written.within is None else _seconds(written.within, "within")
    kind, _, detail = (written.expect or "").partition(":")
    match kind:
        case "tone":
            try:
                frequency = _frequency(float(detail))
            except ValueError:
                raise ScriptError(f"{detail!r} is no frequency in Hz") from None
            return Expect(kind=kind, frequency=frequency, seconds=seconds)
        case "dtmf":
            return Expect(kind=kind, keys=_keys(detail.upper(), _TELLING), seconds=seconds)
        case "energy" | "silence" if not detail:
            return Expect(kind=kind, seconds=seconds)
    raise ScriptError(f"nobody can expect {written.expect!r}")


def _echo(written: _Written) -> Echo:
    if isinstance(written.echo, bool):
        return Echo(seconds=None)
    return Echo(seconds=_seconds(written.echo, "echo"))


_ACTIONS: Final[dict[str, Callable[[_Written], Action]]] = {
    "wait": lambda written: Wait(seconds=_seconds(written.wait, "wait")),
    "press": _press,
    "tone": _tone,
    "noise": lambda written: Noise(seconds=_seconds(written.noise, "noise")),
    "play": lambda written: Play(path=written.play or ""),
    "expect": _expect,
    "echo": _echo,
    "repeat": lambda written: Repeat(after=_seconds(written.repeat, "repeat")),
    "hold": lambda written: Hold(on=bool(written.hold)),
    "refresh": lambda written: Refresh(by=written.refresh or By.AUTO),
    "transfer": lambda written: Transfer(to=written.transfer or ""),
    "hangup": lambda written: HangUp(),
}
