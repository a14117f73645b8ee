"""django-hordak appending: `python hordak_load.py`, one JSON command a line on standard input, one JSON line back.

Commands: {"do": "prepare"} migrates and makes the accounts, {"do": "run", "mode": "random"|"hot", "seconds": N}
appends transactions of two legs the documented way (`transfer_to`), {"do": "balance", "rounds": N} reads one balance.
"""

import json
import os
import sys
import time
from urllib.parse import urlsplit

import django
from django.conf import settings

ACCOUNTS = 1000
STEP, PRIME = 48_271, 2_147_483_647  # which account is next: the same sequence as ours
site = urlsplit(os.environ["HORDAK_DATABASE_URL"])
settings.configure(
    SECRET_KEY="a benchmark has no secrets",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "mptt", "hordak"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": site.path[1:],
            "USER": site.username,
            "PASSWORD": site.password or "",
            "HOST": site.hostname,
            "PORT": site.port,
            "CONN_MAX_AGE": None,
        }
    },
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DEFAULT_CURRENCY="USD",
    CURRENCIES=["USD"],
)
django.setup()


def prepare():
    from django.core.management import call_command
    from hordak.models import Account, AccountType

    call_command("migrate", verbosity=0, interactive=False)
    for number in range(ACCOUNTS - Account.objects.count()):
        Account.objects.create(name=f"account {number}", type=AccountType.income, currencies=["USD"])
    return {"accounts": Account.objects.count()}


def run(mode, seconds):
    from hordak.models import Account
    from moneyed import Money

    accounts = list(Account.objects.all()[:ACCOUNTS])
    number = os.getpid()
    amount, latencies = Money("1.00", "USD"), []
    deadline = time.monotonic() + seconds
    while (began := time.monotonic()) < deadline:
        number = number * STEP % PRIME
        source, target = accounts[number % ACCOUNTS], accounts[(number + 1 + number % 997) % ACCOUNTS]
        if mode == "hot":
            source = accounts[0]
            target = target if target.pk != source.pk else accounts[1]
        source.transfer_to(target, amount)
        latencies.append(time.monotonic() - began)
    latencies.sort()
    return {"count": len(latencies), "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else None}


def balance(rounds):
    from hordak.models import Account

    account = Account.objects.all()[0]
    latencies = []
    for _ in range(rounds):
        began = time.monotonic()
        account.get_balance()
        latencies.append(time.monotonic() - began)
    return {"median_ms": sorted(latencies)[rounds // 2] * 1000}


for line in sys.stdin:
    command = json.loads(line)
    print(json.dumps({"prepare": prepare, "run": run, "balance": balance}[command.pop("do")](**command)), flush=True)
