"""The methods of machines for asyncio: each by the name of the one that waits, with an ``a`` in front.

But for ``relay.py`` and ``wait.py``, these modules are written by ``python scripts/coroutines.py``.
"""
