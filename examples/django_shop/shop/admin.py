from django.contrib import admin

from shop.models import Order

admin.site.register(Order, list_display=["pk", "customer", "item", "placed_at"])
