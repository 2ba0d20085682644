from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.forms import modelform_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from fsmflow import Actor
from fsmflow.django.actors import actor_of

import machines
from shop.models import Order

OrderForm = modelform_factory(Order, fields=["item", "card"])


def begin(order: Order, actor: Actor) -> None:
    """One with the transaction around it: the order and its workflow are there together, or neither is."""
    customer = order.customer.get_username()
    flow = machines.Order.start(order.pk, item=order.item, card=order.card, customer=customer, actor=actor)
    flow.trigger("submit", actor=actor)


@login_required
def orders(request: HttpRequest) -> HttpResponse:
    form = OrderForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.customer = request.user
        with transaction.atomic():
            begin(form.save(), actor_of(request))
        return redirect("orders")
    flows = machines.Order.find(data={"customer": request.user.get_username()}, newest=True, limit=20)
    return render(request, "shop/orders.html", {"form": form, "orders": list(flows)})
