"""The shop as its users meet it; orders run in a sandbox on the test database, with no worker and no waiting."""

from io import StringIO

from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client, TestCase, TransactionTestCase, override_settings
from fsmflow.testing import sandbox

from machines import DECLINED, Order
from shop import models

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@override_settings(PASSWORD_HASHERS=PASSWORD_HASHERS)
class ShopBase(TransactionTestCase):
    """Somebody of the support, a customer, and a sandbox."""

    def setUp(self) -> None:
        call_command("demo_users", stdout=StringIO())
        self.box = self.enterContext(sandbox([Order], database="django://default"))

    def log_in(self, name: str) -> None:
        self.client.force_login(User.objects.get(username=name))

    def order(self, card: str) -> None:
        """As the customer."""
        self.log_in("carl")
        self.client.post("/", {"item": "a lamp", "card": card})


class InOneTransaction(ShopBase, TestCase):
    """Quick, as nothing is committed."""

    def place(self, card: str) -> None:
        """As the customer, and then what a worker would do. What waits for the commit is run here."""
        with self.captureOnCommitCallbacks(execute=True):
            self.order(card)
        self.box.run()


class DashboardTest(ShopBase):
    """The dashboard reads over connections of its own, so what it is to see is committed."""

    def test_the_support_finds_what_has_failed(self) -> None:
        self.order(DECLINED)
        self.box.run()
        self.log_in("ann")
        self.assertContains(self.client.get("/workflows/failures"), "CardDeclined")


class ShopTest(InOneTransaction):
    def test_an_order_that_is_rolled_back_has_no_workflow(self) -> None:
        self.log_in("carl")
        with self.assertRaises(LookupError), transaction.atomic():
            self.client.post("/", {"item": "a lamp", "card": "4242 4242 4242 4242"})
            self.assertEqual(Order.counts(), {"charging": 1})
            raise LookupError
        self.assertEqual((models.Order.objects.count(), Order.counts()), (0, {}))

    def test_an_order_is_charged_and_shipped(self) -> None:
        self.place("4242 4242 4242 4242")
        self.assertContains(self.client.get("/"), "a lamp: shipped")

    def test_the_administration_leads_those_there_who_may_see_it(self) -> None:
        self.log_in("ann")
        self.assertContains(self.client.get("/admin/"), 'href="/workflows/"')
        User.objects.filter(username="carl").update(is_staff=True)
        self.log_in("carl")
        self.assertNotContains(self.client.get("/admin/"), 'href="/workflows/"')

    def test_customers_see_no_workflows(self) -> None:
        self.log_in("carl")
        self.assertEqual(self.client.get("/workflows/").status_code, 403)

    def test_who_is_not_logged_in_is_sent_to_the_login_and_back(self) -> None:
        answer = self.client.get("/workflows/entities?q=failed")
        self.assertEqual(answer["Location"], "/login/?next=%2Fworkflows%2Fentities%3Fq%3Dfailed")
        back = self.client.post(answer["Location"], {"username": "ann", "password": "try it out"})
        self.assertRedirects(back, "/workflows/entities?q=failed", fetch_redirect_response=False)


class AdministrationTest(InOneTransaction):
    def page(self) -> str:
        return f"/admin/shop/order/{models.Order.objects.get().pk}/change/"

    def act(self, name: str, **fields: str) -> str:
        """As the page would, and what it says then."""
        where = self.page().replace("change", "workflow")
        seen = {"epoch": str(Order.get(models.Order.objects.get().pk).epoch), "reason": "another card", **fields}
        answer = self.client.post(where, {"do": name, **seen}, follow=True)
        return " ".join(str(message) for message in answer.context["messages"])

    def test_the_list_shows_how_far_each_is_and_finds_them_by_it(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        row = '<td class="field-workflow_state">failed_from_charging'
        self.assertContains(self.client.get("/admin/shop/order/"), row)
        self.assertContains(self.client.get("/admin/shop/order/?workflow_state=shipped"), "0 orders")
        self.assertContains(self.client.get("/admin/shop/order/?workflow_state=failed_from_charging"), "1 order")

    def test_the_page_shows_what_has_happened_and_the_picture(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        page = self.client.get(self.page())
        self.assertContains(page, "CardDeclined: the card was declined")
        self.assertContains(page, 'name="do" value="retry"')
        self.assertContains(self.client.get(self.page().replace("change/", "workflow.svg")), "failed_from_charging")

    def test_the_support_retries_there_with_its_name_in_the_history(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        self.assertIn("was retried", self.act("retry"))
        self.box.run()
        last = [entry for entry in Order.get(models.Order.objects.get().pk).history if entry.reason]
        self.assertEqual([(entry.actor, entry.reason) for entry in last], [("ann", "another card")])

    def test_a_payload_is_filled_in_there_and_kept_where_it_is_refused(self) -> None:
        row = models.Order.objects.create(customer=User.objects.get(username="carl"), item="a lamp")
        Order.start(row.pk, card="4242 4242 4242 4242")
        self.log_in("ann")
        where, seen = self.page().replace("change", "workflow"), {"do": "submit", "epoch": "1", "reason": "by phone"}
        self.assertContains(self.client.get(self.page()), "A JSON object, for a trigger.")
        refused = self.client.post(where, {**seen, "payload": "by phone"})
        self.assertContains(refused, "cannot be read as JSON")
        self.assertContains(refused, ">by phone</textarea>")
        self.assertIn("was fired", self.act("submit", payload='{"by": "phone"}'))
        self.assertEqual(Order.get(row.pk).event.payload, {"by": "phone"})

    def test_what_has_moved_since_the_page_was_made_is_not_touched(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        self.assertIn("Nothing was changed", self.act("retry", epoch="1"))
        self.assertIn("look at it again", self.act("resume", epoch="1"))

    def test_many_are_retried_at_once_and_each_that_is_refused_is_told(self) -> None:
        self.place(DECLINED)
        self.place("4242 4242 4242 4242")
        self.log_in("ann")
        keys = list(models.Order.objects.values_list("pk", flat=True))
        chosen = {"action": "workflow_retry", "_selected_action": keys, "reason": "again"}
        answer = self.client.post("/admin/shop/order/", chosen, follow=True)
        self.assertContains(answer, "1 of 2 were retried.")
        self.assertContains(answer, "&#x27;shipped&#x27;")

    def test_who_may_only_see_an_order_is_offered_nothing(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        Group.objects.get().permissions.remove(Permission.objects.get(codename="change_order"))
        self.assertNotContains(self.client.get(self.page()), 'name="do"')
        answer = self.client.post(self.page().replace("change", "workflow"), {"do": "retry"})
        self.assertEqual(answer.status_code, 403)

    def test_a_superuser_who_is_not_of_the_support_may_not_retry(self) -> None:
        self.place(DECLINED)
        self.client.force_login(User.objects.create_superuser("root"))
        self.assertNotContains(self.client.get(self.page()), 'value="retry"')
        self.assertIn("needs an actor with one of the roles support", self.act("retry"))

    def test_an_order_without_a_workflow_says_so(self) -> None:
        order = models.Order.objects.create(customer=User.objects.get(username="carl"), item="a lamp", card="1")
        self.log_in("ann")
        self.assertContains(self.client.get(self.page()), f"order:{order.pk} was not started")
        self.assertContains(self.client.get("/admin/shop/order/"), "not started")

    def test_what_others_wrote_is_text_on_the_page(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        self.act("retry", reason="<script>alert(1)</script>")
        self.assertContains(self.client.get(self.page()), "&lt;script&gt;alert(1)")
        self.assertNotContains(self.client.get(self.page()), "<script>alert(1)")

    def test_a_form_of_another_site_does_nothing(self) -> None:
        self.place(DECLINED)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.get(username="ann"))
        answer = strict.post(self.page().replace("change", "workflow"), {"do": "retry"})
        self.assertEqual(answer.status_code, 403)
