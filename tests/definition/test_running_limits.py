"""Limits as they are declared: of states, machines and queues, and what is refused."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from fsmflow import ConfigurationError, DataError, DefinitionError, Limit, Machine, State
from fsmflow.engine.registry import Registry
from fsmflow.settings.limits import MAX_KEY, read_queue_limits


def machine(states: list[Any], **attributes: Any) -> type[Machine]:
    """A machine whose first state has a job, with limits as they are given."""
    body = {
        "initial": "new",
        "states": ["new", *states, State("over", final=True)],
        "transitions": [["go", "new", "busy"], ["done", "busy", "over"]],
        "work": lambda self: None,
        **attributes,
    }
    return type("Busy", (Machine,), body)


def faults(states: list[Any], **attributes: Any) -> str:
    with pytest.raises(DefinitionError) as raised:
        machine(states, **attributes)
    return "\n".join(raised.value.faults)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("", {"running": 1}, "its name is a text of 1 to 100 characters"),
        (5, {"running": 1}, "its name is a text"),
        ("api-{", {"running": 1}, "{customer} stands for a value of the data"),
        ("api-{}", {"running": 1}, "{} stands for no value of the data; write {customer}"),
        ("api-{a!r}", {"running": 1}, "{a} stands for no value"),
        ("api-{a[0]}", {"running": 1}, "{a[0]} stands for no value"),
        ("gateway", {}, "limits nothing; give it running= or per_minute="),
        ("gateway", {"running": 0}, "running=0): it takes a whole number from 1 to 10,000"),
        ("gateway", {"running": True}, "running=True): it takes"),
        ("gateway", {"per_minute": 2.5}, "per_minute=2.5): it takes a whole number from 1 to 1,000,000"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_where_it_is_made(name: Any, options: Any, says: str) -> None:
    with pytest.raises(DataError) as raised:
        Limit(name, **options)
    assert says in str(raised.value)


def test_a_key_of_a_limit_has_the_values_of_the_data() -> None:
    limit = Limit("api-{customer}-{address.city}", per_minute=5)
    assert limit.fields == ("customer", "address.city")
    assert limit.key({"customer": "ada", "address.city": 7}) == "api-ada-7"
    assert limit.key({"customer": None}) == "api-(none)-(none)"
    assert Limit("a {{b}}", running=1).key({}) == "a {b}"
    long, other = (limit.key({"customer": "x" * 500 + end}) for end in "ab")
    assert long != other
    assert len(long) < MAX_KEY
    assert limit.key({"customer": "a\x00b"}).startswith("api-a?b")


def test_a_machine_adds_its_limits_to_those_of_its_jobs_and_of_their_undoing() -> None:
    gateway, all_of_them = Limit("gateway", running=5), Limit("busy", per_minute=100)
    states = [State("busy", job="work", undo="work", limits=[gateway])]
    made: Any = machine(states, limits=[all_of_them])
    found = {name: spec.limits for name, spec in made._definition.states.items() if spec.limits}
    assert found == {"busy": (gateway, all_of_them), "undoing_busy": (gateway, all_of_them)}


def test_a_method_that_is_called_limits_is_the_users_own() -> None:
    made: Any = machine([State("busy", job="limits")], limits=lambda self: None)
    assert made._definition.states["busy"].limits == ()


class Data(TypedDict):
    customer: str


def test_what_a_machine_cannot_limit_is_told_as_its_class_is_made() -> None:
    busy, limit = State("busy", job="work"), Limit("gateway", running=5)
    assert 'it is a list of limits, as in [Limit("gateway", running=5)]' in faults([busy], limits=[5])
    assert "limits=Limit(" in faults([busy], limits=limit)
    assert "limits= does not belong here: it has no job" in faults([State("busy", limits=[limit])])
    assert "limits= limits jobs, and no state has one" in faults(["busy"], limits=[limit])
    children = State("busy", machine="other", limits=[limit])
    assert "limits= does not belong here: the children have jobs of their own" in faults([children])
    two = faults([State("busy", job="work", limits=[Limit("gateway", running=6)])], limits=[limit])
    assert "limit 'gateway' is running=5 in one place and running=6 in another" in two
    assert "has the name of a limit of a queue" in faults([busy], limits=[Limit("queue slow", running=1)])
    secret = faults([busy], limits=[Limit("api-{card.number}", running=1)], redact=["card"])
    assert "'card.number' is redacted, and a limit is shown by its value" in secret


def test_a_value_that_the_declared_data_do_not_have_is_refused() -> None:
    with pytest.raises(DefinitionError) as raised:

        class Charge(Machine[Data]):
            initial = "busy"
            states = [
                State("busy", job="work", limits=[Limit("api-{customers}", running=1)]),
                State("over", final=True),
            ]
            transitions = [["done", "busy", "over"]]

            def work(self) -> None:
                pass

    assert "limit 'api-{customers}': the data have no 'customers'; did you mean 'customer'?" in str(raised.value)


def test_two_machines_that_name_one_limit_with_two_numbers_are_refused() -> None:
    one = machine([State("busy", job="work", limits=[Limit("gateway", running=5)])], name="one")
    other = machine([State("busy", job="work", limits=[Limit("gateway", running=6)])], name="other")
    with pytest.raises(ConfigurationError) as raised:
        Registry([one, other]).all()
    said = "limit 'gateway' is running=5 in machine 'one' and running=6 in 'other'; give it one number"
    assert said in str(raised.value)


def test_limits_of_queues_are_read_from_text_and_from_a_mapping() -> None:
    found = read_queue_limits("slow=5, mail = 100/min,mail=2", "FSMFLOW_QUEUE_LIMITS")
    assert found == {"slow": Limit("queue slow", running=5), "mail": Limit("queue mail", running=2, per_minute=100)}
    assert read_queue_limits({"slow": 5, "mail": "100/min"}, "queue_limits")["mail"].per_minute == 100
    assert read_queue_limits({queue: limit.plain for queue, limit in found.items()}, "handed over") == found
    assert read_queue_limits("", "FSMFLOW_QUEUE_LIMITS") == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("slow", "queue 'slow' has ''; it takes a number of jobs at once, or so many a minute as in '100/min'"),
        ("slow=x", "queue 'slow' has 'x'"),
        ("=5", "names no queue for '5'; write slow=5,mail=100/min"),
        ("slow=0", "running=0): it takes a whole number from 1"),
        (5, "queue_limits is 5; it takes queues"),
        ({"slow": True}, "queue 'slow' has True"),
    ],
)
def test_what_limits_no_queue_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_queue_limits(given, "queue_limits")
    assert says in str(raised.value)
