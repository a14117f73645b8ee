"""The terms as a page for people: what a browser gets instead of the problem document, with the same headers.

The page says price, network and what one gets, works without JavaScript as an explanation, and with it pays by an
injected wallet (EIP-1193). Programs never get it: they do not accept HTML.
"""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from telemetry.problem_codes import problem_code
from x402.chain.network_settings import networks
from x402.pricing import format_price
from x402.protocol import headers

TEMPLATE: Final = "x402/paywall.html"
METHOD_NAMES: Final = {"eip3009": "EIP-3009", "permit2": "Permit2"}
METHODS: Final = ("GET", "HEAD")  # what a browser sends by itself; a form's body cannot be sent again by a page


def for_browser(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The same 402 as a page where a person asked for it; every other answer as it is."""
    if response.status_code != 402 or not response.has_header(headers.PAYMENT_REQUIRED):
        return response
    patch_vary_headers(response, ["Accept"])
    if request.method in METHODS and "text/html" in request.headers.get("Accept", ""):
        terms: dict[str, Any] = headers.decode_object(response[headers.PAYMENT_REQUIRED], name=headers.PAYMENT_REQUIRED)
        page = render_to_string(TEMPLATE, _page_of(terms), request)
        return HttpResponse(page, status=402, headers=_kept_headers(response))
    return response


def _kept_headers(response: HttpResponseBase) -> dict[str, str]:
    return {name: value for name, value in response.items() if name not in ("Content-Type", "Content-Length")}


def _page_of(terms: dict[str, Any]) -> dict[str, Any]:
    """What the template says of these terms."""
    refusal = str(terms.get("error", ""))
    offers = [_offer_of(offer) for offer in terms["accepts"]]
    return {
        "terms": terms,
        "words": _words(),
        "resource": terms["resource"],
        "offers": offers,
        "price": offers[0]["price"],
        "refusal": problem_code(refusal, status=402) if refusal else None,
    }


def _offer_of(offer: dict[str, Any]) -> dict[str, str]:
    network = networks()[offer["network"]]
    asset = network.asset_at(offer["asset"])
    price = format_price(int(offer["amount"]))
    method = METHOD_NAMES[str(offer["extra"].get("assetTransferMethod", "eip3009"))]
    return {
        "price": price,
        "amount": price.removeprefix("$"),
        "network": network.v1_name.replace("-", " ").title() or network.caip2,
        "caip2": network.caip2,
        "asset": asset.symbol.upper() if asset else offer["asset"],
        "scheme": f"{offer['scheme']} ({method})",
        "pay_to": offer["payTo"],
    }


def _words() -> dict[str, str]:
    """What the script says, in the reader's language."""
    return {
        "no_wallet": _("No wallet was found in this browser. Install one, or pay from a program as described below."),
        "no_offer": _("No offer on this page can be signed by a browser's wallet. Pay from a program instead."),
        "connecting": _("Asking your wallet for an account …"),
        "switching": _("Asking your wallet to use {network} …"),
        "signing": _("Sign in your wallet. It costs no gas; {price} move when this site settles it."),
        "sending": _("Signed. The payment is being settled; this takes about as long as a block …"),
        "waiting": _("The payment is still being settled. The same payment is sent again in {seconds} seconds …"),
        "paid": _("Paid. Here is what you bought."),
        "download": _("Save what you bought"),
        "declined": _("You declined in your wallet. Nothing was paid."),
        "unknown_chain": _("Your wallet does not know {network}. Add it there and try again."),
        "refused": _("The payment was refused: {detail} Nothing was taken by this site; you may sign new terms."),
        "problem": _("{detail} {next}"),
        "lost": _("The answer did not arrive. Send the same payment again: it is never charged twice."),
    }
