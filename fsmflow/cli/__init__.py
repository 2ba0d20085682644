"""The command line: ``fsmflow``, or ``python -m fsmflow.cli``."""
