"""The shop for programs: orders as JSON, each with a row of SQLAlchemy and an entity of fsmflow, in one transaction."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from fsmflow import Actor, DatabaseUnavailable, EntityNotFound, FsmflowError, NotPermitted
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from database import OrderRow, session, transact
from machines import Order
from users import user_of_token

router = APIRouter(prefix="/api")
#: The first class of these that an error belongs to says with which status it is answered.
STATUSES: dict[type[Exception], int] = {
    EntityNotFound: 404,
    NotPermitted: 403,
    DatabaseUnavailable: 503,
    FsmflowError: 409,
    IntegrityError: 409,
    DBAPIError: 503,
}


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """503: ask again. What fsmflow refuses, it refuses in a sentence that may be shown."""
    status = next(status for kind, status in STATUSES.items() if isinstance(error, kind))
    told = str(error) if isinstance(error, FsmflowError) else "the database is busy; ask again"
    return JSONResponse({"detail": told}, status)


def who_asks(authorization: Annotated[str, Header()] = "") -> Actor:
    user = user_of_token(authorization.removeprefix("Bearer "))
    if user is None:
        raise HTTPException(401, "log in first")
    return Actor(user.name, user.roles)


Who = Annotated[Actor, Depends(who_asks)]
Reading = Annotated[AsyncSession, Depends(session)]


class NewOrder(BaseModel):
    item: str
    card: str


class Shown(BaseModel):
    """What a client may see of an order."""

    id: str
    state: str
    error: str | None = None


def shown(order: Order) -> Shown:
    failure = order.failure
    return Shown(id=order.entity_id, state=order.state, error=failure.message if failure else None)


@router.post("/orders", status_code=202)
async def place(new: NewOrder, who: Who, idempotency_key: Annotated[str, Header(min_length=8, max_length=64)]) -> Shown:
    """The key is the id: a request that comes twice finds the order of the first one."""

    async def write(session: AsyncSession) -> None:
        if await session.get(OrderRow, idempotency_key) is None:
            session.add(OrderRow(id=idempotency_key, customer=who.name, item=new.item))
            order = await Order.astart(idempotency_key, new.model_dump(), customer=who.name, actor=who, within=session)
            await order.atrigger("submit", actor=who, within=session)

    await transact(write)
    return shown(await Order.aget(idempotency_key))


@router.get("/orders/{order_id}")
async def status(order_id: str, who: Who) -> Shown:
    return shown(await Order.aget(order_id))


@router.post("/orders/{order_id}/cancel", status_code=202)
async def cancel(order_id: str, who: Who, reason: str | None = None) -> Shown:
    order = await Order.aget(order_id)
    return shown(await order.acancel(actor=who, reason=reason))


@router.get("/customers")
async def customers(who: Who, session: Reading) -> dict[str, int]:
    """How many orders each customer has."""
    found = await session.execute(select(OrderRow.customer, func.count()).group_by(OrderRow.customer))
    return dict(found.tuples().all())


@router.get("/counts")
def counts(who: Who) -> dict[str, int]:
    """Not ``async``, so it runs in a thread of FastAPI's: there fsmflow is called as anywhere."""
    return Order.counts()
