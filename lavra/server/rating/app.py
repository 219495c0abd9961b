"""The rating page as an application: three files, and an API in which a token identifies the annotator.

The token stands in the fragment of a link (`/#TOKEN`), which browsers never send.
The page gives it in the header `Authorization`: no other site can make a browser do that, and no log or `Referer`
holds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Header, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException

from lavra.base.version import VERSION
from lavra.evaluation.human.items import Assignment
from lavra.evaluation.human.scales import scales_named
from lavra.evaluation.human.store import StudyClosedError, StudyStore
from lavra.server.config import ServeConfig
from lavra.server.errors import error_body, install_handlers
from lavra.server.gate import Gate
from lavra.server.headers import SecurityHeaders
from lavra.server.keys import bearer_key
from lavra.server.metrics import Metrics
from lavra.server.rating.schemas import ItemBody, JudgementBody, SavedBody, StudyBody, item_body, scale_body

HERE: Final = Path(__file__).parent
FILES: Final = {
    "/": HERE / "rating.html",
    "/palette.css": HERE.parent / "palette.css",
    "/rating.css": HERE / "rating.css",
    "/rating.js": HERE / "rating.js",
}
MOST_BYTES: Final = 64_000
"""The largest body: a judgement with the longest comment, at several bytes a character."""

WRONG_LINK: Final = "this link is not valid; copy it whole, or ask whoever sent it for a new one"


def build_rating_app(store: StudyStore) -> FastAPI:
    """Build the ASGI application over a study; it closes the study's file when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="lavra rate", version=VERSION, lifespan=lifespan, openapi_url=None)
    app.include_router(_page_router())
    app.include_router(_study_router(store), prefix="/api")
    install_handlers(app)
    app.add_exception_handler(StudyClosedError, _closed)
    app.add_middleware(
        Gate, config=ServeConfig(max_body_bytes=MOST_BYTES), metrics=Metrics()
    )  # metrics without a reader
    app.add_middleware(SecurityHeaders)  # the last middleware is the outermost
    return app


async def _closed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(str(error), code="study_closed"), status_code=409)


def _page_router() -> APIRouter:
    router = APIRouter()
    for path, file in FILES.items():
        router.add_api_route(path, _sender(file), methods=["GET", "HEAD"], response_class=FileResponse)
    return router


def _sender(path: Path) -> Callable[[], FileResponse]:
    def send() -> FileResponse:
        return FileResponse(path)

    return send


Authorization = Annotated[str, Header()]


def _study_router(store: StudyStore) -> APIRouter:
    """The routes of the API: plain functions, which the framework runs in threads, as SQLite waits for the disk."""
    router = APIRouter()

    @router.get("/study")
    def study(authorization: Authorization = "") -> StudyBody:
        annotator = _annotator(store, authorization)
        config = store.config
        return StudyBody(
            title=config.title,
            instructions=config.instructions,
            annotator=store.annotators()[annotator],
            scales=[scale_body(scale) for scale in scales_named(config.scales)],
            total=store.num_assigned(annotator),
            done=store.places_done(annotator),
            closed=store.is_closed,
        )

    @router.get("/items/{place}")
    def item(place: int, authorization: Authorization = "") -> ItemBody:
        at = _assigned(store, authorization, place)
        return item_body(store.items[at.item], at, store.judgement(at.annotator, at.item))

    @router.put("/items/{place}")
    def save(place: int, body: JudgementBody, authorization: Authorization = "") -> SavedBody:
        at = _assigned(store, authorization, place)
        store.save(at.annotator, at.item, body.judgement(at))
        return SavedBody(done=store.places_done(at.annotator))

    @router.post("/undo")
    def undo(authorization: Authorization = "") -> SavedBody:
        annotator = _annotator(store, authorization)
        place = store.undo(annotator)
        return SavedBody(done=store.places_done(annotator), place=place)

    return router


def _annotator(store: StudyStore, authorization: str) -> int:
    found = store.holder(bearer_key(authorization))
    if found is None:
        raise HTTPException(401, WRONG_LINK)
    return found


def _assigned(store: StudyStore, authorization: str, place: int) -> Assignment:
    annotator = _annotator(store, authorization)
    found = store.assignment(annotator, place) if 0 < place < 2**63 else None
    if found is None:
        raise HTTPException(404, f"there is no item {place}; they are numbered 1 to {store.num_assigned(annotator)}")
    return found
