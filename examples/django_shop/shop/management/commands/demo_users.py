from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.core.management.base import BaseCommand

PASSWORD = "try it out"


class Command(BaseCommand):
    help = "Makes ann, of the support, and carl, a customer, to try the shop with."

    def handle(self, *args: Any, **options: Any) -> None:
        support, _ = Group.objects.get_or_create(name="support")
        may = ["see_workflows", "view_order", "change_order"]
        support.permissions.set(Permission.objects.filter(content_type__app_label="shop", codename__in=may))
        for name, groups in (("ann", [support]), ("carl", [])):
            user, is_new = User.objects.get_or_create(username=name, defaults={"is_staff": bool(groups)})
            user.groups.set(groups)
            if is_new:
                user.set_password(PASSWORD)
                user.save()
        self.stdout.write(f"ann and carl may log in; the password of both is {PASSWORD!r}")
