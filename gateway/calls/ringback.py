"""What a caller hears from when whoever is dialled rings until there is an answer.

A caller that waits is told 180 and makes a ringing tone for itself, or 183 to hear what the other
end sends. One that was answered before has a tone from us, as it sounds in the country of the
number that rings, until there is something else to hear. Whether the other end may be heard is the
`early_media` of its trunk; a `ringTone` of the document's own goes before it, as at Twilio:
https://www.twilio.com/docs/voice/twiml/dial#ringtone.
"""

from typing import Final

from gateway.calls.leg import Leg
from gateway.calls.media import CallMedia
from gateway.media.graph import ringing

AUTOMATIC: Final = ("", "automatic")
USUAL: Final = "us"

_RINGING: Final = 180
_PROGRESS: Final = 183
_LONGEST_CODE: Final = 3
# Countries by their codes (ITU-T E.164), as far as their tones are known.
_COUNTRIES: Final = {
    "7": "ru", "27": "za", "30": "gr", "31": "nl", "32": "be", "33": "fr", "34": "es", "36": "hu",
    "39": "it", "41": "ch", "43": "at", "44": "uk", "45": "dk", "46": "se", "47": "no", "48": "pl",
    "49": "de", "52": "mx", "55": "br", "56": "cl", "58": "ve", "60": "my", "61": "au", "63": "ph",
    "64": "nz", "65": "sg", "66": "th", "81": "jp", "86": "cn", "91": "in", "351": "pt",
    "358": "fi", "359": "bg", "370": "lt", "372": "ee", "420": "cz", "886": "tw", "972": "il",
}  # fmt: skip


def country_of(number: str) -> str:
    """Whose tone the number +… rings with; that of the USA where it is not known."""
    digits = number.removeprefix("+") if number.startswith("+") else ""
    codes = (digits[:length] for length in range(_LONGEST_CODE, 0, -1))
    return next((_COUNTRIES[code] for code in codes if code in _COUNTRIES), USUAL)


class Ringback:
    """One dial's. `tone` is its `ringTone`."""

    def __init__(self, caller: Leg, media: CallMedia, tone: str) -> None:
        self._caller = caller
        self._media = media
        self._tone = tone
        self._early = ""  # the leg that is heard

    @property
    def passes(self) -> bool:
        """Whether the other end may be heard, as far as the document goes."""
        return self._tone in AUTOMATIC

    def hear(self, leg_id: str) -> None:
        """Let the caller hear what a leg sends before its answer."""
        self._early = leg_id
        self._media.join(self._caller.id, leg_id)
        if not self._caller.is_up:
            self._caller.ring(status=_PROGRESS)

    def ring(self, number: str) -> None:
        """Let the caller know that `number` rings, unless it hears another one already."""
        if self._early:
            return
        if not self._caller.is_up:
            self._caller.ring(status=_RINGING)
        if self._caller.hears:
            country = country_of(number) if self.passes else self._tone
            self._media.play(self._caller.id, ringing(f"{self._caller.id}.ringing", country))

    def cover(self, number: str) -> None:
        """Whoever answered hears a document of its own first: the caller is to hear ringing."""
        if self._early:
            self._media.part(self._early)
            self._early = ""
        self.ring(number)

    def left(self, leg_id: str) -> None:
        """A leg is gone."""
        if leg_id == self._early:
            self._early = ""

    def stop(self) -> None:
        """Nothing rings any more."""
        self._early = ""
        self._media.hush(self._caller.id)
