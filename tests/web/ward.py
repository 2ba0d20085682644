"""Failed sales in groups, and workers for repairs, as the pages of operators meet them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsmflow import Actor, repairs, settings
from fsmflow.definition.names import FINISHED, OPERATIONS
from fsmflow.settings.permissions import read_permissions
from fsmflow.values import replace
from tests.support.bench import Bench
from tests.support.website import Site, site_of
from tests.web.shop import Sale


def failed(bench: Bench, count: int, begin: str = "s", **data: Any) -> list[Sale]:
    """So many sales whose charge has failed, of one group."""
    sales = [Sale.start(f"{begin}{number}", amount=1500, **data) for number in range(count)]
    for sale in sales:
        sale.trigger("submit")
    bench.run()
    return [sale.refresh() for sale in sales]


def work(bench: Bench) -> None:
    """Let workers go on until each repair is over, or waits for somebody."""
    for _ in range(20):
        bench.run("default", OPERATIONS)
        if all(each.state in ("previewed", "stopped") or each.phase == FINISHED for each in repairs.find()):
            return
        bench.advance(2)
    raise AssertionError([f"{each.state} {each.phase} {each.report()}" for each in repairs.find()])


def value(page: str, name: str) -> str:
    """What a hidden field holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return html.unescape(found[1])


@contextmanager
def clerks_site(bench: Bench) -> Iterator[Site]:
    """The site for a clerk, who may see all and do nothing that operators do; ``lead`` may do everything."""
    chosen = replace(bench.runtime.settings, permissions=read_permissions({"roles": {"lead": ["*"]}}))
    settings.choose(chosen)
    bench.runtime.settings = chosen
    with site_of(lambda request: Actor("cleo", ("clerk",), teams="*")) as site:
        yield site
