"""What commands there are, and where: a module is imported when its command is run, so that the others begin soon."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem

#: As many characters as no short help has.
_WHOLE: Final = 1_000


class Entry(NamedTuple):
    """A command. ``place``: its module, and its name there or that of a table with it; ``short``: what the list of
    commands says of it."""

    name: str
    place: str
    short: str

    def load(self) -> click.Command:
        """The command itself."""
        import_module("fsmflow.store.placeholders").import_peewee()
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"fsmflow.cli.{module}"), attribute)
        command: click.Command = found[self.name] if isinstance(found, Mapping) else found
        return command

    def stand_in(self) -> click.Command:
        """What is known of it without looking."""
        return click.Command(self.name, help=self.short)


#: In the order in which a newcomer meets them.
CATALOGUE: Final = (
    Entry("init", "worker:init", "Create the tables in the database, or upgrade them."),
    Entry("worker", "worker:worker", "Run jobs until stopped, and look after timers, retries and lost work."),
    Entry("start", "start:start", "Start an entity of MACHINE under this ID, in the initial state."),
    Entry("trigger", "actions:trigger", "Fire TRIGGER on the entity at ADDRESS."),
    Entry(
        "link",
        "approvals:link",
        "Make a link by which PERSON fires TRIGGER on the entity at ADDRESS, once, from a page with a button.",
    ),
    Entry("list", "show:list_", "List entities, the oldest first."),
    Entry(
        "waiting",
        "desk:waiting",
        "Show what waits for you: entities with a trigger that takes a role which you have, the next deadline first.",
    ),
    Entry("show", "show:show", "Show one entity as it is now."),
    Entry(
        "explain", "show:explain", "Explain what an entity does, waits for and is blocked by, and what is allowed now."
    ),
    Entry("history", "show:history", "Show all that happened to an entity."),
    Entry("feed", "feed:feed", "Tell what happens to entities, line by line, from where NAME stopped reading."),
    Entry(
        "failures",
        "failures:failures",
        "Show what has failed, group by group, and how to retry it; or one GROUP, by enough of its id.",
    ),
    Entry(
        "retry",
        "actions:ACTION_COMMANDS",
        "Retry failed entities from the step that failed, under the same id, with the code deployed now.",
    ),
    Entry("resume", "actions:ACTION_COMMANDS", "Let paused, failed or stuck entities go on."),
    Entry("pause", "actions:ACTION_COMMANDS", "Pause entities."),
    Entry("cancel", "actions:ACTION_COMMANDS", "Cancel entities."),
    Entry("skip", "actions:ACTION_COMMANDS", "Go on as if the step that failed had been done."),
    Entry("rewind", "actions:ACTION_COMMANDS", "Go back to STATE, in which the entity has been."),
    Entry("undo", "actions:ACTION_COMMANDS", "Take back what the entered steps did, the latest first."),
    Entry("force", "actions:ACTION_COMMANDS", "Enter STATE, whatever leads there."),
    Entry(
        "drop",
        "actions:ACTION_COMMANDS",
        "Take away an event that is kept, or a message that was sent and is not delivered yet.",
    ),
    Entry(
        "erase",
        "actions:ACTION_COMMANDS",
        "Take away for good what entities hold of people; what happened, and when, stays.",
    ),
    Entry(
        "repair",
        "repair:repair",
        "Do one action to many entities with care: see first, try it on a few, then the rest at a rate, stop if it "
        "fails.",
    ),
    Entry("hold", "hold:hold", "Keep back entities of MACHINE: those that are there, and those that arrive."),
    Entry("release", "hold:release", "End a HOLD: what arrives is kept back no more, and workers let go what was."),
    Entry("limits", "limits:limits", "Show how limits are used: who has permits, and how many wait in line."),
    Entry(
        "drain",
        "drain:drain",
        "Have the workers of HOST take nothing new and end what they run, as before a new release.",
    ),
    Entry(
        "stats", "overview:stats", "Count entities by state; show since when the oldest is there, queues, and due work."
    ),
    Entry("metrics", "metrics:metrics", "Tell Prometheus how things stand."),
    Entry(
        "alarms",
        "alarms:alarms",
        "Show which alarms are raised: since when, what happened, and what to type next.",
    ),
    Entry("top", "top:top", "Show what goes on, live: states, what runs and fails, queues, workers, repairs."),
    Entry(
        "web",
        "web:web",
        "Serve the pages for people: what there is, what has failed, and the buttons to mend it.",
    ),
    Entry("check", "overview:check", "Check the machines."),
    Entry("info", "info:info", "Show what is in force here."),
    Entry(
        "verify",
        "verify:verify_command",
        "Check in the database that every promise holds: nothing lost, nothing twice, nothing left lying.",
    ),
    Entry(
        "prune",
        "retention:prune_command",
        "Delete for good what has finished, with its branches, children, history, keys and messages.",
    ),
    Entry(
        "types", "classbody:types", "Add to the class of MACHINE, or of all, a line for each trigger that has no type."
    ),
    Entry("draw", "draw:draw", "Draw a machine."),
    Entry(
        "schedule", "schedule:schedule", "Look at the schedules of machines, pause them, and start what they missed."
    ),
    Entry("channels", "channels:channels", "Show where messages to people and other systems go, and try a channel."),
    Entry(
        "hooks", "hooks:hooks", "Show which webhooks of others fire which triggers, and what came and led to nothing."
    ),
    Entry("users", "users:users", "Say who may log in on the web."),
    Entry("tokens", "tokens:tokens", "Make and revoke API tokens: each lets a program in, in somebody's name."),
    Entry("reconcile", "worker:reconcile", "Look once after all that is due."),
)


class Listed(click.Group):
    """A group that tells the likely command for a misspelt one, and in its help all that is said of each."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = import_module("fsmflow.errors").did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"No such command {name!r}{hint or '.'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.told(ctx))

    def told(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command, and what it is for."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [(name, command.get_short_help_str(_WHOLE)) for name, command in found if command is not None]


class Catalogue(Listed):
    """The commands of the catalogue, in its order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in CATALOGUE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = next((entry for entry in CATALOGUE if entry.name == cmd_name), None)
        return None if entry is None else entry.load()

    def told(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(entry.name, entry.stand_in().get_short_help_str(_WHOLE)) for entry in CATALOGUE]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        entries = [entry for entry in CATALOGUE if entry.name.startswith(incomplete)]
        found = [CompletionItem(entry.name, help=entry.stand_in().get_short_help_str()) for entry in entries]
        return found + click.Command.shell_complete(self, ctx, incomplete)
