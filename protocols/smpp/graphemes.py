"""Where a person sees one character: the borders between grapheme clusters (UAX #29).

A small form of the rules, enough that a split text shows no half flag, no emoji without its skin
tone, no letter without its accent. Prepended marks and Indic conjuncts are left out: a part may
end inside them, nothing is lost by it.
"""

import unicodedata
from typing import Final

_ZWJ: Final = 0x200D
_EXTENDING_CATEGORIES: Final = frozenset({"Mn", "Me", "Mc"})

# Extend, beyond the categories: ZWNJ and ZWJ, halfwidth voicing marks, skin tones, tags.
_EXTENDING_RANGES: Final = (
    (0x200C, 0x200D),
    (0xFF9E, 0xFF9F),
    (0x1F3FB, 0x1F3FF),
    (0xE0020, 0xE007F),
)
_FIRST_REGIONAL: Final = 0x1F1E6
_LAST_REGIONAL: Final = 0x1F1FF

# Extended_Pictographic in blocks; the few letters among them never follow a ZWJ in practice.
_PICTOGRAPHIC_RANGES: Final = (
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2190, 0x21FF),
    (0x2300, 0x23FF),
    (0x2460, 0x24FF),
    (0x25A0, 0x27BF),
    (0x2900, 0x297F),
    (0x2B00, 0x2BFF),
    (0x3030, 0x303D),
    (0x3297, 0x3299),
    (0x1F000, 0x1F1E5),
    (0x1F200, 0x1F3FA),
    (0x1F400, 0x1FAFF),
)

# Conjoining jamo and syllables: (L, V, T) as UAX #29 GB6-GB8 names them.
_L: Final = ((0x1100, 0x115F), (0xA960, 0xA97C))
_V: Final = ((0x1160, 0x11A7), (0xD7B0, 0xD7C6))
_T: Final = ((0x11A8, 0x11FF), (0xD7CB, 0xD7FB))
_SYLLABLE: Final = ((0xAC00, 0xD7A3),)


def is_border(text: str, index: int, start: int = 0) -> bool:
    """Whether a cluster ends before `text[index]`; true at both ends of the text.

    `start` is a border known before it: nothing is looked at on its left.
    """
    if index <= start or index >= len(text):
        return True
    before, after = ord(text[index - 1]), ord(text[index])
    if before < 0x300 and after < 0x300:
        return not (before == 0x0D and after == 0x0A)
    if _extends(after):
        return before in (0x0A, 0x0D)
    if before == _ZWJ and _within(after, _PICTOGRAPHIC_RANGES):
        return not _pictograph_before(text, index - 1, start)
    if _FIRST_REGIONAL <= before <= _LAST_REGIONAL and _FIRST_REGIONAL <= after <= _LAST_REGIONAL:
        return _regional_indicators_before(text, index, start) % 2 == 0
    return not _hangul_joins(before, after)


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def _extends(code: int) -> bool:
    return _within(code, _EXTENDING_RANGES) or (
        unicodedata.category(chr(code)) in _EXTENDING_CATEGORIES
    )


def _pictograph_before(text: str, index: int, start: int) -> bool:
    """Whether a pictograph and its extenders stand before `text[index]` (GB11)."""
    while index > start:
        index -= 1
        code = ord(text[index])
        if not _extends(code):
            return _within(code, _PICTOGRAPHIC_RANGES)
    return False


def _regional_indicators_before(text: str, index: int, start: int) -> int:
    """How many regional indicators stand in a row before `text[index]`: two make a flag."""
    first = index
    while first > start and _FIRST_REGIONAL <= ord(text[first - 1]) <= _LAST_REGIONAL:
        first -= 1
    return index - first


def _hangul_joins(before: int, after: int) -> bool:
    if _within(before, _L):
        return _within(after, _L + _V + _SYLLABLE)
    if _within(before, _V) or _within(before, _SYLLABLE):
        has_final = _within(before, _SYLLABLE) and (before - 0xAC00) % 28 != 0
        return _within(after, _T) or (not has_final and _within(after, _V))
    return _within(before, _T) and _within(after, _T)
