"""`manage.py fence_show`: every stream's fence by both gates."""

from dataclasses import asdict
from typing import Any

from billing.management.output import OperatorCommand
from billing.services.fence import fence_status


class Command(OperatorCommand):
    help = "Show each stream's row in Postgres beside its keys in Redis."

    def run(self, options: dict[str, Any]) -> None:
        """Show them."""
        streams = fence_status()
        lines = [
            f"stream {one.stream} ({one.lane})  token {one.last_token}  epoch {one.epoch}  "
            f"{'leased by ' + one.holder if one.is_leased else 'free'}  redis: lease {one.redis_lease or '-'}, "
            f"issuer {one.redis_issuer or '-'}, last accepted {one.redis_last_accepted or '-'}"
            for one in streams
        ]
        self.answer({"streams": [asdict(one) for one in streams]}, lines=lines, as_json=options["as_json"])
