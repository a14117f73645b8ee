"""`manage.py treasury`: the refund float, its top-ups, and deposits that belong to nothing we know."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from billing.management.output import ChangingCommand
from outbound.json_rpc import RpcFailure
from x402.chain.network_settings import default_network, networks
from x402.services import suspense, treasury
from x402.services.refund_float import NoRefundKey
from x402.services.suspense import Deposit, NoSuchDeposit
from x402.services.treasury import NotATopUp


class Command(ChangingCommand):
    help = "Shows the float and open deposits; books a top-up; gives a deposit back to its sender, by two people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do; nothing of it shows."""
        super().add_arguments(parser)
        parser.add_argument("--top-up", default="", metavar="TRANSACTION", help="book a transfer to the float")
        parser.add_argument("--network", default="", help="where; the default network if absent")
        parser.add_argument("--return", default="", dest="deposit", metavar="JOURNAL", help="give a deposit back")
        parser.add_argument("--maker", default="", help="who asks for the return")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--approval", default="", help="the approval's id")
        parser.add_argument("--checker", default="", help="who grants it")

    def run(self, options: dict[str, Any]) -> None:
        """One of the three."""
        try:
            if options["top_up"]:
                self._top_up(options)
            elif options["deposit"]:
                self._return(options)
            else:
                self._show(options)
        except RpcFailure as failure:
            raise CommandError(f"The chain cannot be read: {failure}") from failure
        except NoRefundKey as error:
            raise CommandError("LOA_REFUND_PRIVATE_KEY is not set: this deployment pays no refunds.") from error

    def _show(self, options: dict[str, Any]) -> None:
        states = [treasury.float_state(network) for network in networks().values()]
        deposits = suspense.open_deposits()
        lines = [
            f"{state.network}: float {state.address} holds {state.on_chain_micro_usdc}, books say"
            f" {state.in_ledger_micro_usdc}, refunds under way need {state.needed_micro_usdc} MicroUSDC;"
            f" {state.refunded_today_micro_usdc} of {state.daily_limit_micro_usdc} today."
            for state in states
        ]
        lines += [
            f"{s.network}: move {s.top_up_micro_usdc} MicroUSDC to {s.address}." for s in states if s.top_up_micro_usdc
        ]
        lines += [f"{state.network}: {state.stopped}" for state in states if state.stopped]
        lines += [f"deposit {_words(deposit)}" for deposit in deposits] or ["No deposits in suspense."]
        facts = {"floats": [asdict(state) for state in states], "deposits": [asdict(one) for one in deposits]}
        self.answer(facts, lines=lines, as_json=options["as_json"])

    def _top_up(self, options: dict[str, Any]) -> None:
        network = networks().get(options["network"]) if options["network"] else default_network()
        if network is None:
            raise CommandError(f"{options['network']} is not a network of the settings.")
        if options["is_dry_run"]:
            self.answer({"dry_run": True}, lines=["would book the transfer"], as_json=options["as_json"])
            return
        try:
            booked = treasury.book_top_up_of(network, options["top_up"])
        except NotATopUp as error:
            raise CommandError(str(error)) from error
        self.answer({"booked_micro_usdc": booked}, lines=[f"Booked {booked} MicroUSDC."], as_json=options["as_json"])

    def _return(self, options: dict[str, Any]) -> None:
        is_asking = bool(options["maker"] and options["reason"])
        if is_asking == bool(options["approval"] and options["checker"]):
            raise CommandError("Give --maker and --reason to ask, or --approval and --checker to grant and return.")
        journal_id = options["deposit"]
        try:
            if options["is_dry_run"]:
                what = "would ask for the return" if is_asking else "would grant the approval and return it"
                self.answer({"dry_run": True}, lines=[f"{journal_id}: {what}"], as_json=options["as_json"])
            elif is_asking:
                approval_id = suspense.request_return(journal_id, maker=options["maker"], reason=options["reason"])
                lines = [f"Asked. Someone else: treasury --return {journal_id} --approval {approval_id} --checker NAME"]
                self.answer({"approval_id": approval_id}, lines=lines, as_json=options["as_json"])
            else:
                refund = suspense.return_deposit(
                    journal_id, approval_id=options["approval"], checker=options["checker"]
                )
                told = f"Refund {refund.pk} is {refund.state}." if refund else "It is a note now; refunded when final."
                self.answer({"refund_id": refund.pk if refund else None}, lines=[told], as_json=options["as_json"])
        except NoSuchDeposit as error:
            raise CommandError(f"No deposit {journal_id} is in suspense.") from error


def _words(deposit: Deposit) -> str:
    return f"{deposit.journal_id}: {deposit.amount} of {deposit.denomination} in {deposit.transaction_hash}"
