"""The addresses of the payer's own page, below /account/."""

from django.urls import path

from loa_site.account import acts, entrance, overview

urlpatterns = [
    path("", entrance.account, name="account"),
    path("message", entrance.message, name="account-message"),
    path("sign-in", entrance.sign_in, name="account-sign-in"),
    path("sign-out", entrance.sign_out, name="account-sign-out"),
    path("payments", overview.payments, name="account-payments"),
    path("payments/<str:payment_id>", overview.payment, name="account-payment"),
    path("statements/<str:month>", overview.statement, name="account-statement"),
    path("refund", acts.refund, name="account-refund"),
    path("keys", acts.create_key, name="account-keys"),
    path("keys/<str:key_id>/revoke", acts.revoke_key, name="account-key-revoke"),
]
