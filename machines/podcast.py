"""A podcast episode from the recording to the release: real audio, by ffmpeg (``pip install fsmflow[demo]``)."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsmflow import Fail, Machine, Retry, State

from . import ffmpeg
from .gateway import home


class Podcast(Machine):
    """Bring a recording to an even loudness, encode it, release it with its metadata."""

    name = "podcast"
    initial = "recorded"
    states = [
        State("recorded"),
        State("processing", job="process", retry=Retry(max=2, interval=1), timeout=600),
        State("optimising", job="optimise", retry=Retry(max=2, interval=1), timeout=600, queue="slow"),
        State("releasing", job="release", retry=Retry(max=2, interval=1), timeout=60),
        State("released", final=True),
    ]
    transitions = [
        ["submit", "recorded", "processing"],
        ["done", "processing", "optimising"],
        ["done", "optimising", "releasing"],
        ["done", "releasing", "released"],
    ]

    def process(self) -> dict[str, Any]:
        recording = Path(self.data["recording"])
        if not recording.is_file():
            raise Fail(f"there is no recording {recording}")
        with self.whole("work", "master.wav") as draft:
            ffmpeg.convert(self, recording, draft, "-af", "loudnorm=I=-16:TP=-1.5", "-ar", "48000")
        return {"master": str(self.path("work", "master.wav"))}

    def optimise(self) -> dict[str, Any]:
        tags = ["-metadata", f"title={self.data['title']}"]
        with self.whole("work", "episode.mp3") as draft:
            ffmpeg.convert(self, Path(self.data["master"]), draft, "-b:a", self.data.get("bitrate", "96k"), *tags)
        return {"encoded": str(self.path("work", "episode.mp3"))}

    def release(self) -> dict[str, Any]:
        audio = Path(self.data["encoded"]).read_bytes()
        with self.whole("releases", "episode.mp3") as draft:
            draft.write_bytes(audio)
        # The metadata last: who finds it finds all of the audio too.
        with self.whole("releases", "episode.json") as draft:
            draft.write_text(json.dumps({"title": self.data["title"], "bytes": len(audio)}), encoding="utf-8")
        return {"released": str(self.path("releases", "episode.mp3"))}

    def path(self, place: str, file: str) -> Path:
        """Where a file of this episode is."""
        return home() / place / f"podcast-{self.entity_id}" / file

    @contextmanager
    def whole(self, place: str, file: str) -> Iterator[Path]:
        """A draft that takes the file's place by a rename: all of it is there or nothing, and a rerun does no harm."""
        target = self.path(place, file)
        draft = target.with_name(f".{self.attempt}-{file}")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        os.replace(draft, target)
