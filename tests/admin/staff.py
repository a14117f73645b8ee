"""Members of staff with roles, as browsers in which they are signed in."""

import secrets

from django.contrib.auth.models import Group, User
from django.test import Client


def member(*roles: str) -> User:
    """Somebody of staff with these roles and no right of their own."""
    user = User.objects.create_user(f"{'-'.join(roles) or 'nobody'}-{secrets.token_hex(4)}", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


def browser_of(user: User) -> Client:
    """A browser in which they are signed in."""
    client = Client()
    client.force_login(user)
    return client


def confirm(client: Client, page: str, *, reason: str = "because the test says so", times: int = 1) -> list[str]:
    """Open a confirmation page and send it, as often as somebody clicks; the messages of the page that follows."""
    opened = client.get(page)
    assert opened.status_code == 200, (page, opened.status_code)
    token = opened.context["form"].initial["token"]
    for _ in range(times):
        answer = client.post(page, {"reason": reason, "token": token})
        assert answer.status_code == 302, answer.content[:500]
    following = client.get(answer["Location"])
    return [str(message) for message in following.context["messages"]]
