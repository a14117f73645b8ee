#!/usr/bin/env python
"""Django's command line for Loa.

Commands that change the schema connect as the owner of the database, all others as the application's role,
so that nobody has to remember which of the two URLs a command needs.
"""

import os
import sys

COMMANDS_OF_THE_OWNER = frozenset({"migrate", "sqlmigrate", "sqlflush", "optimizemigration"})


def main() -> None:
    """Run one management command."""
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loa_site.settings.development")
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS_OF_THE_OWNER:
        os.environ.setdefault("LOA_DATABASE_ROLE", "owner")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
