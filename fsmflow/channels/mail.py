"""Mails a message: one mail to all that a channel names, by its mail server."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from fsmflow.channels.kinds import STARTTLS, TLS, Email
from fsmflow.channels.message import Message, plain
from fsmflow.channels.reply import NotDelivered, told
from fsmflow.channels.secret import revealed
from fsmflow.errors import text_of
from fsmflow.log.lines import one_line
from fsmflow.scope import scope

_MAX_SUBJECT: Final = 200


def send(channel: Email, message: Message) -> str:
    """Mail it once; what was answered. Raises NotDelivered, ConfigurationError."""
    password = None if channel.password is None else revealed(channel.password)
    where = f"the mail server {channel.host}:{channel.at_port}"
    try:
        with _connected(channel) as server:
            if channel.user is not None and password is not None:
                server.login(channel.user, password)
            refused = server.send_message(mail_of(channel, message), channel.sender, list(channel.to))
    except smtplib.SMTPRecipientsRefused as error:
        raise NotDelivered(f"{where} took none of the addresses: {_refusals(error.recipients)}") from error
    except smtplib.SMTPResponseException as error:
        answer = error.smtp_error if isinstance(error.smtp_error, str) else error.smtp_error.decode("utf-8", "replace")
        raise NotDelivered(f"{where} answered {error.smtp_code}: {told(answer)}") from error
    except (smtplib.SMTPException, OSError) as error:
        why = told(text_of(error)) or f"nothing within {channel.timeout:g} s"
        raise NotDelivered(f"{where} did not take it: {type(error).__name__}: {why}") from error
    return f"{where} took it{f', but not for {_refusals(refused)}' if refused else ''}"


def mail_of(channel: Email, message: Message) -> EmailMessage:
    """The mail: the same each time, so that it is known by its ``Message-ID``."""
    mail = EmailMessage()
    subject = one_line(f"{message.type}: {message.text}")
    mail["Subject"] = subject if len(subject) <= _MAX_SUBJECT else f"{subject[:_MAX_SUBJECT]}..."
    mail["From"], mail["To"] = channel.sender, ", ".join(channel.to)
    mail["Date"] = format_datetime(datetime.fromisoformat(message.timestamp))
    mail["Message-ID"] = f"<{message.id}@{channel.sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    facts = json.dumps(plain(message.data), ensure_ascii=False, indent=2)
    text = f"{message.text}\n\n{message.type}, {message.timestamp}, {message.id}\n\n{facts}\n"
    mail.set_content(text.encode("utf-8", "replace").decode(), cte="base64")
    return mail


@scope
def _connected(channel: Email) -> Iterator[smtplib.SMTP]:
    """A session with the server, encrypted as the channel says. What is asked in it ends after ``timeout`` seconds."""
    context = ssl.create_default_context()
    if channel.tls == TLS:
        server: smtplib.SMTP = smtplib.SMTP_SSL(channel.host, channel.at_port, timeout=channel.timeout, context=context)
    else:
        server = smtplib.SMTP(channel.host, channel.at_port, timeout=channel.timeout)
    timer = threading.Timer(channel.timeout, _cut, [server])
    timer.daemon = True
    timer.start()
    try:
        if channel.tls == STARTTLS:
            server.starttls(context=context)
        yield server
        # The mail is taken by now, and would be sent once more for the sake of a goodbye.
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
    finally:
        timer.cancel()
        server.close()


def _cut(server: smtplib.SMTP) -> None:
    """Whoever waits for this server goes on, with an error. What is encrypted is cut below that."""
    if server.sock is not None:
        with suppress(OSError):  # it has just ended
            socket.socket.shutdown(server.sock, socket.SHUT_RDWR)


def _refusals(recipients: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(
        f"{told(address)} ({code}: {told(text.decode('utf-8', 'replace'))})"
        for address, (code, text) in recipients.items()
    )
