"""Filling empty tables fast: their guards, keys and indexes step aside and are put back exactly as they were.

Putting back checks every row that came in between, foreign keys included; triggers are not asked again. Only the
owner of the tables can do this, and only generated books are loaded so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db.backends.utils import CursorWrapper

_TRIGGERS: Final = """
SELECT format('ALTER TABLE %%s DISABLE TRIGGER %%I', t.tgrelid::regclass, t.tgname),
       format('ALTER TABLE %%s ENABLE %%s TRIGGER %%I', t.tgrelid::regclass,
              CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, t.tgname)
FROM pg_trigger t
WHERE t.tgrelid = ANY (%s::regclass[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY t.tgrelid, t.tgname
"""
# Foreign keys go first and come back last, those of other tables that point here included.
_CONSTRAINTS: Final = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', c.conrelid::regclass, c.conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c
WHERE (c.conrelid = ANY (%s::regclass[]) AND c.contype IN ('p', 'u', 'f')) OR (c.confrelid = ANY (%s::regclass[]))
ORDER BY c.contype = 'f' DESC, c.contype = 'p', c.conrelid, c.conname
"""
_INDEXES: Final = """
SELECT format('DROP INDEX %%s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM pg_index i
WHERE i.indrelid = ANY (%s::regclass[])
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
ORDER BY i.indexrelid
"""


@dataclass(frozen=True, slots=True)
class _Step:
    undo: str
    redo: str


@contextmanager
def without_guards_and_indexes(cursor: CursorWrapper, tables: Sequence[str]) -> Iterator[None]:
    """Take triggers, keys and indexes of the tables away for the length of the block.

    Locks: each table exclusively until the caller's transaction ends, and it must be in one: an error rolls all of it
    back. Raises IntegrityError on leaving when the rows that came in break a key.
    """
    names = list(tables)
    steps = [
        *_steps(cursor, _TRIGGERS, [names]),
        *_steps(cursor, _CONSTRAINTS, [names, names]),
        *_steps(cursor, _INDEXES, [names]),
    ]
    for step in steps:
        cursor.execute(step.undo)
    yield
    for step in reversed(steps):
        cursor.execute(step.redo)


def _steps(cursor: CursorWrapper, query: str, parameters: Sequence[list[str]]) -> list[_Step]:
    cursor.execute(query, parameters)
    return [_Step(undo, redo) for undo, redo in cursor.fetchall()]
