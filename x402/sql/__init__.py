"""SQL of the payment side, read by migrations. Each file has a reverse of the same name ending in `.reverse.sql`."""

from pathlib import Path

_HERE = Path(__file__).parent


def read(name: str) -> str:
    """The text of one SQL file of this folder."""
    return (_HERE / name).read_text(encoding="utf-8")
