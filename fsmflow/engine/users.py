"""Who may log in on the web: users of the database, or of the file that the settings name, and whom they act as."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from fsmflow import log
from fsmflow.decision.inputs import Actor, checked_text
from fsmflow.decision.permission import Gate
from fsmflow.decision.team import EVERY
from fsmflow.decision.user import User
from fsmflow.definition.operators import USERS
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import ConfigurationError, DataError, NotPermitted, did_you_mean
from fsmflow.log.users import user_changed
from fsmflow.settings.permissions import Permissions, Person
from fsmflow.settings.users import Listed, read_users
from fsmflow.values import replace

_NOBODY: Final = Person()
#: A file of users as it was read, while it is still the same: by its path, its inode, its size and when it was written.
_read: dict[str, tuple[tuple[int, int, int], dict[str, Listed]]] = {}


def find(runtime: Runtime, name: str) -> User | None:
    """The user of a name, as it is written there. One query, or a look whether the file has changed. Raises
    ConfigurationError where it cannot be read."""
    path = runtime.settings.users
    if path is None:
        return runtime.store.users.find(name)
    listed = _of_file(path).get(name)
    return None if listed is None else _from_file(name, listed)


def everybody(runtime: Runtime) -> list[User]:
    """All of them, by name."""
    path = runtime.settings.users
    if path is None:
        return runtime.store.users.all()
    return [_from_file(name, listed) for name, listed in sorted(_of_file(path).items())]


def has_any(runtime: Runtime) -> bool:
    """Whether there is one."""
    path = runtime.settings.users
    return runtime.store.users.any() if path is None else bool(_of_file(path))


def actor_of(runtime: Runtime, name: str) -> Actor | None:
    """Whom somebody acts as who has logged in, or whose token it is: a user who is not disabled, or a person of the
    permissions who is no user. None for anybody else."""
    user, permissions = find(runtime, name), runtime.settings.permissions
    if user is not None:
        return None if user.disabled else roles_of(runtime, user)
    if permissions is None or name not in permissions.people:
        return None
    return person_of(permissions, name)


def roles_of(runtime: Runtime, user: User) -> Actor:
    """Whom a user acts as. Roles and teams are those that the permissions of the installation give; where it has none,
    the user's own, who is in all teams if no team is named."""
    permissions = runtime.settings.permissions
    if permissions is None:
        return Actor(user.name, user.roles, teams=user.teams or (EVERY,))
    return person_of(permissions, user.name)


def person_named(runtime: Runtime, name: str) -> Actor | None:
    """Somebody whom others have let in under this name. None for a user who is disabled. Roles and teams are those that
    the permissions give; where there are none, no role and all teams."""
    user, permissions = find(runtime, name), runtime.settings.permissions
    if user is not None and user.disabled:
        return None
    return Actor(name, teams=EVERY) if permissions is None else person_of(permissions, name)


def person_of(permissions: Permissions, name: str) -> Actor:
    """Somebody with the roles and teams that permissions give."""
    person = permissions.people.get(name, _NOBODY)
    return Actor(name, person.roles, teams=person.teams)


def add(
    runtime: Runtime, name: str, password: str, actor: Actor, *, roles: Iterable[str] = (), teams: Iterable[str] = ()
) -> User:
    """Let somebody log in. ``password`` is its hash. Of two who add the same name one is refused. Raises NotPermitted,
    DataError."""
    permit(runtime, USERS, actor)
    checked = Actor(checked_text(name, "the name of a user"), roles, teams=teams)
    check_roles(runtime, checked)
    if name != name.strip():
        raise DataError(f"the name of a user is {name!r}; it begins or ends with a space")
    user = User(
        name=name,
        password=password,
        roles=checked.roles,
        teams=checked.teams,
        made_at=runtime.now(),
        made_by=actor.name,
    )
    if runtime.settings.users is None and not runtime.store.users.add(user):
        raise DataError(f"there is a user {name!r} already; 'fsmflow users password {name}' changes the password")
    if runtime.settings.users is None:
        user_changed(name, "added", actor.name)
    return user


def change_password(runtime: Runtime, name: str, password: str, actor: Actor) -> User:
    """Give a user another password, of which this is the hash. All sessions of the user end. Whoever is the user needs
    no permission. Raises NotPermitted, DataError."""
    if actor.login != name:
        permit(runtime, USERS, actor)
    user = known(runtime, name)
    if runtime.settings.users is None:
        _check_there(runtime.store.users.change(name, password=password), runtime, name)
        user_changed(name, "given another password", actor.name)
    return replace(user, password=password)


def disable(runtime: Runtime, name: str, actor: Actor) -> None:
    """Let a user in no more, by no session and no token, from now on. Raises NotPermitted, DataError."""
    _change(runtime, name, actor, disabled=True)
    user_changed(name, "disabled", actor.name)


def enable(runtime: Runtime, name: str, actor: Actor) -> None:
    """Let a user in again who was disabled. Sessions of before are ended. Raises NotPermitted, DataError."""
    _change(runtime, name, actor, disabled=False)
    user_changed(name, "enabled", actor.name)


def end_sessions(runtime: Runtime, name: str, actor: Actor) -> None:
    """Have a user log in anew everywhere. Raises NotPermitted, DataError."""
    if actor.login != name:
        permit(runtime, USERS, actor)
    _check_in_database(runtime)
    _check_there(runtime.store.users.change(name), runtime, name)
    user_changed(name, "logged out everywhere", actor.name)


def remove(runtime: Runtime, name: str, actor: Actor) -> None:
    """Forget a user, with the sessions and API tokens. Raises NotPermitted, DataError."""
    permit(runtime, USERS, actor)
    _check_in_database(runtime)
    _check_there(runtime.store.users.remove(name), runtime, name)
    user_changed(name, "removed", actor.name)


def known(runtime: Runtime, name: str) -> User:
    """The user of a name. Raises DataError where there is none."""
    user = find(runtime, name)
    _check_there(user is not None, runtime, name)
    return user  # type: ignore[return-value]


def permit(runtime: Runtime, permission: str, actor: Actor) -> None:
    """Raises NotPermitted, which the log tells too, where an actor may not do this in the installation. Where nobody
    says who may do what, everybody may who can run a command."""
    refusal = _refusal(runtime, permission, actor)
    if refusal is not None:
        log.permission_refused(refusal)
        raise refusal


def may(runtime: Runtime, permission: str, actor: Actor) -> bool:
    """The same, asked."""
    return _refusal(runtime, permission, actor) is None


def check_roles(runtime: Runtime, user: Actor) -> None:
    """Raises DataError where a user is given roles or teams, and the permissions of the installation do that."""
    permissions = runtime.settings.permissions
    if permissions is not None and (user.roles or user.teams):
        raise DataError(
            f"{user.name!r} gets roles and teams where all people do: under [people] in {permissions.source}, as in "
            f"{user.name} = {{ roles = [...], teams = [...] }}"
        )


def _refusal(runtime: Runtime, permission: str, actor: Actor) -> NotPermitted | None:
    permissions = runtime.settings.permissions
    if permissions is None or not permissions.closes:
        return None
    return Gate(permissions=permissions).of_installation(permission, actor)


def _change(runtime: Runtime, name: str, actor: Actor, *, disabled: bool) -> None:
    permit(runtime, USERS, actor)
    _check_in_database(runtime)
    _check_there(runtime.store.users.change(name, disabled=int(disabled)), runtime, name)


def _check_in_database(runtime: Runtime) -> None:
    path = runtime.settings.users
    if path is not None:
        raise DataError(f"the users of this installation stand in {path}; change them there. It is read again at once")


def _check_there(is_there: bool, runtime: Runtime, name: str) -> None:
    if not is_there:
        hint = did_you_mean(name, [user.name for user in everybody(runtime)])
        raise DataError(f"there is no user {name!r}{hint or '; fsmflow users list shows who there is'}")


def _from_file(name: str, listed: Listed) -> User:
    return User(name=name, password=listed.password, disabled=listed.disabled, roles=listed.roles, teams=listed.teams)


def _of_file(path: str) -> dict[str, Listed]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise ConfigurationError(f"the file of users {path} cannot be read: {error.strerror}") from error
    written = (found.st_ino, found.st_size, found.st_mtime_ns)
    before = _read.get(path)
    if before is None or before[0] != written:
        before = _read[path] = (written, read_users(path))
    return before[1]
