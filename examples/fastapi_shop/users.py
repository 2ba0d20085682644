"""Who can log in to this shop. Yours stand in a database."""

from dataclasses import dataclass

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

PASSWORDS = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))


@dataclass(frozen=True)
class User:
    """``roles``: what somebody does here. Customers have none."""

    name: str
    password: str
    roles: tuple[str, ...] = ()


USERS = {
    "ann": User(
        "ann",
        "$argon2id$v=19$m=19456,t=2,p=1$geFGiiA+t652p4wjG7wd/Q$LsnWlhcISYrWetY4dmhK/1zZToyOzilHoPqDCzsY2wE",
        roles=("support",),
    ),
    "carl": User(
        "carl", "$argon2id$v=19$m=19456,t=2,p=1$TXaka58qxv4cMcyPMBP9Bg$pOkfDYNIkP1SxmvL1+j4K3HLXzp6fBFRzMifJs7eqXo"
    ),
}
#: Compared with where there is no such user, so that the time of an answer does not tell.
NOBODY = User("", PASSWORDS.hash("nobody"))


def user_of(name: str, password: str) -> User | None:
    """The user, if the password is right."""
    user = USERS.get(name, NOBODY)
    return user if PASSWORDS.verify(password, user.password) and user.name else None


#: For programs. Yours are long, made at random, and kept as digests.
TOKENS = {"token-of-carl": "carl", "token-of-ann": "ann"}


def user_of_token(token: str) -> User | None:
    return USERS.get(TOKENS.get(token, ""))
