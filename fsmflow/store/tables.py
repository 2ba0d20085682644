"""What the tables are called."""

PREFIX = "fsmflow_"
ENTITY, WORK, HISTORY, EVENT, META = (PREFIX + name for name in ("entity", "work", "history", "event", "meta"))
