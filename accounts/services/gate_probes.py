"""Evidence for the gates about what `accounts` offers."""

from django.db import transaction

from accounts.services import feature_flags as flags
from accounts.services.feature_flags import FLAGS, Setting


class NotConfigurable(RuntimeError):
    """Raised when a flag that was set does not read as it was set."""


def feature_flags() -> dict[str, object]:
    """Set a flag, read it back, and undo both: flags are configurable. Raises NotConfigurable. Writes nothing."""
    name = sorted(FLAGS)[0]
    with transaction.atomic():
        before = {row.name: row.is_enabled for row in flags.all_flags()}
        row = flags.set_flag(
            name, Setting(is_enabled=not before[name]), actor="gate", reason="Gate 3 sets a flag and undoes it."
        )
        row.refresh_from_db()
        transaction.set_rollback(True)
    if row.is_enabled is before[name]:
        raise NotConfigurable(f"The flag {name} did not change when it was set.")
    return {"flags": before}
