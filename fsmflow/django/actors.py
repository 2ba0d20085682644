"""Users of Django and their groups, as actors and roles."""

from __future__ import annotations

from typing import Any

from fsmflow.decision.inputs import Actor
from fsmflow.errors import NotPermitted
from fsmflow.person import person_with


def actor_of(request: Any) -> Actor:
    """Who sends a request: an ``HttpRequest``, or a ``Request`` of Django REST framework. Two queries.

    The name is the user's, the roles are the user's groups, and those besides that the permissions of the installation
    give; teams are as they say. A superuser is nobody special: what is closed opens by a role, or by ``permit``. Raises
    NotPermitted for who is not logged in or is disabled, so that nobody acts without a name.
    """
    user = request.user
    if not (user.is_authenticated and user.is_active):
        raise NotPermitted("fsmflow", "act", (), None, words="nobody is logged in; log in first")
    name = user.get_username()
    groups = getattr(user, "groups", None)  # a model of users need not have any
    found = person_with(name, () if groups is None else groups.values_list("name", flat=True))
    if found is None:
        raise NotPermitted("fsmflow", "act", (), name, words=f"{name!r} is disabled among the users of fsmflow")
    return found
