"""Where holders and agents are found, below `/api/v1/`."""

from django.urls import path

from nft.api import onboarding, personalities
from nft.api.transfers import TransfersView
from nft.api.wallets import WalletTokensView

SESSION = "onboarding/<str:session_id>"
PERSONALITY = "nft/<str:collection>/<str:token_id>/personality"

urlpatterns = [
    path("onboarding/start", onboarding.StartView.as_view(), name="onboarding-start"),
    path(SESSION, onboarding.OneOnboardingView.as_view(), name="onboarding-session"),
    path(f"{SESSION}/detect-nfts", onboarding.DetectView.as_view(), name="onboarding-detect"),
    path(f"{SESSION}/select-nft", onboarding.SelectView.as_view(), name="onboarding-select"),
    path(f"{SESSION}/personality", onboarding.PersonalityStepView.as_view(), name="onboarding-personality"),
    path(f"{SESSION}/credits", onboarding.CreditsView.as_view(), name="onboarding-credits"),
    path(f"{SESSION}/complete", onboarding.CompleteView.as_view(), name="onboarding-complete"),
    path(PERSONALITY, personalities.PersonalityView.as_view(), name="personality"),
    path(f"{PERSONALITY}/versions", personalities.VersionsView.as_view(), name="personality-versions"),
    path(f"{PERSONALITY}/diff", personalities.DiffView.as_view(), name="personality-diff"),
    path(f"{PERSONALITY}/rollback", personalities.RollbackView.as_view(), name="personality-rollback"),
    path(f"{PERSONALITY}/preview", personalities.PreviewView.as_view(), name="personality-preview"),
    path(f"{PERSONALITY}/export", personalities.ExportView.as_view(), name="personality-export"),
    path("nft/transfers", TransfersView.as_view(), name="nft-transfers"),
    path("identity/wallet/<str:wallet>/nfts", WalletTokensView.as_view(), name="wallet-nfts"),
]
