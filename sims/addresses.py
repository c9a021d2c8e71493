"""Numbers and names as SMPP writes them, and as people do."""

from protocols.smpp.constants import Npi, Ton


def shown(ton: int, address: str) -> str:
    """An address as people write it: E.164 with +, anything else as it is."""
    return f"+{address}" if ton == Ton.INTERNATIONAL and address.isdigit() else address


def numbering(address: str) -> tuple[Ton, Npi]:
    """Type of number and numbering plan of `address`, which has no + any more."""
    if not address.isdigit():
        return Ton.ALPHANUMERIC, Npi.UNKNOWN
    if len(address) <= 6:
        return Ton.NETWORK_SPECIFIC, Npi.UNKNOWN
    return Ton.INTERNATIONAL, Npi.ISDN
