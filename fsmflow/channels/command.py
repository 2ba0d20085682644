"""Hands a message to a command: JSON on its standard input, and its exit status is the answer."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from typing import IO

from fsmflow.channels.kinds import Command
from fsmflow.channels.message import Message
from fsmflow.channels.reply import MAX_TEXT, NotDelivered, told
from fsmflow.errors import text_of


def send(channel: Command, message: Message) -> str:
    """Run it once; how it ended. Raises NotDelivered where that is not status 0. Whatever ends this call, a time limit
    of the job among it, ends the command too, with all that it has started."""
    with tempfile.TemporaryFile() as output:
        try:
            running = subprocess.Popen(
                channel.arguments,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise NotDelivered(f"the command {channel.place} cannot be started: {text_of(error)}") from error
        try:
            running.communicate(message.with_id, timeout=channel.timeout)
        except subprocess.TimeoutExpired as error:
            raise NotDelivered(
                f"the command {channel.place} did not end within {channel.timeout:g} s{_said(output)}"
            ) from error
        finally:
            _end(running)
        if running.returncode:
            raise NotDelivered(f"the command {channel.place} {_how(running.returncode)}{_said(output)}")
        return f"{channel.place} ended with status 0{_said(output)}"


def _end(running: subprocess.Popen[bytes]) -> None:
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    if running.stdin is not None:
        running.stdin.close()


def _how(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"


def _said(output: IO[bytes]) -> str:
    """The beginning of what it wrote."""
    output.seek(0)
    text = output.read(MAX_TEXT * 4).decode("utf-8", "replace")
    return f": {told(text)}" if text.strip() else ""
