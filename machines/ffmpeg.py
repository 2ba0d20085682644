"""Runs ffmpeg for a job, and tells the job's progress while it does."""

import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from fsmflow import Fail, Machine

try:
    import imageio_ffmpeg
except ImportError:  # workers that have no audio to work on do without
    imageio_ffmpeg = None

_DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+\.\d+)")
_DONE = re.compile(r"out_time_us=(\d+)")


class FfmpegError(Exception):
    """ffmpeg ended with an error; the message is the last that it said."""


def executable() -> str:
    """Where ffmpeg is: in the package imageio-ffmpeg, else on the PATH. Raises Fail."""
    found = imageio_ffmpeg.get_ffmpeg_exe() if imageio_ffmpeg else shutil.which("ffmpeg")
    if not found:
        raise Fail("there is no ffmpeg: install fsmflow[demo], or put ffmpeg on the PATH")
    return found


def convert(job: Machine, source: Path, target: Path, *options: str) -> None:
    """Make ``target`` of ``source``. ffmpeg ends with the job: at its limit too, and once it is no longer wanted."""
    command = [executable(), "-nostdin", "-hide_banner", "-nostats", "-progress", "pipe:1", "-y"]
    command += ["-i", str(source.absolute()), *options, str(target)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            said = _follow(job, process.stdout or ())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise FfmpegError(f"{source.name} to {target.name}: {said} (exit status {process.returncode})")


def _follow(job: Machine, lines: Iterable[str]) -> str:
    """Tell the job's progress until ffmpeg ends; the last line of what it said, apart from its progress."""
    seconds = 0.0
    said = deque(["ffmpeg said nothing"], maxlen=1)
    for line in lines:
        if found := _DURATION.search(line):
            hours, minutes, rest = found.groups()
            seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest)
        elif found := _DONE.match(line):
            job.heartbeat(min(1.0, int(found[1]) / 1e6 / seconds) if seconds else None)
        elif line.strip() and not re.match(r"\w+=", line):
            said.append(line.strip())
    return said[0]
