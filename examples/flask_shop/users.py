"""Who can log in to this shop. Yours stand in a database."""

from dataclasses import dataclass

from werkzeug.security import check_password_hash, generate_password_hash


@dataclass(frozen=True)
class User:
    """``roles``: what somebody does here. Customers have none."""

    name: str
    password: str
    roles: tuple[str, ...] = ()


USERS = {
    "ann": User(
        "ann",
        "scrypt:16384:8:1$TwgOOjaGlG0wnRho$3b05119c9c0f5c266616941dae14533f3c5efb45a708146c6e72de54"
        "5fa0f17267e78335dd32312137ec6ebca17a34070a43c05dd13f1ed138d4b7c28284e2aa",
        roles=("support",),
    ),
    "carl": User(
        "carl",
        "scrypt:16384:8:1$CC8JCPOaGUf4SLTQ$8bd3842401aa592d314375d3572ce6166e47b556a2e9ccff71dde177"
        "05ebe20e59fd2fa9f2ed42b02a8d330477b215b0905055559172e92ccb6170934920173e",
    ),
}
#: Compared with where there is no such user, so that the time of an answer does not tell.
NOBODY = User("", generate_password_hash("nobody", method="scrypt:16384:8:1"))


def user_of(name: str, password: str) -> User | None:
    """The user, if the password is right."""
    user = USERS.get(name, NOBODY)
    return user if check_password_hash(user.password, password) and user.name else None
