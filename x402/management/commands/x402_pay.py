"""`manage.py x402_pay URL`: pay for one request, as a developer who tries a paid endpoint.

Shows the terms, signs the first offer it can with the key of an environment variable or a file, and prints answer and
receipt. `--dry-run` stops before signing. It never signs more than `--max`, ten cents unless said otherwise.
"""

import json
import os
import stat
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from outbound.errors import OutboundError
from outbound.http import OutboundResponse
from x402.pricing import format_price
from x402.protocol.errors import ProtocolError
from x402.services import paying_client
from x402.services.endpoints import amount_of
from x402.services.paying_client import Ask, CannotPay, Terms

KEY_VARIABLE: Final = "X402_PRIVATE_KEY"


class Command(BaseCommand):
    """Exit code 0 when the endpoint answered, 1 with a message otherwise."""

    help = "Pay for one request to a paid endpoint."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to ask, with which key, and how much it may cost."""
        parser.add_argument("url")
        parser.add_argument("--method", default="", help="GET, or POST when there is a body")
        parser.add_argument("--body", default="", help="the body as text; @FILE reads it from a file")
        parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
        parser.add_argument("--network", default="", help="pay on this network only (CAIP-2)")
        parser.add_argument("--max", default="$0.10", help='the most to pay, "$0.10" or MicroUSDC (default: $0.10)')
        parser.add_argument("--key-env", default=KEY_VARIABLE, help=f"variable with the private key ({KEY_VARIABLE})")
        parser.add_argument("--key-file", default="", help="file with the private key, readable by its owner alone")
        parser.add_argument("--dry-run", action="store_true", help="show the terms, sign nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="answer with one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, show, sign, pay, show. Every refusal is one sentence."""
        try:
            self._run(options)
        except (CannotPay, ProtocolError, ValueError) as refusal:
            raise CommandError(str(refusal)) from refusal
        except OutboundError as failure:
            raise CommandError(
                f"{failure.reason} If a payment was sent, it is bound to this request: look for it before paying again."
            ) from failure

    def _run(self, options: dict[str, Any]) -> None:
        ask = _ask_of(options)
        limit = amount_of(int(options["max"]) if options["max"].isdigit() else options["max"])
        first = ask.send()
        if first.status == 200:
            self._show(options, {"paid": False}, first)
            return
        terms = paying_client.terms_of(first)
        offer = terms.offer(max_micro_usdc=limit, network=options["network"])
        if not options["as_json"]:
            self._show_terms(terms, offer)
        if options["dry_run"]:
            if options["as_json"]:
                self.stdout.write(json.dumps({"paid": False, "terms": terms.document, "would_sign": offer}))
            return
        payment = paying_client.sign(terms, offer, private_key=_key_of(options))
        answer = paying_client.pay(ask, payment)
        receipt = paying_client.receipt_of(answer)
        self._show(options, {"paid": bool(receipt.get("success")), "receipt": receipt}, answer)
        if answer.status != 200:
            raise CommandError(f"The answer is {answer.status}.")

    def _show_terms(self, terms: Terms, offer: dict[str, Any]) -> None:
        resource = terms.document["resource"]
        self.stdout.write(f"{resource['url']}  {resource.get('description', '')}".rstrip())
        for one in terms.offers:
            mark = "*" if one == offer else " "
            price = format_price(int(one["amount"]))
            self.stdout.write(f" {mark} {price} by {one['scheme']} on {one['network']} to {one['payTo']}")

    def _show(self, options: dict[str, Any], facts: dict[str, Any], answer: OutboundResponse) -> None:
        text = answer.body.decode("utf-8", "replace")
        if options["as_json"]:
            is_json = "json" in answer.headers.get("content-type", "")
            self.stdout.write(
                json.dumps({"status": answer.status, **facts, "body": json.loads(text) if is_json else text})
            )
            return
        receipt = facts.get("receipt") or {}
        if receipt:
            ours = receipt.get("extensions", {}).get("loa", {})
            self.stdout.write(f"Paid: {ours.get('payment_id', '')} {receipt.get('transaction', '')}".rstrip())
        self.stdout.write(f"{answer.status} {answer.headers.get('content-type', '')}")
        self.stdout.write(text)


def _ask_of(options: dict[str, Any]) -> Ask:
    text = options["body"]
    body = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    sent = dict(_header_of(line) for line in options["header"])
    if body and "content-type" not in {name.lower() for name in sent}:
        sent["Content-Type"] = "application/json"
    method = options["method"].upper() or ("POST" if body else "GET")
    return Ask(options["url"], method=method, body=body or None, headers=sent)


def _header_of(line: str) -> tuple[str, str]:
    name, separator, value = line.partition(":")
    if not separator or not name.strip():
        raise ValueError(f"A header is written NAME: VALUE, not {line!r}.")
    return name.strip(), value.strip()


def _key_of(options: dict[str, Any]) -> str:
    """The private key. Raises CannotPay: it is never an argument, which everybody on the machine can read."""
    if options["key_file"]:
        path = Path(options["key_file"])
        if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            raise CannotPay(f"Others can read {path}: chmod 600 it first.")
        return path.read_text().strip()
    key = os.environ.get(options["key_env"], "")
    if not key:
        raise CannotPay(f"Set {options['key_env']} to the payer's private key, or name a --key-file.")
    return key
