"""A shop: whoever is logged in orders something; the support sees to it at /workflows/."""

import os
import secrets
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from fsmflow import Actor, FsmflowError
from fsmflow.web import create_app
from sqlalchemy.exc import DBAPIError
from starlette.middleware.sessions import SessionMiddleware

from api import answer_error, router
from database import lifespan
from machines import Order
from users import USERS, user_of

app = FastAPI(lifespan=lifespan)
app.include_router(router)  # the orders as JSON, for programs
app.add_exception_handler(FsmflowError, answer_error)
app.add_exception_handler(DBAPIError, answer_error)
# With a key of its own each process forgets the sessions of the others: name one in production. Its cookie is
# SameSite=Lax, so that no other site can send our forms with it.
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SECRET_KEY") or secrets.token_hex())
templates = Jinja2Templates(Path(__file__).parent / "templates")


def who_asks(request: Request) -> Actor | None:
    """The one who sends this request, with the roles of today; None for somebody who is not logged in."""
    user = USERS.get(request.session.get("user", ""))
    return None if user is None else Actor(user.name, user.roles)


app.mount("/workflows", create_app(who_asks, login_url="/login", roles={"support"}, home_links={"Shop": "/"}))


def somebody(request: Request) -> Actor:
    """Whoever is logged in; all others are sent to the login."""
    found = who_asks(request)
    if found is None:
        raise HTTPException(303, headers={"Location": f"/login?next={quote(request.url.path)}"})
    return found


@app.get("/")
def orders(request: Request, who: Annotated[Actor, Depends(somebody)]) -> HTMLResponse:
    found = Order.find(data={"customer": who.name}, newest=True, limit=20)
    return templates.TemplateResponse(request, "orders.html", {"orders": list(found), "who": who})


@app.post("/")
def place(
    item: Annotated[str, Form()], card: Annotated[str, Form()], who: Annotated[Actor, Depends(somebody)]
) -> RedirectResponse:
    order = Order.start(item=item, card=card, customer=who.name, actor=who)
    order.trigger("submit", actor=who)
    return RedirectResponse("/", 303)


@app.get("/login")
def login_page(request: Request) -> HTMLResponse:
    return templates.TemplateResponse(request, "login.html")


@app.post("/login")
def login(
    request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()], next: str = "/"
) -> Response:
    user = user_of(name, password)
    if user is None:
        told = {"told": "The name or the password is wrong."}
        return templates.TemplateResponse(request, "login.html", told, status_code=403)
    request.session.clear()
    request.session["user"] = user.name
    return RedirectResponse(own_page(next), 303)


@app.post("/logout")
def logout(request: Request) -> RedirectResponse:
    request.session.clear()
    return RedirectResponse("/login", 303)


def own_page(path: str) -> str:
    """A page of this site: nobody is sent to another one by a link to our login."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable() else "/"
