"""How worn a worker process is: by the jobs that it has run, and the memory that it has come to use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fsmflow.settings import Settings
from fsmflow.values import dataclass

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = Path("/proc/self/statm")
#: Of so many jobs one less is run by some, so that not all processes end at once.
_SPREAD: Final = 10


@dataclass(frozen=True, kw_only=True)
class Endurance:
    """After how many jobs, and from how many bytes of memory on, a worker process is replaced; None for never."""

    max_jobs: int | None = None
    max_memory: int | None = None

    def or_else(self, settings: Settings) -> Endurance:
        """With the limits of the settings where none is given here."""
        return Endurance(max_jobs=self.max_jobs or settings.max_jobs, max_memory=self.max_memory or settings.max_memory)

    @property
    def options(self) -> list[str]:
        """As options of a worker process."""
        given = {"--max-jobs": self.max_jobs, "--max-memory": self.max_memory}
        return [word for name, value in given.items() if value is not None for word in (name, str(value))]


class Wear:
    """Counts the jobs of this process, and looks at its memory after each, where there is a limit to it."""

    def __init__(self, endurance: Endurance) -> None:
        self._jobs = 0
        most = endurance.max_jobs
        self._max_jobs = None if most is None else most - os.getpid() % (most // _SPREAD + 1)
        self._max_memory = endurance.max_memory

    def count(self, jobs: int) -> None:
        """So many jobs have been run."""
        self._jobs += jobs

    def allows(self, jobs: int) -> bool:
        """Whether after so many jobs, not counted yet, there may be one more."""
        return self._max_jobs is None or self._jobs + jobs < self._max_jobs

    def told(self) -> str | None:
        """Why the process is to be replaced; None where it is not."""
        if self._max_jobs is not None and self._jobs >= self._max_jobs:
            return f"has run {self._jobs:,} job{'' if self._jobs == 1 else 's'}"
        if self._max_memory is not None and (memory := _memory()) > self._max_memory:
            return f"uses {memory / 10**6:,.0f} MB of memory, more than {self._max_memory / 10**6:,.0f} MB"
        return None


def _memory() -> int:
    """The memory that is resident, in bytes."""
    return int(_STATM.read_text().split()[1]) * _PAGE
