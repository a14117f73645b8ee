"""How another app's migration lets its rows move together with money."""

from collections.abc import Sequence
from typing import Any

from django.db import migrations


def register_transition_table(
    *, name: str, table: str, state_column: str, attempt_column: str, columns: Sequence[str]
) -> migrations.RunSQL:
    """A migration operation that registers a table; `columns` are those a journal may change besides the state.

    The table's primary key is `id`, a text. Its migration depends on ("billing", "0001_ledger").
    """
    arguments: list[Any] = [name, table, state_column, attempt_column, list(columns)]
    return migrations.RunSQL(
        [("SELECT billing.register_transition_table(%s, %s::regclass, %s, %s, %s)", arguments)],
        [("DELETE FROM billing.transition_table WHERE name = %s", [name])],
    )
