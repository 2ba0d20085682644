"""The map is that of the tree: each module has its line, what is named is there, and a name stands for one idea."""

from __future__ import annotations

import ast
import configparser
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.history import HistoryKind
from fsmflow.definition.state import STATE_PARAMETERS
from tests.support.paths import ROOT

CODE = ROOT / "fsmflow"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = [str(path.relative_to(CODE)) for path in sorted(CODE.rglob("*.py")) if path.stat().st_size]
NAMED = re.findall(r"`([^`\n]+)`", PAGE)
PLACES = sorted({name for name in NAMED if re.fullmatch(r"[\w./-]+", name) and ("/" in name or name.endswith(".py"))})
TOP = {path.stem for path in CODE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
WITH_DOTS = {name for name in NAMED if re.fullmatch(r"\w+(\.\w+)+", name)} - set(PLACES)
#: ``store.commits.Commits.commit``, and ``Commits.commit`` for short.
DOTTED = sorted(name for name in WITH_DOTS if name.partition(".")[0] in TOP)
SHORT = sorted(name for name in WITH_DOTS if name[0].isupper())
QUESTIONS = 13
#: A drawing wider than this has to be scrolled on GitHub.
WIDEST = 100


@cache
def tree_of(module: str) -> ast.Module:
    """A module as it is written. Parsed when it is asked for: each process that collects tests would parse them all."""
    return ast.parse((CODE / module).read_text(encoding="utf-8"))


def section(title: str, level: str = "##") -> str:
    """What stands under a heading, up to the next one of its level."""
    found = PAGE.partition(f"\n{level} {title}\n")[2]
    assert found, f"the page has no heading {title!r}"
    return re.split(rf"^#{{2,{len(level)}}} ", found, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables of a text, without their heads; a drawing is no table."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    heads = re.findall(r"^(\| .+)\n\|---", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line not in heads]


def names_in(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    """What a module or a class defines."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node


def has(tree: ast.AST, names: list[str]) -> bool:
    """Whether a module defines a name, and in that class the next one."""
    if not names:
        return True
    if not isinstance(tree, ast.Module | ast.ClassDef):
        return False
    found = dict(names_in(tree)).get(names[0])
    return found is not None and has(found, names[1:])


@cache
def is_defined(dotted: str) -> bool:
    """Whether ``store.commits.Commits.commit`` is there: folders, a module, and what that defines."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = "/".join(parts[:length]) + ".py"
        if module in MODULES:
            return has(tree_of(module), parts[length:])
    return False


def is_there(place: str) -> bool:
    return (CODE / place).exists() or (ROOT / place).exists()


class TestModules:
    LINES = [row for row in rows(section("The modules")) if row[0].startswith("`")]

    def test_each_module_has_one_line(self) -> None:
        assert Counter(row[0].strip("`") for row in self.LINES) == Counter(MODULES)

    def test_each_line_says_something_short(self) -> None:
        assert [row for row in self.LINES if len(row) != 2 or not 10 < len(row[1]) < 100] == []

    def test_a_module_stands_under_its_folder(self) -> None:
        edges = {"The ground": "", "The edges": ""}
        text = section("The modules").partition("### Names that come back")[0]
        for title in re.findall(r"^### (.+)$", text, re.MULTILINE):
            folders = {path.strip("`").rpartition("/")[0].partition("/")[0] for path, _ in rows(section(title, "###"))}
            assert folders == {title} or title in edges, title


class TestFloors:
    def test_they_are_drawn_as_the_contract_has_them(self) -> None:
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg", encoding="utf-8")
        layers = config["importlinter:contract:floors"]["layers"].strip().splitlines()
        contract = [sorted(re.findall(r"\w+", layer)) for layer in layers]
        assert [sorted(re.findall(r"\w+", floor)) for floor in self.floors()] == contract

    def test_those_that_do_not_use_each_other_are_drawn_apart(self) -> None:
        (beside,) = [floor for floor in self.floors() if "verify" in floor]
        names = ["testing", "diagram", "queries", "failures", "feeds", "holds", "otel", "sentry", "verify"]
        names += ["person", "drains", "sqlalchemy"]
        assert [name.strip() for name in beside.strip("| ").split("|")] == names

    def test_each_has_a_sentence(self) -> None:
        sentences = rows(section("The floors"))
        first = [re.findall(r"\w+", name)[0] for name, _ in sentences]
        assert first == [re.findall(r"\w+", floor)[0] for floor in self.floors()]

    def test_the_drawing_is_narrow_enough_to_be_read(self) -> None:
        assert max(map(len, self.drawing())) <= WIDEST

    @classmethod
    def floors(cls) -> list[str]:
        """What is drawn between two rules, in as many lines as it takes."""
        lines = [line.rpartition("|")[0] if line[0] == "|" else "+" for line in cls.drawing()]
        return [floor for floor in " ".join(lines).split("+") if floor.strip()]

    @staticmethod
    def drawing() -> list[str]:
        return section("The floors").partition("```text\n")[2].partition("\n```")[0].splitlines()


class TestNames:
    """Of modules and folders."""

    FOLDERS = [path.parent.name for path in CODE.glob("*/**/__init__.py")]
    BASES = Counter([*(Path(module).stem for module in MODULES if "__" not in module), *FOLDERS])

    def test_none_is_a_participle_unless_it_is_a_word_of_ours(self) -> None:
        words = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("glossary.md", "words.md"))
        ours = set(re.findall(r"\w+", " ".join(re.findall(r"^\| ([^|]+) \|", words, re.MULTILINE))))
        assert [name for name in self.BASES if name.endswith(("ing", "ed")) and name not in ours] == []

    def test_one_that_comes_back_stands_for_one_idea(self) -> None:
        ideas = dict(rows(section("Names that come back", "###")))
        assert sorted(ideas) == sorted(name for name, count in self.BASES.items() if count > 1)
        assert len(set(ideas.values())) == len(ideas)


@pytest.mark.parametrize("place", PLACES)
def test_each_file_that_it_names_is_there(place: str) -> None:
    assert is_there(place)


@pytest.mark.parametrize("dotted", DOTTED)
def test_each_function_that_it_names_is_there(dotted: str) -> None:
    assert is_defined(dotted)


@pytest.mark.parametrize("short", SHORT)
def test_each_method_that_it_names_for_short_is_there(short: str) -> None:
    assert any(has(tree, short.split(".")) for tree in map(tree_of, MODULES))


def test_what_is_not_there_is_found_out() -> None:
    assert not is_defined("store.commits.Commits.rollback")
    assert not is_defined("store.nowhere.Commits")
    assert not is_there("store/nowhere.py")


class TestAnswers:
    ANSWERS = rows(section("Questions, each answered by one file"))

    def test_they_are_all_there(self) -> None:
        assert len(self.ANSWERS) == QUESTIONS

    @pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[0])
    def test_each_is_one_file_that_has_what_is_named(self, answer: list[str]) -> None:
        _, file, there = answer
        names = re.findall(r"`([\w.]+)`", there)
        assert names
        assert all(has(tree_of(file.strip("`")), name.split(".")) for name in names)


class TestPagesThatList:
    """What has to be added to a page with what the map says to add."""

    def test_each_action_is_in_the_glossary(self) -> None:
        text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
        assert f"| operator actions | {', '.join(f'`{name}`' for name in ACTIONS)} |" in text

    def test_each_kind_of_history_is_in_the_life_of_an_entity(self) -> None:
        told = (ROOT / "docs" / "lifecycle.md").read_text(encoding="utf-8").partition("\n## History\n")[2]
        assert [kind.value for kind in HistoryKind if f"`{kind.value}`" not in told] == []

    def test_each_option_of_a_state_has_a_row_in_the_reference(self) -> None:
        first = [row[0] for row in rows((ROOT / "docs" / "reference" / "state.md").read_text(encoding="utf-8"))]
        listed = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
        assert set(STATE_PARAMETERS) - listed == set()
