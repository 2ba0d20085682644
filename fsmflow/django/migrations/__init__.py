"""One for each version of fsmflow's tables, under its number."""
