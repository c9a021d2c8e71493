"""What a segment costs at a carrier and what it is charged, by the prefix of the destination.

Decimals throughout: money is never a float. `CostTable` is compiled once from the carriers.
"""

from collections.abc import Sequence
from decimal import Decimal

from carriers.model import Carrier, Route


class CostTable:
    """The costs of every carrier, compiled: a look-up takes a step per digit at most."""

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self._flat = {carrier.name: carrier.price for carrier in carriers}
        self._by_prefix = {carrier.name: carrier.prices for carrier in carriers if carrier.prices}
        self._lengths = {
            name: sorted({len(prefix) for prefix in prices}, reverse=True)
            for name, prices in self._by_prefix.items()
        }

    def cost(self, carrier: str, to: str) -> Decimal | None:
        """What one segment to `to` costs at `carrier`; None if the file does not say."""
        prices = self._by_prefix.get(carrier)
        if prices is not None:
            for length in self._lengths[carrier]:
                price = prices.get(to[:length])
                if price is not None:
                    return price
        return self._flat.get(carrier)

    def price(self, route: Route | None, carrier: str, to: str, segments: int) -> Decimal | None:
        """What `segments` to `to` are charged: by the route's price, else at the carrier's cost."""
        each = route.price if route is not None else None
        if each is None:
            each = self.cost(carrier, to)
        return None if each is None else each * segments
