"""Named places of a payment where a test may kill the process; what they do is `telemetry.crash_points`."""

from telemetry.crash_points import crash_point

__all__ = ["crash_point"]
