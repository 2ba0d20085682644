"""Models whose rows have a machine, in the admin of Django.

@admin.register(Order)
class OrderAdmin(MachineAdmin):
    machine = OrderFlow
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.http import require_POST

from fsmflow.decision.actions import ACTIONS
from fsmflow.definition.names import CANCEL, RETRY
from fsmflow.diagram import svg
from fsmflow.django.actors import actor_of
from fsmflow.django.model_field import field_in
from fsmflow.django.panel import Refused, act, panel, states_of
from fsmflow.django.payload import payload_in
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError, EntityNotFound, FsmflowError, shown
from fsmflow.machine.machine import Machine
from fsmflow.objects.buttons import instance_in
from fsmflow.objects.drawings import chart_of
from fsmflow.queries import resolve

_STATE: Final = "workflow_state"
#: To so many rows at once something is done, and so many are found by their state.
_MANY: Final = 1_000
_IN_BULK: Final = (RETRY, "resume", CANCEL)
#: A picture that is looked at by itself runs nothing, and loads nothing.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


class _ReasonForm(ActionForm):  # type: ignore[misc]
    reason = forms.CharField(required=False, max_length=500)


class _StateFilter(admin.SimpleListFilter):  # type: ignore[misc]
    """By the state that the machine says; the newest ones where they are many."""

    title = "state"
    parameter_name = _STATE

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        states = model_admin.machine._compiled().states.values()  # noqa: SLF001 - a machine
        return [(spec.name, spec.name) for spec in states]

    def queryset(self, request: Any, queryset: Any) -> Any:
        state = self.value()
        if state is None or state not in dict(self.lookup_choices):
            return queryset
        try:
            found = list(self._machine.find(state=state, newest=True, limit=_MANY + 1, actor=actor_of(request)))
        except FsmflowError as error:
            _tell_once(request, error)
            return queryset.none()
        if len(found) > _MANY:
            messages.warning(request, f"More than {_MANY:,} are in {state}; these are the newest of them.")
        return queryset.filter(pk__in=_keys(queryset.model, (one.entity_id for one in found[:_MANY])))

    def __init__(self, request: Any, params: Any, model: Any, model_admin: Any) -> None:
        self._machine = model_admin.machine
        super().__init__(request, params, model, model_admin)


class _Rows(ChangeList):  # type: ignore[misc]
    """Rows with the states of their entities."""

    def get_results(self, request: Any) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        try:
            found = states_of(self.model_admin.machine, [str(row.pk) for row in rows], actor_of(request))
        except FsmflowError as error:
            _tell_once(request, error)
            found = {}
        for row in rows:
            row._workflow_state = found.get(str(row.pk))  # noqa: SLF001 - of ours


class MachineAdmin(admin.ModelAdmin):  # type: ignore[misc]
    """For a model each of whose rows may have an entity of ``machine``, with the primary key as its id.

    The list has the state as ``workflow_state``, and a filter by it; the page of a row has what ``explain`` says, the
    picture and the history. Whoever may change the row in Django, and is allowed to by fsmflow, fires triggers there,
    retries, resumes, pauses and cancels. It is done with the epoch of the page: what has moved since is refused. The
    field that carries the state is shown, and no form writes it.
    """

    machine: Any = None
    action_form = _ReasonForm
    change_form_template = "admin/fsmflow/change_form.html"

    class Media:
        css: Final = {"all": ["fsmflow/admin.css"]}

    def __init__(self, model: Any, admin_site: Any) -> None:
        """Raises ImproperlyConfigured without a machine."""
        if not (isinstance(self.machine, type) and issubclass(self.machine, Machine)):
            raise ImproperlyConfigured(
                f"{type(self).__name__}.machine is {shown(self.machine)}; it is the machine of the rows, a class"
            )
        super().__init__(model, admin_site)

    @admin.display(description="state", empty_value="not started")  # type: ignore[untyped-decorator]
    def workflow_state(self, row: Any) -> str | None:
        """The state of the entity of a row in the list."""
        found: str | None = getattr(row, "_workflow_state", None)
        return found

    def get_list_display(self, request: Any) -> Any:
        names = super().get_list_display(request)
        return names if _STATE in names else [*names, _STATE]

    def get_list_filter(self, request: Any) -> Any:
        return [*super().get_list_filter(request), _StateFilter]

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """The field that carries the state is written by fsmflow alone."""
        names, field = super().get_readonly_fields(request, obj), self._carrier()
        return names if field is None or not field.editable or field.name in names else [*names, field.name]

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """The field that carries the state is left out: it may have moved since the row was read. Django does not write
        what is deferred, and reads it anew where it is asked for."""
        field = self._carrier() if change and self.opts.pk.name not in form.changed_data else None
        if field is not None:
            vars(obj).pop(field.attname, None)
        super().save_model(request, obj, form, change)

    def _carrier(self) -> Any:
        return field_in(self.machine._compiled().wide.status_field, self.model)  # noqa: SLF001 - a machine

    def get_changelist(self, request: Any, **_: Any) -> type[ChangeList]:
        return _Rows

    def get_actions(self, request: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().get_actions(request)
        if "_popup" in request.GET or not self.has_change_permission(request):
            return found
        ours = {f"workflow_{name}": (partial(_act_on_all, name=name), name) for name in _IN_BULK}
        texts = {key: (what, key, f"{name.capitalize()} the workflows") for key, (what, name) in ours.items()}
        return {**found, **texts}

    def get_urls(self) -> list[Any]:
        view, name = self.admin_site.admin_view, f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("<path:object_id>/workflow/", view(require_POST(self._act)), name=f"{name}_workflow"),
            path("<path:object_id>/workflow.svg", view(self._picture), name=f"{name}_workflow_picture"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        if row is not None:
            context = {**context, **self._shown(request, row)}
        return super().render_change_form(request, context, *args, **kwargs)

    def _shown(self, request: Any, row: Any) -> dict[str, Any]:
        refused = getattr(request, "workflow_refusal", None)
        try:
            actor = actor_of(request)
            found = panel(resolve(current(), self._address(row), actor), actor, refused)
        except EntityNotFound:
            return {"workflow_missing": f"{self._address(row)} was not started."}
        except FsmflowError as error:
            return {"workflow_missing": str(error)}
        return {
            "workflow": found,
            "workflow_url": self._url("workflow", row.pk),
            "workflow_picture": self._url("workflow_picture", row.pk),
            "workflow_open": self.has_change_permission(request, row),
        }

    def _act(self, request: Any, object_id: str) -> Any:
        row = self._row(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        given = {key: str(value) for key, value in request.POST.items()}
        name, epoch = given.get("do", ""), given.get("epoch", "")
        asked: dict[str, Any] = {"reason": given.get("reason", ""), "epoch": int(epoch) if epoch.isdecimal() else None}
        try:
            payload = payload_in(self.machine._compiled(), name, given)  # noqa: SLF001 - a machine
            told = act(self.machine, str(row.pk), name, actor_of(request), payload=payload, **asked)
        except FsmflowError as error:
            self.message_user(request, str(error), messages.ERROR)
            if isinstance(error, DataError):
                return self._again(request, object_id, Refused(given=given, error=error))
        else:
            self.log_change(request, row, told)
            self.message_user(request, told, messages.SUCCESS)
        return HttpResponseRedirect(self._url("change", row.pk))

    def _again(self, request: Any, object_id: str, refused: Refused) -> Any:
        """The page once more, with what was filled in."""
        request.method, request.workflow_refusal = "GET", refused
        return self.change_view(request, object_id)

    def _picture(self, request: Any, object_id: str) -> Any:
        row = self._row(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        runtime = current()
        try:
            snapshot = resolve(runtime, self._address(row), actor_of(request))
        except FsmflowError as error:
            raise Http404(str(error)) from error
        drawn = chart_of(runtime, instance_in(runtime, snapshot), snapshot)
        if drawn is None:
            raise Http404(f"the code does not know the state of {snapshot.address}")
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return HttpResponse(svg(drawn), content_type="image/svg+xml", headers=headers)

    def _row(self, request: Any, object_id: str) -> Any:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404(f"there is no {self.opts.verbose_name} {object_id}")
        return row

    def _address(self, row: Any) -> str:
        return f"{self.machine._compiled().name}:{row.pk}"  # noqa: SLF001 - a machine

    def _url(self, what: str, key: Any) -> str:
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{what}"
        return str(reverse(name, args=[quote(key)]))


def _act_on_all(owner: MachineAdmin, request: Any, queryset: Any, *, name: str) -> None:
    """Each by itself: what is refused is told, and the others are done."""
    rows = list(queryset[: _MANY + 1])
    if len(rows) > _MANY:
        known = f"fsmflow {name} --machine {owner.machine._compiled().name}"  # noqa: SLF001 - a machine
        owner.message_user(request, f"These are more than {_MANY:,}; do it by '{known}'.", messages.ERROR)
        return
    try:
        actor, done = actor_of(request), 0
    except FsmflowError as error:
        owner.message_user(request, str(error), messages.ERROR)
        return
    for row in rows:
        try:
            if not owner.has_change_permission(request, row):
                raise PermissionDenied(f"{row} may not be changed")
            told = act(owner.machine, str(row.pk), name, actor, reason=request.POST.get("reason", ""))
        except (FsmflowError, PermissionDenied) as error:
            owner.message_user(request, str(error), messages.ERROR)
        else:
            owner.log_change(request, row, told)
            done += 1
    if done:
        owner.message_user(request, f"{done} of {len(rows)} were {ACTIONS[name].done}.", messages.SUCCESS)


def _tell_once(request: Any, error: FsmflowError) -> None:
    """A list asks for its rows and for their states, and is refused both."""
    if getattr(request, "workflow_refused", None) != str(error):
        request.workflow_refused = str(error)
        messages.error(request, str(error))


def _keys(model: Any, ids: Iterable[str]) -> list[Any]:
    """Ids of entities as primary keys; an id that is none is of no row."""
    found = []
    for one in ids:
        try:
            found.append(model._meta.pk.to_python(one))
        except forms.ValidationError:
            continue
    return found
