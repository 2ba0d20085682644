"""The shop as its users meet it; orders run in a sandbox, with no server and no waiting."""

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import TestCase, override_settings
from fsmflow.testing import sandbox

from machines import DECLINED, Order


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class ShopTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        call_command("demo_users", verbosity=0)

    def setUp(self) -> None:
        self.box = self.enterContext(sandbox([Order]))

    def log_in(self, name: str) -> None:
        self.client.force_login(User.objects.get(username=name))

    def place(self, card: str) -> None:
        """As the customer. A test commits nothing, so what waits for the commit is run here."""
        self.log_in("carl")
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post("/", {"item": "a lamp", "card": card})
        self.box.run()

    def test_an_order_is_charged_and_shipped(self) -> None:
        self.place("4242 4242 4242 4242")
        self.assertContains(self.client.get("/"), "a lamp: shipped")

    def test_the_support_finds_what_has_failed(self) -> None:
        self.place(DECLINED)
        self.log_in("ann")
        self.assertContains(self.client.get("/workflows/failures"), "CardDeclined")

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
