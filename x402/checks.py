"""System checks of the payment side: what is wrong with the settings is said at start, with a number and a hint."""

from collections.abc import Sequence

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, Resolver404, URLPattern, URLResolver, get_resolver, resolve, reverse

from telemetry.configuration import loa
from x402 import middleware
from x402.chain.network_settings import networks
from x402.protocol import quote_token
from x402.services.quotes import ENDPOINT_ATTRIBUTE

ZERO_ADDRESS = "0x" + "00" * 20
PAYWALL_MIDDLEWARE = "x402.middleware.PaywallMiddleware"
CORRELATION_MIDDLEWARE = "telemetry.middleware.CorrelationMiddleware"
CSRF_MIDDLEWARE = "django.middleware.csrf.CsrfViewMiddleware"
POSTGRES = "django.db.backends.postgresql"
SIGNED_BY_SECRET_KEY = ("QUOTE_KEYS", "ANSWER_ENCRYPTION_KEY", "API_KEY_PEPPER")


@register()
def check_networks(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Every network has an RPC endpoint, a recipient and at least one asset."""
    found: list[CheckMessage] = []
    try:
        configured = networks()
    except (KeyError, TypeError, ValueError) as error:
        return [Error(f"LOA['NETWORKS'] cannot be read: {error}", id="x402.E001", hint="See docs/reference/settings.")]
    if loa("DEFAULT_NETWORK") not in configured:
        found.append(
            Error("LOA['DEFAULT_NETWORK'] is not in LOA['NETWORKS'].", id="x402.E002", hint="Name a CAIP-2 network.")
        )
    for network in configured.values():
        if not network.rpc_urls:
            found.append(Error(f"{network.caip2} has no rpc_urls.", id="x402.E003", hint="Set RPC_URL."))
        if not network.pay_to or network.pay_to == ZERO_ADDRESS:
            found.append(Error(f"{network.caip2} has no pay_to.", id="x402.E004", hint="Set LOA_PAY_TO."))
    return found


@register()
def check_keys(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The keys that sign quotes and seal answers are there, and crash points are not, outside tests."""
    found: list[CheckMessage] = []
    active = loa("QUOTE_KEY_ACTIVE")
    if active not in loa("QUOTE_KEYS"):
        found.append(
            Error("LOA['QUOTE_KEY_ACTIVE'] is not in LOA['QUOTE_KEYS'].", id="x402.E005", hint="Set LOA_QUOTE_KEYS.")
        )
    for key_id, secret in loa("QUOTE_KEYS").items():
        if len(secret) < quote_token.MINIMUM_SECRET_CHARACTERS:
            found.append(Error(f"Quote key {key_id!r} is too short.", id="x402.E006", hint="Use 32 random bytes."))
    if not loa("ANSWER_ENCRYPTION_KEY"):
        found.append(
            Error("LOA['ANSWER_ENCRYPTION_KEY'] is empty.", id="x402.E007", hint="Set LOA_ANSWER_ENCRYPTION_KEY.")
        )
    if loa("CRASH_POINTS") and loa("ENVIRONMENT") == "production":
        found.append(Error("Crash points are for tests.", id="x402.E008", hint="Unset LOA_CRASH_POINTS."))
    return found


@register()
def check_package_name(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The official SDK on PyPI has the same import name; installed beside this one, import order would decide."""
    import importlib.metadata

    try:
        importlib.metadata.distribution("x402")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [
        Error(
            "The PyPI package x402 is installed in this environment and has the same import name as Loa's x402 app.",
            id="x402.E009",
            hint="Use an environment of its own for the official SDK.",
        )
    ]


@register(Tags.database)
def check_database(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The ledger is SQL of Postgres, on the connection called default."""
    engine = settings.DATABASES.get("default", {}).get("ENGINE", "")
    if engine == POSTGRES or engine.endswith((".postgresql", ".postgis")):
        return []
    return [
        Error(
            f"The default database is {engine or 'not set'}, and the ledger needs Postgres.",
            id="x402.E010",
            hint="Set DATABASES['default'] to Postgres 15 or newer.",
        )
    ]


@register()
def check_settlement(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Somebody can settle: a facilitator elsewhere, or our own relayer with its key."""
    if loa("FACILITATOR_URL") or loa("RELAYER_PRIVATE_KEY"):
        return []
    return [
        Error(
            "Nothing can settle a payment.",
            id="x402.E011",
            hint="Set LOA['FACILITATOR_URL'], or LOA['RELAYER_PRIVATE_KEY'] to a key that holds gas and nothing else.",
        )
    ]


@register()
def check_paid_paths(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Each entry of `PAID_PATHS` is a route with a price, and the middleware that charges for it is there, in place."""
    found: list[CheckMessage] = []
    for route, options in loa("PAID_PATHS").items():
        try:
            middleware.paid_path(route, options)
        except (AttributeError, ImproperlyConfigured, TypeError, ValueError) as error:
            hint = "Write {'price': '$0.01'}, and the route as in a URLconf, without a slash before it."
            found.append(Error(f"LOA['PAID_PATHS'][{route!r}]: {error}.", id="x402.E012", hint=hint))
    installed = list(settings.MIDDLEWARE)
    if loa("PAID_PATHS") and PAYWALL_MIDDLEWARE not in installed:
        hint = f"Add {PAYWALL_MIDDLEWARE} to MIDDLEWARE, above {CSRF_MIDDLEWARE}."
        found.append(Error("LOA['PAID_PATHS'] is set and nothing charges for them.", id="x402.E013", hint=hint))
    elif PAYWALL_MIDDLEWARE in installed and CSRF_MIDDLEWARE in installed[: installed.index(PAYWALL_MIDDLEWARE)]:
        hint = f"Move {PAYWALL_MIDDLEWARE} above {CSRF_MIDDLEWARE}: a payment proves itself, without a token."
        found.append(Error("Payments by POST would be refused for want of a CSRF token.", id="x402.E014", hint=hint))
    return found


@register(Tags.urls)
def check_urls(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """The package's own addresses are mounted and its own, and no paid view runs inside a request's transaction."""
    if not getattr(settings, "ROOT_URLCONF", ""):
        return []
    return [*_mounted(), *_paid_views_are_free_of_transactions(), *_upto_can_settle()]


@register()
def check_correlation(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """Requests have an id that problems, logs and receipts name."""
    if CORRELATION_MIDDLEWARE in settings.MIDDLEWARE:
        return []
    hint = f"Put {CORRELATION_MIDDLEWARE} first in MIDDLEWARE."
    return [Warning("Problems cannot name the request they belong to.", id="x402.W002", hint=hint)]


@register(Tags.security, deploy=True)
def check_own_keys(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[CheckMessage]:
    """A deployment has a key for each purpose; without them all are computed from `SECRET_KEY`."""
    absent = [name for name in SIGNED_BY_SECRET_KEY if not settings.LOA.get(name)]
    if not absent:
        return []
    names = ", ".join(absent)
    hint = f"Set {names} in LOA to random values of their own; then SECRET_KEY can be changed without losing them."
    return [Warning(f"One secret guards everything: {names} follow from SECRET_KEY.", id="x402.W003", hint=hint)]


def _mounted() -> list[CheckMessage]:
    hint = 'Add path("", include("x402.urls")) to the URLconf.'
    try:
        address = reverse("payment", kwargs={"payment_id": "pay_0"})
    except NoReverseMatch:
        return [Warning("Payers cannot ask what became of a payment.", id="x402.W001", hint=hint)]
    try:
        found = resolve(address)
    except Resolver404:
        return [Warning("Payers cannot ask what became of a payment.", id="x402.W001", hint=hint)]
    if found.url_name == "payment":
        return []
    hint = "Move it below the include of x402.urls, or give it another address."
    return [Error(f"{address} is answered by the route {found.route!r}.", id="x402.E015", hint=hint)]


def _paid_views_are_free_of_transactions() -> list[CheckMessage]:
    """A decorator around a paid view can hide that it must run outside `ATOMIC_REQUESTS`; then it would refuse (R7)."""
    if not settings.DATABASES.get("default", {}).get("ATOMIC_REQUESTS"):
        return []
    return [
        Error(
            f"The paid view at {route!r} runs inside the request's transaction, and refuses to.",
            id="x402.E016",
            hint="Put @requires_payment outermost, above @api_view and your own decorators.",
        )
        for route, view in _views(get_resolver().url_patterns)
        if _is_paid(view) and not _is_free(view)
    ]


def _upto_can_settle() -> list[CheckMessage]:
    """Only the relayer that the payer named can settle `upto` (R2), so there has to be one of our own."""
    if loa("RELAYER_PRIVATE_KEY"):
        return []
    return [
        Error(
            f"The paid view at {route!r} offers upto, and there is no relayer to settle it.",
            id="x402.E017",
            hint="Set LOA['RELAYER_PRIVATE_KEY'], or offer exact.",
        )
        for route, view in _views(get_resolver().url_patterns)
        if "upto" in getattr(getattr(view, ENDPOINT_ATTRIBUTE, None), "schemes", ())
    ]


def _views(patterns: Sequence[URLPattern | URLResolver], before: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _views(pattern.url_patterns, route)
        else:
            found.append((route, pattern.callback))
    return found


def _is_paid(view: object) -> bool:
    """Whether this view, or one that it wraps or calls by its methods, is paid for."""
    shown = [view, getattr(view, "__wrapped__", None)]
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    shown += [getattr(made_of, name, None) for name in ("get", "post", "put", "patch", "delete")] if made_of else []
    return any(_has_endpoint(one) for one in shown)


def _has_endpoint(view: object) -> bool:
    """`@api_view` keeps the function it was given in a closure."""
    inside = [cell.cell_contents for cell in getattr(view, "__closure__", None) or ()]
    return any(hasattr(one, ENDPOINT_ATTRIBUTE) for one in [view, *inside])


def _is_free(view: object) -> bool:
    return "default" in getattr(view, "_non_atomic_requests", set())
