"""Which calls of a worker share legs: who has to be joined anew when one of them changes."""

from collections.abc import Iterable


class Lending:
    """Calls by their names, and whose guests are of whom; a call may be named before it is."""

    def __init__(self) -> None:
        self._lenders: dict[str, set[str]] = {}
        self._borrowers: dict[str, set[str]] = {}

    def borrow(self, borrower: str, lenders: Iterable[str]) -> None:
        """From now on a call has guests of these, and of no others."""
        for each in self._lenders.pop(borrower, ()):
            borrowers = self._borrowers[each]
            borrowers.discard(borrower)
            if not borrowers:
                del self._borrowers[each]
        wanted = set(lenders)
        if wanted:
            self._lenders[borrower] = wanted
        for each in wanted:
            self._borrowers.setdefault(each, set()).add(borrower)

    def sharing(self, name: str) -> set[str]:
        """All calls that share legs with this one, and with those; itself among them."""
        if name not in self._lenders and name not in self._borrowers:  # as most
            return {name}
        found, waiting = {name}, [name]
        while waiting:
            each = waiting.pop()
            near = self._lenders.get(each, set()) | self._borrowers.get(each, set())
            waiting += near - found
            found |= near
        return found

    def __len__(self) -> int:
        return len(self._lenders)
