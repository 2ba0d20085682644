"""A shop for the terminal: ``python shop.py`` says how it is used."""

import sys

from machines import OrderFlow
from models import Charge, Order, db


def place(item: str, card: str) -> Order:
    """The order and its workflow are there together, or neither is; the charge begins after the commit."""
    with db.atomic():
        order = Order.create(item=item, card=card)
        OrderFlow.start(order.id).trigger("submit")
    return order


def main(arguments: list[str]) -> str:
    db.create_tables([Order, Charge])
    match arguments:
        case ["order", item, card]:
            return f"order:{place(item, card).id} is placed"
        case ["card", number, card]:
            Order.update(card=card).where(Order.id == int(number)).execute()
            return f"order:{number} is paid with another card"
        case ["orders"]:
            return "\n".join(f"order:{order.id} {order.item}: {order.state}" for order in Order.select())
    return "python shop.py order ITEM CARD, card ID CARD, or orders"


if __name__ == "__main__":
    print(main(sys.argv[1:]))
