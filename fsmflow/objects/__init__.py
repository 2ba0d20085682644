"""What fsmflow knows as objects of JSON: the same for ``--json`` and for the HTTP API."""
