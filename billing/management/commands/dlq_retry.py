"""`manage.py dlq_retry ID…|--all --by WHO --reason WHY`: let dead letters be tried again now."""

from billing.management.dead_letter_decisions import DecisionCommand
from billing.services.dead_letters import retry


class Command(DecisionCommand):
    help = "Let waiting or poisoned dead letters be tried again now, with their refusals forgotten."
    decide = staticmethod(retry)
    act = "retry"
