"""Alchemy's index: `getNFTsForOwner`, one call per wallet, chain, page and 45 contracts, however many tokens exist.

Source: plan 13.1; Alchemy NFT API v3. The key is a part of the URL's path, so no URL of this module is ever logged,
traced or put into an error: `outbound` names hosts only.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from nft.detectors.base import Budget
from nft.domain.errors import DetectorFailed
from nft.domain.tokens import Collection, OwnedToken, canonical_token_id
from outbound import http
from outbound.errors import OutboundError

CONTRACTS_PER_CALL: Final = 45  # Alchemy's own limit of contractAddresses[]
TOKENS_PER_PAGE: Final = 100
PAGES_MAX: Final = 30  # of one chunk of contracts: three thousand tokens are more than anybody picks one from
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
TRIES: Final = 3
PAUSE_SECONDS: Final = 0.5
HOSTS: Final[Mapping[str, str]] = {
    "eip155:1": "eth-mainnet",
    "eip155:10": "opt-mainnet",
    "eip155:137": "polygon-mainnet",
    "eip155:8453": "base-mainnet",
    "eip155:42161": "arb-mainnet",
    "eip155:80094": "berachain-mainnet",
    "eip155:84532": "base-sepolia",
    "eip155:11155111": "eth-sepolia",
}
_OVERLOADED: Final = frozenset({429, 500, 502, 503, 504})


class AlchemyNFTDetector:
    """Asks Alchemy. `base_urls` maps a chain to the address its API is at; without one, Alchemy's own."""

    name = "alchemy"

    def __init__(self, api_key: str, *, base_urls: Mapping[str, str] | None = None) -> None:
        self._api_key = api_key
        self._base_urls = dict(base_urls or {})

    def covers(self, chain: str) -> bool:
        """Whether Alchemy indexes this chain, as far as we know."""
        return chain in self._base_urls or chain in HOSTS

    def tokens_of(self, wallet: str, collections: Sequence[Collection], budget: Budget) -> list[OwnedToken]:
        """Every token of these collections that the wallet owns, spam left out. Raises DetectorFailed."""
        found: dict[tuple[str, str, str], OwnedToken] = {}
        for chain in sorted({collection.chain for collection in collections}):
            known = sorted({one.address for one in collections if one.chain == chain})
            for start in range(0, len(known), CONTRACTS_PER_CALL):
                wanted = known[start : start + CONTRACTS_PER_CALL]
                for token in self._pages(chain, wallet, wanted, budget):
                    found[(token.chain, token.collection, token.token_id)] = token
        return list(found.values())

    def _pages(self, chain: str, wallet: str, contracts: Sequence[str], budget: Budget) -> Iterator[OwnedToken]:
        page_key = ""
        for _ in range(PAGES_MAX):
            answer = self._page(chain, wallet, contracts, budget=budget, page_key=page_key)
            owned = answer.get("ownedNfts")
            if not isinstance(owned, list):
                raise DetectorFailed("the answer has no list of tokens")
            for entry in owned:
                token = _token_of(chain, entry)
                # Asked for by contract and judged by contract again: what is not known is never listed.
                if token is not None and token.collection in contracts:
                    yield token
            following = answer.get("pageKey")
            if not following:
                return
            if not isinstance(following, str):
                raise DetectorFailed("the key of the next page is no text")
            page_key = following
        raise DetectorFailed("more pages than a wallet is read to")

    def _page(
        self, chain: str, wallet: str, contracts: Sequence[str], *, budget: Budget, page_key: str
    ) -> Mapping[str, object]:
        query = [("owner", wallet), ("withMetadata", "true"), ("pageSize", str(TOKENS_PER_PAGE))]
        query += [("contractAddresses[]", contract) for contract in contracts]
        if page_key:
            query.append(("pageKey", page_key))
        base = self._base_urls.get(chain) or f"https://{HOSTS[chain]}.g.alchemy.com"
        url = f"{base}/nft/v3/{quote(self._api_key, safe='')}/getNFTsForOwner?{urlencode(query)}"
        for attempt in range(1, TRIES + 1):
            answer = _ask(url, budget)
            if answer.status in _OVERLOADED and attempt < TRIES:
                budget.pause(_pause_of(answer, attempt))
                continue
            if answer.status != 200:
                raise DetectorFailed(f"status {answer.status}")
            return _document_of(answer)
        raise DetectorFailed("over its limit")


def _ask(url: str, budget: Budget) -> http.OutboundResponse:
    left = budget.left_seconds()
    request = http.OutboundRequest(
        method="GET",
        url=url,
        headers={"Accept": "application/json"},
        purpose="nft_detection",
        read_timeout_seconds=min(left, http.READ_TIMEOUT_SECONDS),
        total_timeout_seconds=left,
        response_bytes_max=ANSWER_BYTES_MAX,
    )
    try:
        return http.send(request)
    except OutboundError as error:
        raise DetectorFailed(error.code) from None


def _pause_of(answer: http.OutboundResponse, attempt: int) -> float:
    told = answer.headers.get("retry-after", "")
    return float(told) if told.isascii() and told.isdigit() else PAUSE_SECONDS * attempt


def _document_of(answer: http.OutboundResponse) -> Mapping[str, object]:
    try:
        document = answer.json()
    except OutboundError as error:
        raise DetectorFailed("the answer is not JSON") from error
    if not isinstance(document, dict):
        raise DetectorFailed("the answer is no object")
    return document


def _token_of(chain: str, entry: object) -> OwnedToken | None:
    """One listed token; None for spam and for what owns nothing. Raises DetectorFailed when it cannot be read."""
    contract = entry.get("contract") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(contract, dict):
        raise DetectorFailed("a token has no contract")
    if contract.get("isSpam") is True:
        return None
    address, token_id, balance = contract.get("address"), entry.get("tokenId"), entry.get("balance") or "1"
    if not isinstance(address, str) or not isinstance(token_id, str):
        raise DetectorFailed("a token has no address or no id")
    try:
        number, count = canonical_token_id(token_id), int(str(balance))
    except ValueError as error:
        raise DetectorFailed("a token's id or balance is no number") from error
    name, image = entry.get("name"), entry.get("image")
    picture = image.get("cachedUrl") if isinstance(image, dict) else None
    if count < 1:
        return None
    return OwnedToken(
        chain=chain,
        collection=address.lower(),
        token_id=number,
        name=str(name)[:200] if name else f"Token #{number}",
        balance=count,
        image_url=str(picture)[:2000] if picture else "",
    )
