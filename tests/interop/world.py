"""What the interop tests share: a gateway with a customer, and texts that find faults."""

NUMBER = "+15550001000"  # the customer's, texts to it go to its bind
HANDSET = "+447700900456"
SYSTEM_ID, PASSWORD = "shop", "s3cret"
EMOJI = "\N{SPEEDBOAT}"
_UNITS = 67  # UTF-16 units of a part with an 8-bit reference

CUSTOMER = f"""
[[numbers]]
number = "{NUMBER}"

[[customers]]
system_id = "{SYSTEM_ID}"
password = "{PASSWORD}"
senders = ["{NUMBER}"]
"""

TEXTS = {
    "gsm": "Hello, @£$ Ω {[~]} \\ ^ | € à",
    "gsm, alone at its limit": "x" * 160,
    "ucs-2": "Привет, мир 👋",
    "gsm, two parts": "The quick brown fox. " * 10,
    "ucs-2, three parts": "Съешь ещё этих мягких французских булок. " * 4,
}


def emoji_at_every_border(length: int) -> str:
    """`length` code points of which an emoji lies across each border of 67 UTF-16 units.

    A part that leaves the emoji whole has 66 units; the next begins with it.
    """
    first = "ж" * (_UNITS - 1)
    later = EMOJI + "ж" * (_UNITS - 3)
    return (first + later * (length // len(later)))[:length]


def parts_of(body: str) -> int:
    """How many parts `emoji_at_every_border` comes to: counted, not split by code of ours."""
    units = len(body.encode("utf-16-be")) // 2
    parts = 1
    while units > _UNITS:
        units -= _UNITS - 1
        parts += 1
    return parts
