"""Doorbells. On a Redis Cluster all keys lie in one slot, by RQ's own prefix, which RQ reads as it is imported."""

import os
import sys

from fsmflow import settings
from fsmflow.settings.queues import in_environment

_chosen = settings.chosen()
_urls = (
    (os.environ.get(settings.REDIS_URL), *in_environment(os.environ).values())
    if _chosen is None
    else (_chosen.redis_url, *_chosen.queues.values())
)
if any("+cluster://" in (url or "") for url in _urls) and "rq" not in sys.modules:
    # For processes that are started from here as well. What runs RQ's own tools says so itself.
    os.environ.setdefault("RQ_KEY_PREFIX", "{rq}")
