"""A deterministic simulation of the real code: one thread, seeds, virtual time, and faults wherever one can strike.

What is real: everything from the public ``Machine`` down to SQL, on SQLite in memory with a connection for each
simulated process; ``Executor`` and ``Maintenance``, as workers and supervisors run them. What is simulated: time,
Redis, the death and the sleep of processes and hosts, and what a database server does when it fails. Writers take
turns, as they do in SQLite; how row locks of PostgreSQL and MySQL interleave is tried elsewhere, by real processes.
"""
