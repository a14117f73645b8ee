"""The addresses of the waitlist, below /waitlist/."""

from django.urls import path

from waitlist.pages import joining, links

urlpatterns = [
    path("", joining.join, name="waitlist"),
    path("again", joining.again, name="waitlist-again"),
    path("sent", joining.sent, name="waitlist-sent"),
    path("privacy", joining.privacy, name="waitlist-privacy"),
    path("wallet", joining.wallet, name="waitlist-wallet"),
    path("confirm/<str:token>", links.confirm, name="waitlist-confirm"),
    path("invitation/<str:token>", links.invitation, name="waitlist-invitation"),
    path("place/<str:token>", links.place, name="waitlist-place"),
    path("place/<str:token>/export", links.export, name="waitlist-export"),
    path("place/<str:token>/erase", links.erase, name="waitlist-erase"),
    path("leave/<str:token>", links.leave, name="waitlist-leave"),
]
