"""What runs for a number or a domain: parameters that are kept as they are given.

They are kept and shown under their names in small letters: `VoiceUrl` as `voice_url`.
"""

import functools
import re
from typing import Any, Final

import msgspec

from gateway.api.http import refuse
from gateway.api.resources import Call, Kind, Param
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal

_MOST: Final = 4000  # characters of a value: all of them stay in memory
_CAPITAL: Final = re.compile(r"(?<=.)(?=[A-Z])")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of one resource, by what they may be; `flags` are false unless given."""

    urls: tuple[str, ...]
    methods: tuple[str, ...]
    flags: tuple[Param, ...] = ()
    others: tuple[Param, ...] = ()

    def params(self) -> tuple[Param, ...]:
        """Their declarations."""
        return (
            *(Param(name=name, doc="An http(s) URL, or empty for none.") for name in self.urls),
            *(
                Param(
                    name=name, kind=Kind.METHOD, error_code=21403, doc="GET or POST (the default)."
                )
                for name in self.methods
            ),
            *self.flags,
            *self.others,
        )

    def read(self, call: Call) -> dict[str, str] | Refusal:
        """Those that the form gives, by the names they are kept under."""
        for name in self.urls:
            url = call.text(name)
            if url and not is_http_url(url):
                return refuse(21402, f"{name} is not an http or https URL: {url[:100]}")
        given = {param.name: call.text(param.name) for param in self.params()}
        for name, value in given.items():
            if len(value) > _MOST:
                return refuse(20001, f"{name} may have {_MOST} characters, not {len(value)}")
        given |= {name: given[name].upper() for name in self.methods}
        given |= {flag.name: given[flag.name].lower() for flag in self.flags}
        return {_kept(name): value for name, value in given.items() if name in call.form}

    def shown(self, kept: dict[str, str]) -> dict[str, Any]:
        """What is kept, and what stands for the rest; `others` as they are, None if absent."""
        return {
            **{_kept(name): kept.get(_kept(name), "") for name in self.urls},
            **{_kept(name): kept.get(_kept(name)) or "POST" for name in self.methods},
            **{_kept(f.name): kept.get(_kept(f.name), "").lower() == "true" for f in self.flags},
            **{_kept(each.name): kept.get(_kept(each.name)) or None for each in self.others},
        }


@functools.cache
def _kept(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()
