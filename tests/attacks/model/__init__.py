"""Models of how fsmflow keeps its promises, small enough for every order of events to be tried."""
