"""The channels of an installation: where messages to people and other systems go. Nothing here is sent."""

from fsmflow.channels.kinds import Channel as Channel
from fsmflow.channels.kinds import Command as Command
from fsmflow.channels.kinds import Email as Email
from fsmflow.channels.kinds import Log as Log
from fsmflow.channels.kinds import Webhook as Webhook
from fsmflow.channels.secret import new_secret as new_secret
