"""What the holders' side counts."""

from typing import Final

from telemetry import names
from telemetry.metrics import counter

DETECTIONS: Final = counter(
    names.NFT_DETECTIONS, "Detections of a wallet's tokens, by who answered.", labels=("source",)
)
