"""The addresses of a project of Django with the web in it, and whom it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.urls import path

from fsmflow import Actor
from fsmflow.web.django import Dashboard

PERMISSION = "shop.see_workflows"


class User:
    """A user of this project: Ada has the permission, nobody else."""

    is_active = True

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_authenticated = bool(name)

    def get_username(self) -> str:
        return self._name

    def has_perm(self, permission: str) -> bool:
        return permission == PERMISSION and self._name == "ada"


def known(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware: a header says who asks."""

    def answering(request: Any) -> Any:
        request.user = User(request.headers.get("X-Name", ""))
        return answer(request)

    return answering


dashboard = Dashboard(
    PERMISSION, actor=lambda request: Actor(request.user.get_username(), ["manager"]), home={"Shop": "home"}
)
urlpatterns = [
    path("", lambda request: HttpResponse("the shop"), name="home"),
    path("login", lambda request: HttpResponse("log in"), name="login"),
    path("ops/", dashboard.urls),
]
