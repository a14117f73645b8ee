"""What a migration does that the release before it cannot live with, or that stops its writers while it runs.

Old code goes on reading and writing while a deployment rolls (`docs/how-to/deploy.md`): a migration may only add. What
is made new in the same migration is nobody's yet, so anything may be done to it.
"""

import re
from collections.abc import Iterator

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED

REMOVING = {
    "DeleteModel": "removes a table that old code reads",
    "RemoveField": "removes a column that old code reads",
    "RenameModel": "renames a table under old code",
    "RenameField": "renames a column under old code",
    "AlterModelTable": "renames a table under old code",
    "RemoveConstraint": "takes away a rule that old code relies on",
    "AlterUniqueTogether": "changes a rule under old code",
    "AlterField": "changes a column under old code",
}
# A word of SQL that takes something away. `DROP … IF EXISTS` before a CREATE of the same thing replaces it.
TAKES_AWAY = re.compile(
    r"\b(DROP\s+(?:TABLE|COLUMN|SCHEMA|CONSTRAINT|TYPE|FUNCTION|VIEW)|TRUNCATE|RENAME\s+(?:TO|COLUMN)|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\w+\s+(?:SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def complaints_about(migration: Migration) -> list[str]:
    """A sentence for each operation that is not additive; empty for a migration that may roll."""
    new = {
        operation.name.lower() for operation in migration.operations if isinstance(operation, operations.CreateModel)
    }
    return [complaint for operation in migration.operations for complaint in _complaints(operation, new)]


def _complaints(operation: Operation, new: set[str]) -> Iterator[str]:
    kind, model = type(operation).__name__, getattr(operation, "model_name", getattr(operation, "name", "")).lower()
    if isinstance(operation, operations.SeparateDatabaseAndState):
        for inner in operation.database_operations:
            yield from _complaints(inner, new)
    elif isinstance(operation, operations.RunSQL):
        yield from (f"RunSQL: {words} takes something away" for words in _taken_away(operation.sql))
    elif model in new:
        return
    elif kind in REMOVING:
        yield f"{kind} on {model}: {REMOVING[kind]}"
    elif isinstance(operation, operations.AddField) and not _can_be_left_out(operation):
        yield f"AddField {model}.{operation.name}: old code inserts without it; give it null=True or db_default"
    elif kind == "AddConstraint":
        yield f"AddConstraint on {model}: old code may write what it refuses"
    elif kind == "AddIndex":
        yield f"AddIndex on {model}: stops writers while it is built; use AddIndexConcurrently"


def _can_be_left_out(operation: operations.AddField) -> bool:
    field = operation.field
    return field.many_to_many or field.null or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _taken_away(sql: object) -> list[str]:
    """The words that take something away, of one statement, several, or several with parameters."""
    if sql in ("", operations.RunSQL.noop):
        return []
    statements = [sql] if isinstance(sql, str) else [one if isinstance(one, str) else one[0] for one in sql]
    return [" ".join(words.split()).upper() for one in statements for words in TAKES_AWAY.findall(COMMENT.sub("", one))]
