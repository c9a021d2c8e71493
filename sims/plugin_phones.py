"""Simulated phones in the hand of a test: what they do, and what they are expected to hear.

What a phone says and presses comes in the order in which the test asks for it; a test does not wait
for sounds to end. What it hears is looked at beside that, as with any telephone.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sims.plugin_gateway import Door, GatewayError, wait_for
from sims.plugin_notices import told_of

__tracebackhide__ = True  # a failure is shown where the test asked

_WITHIN: Final = 10.0  # seconds
_GRACE: Final = 10.0  # until a simulator has said what came of a step
_KEY: Final = 0.3  # seconds for one
_OVER: Final = frozenset({"ended", "dropped"})


class PhoneCall:
    """One call of a simulated phone."""

    def __init__(self, door: Door, number: str, id: str) -> None:
        self.number = number
        self.id = id
        self._door = door
        self._path = f"/sim/phones/{quote(number, safe='')}/calls"
        self._saying: dict[str, float] = {}  # scripts of sounds, and when they are over

    def __repr__(self) -> str:
        return f"PhoneCall({self.number}, {self.id})"

    # What it is

    def shown(self) -> dict[str, Any]:
        """The call as the simulator lists it: `from`, `to`, `state`, `sip_code`, `steps` …"""
        for each in self._door.ask("GET", self._path):
            if each["id"] == self.id:
                found: dict[str, Any] = each
                return found
        raise GatewayError(f"the call of {self.number} was forgotten by DELETE /sim")

    @property
    def state(self) -> str:
        """`calling`, `ringing`, `answered`, `dropped` or `ended`."""
        return str(self.shown()["state"])

    @property
    def keys(self) -> str:
        """All keys that the phone heard."""
        return str(self.shown()["dtmf"])

    # What the phone does

    def press(self, keys: str) -> None:
        """Press keys, after what it says; `w` waits half a second, `W` a second."""
        self._expect_answered(_WITHIN)
        self._settle()
        script = self._give({"press": keys})
        self._result(script, f"press {keys}", len(keys) * _KEY + keys.count("W") + _GRACE)

    def tone(self, frequency: float, seconds: float = 1.0) -> None:
        """Say a tone, in Hz."""
        self._say({"tone": frequency, "for": seconds}, seconds)

    def noise(self, seconds: float = 1.0) -> None:
        """Say what sounds like speech."""
        self._say({"noise": seconds}, seconds)

    def play(self, path: str | Path) -> None:
        """Say a WAV file of 16 bits."""
        found = Path(path).absolute()
        if not found.is_file():
            raise AssertionError(f"{path} is no file; a phone plays WAV files of 16 bits")
        # The header is less than the error of the clock.
        self._say({"play": str(found)}, found.stat().st_size / 16_000)

    def hang_up(self) -> None:
        """End the call, when all is said."""
        self._settle()
        self._door.ask("DELETE", f"{self._path}/{self.id}")
        self.expect_end()

    # What it is expected to hear

    def expect_answer(self, within: float = _WITHIN) -> None:
        """The call is answered."""
        self._expect_answered(within)

    def expect_end(self, within: float = _WITHIN) -> int:
        """The call ends; gives the SIP status that it came to: 200 where it was answered."""
        if not wait_for(lambda: self.state in _OVER, within):
            raise AssertionError(self._told(f"was to end within {within:g} s and goes on"))
        return int(self.shown()["sip_code"] or 0)

    def expect_tone(self, frequency: float, within: float = _WITHIN) -> None:
        """A tone is heard, in Hz, and next to nothing beside it."""
        self._expect(f"tone:{frequency:g}", within)

    def expect_dtmf(self, keys: str, within: float = _WITHIN) -> None:
        """These keys are heard, in this order; those that came meanwhile count."""
        self._expect(f"dtmf:{keys}", within)

    def expect_speech(self, within: float = _WITHIN) -> None:
        """Anything is heard: a voice, music, or the tone that stands for a voice."""
        self._expect("energy", within)

    def expect_silence(self, within: float = _WITHIN) -> None:
        """Nothing is heard for 0.4 s."""
        self._expect("silence", within)

    # How

    def _expect(self, what: str, within: float) -> None:
        self._expect_answered(within)
        script = self._give({"expect": what, "within": within})
        self._result(script, f"hear {what} within {within:g} s", within + _GRACE)

    def _say(self, step: dict[str, object], seconds: float) -> None:
        self._expect_answered(_WITHIN)
        begins = max([time.monotonic(), *self._saying.values()])
        self._saying[self._give(step)] = begins + seconds

    def _settle(self) -> None:
        """Return when all is said, or the call is over."""
        for script, over in list(self._saying.items()):
            within = max(0.0, over - time.monotonic()) + _GRACE
            wait_for(partial(self._is_settled, script), within)
            if self._steps(script) or self.state not in _OVER:
                self._result(script, "say something", 0.0)
            del self._saying[script]

    def _steps(self, script: str) -> list[dict[str, Any]]:
        """What was taken of a script."""
        return [each for each in self.shown()["steps"] if each.get("script") == script]

    def _is_settled(self, script: str) -> bool:
        """Whether no more of a script is taken."""
        return bool(self._steps(script)) or self.state in _OVER

    def _expect_answered(self, within: float) -> None:
        found = wait_for(lambda: self.state in ("answered", *_OVER), within)
        shown = self.shown()
        if not found:
            raise AssertionError(self._told(f"was to be answered within {within:g} s"))
        if shown["state"] in _OVER and shown["answered_at"] is None:
            raise AssertionError(self._told("was to be answered"))

    def _give(self, step: dict[str, object]) -> str:
        try:
            given = self._door.ask("POST", f"{self._path}/{self.id}/scripts", content=_one(step))
        except GatewayError as refused:
            if self.state not in _OVER:
                raise
            raise AssertionError(self._told(f"can't take {step}")) from refused
        return str(given["id"])

    def _result(self, script: str, what: str, within: float) -> None:
        """Wait until a step was taken, and see that it came to what it should."""
        wait_for(partial(self._is_settled, script), within)
        # What a call's end came to is written down behind it.
        (step,) = self._steps(script) or [{"ok": False, "heard": None}]
        if not step["ok"]:
            heard = f", and it heard {step['heard']}" if step["heard"] is not None else ""
            raise AssertionError(self._told(f"was to {what}{heard}"))

    def _told(self, what: str) -> str:
        shown = self.shown()
        state = shown["state"] + (f" with {shown['sip_code']}" if shown["sip_code"] else "")
        state += f" ({shown['reason']})" if shown.get("reason") else ""
        lines = [
            f"{self.number} {what}",
            f"  the call from {shown['from']} to {shown['to']} is {state}",
        ]
        if shown["dtmf"]:
            lines.append(f"  keys it heard: {shown['dtmf']}")
        for each in shown["steps"]:
            came = "ok" if each["ok"] else "not"
            heard = "" if each["heard"] is None else f", heard {each['heard']}"
            lines.append(f"  {each['at']} {each['step']} {came}{heard}")
        return "\n".join([*lines, *told_of(self._door, shown)])


class Phone:
    """A simulated phone: it takes calls at once and says nothing, if it is not told otherwise.

    What is said of a call here is said of its newest one; if there is none, one has to come.
    """

    def __init__(self, door: Door, number: str) -> None:
        self.number = number
        self._door = door
        self._path = f"/sim/phones/{quote(number, safe='')}"
        self._seen: dict[str, PhoneCall] = {}
        self._taken: set[str] = set()
        self.answer_after(0.0)

    def __repr__(self) -> str:
        return f"Phone({self.number})"

    # How it is called

    def answer_after(self, seconds: float | None) -> None:
        """Answer calls after so many seconds, None for never."""
        self.answer_as(answer_after=seconds)

    def refuse(self, status: int = 486) -> None:
        """Refuse calls with a SIP status, after it rang for a moment: 486 is busy."""
        self.answer_as(refuse=status)

    def answer_as(self, **manner: object) -> None:
        """Answer as docs/simulators.md says: `script`, `early`, `redirect`, `drop_after` …"""
        self._door.ask("PUT", self._path, content=manner)

    def expect_call(self, within: float = _WITHIN, from_: str = "") -> PhoneCall:
        """Somebody calls; each call is given once."""
        fresh = wait_for(lambda: self._fresh(from_), within)
        if not fresh:
            known = ", ".join(f"{each['from']} ({each['state']})" for each in self._listed())
            whom = f" by {from_}" if from_ else ""
            said = [
                f"{self.number} was to be called{whom} within {within:g} s;"
                f" its calls: {known or 'none'}",
                *told_of(self._door),
            ]
            raise AssertionError("\n".join(said))
        self._taken.add(fresh[0]["id"])
        return self._known(fresh[0]["id"])

    # Calls

    def call(self, to: str, **dialling: object) -> PhoneCall:
        """Call a number of the gateway; `dialling` may have what docs/simulators.md says."""
        placed = self._door.ask("POST", f"{self._path}/calls", content={"to": to, **dialling})
        return self._known(placed["id"])

    @property
    def calls(self) -> list[PhoneCall]:
        """All its calls, oldest first."""
        return [self._known(each["id"]) for each in self._listed()]

    def _fresh(self, from_: str) -> list[dict[str, Any]]:
        return [
            each
            for each in self._listed()
            if each["direction"] == "inbound"
            and each["id"] not in self._taken
            and from_ in ("", each["from"])
        ]

    def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._door.ask("GET", f"{self._path}/calls")
        return found

    def _known(self, id: str) -> PhoneCall:
        return self._seen.setdefault(id, PhoneCall(self._door, self.number, id))

    def _newest(self, within: float) -> PhoneCall:
        calls = wait_for(lambda: self.calls, within)
        if not calls:
            raise AssertionError(f"{self.number} has no call, and none came within {within:g} s")
        return calls[-1]

    # Its newest call

    @property
    def state(self) -> str:
        """`PhoneCall.state`."""
        return self._newest(_WITHIN).state

    @property
    def keys(self) -> str:
        """`PhoneCall.keys`."""
        return self._newest(_WITHIN).keys

    def shown(self) -> dict[str, Any]:
        """`PhoneCall.shown`."""
        return self._newest(_WITHIN).shown()

    def press(self, keys: str) -> None:
        """`PhoneCall.press`."""
        self._newest(_WITHIN).press(keys)

    def tone(self, frequency: float, seconds: float = 1.0) -> None:
        """`PhoneCall.tone`."""
        self._newest(_WITHIN).tone(frequency, seconds)

    def noise(self, seconds: float = 1.0) -> None:
        """`PhoneCall.noise`."""
        self._newest(_WITHIN).noise(seconds)

    def play(self, path: str | Path) -> None:
        """`PhoneCall.play`."""
        self._newest(_WITHIN).play(path)

    def hang_up(self) -> None:
        """`PhoneCall.hang_up`."""
        self._newest(_WITHIN).hang_up()

    def expect_answer(self, within: float = _WITHIN) -> None:
        """`PhoneCall.expect_answer`."""
        self._newest(within).expect_answer(within)

    def expect_end(self, within: float = _WITHIN) -> int:
        """`PhoneCall.expect_end`."""
        return self._newest(within).expect_end(within)

    def expect_tone(self, frequency: float, within: float = _WITHIN) -> None:
        """`PhoneCall.expect_tone`."""
        self._newest(within).expect_tone(frequency, within)

    def expect_dtmf(self, keys: str, within: float = _WITHIN) -> None:
        """`PhoneCall.expect_dtmf`."""
        self._newest(within).expect_dtmf(keys, within)

    def expect_speech(self, within: float = _WITHIN) -> None:
        """`PhoneCall.expect_speech`."""
        self._newest(within).expect_speech(within)

    def expect_silence(self, within: float = _WITHIN) -> None:
        """`PhoneCall.expect_silence`."""
        self._newest(within).expect_silence(within)


def _one(step: dict[str, object]) -> dict[str, object]:
    return {"script": [step]}
