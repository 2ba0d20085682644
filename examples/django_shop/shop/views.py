from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from fsmflow import Actor

import machines
from shop.models import Order

OrderForm = modelform_factory(Order, fields=["item", "card"])


def begin(order: Order) -> None:
    """May be repeated: an id is started once, and the key makes the second submit do nothing."""
    customer = order.customer.get_username()
    flow = machines.Order.start(
        order.pk, item=order.item, card=order.card, customer=customer, actor=Actor(customer), if_exists="return"
    )
    flow.trigger("submit", key="placed", actor=Actor(customer))


@login_required
def orders(request: HttpRequest) -> HttpResponse:
    form = OrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.customer = request.user
        with transaction.atomic():
            order = form.save()
            transaction.on_commit(lambda: begin(order))
        return redirect("orders")
    flows = machines.Order.find(data={"customer": request.user.get_username()}, newest=True, limit=20)
    return render(request, "shop/orders.html", {"form": form, "orders": list(flows)})
