"""fsmflow beside other systems: the same chain of steps on each, in rounds that take turns."""
