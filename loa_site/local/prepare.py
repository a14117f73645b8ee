"""Run as a child before the site starts: migrate as the database's owner and make the local staff account.

`python -m loa_site.local.prepare`, with the site's variables and the admin's password in LOCAL_ADMIN_PASSWORD.
"""

import os

import django


def main() -> None:
    """Migrate, then make the staff account or give it its password again."""
    os.environ["LOA_DATABASE_ROLE"] = "owner"
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from loa_site.local.site import ADMIN_USER

    call_command("migrate", interactive=False, verbosity=1)
    user, _ = get_user_model().objects.get_or_create(username=ADMIN_USER)
    user.is_staff = user.is_superuser = True
    user.set_password(os.environ["LOCAL_ADMIN_PASSWORD"])
    user.save()


if __name__ == "__main__":
    main()
