"""Which code a process runs: by name, by its commit, or by the source of its machines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fsmflow import release, settings
from fsmflow.errors import ConfigurationError
from fsmflow.release import Release
from fsmflow.settings import Settings
from tests.support import machines as some_machines
from tests.support.machines import Order

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a module with machines, in which modules are looked for."""
    (tmp_path / "our_machines.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*machines: str, named: str | None = None) -> Release:
    return release.look(Settings(machines=machines or ("our_machines",), release=named))


def checked_out(git: Path, head: str) -> None:
    git.mkdir(parents=True)
    (git / "HEAD").write_text(f"{head}\n")


def test_the_name_that_was_given_goes_before_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked_out(folder / ".git", COMMIT)
    monkeypatch.setenv("FSMFLOW_RELEASE", " 2030-01-01 ")
    assert found(named=settings.from_environment().release).name == "2030-01-01"


@pytest.mark.parametrize("name", [" ", "a\nb", "x" * 65])
def test_a_name_that_cannot_be_kept_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSMFLOW_RELEASE", name)
    with pytest.raises(ConfigurationError, match=r"FSMFLOW_RELEASE is .*; it takes a name of 1 to 64 characters"):
        settings.from_environment()


def test_a_worker_process_is_handed_the_name_over() -> None:
    before = settings.chosen()
    try:
        settings.take_over(settings.handed_over(Settings(release="7")))
        assert settings.current().release == "7"
    finally:
        settings.choose(before)


@pytest.mark.parametrize("where", ["loose", "packed", "detached"])
def test_the_commit_is_read_from_the_files_of_git(folder: Path, where: str) -> None:
    git = folder / ".git"
    checked_out(git, COMMIT if where == "detached" else "ref: refs/heads/main")
    if where == "loose":
        (git / "refs" / "heads").mkdir(parents=True)
        (git / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    if where == "packed":
        (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{OTHER} refs/heads/x\n{COMMIT} refs/heads/main\n")
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "orders.py").write_text("B = 1\n")
    assert found().name == found("shop.orders").name == COMMIT[:12]


def test_the_commit_of_a_worktree_is_its_own(folder: Path) -> None:
    git = folder / "elsewhere" / ".git"
    checked_out(git / "worktrees" / "w", "ref: refs/heads/w")
    (git / "worktrees" / "w" / "commondir").write_text("../..\n")
    (git / "packed-refs").write_text(f"{COMMIT} refs/heads/w\n")
    (folder / ".git").write_text(f"gitdir: {git}/worktrees/w\n")
    assert found().name == COMMIT[:12]


@pytest.mark.parametrize("head", ["ref: refs/heads/.invalid", "ref: refs/heads/none-yet", "", "\udcff"])
def test_where_git_does_not_tell_it_is_a_digest_of_the_source(folder: Path, head: str) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_bytes(head.encode("utf-8", "surrogateescape"))
    first = found()
    assert first == Release(name=f"source-{first.source}", source=first.source)
    (folder / "our_machines.py").write_text("A = 2\n")
    assert found().name not in (None, first.name)


def test_the_source_tells_of_what_was_edited_since_the_commit(folder: Path) -> None:
    checked_out(folder / ".git", COMMIT)
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    first = found("our_machines", "shop")
    (folder / "shop" / "orders.py").write_text("B = 1\n")
    second = found("our_machines", "shop")
    assert first.name == second.name == COMMIT[:12]
    assert first.source != second.source
    assert "shop" not in sys.modules


def test_classes_and_modules_are_found_by_their_files() -> None:
    assert release.look(Settings(machines=(Order,))).source == release.look(Settings(machines=(some_machines,))).source


def test_nothing_is_told_of_machines_that_have_no_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "odd", None)
    assert found("odd", "not_there", "sys", "not_there.either") == Release()


def test_a_process_keeps_the_release_that_it_began_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("key", "release"):
        monkeypatch.setattr(release._Noted, name, getattr(release._Noted, name))
    wanted = Settings(machines=("our_machines",))
    first = release.note(wanted)
    (folder / "our_machines.py").write_text("A = 2\n")
    assert release.note(wanted) is first
    assert release.here() == first.name != release.look(wanted).name
