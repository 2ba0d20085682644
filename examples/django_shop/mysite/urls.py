from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from mysite.workflows import workflows
from shop import views

urlpatterns = [
    path("", views.orders, name="orders"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("workflows/", workflows.urls),
]
