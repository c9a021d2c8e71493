"""A customer as the SMPP server knows it."""

import msgspec


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who may bind; `account_sid` is whose texts they are, `senders` () means any address.

    Inbound texts to a number among `senders` are brought to its bind.
    """

    system_id: str
    password: str
    account_sid: str
    binds: int
    tps: float
    senders: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Customer({self.system_id})"
