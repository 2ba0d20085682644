"""Shows fsmflow at work: some dozens of orders and a podcast, one order that fails, and its retry.

    python scripts/demo.py            sends them through; the payment gateway is down for one order
    python scripts/demo.py --retry    mends the gateway and retries what failed, from the failed step

It installs what it needs into .venv, and keeps its database in .fsmflow of this checkout; FSMFLOW_HOME,
FSMFLOW_DATABASE_URL and FSMFLOW_REDIS_URL lead it elsewhere. It may be run any number of times.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from _bootstrap import ensure_venv

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    ensure_venv("embedded,demo")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C needs no traceback of half an import
    sys.path.insert(0, str(ROOT))  # the machines are there

from _demo_crowd import Crowd
from _demo_screen import FAILURE, print_history, say, screen, show_typed
from _demo_setting import (
    SOUND_S,
    choose_settings,
    last_number,
    preparations,
    python,
    record,
    shown,
    start_next,
    surroundings,
    to_try,
)
from _demo_workers import PROCESSES, Interrupted, Problem, Signals, Workers, draw
from fsmflow import FsmflowError, Machine
from machines import gateway
from machines.order import Order
from machines.podcast import Podcast

ORDERS = 36
FAILS = 4
LARGE_EVERY = 6
LOOK_EVERY_S = 0.1
STUCK_AFTER_S = 25.0
GOODS = ["tea", "cup", "kettle", "spoon", "sugar", "lemon"]
FAILED = "failed_from_charging"
INTERRUPTED = 130
BROKEN_PIPE = 141


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--retry", action="store_true", help="mend the gateway and retry what it failed")
    retry = parser.parse_args().retry
    signals = Signals()
    try:
        shell = choose_settings()
        return _retry(signals) if retry else _demo(signals, shell)
    except (Problem, FsmflowError) as error:
        print(f"the demo cannot go on: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Interrupted:
        print("\ninterrupted: the workers have ended; the next ones go on with what was sent", file=sys.stderr)
        return INTERRUPTED


def _demo(signals: Signals, shell: dict[str, str]) -> int:
    """Send the orders and the podcast through, tell how it ended, and what to type next."""
    crowd = Crowd()
    say(f"{ORDERS} orders and a podcast; the payment gateway is down for one of the orders", style="bold")
    with _workers() as workers:
        crowd.add(_start_podcast())
        last = last_number()
        _follow(crowd, workers, signals, [partial(_start_order, last, count) for count in range(1, ORDERS + 1)])
    podcast, *orders = (member.handle for member in crowd.members)
    failed = orders[FAILS - 1]
    say()
    say(f"What happened, within {crowd.elapsed_s:.0f} s", style="bold")
    _tell_orders(orders)
    _tell_podcast(podcast)
    _tell_failure(failed)
    _tell_history(failed)
    why = failed.failure.error_type if failed.failure else None
    others = {order.state for order in orders if order is not failed}
    if (failed.state, why, others, podcast.state) != (FAILED, "GatewayDown", {"shipped"}, "released"):
        raise Problem("this is not how it should have ended")
    _tell_what_to_try(failed, shell)
    return 0


def _workers() -> Workers:
    """The workers, and a line for each thing that is set up."""
    log = gateway.home() / "demo-worker.log"
    for what, where in surroundings():
        _tell_step(what, where)
    _tell_step("workers", f"{PROCESSES} processes; their log: {shown(log)}")
    return Workers(log)


def _tell_step(what: str, where: str) -> None:
    say(f"  {what:<10} {where}")


def _tell_history(order: Machine) -> None:
    """All that happened to it, in lines and as a picture."""
    say()
    say(f"History of {order.address}", style="bold")
    print_history(order)
    picture = draw(order.address, gateway.home() / f"order-{order.entity_id}.svg")
    say()
    say("The same as a picture, to be opened in a browser:")
    show_typed(f"    {shown(picture)}")


def _tell_what_to_try(failed: Machine, shell: dict[str, str]) -> None:
    say()
    say("Now you: three things to try.", style="bold")
    for line in preparations(shell):
        show_typed(f"    {line}")
    for number, (why, commands) in enumerate(to_try(failed.address), 1):
        say(f"{number}. {why}")
        for line in commands:
            show_typed(f"    {line}")
    say(f"Or let the demo mend and retry: {python()} scripts/demo.py --retry")


def _retry(signals: Signals) -> int:
    """Mend the gateway, retry the orders that it failed, and show what ran again."""
    found = Order.find(state=FAILED)
    orders = [order for order in found if order.failure and order.failure.error_type == "GatewayDown"]
    if not orders:
        return _tell_nothing_to_retry()
    gateway.mend()
    say(f"the gateway is mended; retrying {', '.join(order.address for order in orders)}", style="bold")
    crowd = Crowd()
    with _workers() as workers:
        for order in orders:
            crowd.add(order, known=order.history)
            order.retry(actor="demo", reason="the gateway is mended")
        _follow(crowd, workers, signals)
    for order in orders:
        _tell_history(order)
    say()
    say(f"What happened, within {crowd.elapsed_s:.0f} s", style="bold")
    _tell_orders(orders)
    _check_once(orders)
    say("  what had been done before the retry was not done again; every step has succeeded once")
    return 0


def _tell_nothing_to_retry() -> int:
    """That the order of the last demo was retried already. Raises Problem where none has failed there."""
    for order in Order.find(newest=True, limit=ORDERS):
        if any(entry.trigger == "retry" and entry.source == FAILED for entry in order.history):
            say(f"{order.address} was retried already; nothing to do. '{python()} scripts/demo.py' begins anew.")
            return 0
    raise Problem(f"the gateway has left no order in {FAILED}; '{python()} scripts/demo.py' makes one")


def _follow(crowd: Crowd, workers: Workers, signals: Signals, to_send: Iterable[Callable[[], Machine]] = ()) -> None:
    """Send one after the other, approve, and show it all, until the last one has come to rest."""
    waiting = deque(to_send)
    while not crowd.is_at_work():
        crowd.look()
        _check(crowd, workers, signals)
        time.sleep(LOOK_EVERY_S)
    _tell_step("ready", f"after {crowd.elapsed_s:.1f} s")
    say()
    with screen() as show:
        while waiting or not crowd.has_ended:
            if waiting:
                crowd.add(waiting.popleft()())
            show(crowd, crowd.look())
            crowd.approve()
            _check(crowd, workers, signals)
            time.sleep(LOOK_EVERY_S)


def _check(crowd: Crowd, workers: Workers, signals: Signals) -> None:
    """Raises Interrupted, or Problem where nothing goes on."""
    signals.check()
    workers.check()
    if crowd.still_s > STUCK_AFTER_S:
        raise Problem(f"nothing has moved for {STUCK_AFTER_S:.0f} s{crowd.obstacle()}{workers.last_words()}")


def _start_order(last: int, count: int) -> Machine:
    """Start and submit one order. The gateway goes down for one of them before that is charged."""
    amount = 1900 if count % LARGE_EVERY == 0 else 20 + count
    order = start_next(Order, last + count - 1, amount=amount, lines=GOODS[: 1 + count % len(GOODS)])
    if count == FAILS:
        gateway.break_for(order.entity_id)
    order.trigger("submit")
    return order


def _start_podcast() -> Machine:
    recording = record(gateway.home() / "recordings" / "tones.wav")
    _tell_step("recording", f"{SOUND_S} s of tones, for the podcast")
    last = 1000 + sum(Podcast.counts().values())
    podcast = start_next(Podcast, last, title="Some seconds of sound", recording=str(recording))
    podcast.trigger("submit")
    return podcast


def _tell_orders(orders: Iterable[Machine]) -> None:
    """How many were shipped, and what the gateway's ledger has for them. Raises Problem for a doubled charge."""
    states = {order.entity_id: order.state for order in orders}
    shipped = [order for order, state in states.items() if state == "shipped"]
    charges = Counter(charge["order"] for charge in gateway.charges() if charge["order"] in states)
    say(f"  orders shipped: {len(shipped)} of {len(states)}")
    say(f"  charges in the gateway's ledger: {charges.total()}, for {len(charges)} different orders")
    if charges != Counter(shipped):
        raise Problem(f"shipped were {sorted(shipped)}, but charged {sorted(charges.elements())}")


def _tell_podcast(podcast: Machine) -> None:
    released = podcast.data.get("released")
    where = f": {Path(released).stat().st_size:,} bytes in {shown(Path(released))}" if released else ""
    why = f": {podcast.failure.error_type}: {podcast.failure.message}" if podcast.failure else ""
    say(f"  {podcast.address} is in {podcast.state}{where}{why}", style=FAILURE if podcast.failure else "")


def _tell_failure(order: Machine) -> None:
    if order.failure:
        say(f"  {order.address} rests in {order.state}, after {order.failure.attempts} attempts:", style=FAILURE)
        say(f"    {order.failure.error_type}: {order.failure.message}", style=FAILURE)


def _check_once(orders: Iterable[Machine]) -> None:
    """Raises Problem where an order was not shipped, or where a step of it succeeded more than once."""
    for order in orders:
        done = Counter(entry.source for entry in order.history if entry.trigger == "done")
        if order.state != "shipped" or set(done.values()) != {1}:
            raise Problem(f"{order.address} is in {order.state}; its steps succeeded so many times: {dict(done)}")


if __name__ == "__main__":
    sys.exit(main())
