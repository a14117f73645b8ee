"""What can go wrong while the local stack starts, said so that the reader knows the way out."""


class LocalStackError(Exception):
    """Raised when the stack cannot start or stop; `message` says what happened, `way_out` what to do about it."""

    def __init__(self, message: str, way_out: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.way_out}" if self.way_out else self.message
