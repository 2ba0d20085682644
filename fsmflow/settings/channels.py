"""The channels of an installation by name, as ``configure`` or a file has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fsmflow.channels.kinds import KINDS, Channel, Log
from fsmflow.errors import ConfigurationError, did_you_mean, shown
from fsmflow.settings.toml import read_table, read_toml

#: There without being configured.
LOG: Final = "log"
MAX_NAME: Final = 64
_CONFIGURED: Final = "configure(channels=...)"
#: What a kind cannot do without, and how a file says it.
_NEEDED: Final[Mapping[str, Mapping[str, str]]] = {
    "command": {"arguments": '["notify", "--now"]'},
    "email": {"to": '["ops@shop.example"]', "sender": '"fsmflow@shop.example"'},
    "webhook": {"url": '"https://shop.example/hooks"', "secret": '"env:SHOP_WEBHOOK_SECRET"'},
}


def read_channels(given: object, source: str = _CONFIGURED) -> dict[str, Channel]:
    """What ``configure`` or a file says. Raises ConfigurationError, with the name, for what cannot be."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{source} is {shown(given)}; it is a mapping of names to channels")
    found: dict[str, Channel] = {LOG: Log()}
    for name, channel in given.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable() or "," in name:
            raise ConfigurationError(
                f"{source}: a channel has a name of 1 to {MAX_NAME} characters without a comma, not {shown(name)}"
            )
        found[name] = channel if isinstance(channel, Channel) else _read(channel, f"{source}: {name}")
    return found


def _read(given: object, where: str) -> Channel:
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} is no channel; {_form(where)}")
    return read_table(KINDS, _NEEDED, given, where, _form(where))


def _form(where: str) -> str:
    """How a channel is written where it was looked for."""
    if where.startswith(_CONFIGURED):
        return f"it takes {', '.join(kind.__name__ for kind in KINDS.values())} of fsmflow.channels"
    return f'each is a table, as [ops] with a line kind = "log"; the kinds are {", ".join(KINDS)}'


def read_file(path: str) -> dict[str, Channel]:
    """What a file of TOML says. Raises ConfigurationError."""
    return read_channels(read_toml(path, "channels"), path)


def channels_of(channels: Mapping[str, Channel] | None) -> Mapping[str, Channel]:
    """All that there are: ``log`` is there without being configured."""
    return {LOG: Log()} if channels is None else channels


def channel_of(configured: Mapping[str, Channel] | None, name: str) -> Channel:
    """The channel of this name. Raises ConfigurationError."""
    channels = channels_of(configured)
    try:
        return channels[name]
    except KeyError:
        hint = did_you_mean(name, channels)
        raise ConfigurationError(
            f"there is no channel {name!r} here{hint}; FSMFLOW_CHANNELS or configure(channels=...) says which there are"
        ) from None
