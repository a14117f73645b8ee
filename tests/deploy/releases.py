"""Two releases of the code: this tree, and a copy of it with an additive migration and the code that uses it.

The copy's payments have one more column, nullable. The copy writes it, and tells it in a header of
`GET /api/v1/payments/{id}`; this tree knows nothing of it.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from loa_site.local import binaries

LEFT_OUT = shutil.ignore_patterns(
    ".*", "node_modules", "tests", "infra", "examples", "*.log", "*.sqlite3", "test-results"
)
NEXT, HEADER = "next", "X-Release"
# In which file of the copy which line gets which neighbour before it, or is replaced.
BEFORE = {
    "x402/models/payment.py": (
        "    created_at = models.DateTimeField(auto_now_add=True)\n    updated_at",
        "    release = models.CharField(max_length=16, null=True)\n",
    ),
    "x402/services/payment_rows.py": (
        "    payment.created_at = payment.updated_at = timezone.now()\n",
        f'    payment.release = "{NEXT}"\n',
    ),
}
READ = (
    "return Response(PaymentStateSerializer(state_facts(payment)).data)",
    "return Response(PaymentStateSerializer(state_facts(payment)).data,"
    f' headers={{"{HEADER}": payment.release or "-"}})',
)
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("x402", "{newest}")]
    operations = [
        migrations.AddField(
            model_name="payment", name="release", field=models.CharField(max_length=16, null=True)
        ),
    ]
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A folder of code that can be started."""

    name: str
    folder: Path

    def variables(self) -> dict[str, str]:
        """What makes a process import this release and no other."""
        return {"PYTHONPATH": str(self.folder)}

    def migrate(self, environment: dict[str, str]) -> None:
        """Bring the database to this release's schema, as its owner."""
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--no-input", "--skip-checks"],
            cwd=self.folder,
            env=environment | self.variables() | {"LOA_DATABASE_ROLE": "owner"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def this_release() -> Release:
    """The code that is under test."""
    return Release("this", binaries.ROOT)


def next_release(folder: Path) -> Release:
    """A copy of it with one more column, one migration further."""
    target = folder / NEXT
    shutil.copytree(binaries.ROOT, target, ignore=LEFT_OUT, symlinks=True)
    for name, (line, added) in BEFORE.items():
        _edit(target / name, line, added + line)
    _edit(target / "x402/api/payments.py", *READ)
    newest = max(path.stem for path in (target / "x402/migrations").glob("[0-9]*.py"))
    migration = MIGRATION.format(newest=newest)
    (target / f"x402/migrations/{int(newest[:4]) + 1:04}_release.py").write_text(migration)
    return Release(NEXT, target)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} no longer has this line once: {old!r}"
    path.write_text(text.replace(old, new))
