"""A shop: whoever is logged in orders something; the support sees to it at /workflows/."""

import os
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from fsmflow import Actor
from fsmflow.web.flask import blueprint

from machines import Order
from users import USERS, user_of

app = Flask(__name__)
app.config.update(
    # With a key of its own each process forgets the sessions of the others: name one in production.
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),
    # No other site can send our forms with it.
    SESSION_COOKIE_SAMESITE="Lax",
)


def who_asks() -> Actor | None:
    """The one who sends this request, with the roles of today; None for somebody who is not logged in."""
    user = USERS.get(session.get("user", ""))
    return None if user is None else Actor(user.name, user.roles)


app.register_blueprint(
    blueprint(who_asks, login="login", roles={"support"}, home={"Shop": "orders"}), url_prefix="/workflows"
)


def login_required(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    @wraps(view)
    def guarded(**values: Any) -> ResponseReturnValue:
        who = who_asks()
        return redirect(url_for("login", next=request.path)) if who is None else view(who, **values)

    return guarded


@app.route("/", methods=["GET", "POST"])
@login_required
def orders(who: Actor) -> ResponseReturnValue:
    if request.method == "POST":
        order = Order.start(item=request.form["item"], card=request.form["card"], customer=who.name, actor=who)
        order.trigger("submit", actor=who)
        return redirect(url_for("orders"))
    found = Order.find(data={"customer": who.name}, newest=True, limit=20)
    return render_template("orders.html", orders=list(found), who=who)


@app.route("/login", methods=["GET", "POST"])
def login() -> ResponseReturnValue:
    if request.method == "GET":
        return render_template("login.html")
    user = user_of(request.form["name"], request.form["password"])
    if user is None:
        return render_template("login.html", told="The name or the password is wrong."), 403
    session.clear()
    session["user"] = user.name
    return redirect(own_page(request.args.get("next", "/")))


@app.post("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("login"))


def own_page(path: str) -> str:
    """A page of this site: nobody is sent to another one by a link to our login."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable() else "/"
