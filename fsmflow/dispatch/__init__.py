"""Doorbells. On a Redis Cluster all keys lie in one slot, by RQ's own prefix, which RQ reads as it is imported."""

import os
import sys

from fsmflow import settings

_chosen = settings.chosen()
_url = os.environ.get(settings.REDIS_URL) if _chosen is None else _chosen.redis_url
if "+cluster://" in (_url or "") and "rq" not in sys.modules:
    # For processes that are started from here as well. What runs RQ's own tools says so itself.
    os.environ.setdefault("RQ_KEY_PREFIX", "{rq}")
