"""None: fsmflow has its tables by itself. Django tells only an app with this module of ``migrate``."""
