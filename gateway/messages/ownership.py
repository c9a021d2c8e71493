"""What the message path asks about the ownership of carriers: may we still act for them?"""

from typing import Protocol

from gateway.store.base import Lease


class Owner(Protocol):
    """As `gateway/owners.py` has it."""

    @property
    def alive(self) -> bool:
        """Whether nobody can have taken over what this process owns."""
        ...

    def lease(self) -> Lease | None:
        """The fence of what an owner commits."""
        ...
