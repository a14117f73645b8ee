"""`manage.py dlq_void ID…|--all --by WHO --reason WHY`: give dead letters up."""

from billing.management.dead_letter_decisions import DecisionCommand
from billing.services.dead_letters import void


class Command(DecisionCommand):
    help = "Give waiting or poisoned dead letters up; what they were about stays as it is in the books."
    decide = staticmethod(void)
    act = "void"
