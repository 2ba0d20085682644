"""The web: pages, and an API over HTTP, for people who use no terminal. It needs the extra ``web``.

    app = fsmflow.web.create_app(auth=who_asks)

An ASGI application, to be served by itself (``fsmflow web``) or mounted in another one. All that it changes it changes
as the command line does: by the same actions, permissions and history.
"""

from fsmflow.web.app import create_app
from fsmflow.web.bearer import TokenAuth
from fsmflow.web.identity import Auth, Entrance, LocalUser, actor_of, first_of
from fsmflow.web.login import Login
from fsmflow.web.proxy import HeaderAuth

__all__ = ["Auth", "Entrance", "HeaderAuth", "LocalUser", "Login", "TokenAuth", "actor_of", "create_app", "first_of"]
