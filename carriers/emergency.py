"""Calls for help: which numbers they are, and which trunk takes them.

An operator says which, in `emergency` of each trunk: countries, numbers, "*" for all that are known
here, or nothing at all, `[]`. Until something is said no trunk may be used. A call for help counts
for no limit. The numbers are those of police, fire brigade and ambulance that a country publishes;
what is missing here is given in the file by its number.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from carriers.trunks import Trunk
from protocols.sip.uri import OtherUri, SipUri, TelUri, Uri

ALL: Final = "*"
EVERYWHERE: Final = frozenset({"112", "911"})
"""What phones dial for help without asking where they are (3GPP TS 22.101 §10.1)."""

# Country: its calling code, and its numbers beside 112 where that is answered too.
_COUNTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "AE": ("971", "112 997 998 999"),
    "AR": ("54", "100 101 107 911"),
    "AT": ("43", "112 122 133 144"),
    "AU": ("61", "000 112"),
    "BE": ("32", "100 101 112"),
    "BG": ("359", "112"),
    "BR": ("55", "190 192 193"),
    "CA": ("1", "911"),
    "CH": ("41", "112 117 118 144"),
    "CL": ("56", "131 132 133"),
    "CN": ("86", "110 119 120"),
    "CO": ("57", "112 123"),
    "CY": ("357", "112 199"),
    "CZ": ("420", "112 150 155 158"),
    "DE": ("49", "110 112"),
    "DK": ("45", "112"),
    "EE": ("372", "112"),
    "ES": ("34", "061 062 080 091 092 112"),
    "FI": ("358", "112"),
    "FR": ("33", "112 114 15 17 18"),
    "GB": ("44", "112 999"),
    "GR": ("30", "100 112 166 199"),
    "HK": ("852", "112 999"),
    "HR": ("385", "112 192 193 194"),
    "HU": ("36", "104 105 107 112"),
    "IE": ("353", "112 999"),
    "IL": ("972", "100 101 102 112"),
    "IN": ("91", "100 101 102 108 112"),
    "IS": ("354", "112"),
    "IT": ("39", "112 113 115 118"),
    "JP": ("81", "110 118 119"),
    "KR": ("82", "112 119"),
    "LT": ("370", "112"),
    "LU": ("352", "112 113"),
    "LV": ("371", "110 112 113"),
    "MT": ("356", "112"),
    "MX": ("52", "911"),
    "MY": ("60", "112 999"),
    "NL": ("31", "112"),
    "NO": ("47", "110 112 113"),
    "NZ": ("64", "111"),
    "PL": ("48", "112 997 998 999"),
    "PT": ("351", "112"),
    "RO": ("40", "112"),
    "SE": ("46", "112"),
    "SG": ("65", "995 999"),
    "SI": ("386", "112 113"),
    "SK": ("421", "112 150 155 158"),
    "TR": ("90", "112"),
    "UA": ("380", "101 102 103 112"),
    "US": ("1", "911"),
    "ZA": ("27", "10111 10177 112"),
}
NUMBERS: Final[Mapping[str, frozenset[str]]] = {
    country: frozenset(numbers.split()) for country, (_, numbers) in _COUNTRIES.items()
}
_CODES: Final[Mapping[str, frozenset[str]]] = {
    code: frozenset(country for country, (each, _) in _COUNTRIES.items() if each == code)
    for code, _ in _COUNTRIES.values()
}
_ANYWHERE: Final = EVERYWHERE.union(*NUMBERS.values())
_SEPARATORS: Final = str.maketrans("", "", " -.()")
_NUMBER: Final = re.compile(r"[0-9]{2,6}")
_SOS: Final = re.compile(r"service:sos(\.[A-Za-z0-9.\-]*)?", re.IGNORECASE)


class CallForHelp(msgspec.Struct, frozen=True, kw_only=True):
    """A call to an emergency `number`, and the `carriers` that take it, in turn."""

    number: str
    carriers: tuple[str, ...]

    def reason(self) -> str:
        """What to tell of it: who takes it, or that it has to be refused."""
        if self.carriers:
            return f"emergency call to {self.number}, by {', '.join(self.carriers)}"
        return (
            f"emergency call to {self.number} refused: no carrier takes it; name the country or"
            " the number in emergency of one that does"
        )


def call_for_help(dialled: str, caller: str, trunks: Mapping[str, Trunk]) -> CallForHelp | None:
    """Whether `dialled` is a call for help, and by which of `trunks` it goes; None if it is none.

    `caller` (E.164 or "") tells the country. A trunk that names it comes before those that name
    the number, those before "*"; else the order is that of the file. A number is one for help if
    it is in the caller's country, in one that a trunk names, or anywhere (112, 911).
    """
    number = _bare(dialled)
    if _NUMBER.fullmatch(number) is None:
        return None
    here = countries_of(caller)
    asked = {each for trunk in trunks.values() for each in trunk.emergency or ()}
    known = EVERYWHERE.union(
        asked, *(NUMBERS[each] for each in here), *(NUMBERS.get(each, ()) for each in asked)
    )
    if ALL in asked and not here:
        known = known.union(*NUMBERS.values())
    if number not in known:
        return None
    ranked = [
        (rank, name)
        for name, trunk in trunks.items()
        if (rank := _rank(trunk.emergency or (), number, here)) is not None
    ]
    ranked.sort(key=lambda each: each[0])  # stable: the file's order
    return CallForHelp(number=number, carriers=tuple(name for _, name in ranked))


def _bare(dialled: str) -> str:
    return dialled.translate(_SEPARATORS).removeprefix("+")


def _rank(said: tuple[str, ...], number: str, here: frozenset[str]) -> int | None:
    if here.intersection(said):
        return 0
    if number in said:
        return 1
    if ALL in said:
        return 2
    # Who calls from nowhere that is known is better helped by a neighbour than by nobody.
    elsewhere = not here and any(number in NUMBERS.get(each, ()) for each in said)
    return 3 if elsewhere else None


def countries_of(number: str) -> frozenset[str]:
    """The countries of an E.164 number, several where they share a code; none if it isn't known."""
    if not number.startswith("+"):
        return frozenset()
    return next(
        (_CODES[number[1:end]] for end in (4, 3, 2) if number[1:end] in _CODES), frozenset()
    )


def dialled_for_help(uri: Uri) -> str:
    """What a phone dialled, for `call_for_help`; `urn:service:sos` (RFC 5031) is 112."""
    match uri:
        case OtherUri(scheme="urn", rest=rest) if _SOS.fullmatch(rest):
            return "112"
        case SipUri(user=user):
            return user.partition(";")[0]
        case TelUri(number=number):
            return number
        case OtherUri():
            return ""


def may_be_for_help(uri: Uri, trunks: Iterable[Trunk]) -> bool:
    """Whether somewhere, or by what `trunks` name, it is a call for help.

    For who has to say before it is known where the caller is.
    """
    number = _bare(dialled_for_help(uri))
    return number in _ANYWHERE or any(number in (each.emergency or ()) for each in trunks)


def problems_of_emergency(trunks: Mapping[str, Trunk]) -> tuple[str, ...]:
    """What is wrong with what `trunks` say of calls for help, a sentence for each."""
    found = [
        f"carrier {name}: emergency has {each!r}; it must be a country such as"
        f' "GB", a number such as "112", or "{ALL}"'
        for name, trunk in trunks.items()
        for each in trunk.emergency or ()
        if each not in NUMBERS and each != ALL and _NUMBER.fullmatch(each) is None
    ]
    if trunks and all(trunk.emergency is None for trunk in trunks.values()):
        found.append(
            "nothing says where emergency calls go (112, 911, 999 …): give one carrier of kind"
            ' "sip" emergency = ["GB"], the countries whose calls it takes, or emergency = [] to'
            " have them refused"
        )
    return tuple(found)
