from django.conf import settings
from django.db import models


class Order(models.Model):
    """What somebody has ordered. How far it is, its machine says: ``machines.Order`` of the same id."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)
    item = models.CharField(max_length=100)
    card = models.CharField(max_length=19)
    placed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        permissions = [("see_workflows", "Can see the workflows")]

    def __str__(self) -> str:
        return f"{self.pk}: {self.item}"
