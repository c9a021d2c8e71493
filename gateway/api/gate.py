"""How much may wait at once, where nothing else counts it."""


class Gate:
    """Lets at most `most` things in at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.inside = 0

    def admit(self, count: int) -> bool:
        """Whether `count` more may come in; then `dismiss` them."""
        if self.inside + count > self.most:
            return False
        self.inside += count
        return True

    def dismiss(self, count: int) -> None:
        """So many have left."""
        self.inside -= count
