"""fsmflow in a project of Django: ``"fsmflow.django"`` in INSTALLED_APPS. Needs the extra ``django``.

What ``transaction.atomic()`` encloses is one with what fsmflow writes inside. ``settings.FSMFLOW`` has the settings.
"""
