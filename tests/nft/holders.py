"""A signed-in holder who asks over HTTP."""

import json
import secrets
from typing import Any

from django.test import Client
from eth_account import Account

from accounts.services import allowlist, sessions
from accounts.services.account_of_wallet import account_id_of_wallet
from accounts.services.sessions import SignedIn

ONBOARDING = "/api/v1/onboarding"


class Holder:
    """A wallet with a bearer session."""

    def __init__(self, *, is_listed: bool = True) -> None:
        self.private_key = "0x" + secrets.token_hex(32)
        self.wallet = str(Account.from_key(self.private_key).address).lower()
        self.account_id = account_id_of_wallet(self.wallet)
        self.token = sessions._begin(self.wallet, self.account_id, family=None).access_token
        if is_listed:
            allowlist.add([self.wallet], actor="test", reason="a tester")

    @property
    def who(self) -> SignedIn:
        return sessions.signed_in(self.token)

    def ask(self, method: str, path: str, document: Any = None, **query: str) -> Any:
        send = getattr(Client(), method)
        headers = {"Authorization": f"Bearer {self.token}"}
        if document is None:
            return send(path, query or None, headers=headers)
        return send(path, data=json.dumps(document), content_type="application/json", headers=headers)

    def step(self, state: dict[str, Any], name: str, /, **document: Any) -> Any:
        """One step of the wizard, from the state that was read."""
        body = {"version": state["version"]} | document
        return self.ask("post", f"{ONBOARDING}/{state['session_id']}/{name}", body)
