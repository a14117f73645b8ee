"""`manage.py fence_reset STREAM`: put a corrupt fence back to what its row says, by two people."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from billing.locks.errors import RedisUnavailable
from billing.management.output import ChangingCommand
from billing.services.fence import request_reset, reset_fence


class Command(ChangingCommand):
    help = "Ask with --maker and --reason; someone else then gives --approval and --checker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which stream, and who acts."""
        super().add_arguments(parser)
        parser.add_argument("stream", type=int)
        parser.add_argument("--maker", default="", help="who asks for the reset")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--approval", default="", help="the approval's id")
        parser.add_argument("--checker", default="", help="who grants it")

    def run(self, options: dict[str, Any]) -> None:
        """Ask for the reset, or grant it and reset."""
        stream, is_asking = options["stream"], bool(options["maker"] and options["reason"])
        if is_asking == bool(options["approval"] and options["checker"]):
            raise CommandError("Give --maker and --reason to ask, or --approval and --checker to grant and reset.")
        if options["is_dry_run"]:
            what = "would ask for a reset" if is_asking else "would grant the approval and reset"
            self.answer(
                {"stream": stream, "dry_run": True}, lines=[f"stream {stream}: {what}"], as_json=options["as_json"]
            )
        elif is_asking:
            approval_id = request_reset(stream, maker=options["maker"], reason=options["reason"])
            lines = [f"Asked. Someone else: fence_reset {stream} --approval {approval_id} --checker NAME"]
            self.answer({"stream": stream, "approval_id": approval_id}, lines=lines, as_json=options["as_json"])
        else:
            try:
                status = reset_fence(stream, approval_id=options["approval"], checker=options["checker"])
            except RedisUnavailable as error:
                raise CommandError(f"The reset is recorded, but Redis does not answer: {error}. Try again.") from error
            lines = [f"stream {stream}: issuer and last accepted token are {status.redis_issuer} now"]
            self.answer(asdict(status), lines=lines, as_json=options["as_json"])
