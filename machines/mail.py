"""A pretend mail server: each message is a file below ``mail`` in the home, and the server can be down.

It is down while the file ``mail.down`` is in the home: for the addressees that the file names, one a line, or for all
where it names none.
"""

from .gateway import home


class MailDown(ConnectionError):
    """The mail server does not answer; nothing was sent."""


def send(to: str, text: str, *, key: str) -> None:
    """Send once per ``key``, however often it is asked. Raises MailDown."""
    if _is_down_for(to):
        raise MailDown(f"no mail goes to {to} (there is a file {home() / 'mail.down'})")
    letter = home() / "mail" / to / f"{key}.txt"
    letter.parent.mkdir(parents=True, exist_ok=True)
    if not letter.exists():
        letter.write_text(f"{text}\n", encoding="utf-8")
        print(f"mail to {to}: {text}")


def inbox(to: str) -> list[str]:
    """What has been sent to somebody, the oldest first."""
    letters = (home() / "mail" / to).glob("*.txt")
    return [
        letter.read_text(encoding="utf-8").strip() for letter in sorted(letters, key=lambda it: it.stat().st_mtime_ns)
    ]


def break_for(*people: str) -> None:
    """Take the server down for some, or for all where none is named."""
    home().mkdir(mode=0o700, parents=True, exist_ok=True)
    (home() / "mail.down").write_text("\n".join(people), encoding="utf-8")


def mend() -> None:
    """Bring the server back for all."""
    (home() / "mail.down").unlink(missing_ok=True)


def _is_down_for(to: str) -> bool:
    try:
        named = (home() / "mail.down").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return False
    return not named or to in named
