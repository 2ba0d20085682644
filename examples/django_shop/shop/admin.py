from django.contrib import admin
from fsmflow.django.admin import MachineAdmin

import machines
from shop.models import Order


@admin.register(Order)
class OrderAdmin(MachineAdmin):
    """Orders with how far they are; the support retries and cancels them there."""

    machine = machines.Order
    list_display = ("pk", "customer", "item", "placed_at")
    readonly_fields = ("customer", "placed_at")
