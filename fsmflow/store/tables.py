"""What the tables are called, and the facts in one of them that statements read."""

PREFIX = "fsmflow_"
ENTITY, WORK, HISTORY, EVENT, META, MEMBER = (
    PREFIX + name for name in ("entity", "work", "history", "event", "meta", "member")
)
#: Failure groups, and how often each was seen.
FAILURE, SIGHTING = (PREFIX + name for name in ("failure", "sighting"))
#: How far each feed has been read.
FEED = PREFIX + "feed"
#: The fact that says what is kept back.
HOLDS = "holds"
#: What this installation signs with: apart from META, which whoever looks has to read.
SECRET = PREFIX + "secret"
#: The secret with which approval links are signed.
APPROVALS = "approvals"
#: What is counted of attempts, doorbells and sweeps.
METER = PREFIX + "meter"
#: What the data of entities hold in declared fields.
TERM = PREFIX + "term"
#: Events of others that were verified, and led to nothing.
ARRIVAL = PREFIX + "arrival"
#: Who may log in on the web, what they are let in by, and tries to log in.
USER, TOKEN, TRY = (PREFIX + name for name in ("user", "token", "try"))
#: What programs were answered whose requests had a key.
ANSWER = PREFIX + "answer"
#: Made on demand, for people who look with SQL.
ENTITIES_VIEW, HISTORY_VIEW = (PREFIX + name for name in ("entities", "history_lines"))
#: The limits that were met so far, each with its values; who has a permit of one, or waits for that.
LIMIT, PERMIT = (PREFIX + name for name in ("limit", "permit"))
#: The fact that there are limits.
LIMITS = "limits"
#: The fact that a worker has begun once, and Redis has been marked since.
MARKED = "marked"
#: All of them.
NAMES = (
    *(ENTITY, WORK, HISTORY, EVENT, META, MEMBER, FAILURE, SIGHTING, FEED, SECRET, METER, TERM, ARRIVAL),
    *(USER, TOKEN, TRY, ANSWER, LIMIT, PERMIT, ENTITIES_VIEW, HISTORY_VIEW),
)
