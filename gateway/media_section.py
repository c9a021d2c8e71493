"""The section [media], as `gateway/sections` has the others."""

from dataclasses import dataclass

from gateway import forms
from gateway.forms import Address
from gateway.model import MediaPlane
from gateway.tables import key


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The workers that media lives in, and what may pass it on in their place."""

    workers: int = key(
        0, forms.whole_number(0), "processes; 0: one for each core but one, at least one"
    )
    calls: int = key(1000, forms.whole_number(1), "that one of them takes; over that: 503")
    set_ups: int = key(
        20, forms.whole_number(1), "browsers that one of them takes up each second; over that: 503"
    )
    plane: MediaPlane = key(
        MediaPlane.WORKERS,
        forms.one_of(MediaPlane),
        "rtpengine: it passes on what two phones say, while nobody else hears (docs/rtpengine.md)",
    )
    rtpengine: Address | None = key(
        None, forms.address(), "where it takes commands, its listen-ng; it runs on this machine"
    )
    interfaces: tuple[str, ...] = key(
        (),
        forms.list_of(forms.matching(r"[^\s/;:]+", "the name of an interface")),
        'two of its interfaces by name, that towards the workers first, such as ["inside",'
        ' "outside"]; []: its first one for all',
    )
