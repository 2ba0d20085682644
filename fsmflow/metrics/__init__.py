"""Numbers of an installation for Prometheus, and whether it is ready: ``app`` is an ASGI application with ``/metrics``,
``/healthz`` and ``/readyz``.

    app = FastAPI()
    app.mount("/ops", fsmflow.metrics.app)

It only reads. Whoever can reach it may look; it asks nobody who they are.
"""

from fsmflow.metrics.asgi import App

__all__ = ["app"]

app = App()
