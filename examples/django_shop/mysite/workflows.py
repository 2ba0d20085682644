"""The dashboard of the workflows, for whoever has the permission to see it; groups are the roles there."""

from fsmflow.web.django import Dashboard

workflows = Dashboard(permission="shop.see_workflows", home={"Shop": "orders", "Administration": "admin:index"})
