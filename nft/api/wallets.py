"""`GET /api/v1/identity/wallet/{wallet}/nfts`: what a wallet owns of the collections this site knows."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.addresses import canonical_wallet
from nft.api.access import HolderView
from nft.api.serializers import WalletTokensSerializer
from nft.domain.errors import InvalidToken
from nft.services.detection import detect_tokens


class WalletTokensView(HolderView):
    """For any signed-in wallet: what others own is on the chain for everybody."""

    @extend_schema(
        operation_id="wallet_nfts",
        summary="What a wallet owns of the known collections",
        description="503 with Retry-After when nobody can say: that is not the same as owning nothing.",
        responses={200: WalletTokensSerializer},
        tags=["agents"],
    )
    def get(self, request: Request, wallet: str) -> Response:
        """Its tokens."""
        try:
            address = canonical_wallet(wallet)
        except ValueError as error:
            raise InvalidToken(str(error)) from error
        return Response(WalletTokensSerializer(detect_tokens(address)).data)
