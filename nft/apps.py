"""NFT holders as a Django app."""

from django.apps import AppConfig


class NftConfig(AppConfig):
    """Detection of ownership, onboarding, personalities."""

    name = "nft"
    label = "nft"
    verbose_name = "NFT holders"
    default_auto_field = "django.db.models.BigAutoField"
