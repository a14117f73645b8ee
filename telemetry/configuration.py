"""The one way to read `settings.LOA`: every key has a type, a default and, where it is a limit, a reason.

A key that this table does not know is a misspelling: reading it raises, and a system check (loa.E001) refuses to start
with it. Values are read at each call, so that a test that overrides settings is seen at once. Secrets default to the
empty string, which each user of a secret refuses; there is no built-in key.

Units are in the names. Source: product.md, "Limits and defaults".
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NotRequired, TypedDict, overload

from telemetry.derived_settings import derived_setting

MICRO_USD_PER_CREDIT_UNIT: Final = 10_000  # a credit unit is one cent


class AssetSettings(TypedDict):
    """One token we take: its contract and its EIP-712 domain."""

    address: str
    name: str
    version: str
    decimals: int
    transfer_methods: NotRequired[Sequence[str]]


class NetworkSettings(TypedDict):
    """One chain, keyed by its CAIP-2 id."""

    rpc_urls: Sequence[str]
    v1_name: str
    confirmations: int
    block_seconds: int
    assets: Mapping[str, AssetSettings]
    multicall3: str
    permit2: str
    pay_to: str
    pay_to_retired: NotRequired[Sequence[str]]


TextName = Literal[
    "ENVIRONMENT",
    "PUBLIC_ORIGIN",
    "REDIS_URL",
    "REDIS_KEY_PREFIX",
    "DEFAULT_NETWORK",
    "RELAYER_PRIVATE_KEY",
    "QUOTE_KEY_ACTIVE",
    "ANSWER_ENCRYPTION_KEY",
    "DEFAULT_MODEL",
    "API_KEY_PEPPER",
    "REFUND_PRIVATE_KEY",
    "WALLET_SCREEN",
    "SIWE_DOMAIN",
    "SIWE_URI",
    "METRICS_TOKEN",
    "SECURITY_CONTACT",
    "ANCHOR_PATH",
    "ANCHOR_KEY_FILE",
    "ANCHOR_SIGNER",
    "ANCHOR_KMS_KEY",
    "POSTGRES_FAILOVER",
    "TIMELINE_FILE",
    "WEBHOOK_KEY",
    "OWN_KEY_ENCRYPTION",
    "STAFF_SECOND_FACTOR",
    "RPC_URL",
    "PAY_TO",
    "FACILITATOR_URL",
    "FACILITATOR_TOKEN",
    "RECEIPT_KEY",
    "BACKGROUND_WORK",
    "ALCHEMY_API_KEY",
    "NFT_IPFS_GATEWAY",
]
NumberName = Literal[
    "QUOTE_TTL_SECONDS",
    "PAYMENT_CEILING_MICRO_USDC",
    "MAX_CREDIT_BALANCE_MICRO_USDC",
    "CREDIT_NOTE_MAX_DELTA_MICRO_USDC",
    "CHANGE_LIFETIME_SECONDS",
    "RESERVE_TTL_SECONDS",
    "WAIT_SECONDS",
    "SERVING_LEASE_SECONDS",
    "WAITERS_PER_PAYMENT",
    "STREAM_DRAIN_SECONDS",
    "STREAMS_PER_PROCESS",
    "WAITING_REPLAYS",
    "PAYMENT_HEADER_BYTES",
    "BODY_BYTES",
    "BODIES_PER_CLIENT",
    "BODIES_PER_PROCESS",
    "FINALIZE_RISK_LIMIT_MICRO_USD",
    "FINALIZE_RETRIES",
    "FINALIZE_ESCALATE_SECONDS",
    "DEFERRED_LIMIT_PER_WALLET_MICRO_USDC",
    "DEFERRED_SETTLE_SECONDS",
    "AFTER_COMMIT_SECONDS",
    "DEFERRED_LIMIT_TOTAL_MICRO_USDC",
    "BREAKER_FAILURES",
    "BREAKER_WINDOW_SECONDS",
    "BREAKER_HALF_OPEN_SECONDS",
    "TRUSTED_PROXY_COUNT",
    "SIGN_IN_NONCE_SECONDS",
    "SESSION_SECONDS",
    "SESSION_REFRESH_SECONDS",
    "OUTBOUND_RESPONSE_BYTES",
    "FACILITATOR_TIMEOUT_SECONDS",
    "SIGNED_OFFERS",
    "FACILITATOR_HANDOVER_SECONDS",
    "FACILITATOR_ANONYMOUS_PER_MINUTE",
    "FACILITATOR_DAILY_QUOTA",
    "FACILITATOR_MINIMUM_MICRO_USDC",
    "RELAYER_LOW_KILO_WEI",
    "RELAYER_CRITICAL_KILO_WEI",
    "RELAYER_FEE_CEILING_WEI",
    "KEY_LOW_BALANCE_MICRO_USD",
    "REFUND_DAILY_LIMIT_MICRO_USDC",
    "REFUND_DUST_MICRO_USDC",
    "REFUND_LIFETIME_SECONDS",
    "REFUND_FLOAT_LOW_MICRO_USDC",
    "FINALIZE_DRAIN_PER_SECOND",
    "NFT_DETECTION_CACHE_SECONDS",
    "ONBOARDING_SECONDS",
]
ListName = Literal[
    "RECEIPT_KEYS_RETIRED",
    "FACILITATORS",
    "RELAYER_RETIRED_KEYS",
    "CRASH_POINTS",
    "OUTBOUND_TRUSTED_HOSTS",
    "METRICS_NETWORKS",
    "API_KEY_PEPPERS_RETIRED",
    "BETA_BYPASS_ADDRESSES",
    "ALCHEMY_SIGNING_KEYS",
]
SecretsName = Literal["QUOTE_KEYS"]
SwitchName = Literal["REDIS_CLUSTER"]

DEFAULT_RATE_LIMITS: Final[Mapping[str, int]] = {
    # Requests a minute. A bucket not named in the settings keeps its figure from here.
    "key": 60,
    "wallet": 30,
    "challenge": 120,
    "csp_report": 60,
    "sign_in": 10,
    "picture": 300,  # a page of tokens asks for many
    "own_key": 10,  # each asks an upstream whether it knows a key
    "waitlist": 10,  # forms one client may send
    "waitlist_all": 600,  # forms of everybody together: what a flood may write
}

DEFAULTS: Final[Mapping[str, object]] = {
    "ENVIRONMENT": "development",
    "PUBLIC_ORIGIN": "http://127.0.0.1:8402",
    "REDIS_URL": "",
    "REDIS_KEY_PREFIX": "",
    "REDIS_CLUSTER": False,  # REDIS_URL is a node of a cluster; the prefix then needs a hash tag, like {loa}:
    "NETWORKS": {},
    "RPC_URL": "",  # with PAY_TO, all that a network Loa knows needs
    "PAY_TO": "",
    "FACILITATOR_URL": "",  # a facilitator elsewhere that settles first; empty: our own relayer does
    "FACILITATOR_TOKEN": "",  # sent to it as a bearer token
    "RECEIPT_KEY": "",  # signs offers and receipts: 0x…, file:/path or kms:KEY; empty: the relayer's key
    "RECEIPT_KEYS_RETIRED": (),  # addresses whose signatures are still published as ours
    "SIGNED_OFFERS": 1,  # how many offers of a 402 are signed: each costs 0.7 KiB of header, and a call of KMS
    "FACILITATOR_TIMEOUT_SECONDS": 30,  # it waits for a block; half of what a waiting request has
    "FACILITATOR_HANDOVER_SECONDS": 10,  # five blocks: an authorization still unused after them was not sent
    "FACILITATOR_ANONYMOUS_PER_MINUTE": 0,  # calls of our own facilitator without a key, by address; 0 refuses them
    "FACILITATOR_DAILY_QUOTA": 10_000,  # settlements we carry for one caller within 24 hours: gas is ours
    "FACILITATOR_MINIMUM_MICRO_USDC": 100,  # below this a payment is worth less than its gas on any chain
    "RELAYER_LOW_KILO_WEI": 50_000_000_000_000,  # 0.05 of the chain's coin: some ten thousand settlements on Base
    "RELAYER_CRITICAL_KILO_WEI": 10_000_000_000_000,
    "RELAYER_FEE_CEILING_WEI": 200 * 10**9,  # per gas; Base's worst hours were below 100 gwei
    "BACKGROUND_WORK": "requests",  # "workers": Celery sweeps; "requests": a paid request starts what is due
    "PAID_PATHS": {},  # routes that the middleware charges for: {"reports/<slug:name>": {"price": "$0.01"}}
    "DEFAULT_NETWORK": "eip155:84532",
    "RELAYER_PRIVATE_KEY": "",
    "RELAYER_RETIRED_KEYS": (),  # they settle nothing but what was signed for them, until its last deadline
    "QUOTE_KEYS": {},
    "QUOTE_KEY_ACTIVE": "",
    "ANSWER_ENCRYPTION_KEY": "",
    "QUOTE_TTL_SECONDS": 300,
    "PAYMENT_CEILING_MICRO_USDC": 100_000_000,
    "MAX_CREDIT_BALANCE_MICRO_USDC": 1_000_000_000_000,  # one million USDC a wallet: a bound on what a bug can owe
    "CREDIT_NOTE_MAX_DELTA_MICRO_USDC": 100_000_000,
    "CHANGE_LIFETIME_SECONDS": 7 * 24 * 3600,
    "RESERVE_TTL_SECONDS": 300,
    "FACILITATORS": ("x402.facilitators.direct.DirectFacilitator",),
    "WAIT_SECONDS": 60,
    "SERVING_LEASE_SECONDS": 30,  # renewed by a heartbeat while the work runs; a crash is noticed after this long
    "WAITERS_PER_PAYMENT": 16,
    "STREAM_DRAIN_SECONDS": 20,  # what a stream may go on after SIGTERM, below the 30 s after which a server kills
    "STREAMS_PER_PROCESS": 320,  # each holds one of the process's threads (352): the rest stays free for others
    "WAITING_REPLAYS": 24,  # few of the threads of a web process (352): the rest stays free for payments that are new
    "PAYMENT_HEADER_BYTES": 16 * 1024,
    "BODY_BYTES": 64 * 1024,
    "BODIES_PER_CLIENT": 96,  # of one address on their way at once: each holds one of the process's threads (352)
    "BODIES_PER_PROCESS": 256,  # of all together: the rest stays free for requests without a body
    "DEFAULT_MODEL": "loa-demo",
    "UPSTREAMS": {},
    "POSTGRES_FAILOVER": "",  # "none": restored, never promoted; "managed": the provider waits for a second copy
    "TIMELINE_FILE": "",  # where a machine writes down which database it last trusted; outside the database
    "API_KEY_PEPPER": "",
    "API_KEY_PEPPERS_RETIRED": (),  # still tried; a key found under one of them moves to the current pepper
    "REFUND_PRIVATE_KEY": "",  # the float account that pays refunds; empty: refunds are not offered
    "REFUND_DAILY_LIMIT_MICRO_USDC": 10_000_000_000,  # of all wallets together: what a stolen session can cost a day
    "REFUND_DUST_MICRO_USDC": 1_000_000,  # owed notes below this are not paid out by themselves: gas would eat them
    "REFUND_LIFETIME_SECONDS": 900,  # how long a signed refund can be carried to the chain
    "REFUND_FLOAT_LOW_MICRO_USDC": 1_000_000_000,  # below this the float asks for a top-up
    "WALLET_SCREEN": "",  # dotted path of a function(wallet, purpose) that says whether we deal with a wallet
    "FINALIZE_RISK_LIMIT_MICRO_USD": 500 * MICRO_USD_PER_CREDIT_UNIT,
    "FINALIZE_RETRIES": 5,
    "FINALIZE_ESCALATE_SECONDS": 24 * 3600,
    "DEFERRED_LIMIT_PER_WALLET_MICRO_USDC": 1_000_000,
    "DEFERRED_SETTLE_SECONDS": 5,  # how long answered work waits for others to be settled with
    "AFTER_COMMIT_SECONDS": 10,  # how long a handler's transaction stays open for its settlement (R7)
    "DEFERRED_LIMIT_TOTAL_MICRO_USDC": 100_000_000,
    "BREAKER_FAILURES": 3,
    "BREAKER_WINDOW_SECONDS": 60,
    "BREAKER_HALF_OPEN_SECONDS": 30,
    "RATE_LIMITS": DEFAULT_RATE_LIMITS,
    "TRUSTED_PROXY_COUNT": 0,  # X-Forwarded-For is a client's claim until a deployment says how many proxies it owns
    "SIWE_DOMAIN": "",
    "SIWE_URI": "",
    "SIGN_IN_NONCE_SECONDS": 300,
    "SESSION_SECONDS": 15 * 60,
    "SESSION_REFRESH_SECONDS": 24 * 3600,
    "OUTBOUND_TRUSTED_HOSTS": (),
    "OUTBOUND_RESPONSE_BYTES": 8 * 1024 * 1024,
    "METRICS_TOKEN": "",
    "SECURITY_CONTACT": "",  # mailto: or https: for security.txt; empty: the page on security
    "STAFF_SECOND_FACTOR": "",  # "required" or "optional"; empty: required outside a developer's machine
    "OWN_KEY_ENCRYPTION": "",  # seals the upstream keys of buyers: 64 hex digits, file:/path or kms:KEY
    "WEBHOOK_KEY": "",  # secrets of webhook endpoints are computed from it
    "KEY_LOW_BALANCE_MICRO_USD": 1_000_000,  # a prepaid balance that falls below one dollar is announced
    "FINALIZE_DRAIN_PER_SECOND": 200,  # what a backlog may take of the ledger, so that new payments keep the rest
    "ANCHOR_PATH": "",  # a file outside the database, best on storage that cannot be rewritten
    "ANCHOR_KEY_FILE": "",
    "ANCHOR_KMS_KEY": "",  # with billing.services.anchor_signers.KmsSigner: the id or ARN of a secp256k1 signing key
    "ANCHOR_SIGNER": "billing.services.anchor_signers.FileKeySigner",
    "METRICS_NETWORKS": ("127.0.0.0/8", "::1/128"),
    "BETA_BYPASS_ADDRESSES": (),  # wallets that are on the allowlist without a row
    "ALCHEMY_API_KEY": "",  # the variable has this very name; empty: nodes are asked which tokens a wallet owns
    "ALCHEMY_SIGNING_KEYS": (),  # of the webhooks that tell of transfers; empty: none is believed
    "NFT_COLLECTIONS": {},  # by CAIP-19: {"eip155:8453/erc721:0x…": {"name": "…", "from_block": 1}}
    "NFT_CHAINS": {},  # chains beyond those we settle on: {"eip155:1": {"rpc_urls": ["…"], "alchemy_url": ""}}
    "NFT_DETECTION_CACHE_SECONDS": 300,  # what a wallet owns changes rarely; a choice is checked anew (plan 13.1)
    "NFT_IPFS_GATEWAY": "",  # stands before a content id: "https://…/ipfs/"; empty: pictures on IPFS are not fetched
    "ONBOARDING_SECONDS": 604_800,  # an onboarding that nobody goes on with for a week has ended
    "CRASH_POINTS": (),  # named points at which a test kills the process; empty everywhere else
}


class UnknownSetting(LookupError):
    """Raised when code asks for a key of `LOA` that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"LOA has no setting {name!r}.")
        self.name = name


@overload
def loa(name: TextName) -> str: ...
@overload
def loa(name: NumberName) -> int: ...
@overload
def loa(name: ListName) -> Sequence[str]: ...
@overload
def loa(name: SwitchName) -> bool: ...
@overload
def loa(name: SecretsName) -> Mapping[str, str]: ...
@overload
def loa(name: Literal["NETWORKS"]) -> Mapping[str, NetworkSettings]: ...
@overload
def loa(name: Literal["UPSTREAMS"]) -> Mapping[str, Mapping[str, object]]: ...
@overload
def loa(name: Literal["PAID_PATHS"]) -> Mapping[str, Mapping[str, object]]: ...
@overload
def loa(name: Literal["NFT_COLLECTIONS", "NFT_CHAINS"]) -> Mapping[str, Mapping[str, object]]: ...
@overload
def loa(name: Literal["RATE_LIMITS"]) -> Mapping[str, int]: ...


def loa(name: str) -> object:
    """The value of `settings.LOA[name]`, or what follows from the other settings, or its documented default.

    Units: as the name's last word says. Raises UnknownSetting for a name outside the table.
    """
    if name not in DEFAULTS:
        raise UnknownSetting(name)
    settings = _configured()
    configured = settings.get(name)
    derived = derived_setting(name, settings)
    if derived is not None:
        return derived
    if name == "RATE_LIMITS" and isinstance(configured, Mapping):
        return {**DEFAULT_RATE_LIMITS, **configured}
    return DEFAULTS[name] if configured is None else configured


def configuration_problems() -> list[str]:
    """What is wrong with `settings.LOA`, one sentence each; empty when every key is known and has its type."""
    problems = []
    for name, value in sorted(_configured().items()):
        if name not in DEFAULTS:
            problems.append(f"LOA[{name!r}] is not a setting of Loa.")
        elif value is not None and not _has_type_of(value, DEFAULTS[name]):
            problems.append(f"LOA[{name!r}] must be of the kind of {DEFAULTS[name]!r}, not {type(value).__name__}.")
    return problems


def redis_key(name: str) -> str:
    """The physical Redis key of a plan's name: the prefix (`{loa}:` on a cluster, else empty) comes first."""
    return loa("REDIS_KEY_PREFIX") + name


def _configured() -> Mapping[str, object]:
    from django.conf import settings

    configured: Mapping[str, object] = getattr(settings, "LOA", {})
    return configured


def _has_type_of(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, int) and value >= 0
    if isinstance(default, str):
        return isinstance(value, str)
    if isinstance(default, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
