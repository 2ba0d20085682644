"""What the button at a console block copies: the commands that are typed, without the prompts and what is printed."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

PROMPT = "$ "
BLOCK = re.compile(
    r'<div class="highlight">((?:<span class="filename">[^<]*</span>)?)'
    r'(<pre>(?:(?!</pre>).)*?<span class="gp">.*?</pre>)',
    re.DOTALL,
)


def on_page_content(html: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return BLOCK.sub(_with_commands, html)


def _with_commands(block: re.Match[str]) -> str:
    typed = "\n".join(commands(unescape(re.sub("<[^>]+>", "", block[2]))))
    return f'<div class="highlight" data-copy="{escape(typed)}">{block[1]}{block[2]}'


def commands(shown: str) -> list[str]:
    """The lines that are typed: those after a prompt, and what a backslash at the end of one continues."""
    found: list[str] = []
    goes_on = False
    for line in shown.splitlines():
        if line.startswith(PROMPT) or goes_on:
            found.append(line.removeprefix(PROMPT))
            goes_on = line.endswith("\\")
    return found
