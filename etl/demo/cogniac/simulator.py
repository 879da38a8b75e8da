"""A simulator of the Cogniac API: every endpoint the vendor's SDK needs to connect, list and page."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from etl.demo import timeline
from etl.demo.cogniac.data import CogniacData, CogniacSize
from etl.demo.cogniac.ledger import Ledger
from etl.demo.cogniac.login import Account, Login, entry, tenant_json
from etl.demo.cogniac.pages import Listing, Pages, listed
from etl.demo.cogniac.query import Limits, Query, View, parse
from etl.demo.cogniac.variants import ApiVariant
from etl.demo.cogniac.views import association, filtered
from etl.demo.picture import picture
from etl.demo.watch import Watch, json_response

DETECTIONS = Limits(usual=10, most=100)
SUBJECT_MEDIA = Limits(usual=100, most=1000)
FEW_SUBJECTS = 10
FOREIGN_APPLICATION = "F0re1gn7"
"""Exists, but in a tenant that the user is no member of: every request for it is answered 404."""

JsonDict = dict[str, Any]
__all__ = ["FOREIGN_APPLICATION", "Account", "ApiVariant", "CogniacSimulator", "CogniacSize"]


class CogniacSimulator(Watch, CogniacData):
    """The API with its data: serve `app`; change the data with `advance` and `put`; compare with `truth`."""

    def __init__(  # noqa: PLR0913 -- all but two by name
        self,
        seed: int = 1,
        size: CogniacSize | None = None,
        *,
        variant: ApiVariant | None = None,
        tenants: Sequence[str] = ("63QhzFLc9tg4",),
        clock: Callable[[], float] = time.time,
        record_served: bool = False,
    ) -> None:
        """`record_served` keeps every version that was ever sent, for `served`; that grows without end."""
        Watch.__init__(self, self._routes(), _refuse)
        CogniacData.__init__(self, seed, size or CogniacSize(), tenants[0])
        self.file_watch = Watch([Route("/{name}", self._file)], _refuse)
        self.files = self.file_watch.app
        """Another host, of the files of media: serve it, and set `camera.files_url` to where it is."""
        self.variant = variant or ApiVariant()
        """May be replaced at any time."""
        self.tenant_id = tenants[0]
        self._login = Login(Account(), tuple(tenants))
        self.api_key = self._login.account.api_key
        self.user = self._login.account.user
        self.password = self._login.account.password
        self._clock = clock
        self._pages = Pages(remember=record_served)

    def expire_tokens(self) -> None:
        """Let every token minted so far be answered 401."""
        self._login.expire()

    def now(self) -> float:
        """Return the service's clock: never behind its own data, however much of it `advance` has made."""
        return max(self._clock(), timeline.seconds(self.newest + timeline.SECOND))

    def record(self, application_id: str, record: int, *, abridged: bool = False) -> JsonDict:
        """One record by its id in the ledger, its time as fine as the service keeps it."""
        shown = super().record(application_id, record, abridged=abridged)
        if "updated_at" not in shown:
            return shown
        return {**shown, "updated_at": self.variant.said(shown["updated_at"])}

    def served(self, application_id: str) -> list[JsonDict]:
        """Every version of every record in any answer about an application's detections, each once."""
        with self.lock:
            return self._pages.served(application_id)

    def _routes(self) -> list[Route]:
        return [
            Route("/1/version", self._version),
            Route("/21/users/mfa/status", self._mfa),
            Route("/1/token", self._token),
            Route("/21/token", self._token),
            Route("/1/users/current/tenants", self._tenants),
            Route("//1/users/current/tenants", self._tenants),  # the SDK, when its prefix ends in a slash
            Route("/1/users/current", self._user),
            Route("/1/tenants/{tenant_id}", self._tenant),
            Route("/1/tenants/{tenant_id}/applications", self._tenant_applications),
            Route("/1/tenants/{tenant_id}/subjects", self._tenant_subjects),
            Route("/1/applications/{application_id}", self._application),
            Route("/1/applications/{application_id}/detections", self._detections),
            Route("/1/subjects/{subject_uid}", self._subject),
            Route("/1/subjects/{subject_uid}/media", self._subject_media),
            Route("/1/media/{media_id}", self._medium),
            Route("/1/media/{media_id}/detections", self._medium_detections),
            Route("/1/media/{media_id}/subjects", self._medium_subjects),
        ]

    # Who is asking

    async def _version(self, request: Request) -> Response:
        del request
        return json_response({"version": "1", "build_number": 1055, "build_time": "2026-03-01:06:08"})

    async def _mfa(self, request: Request) -> Response:
        self._login.identify(request)
        return json_response({"totp": "inactive"})

    async def _token(self, request: Request) -> Response:
        return json_response(self._login.mint(request))

    async def _tenants(self, request: Request) -> Response:
        self._login.identify(request)
        return json_response(self._login.tenants_json())

    async def _user(self, request: Request) -> Response:
        self._login.identify(request)
        return json_response(self._login.user_json())

    async def _tenant(self, request: Request) -> Response:
        return json_response(tenant_json(self._own_tenant(request)))

    # What there is

    async def _tenant_applications(self, request: Request) -> Response:
        tenant = self._own_tenant(request)
        found = [shown for shown in self.applications() if shown["tenant_id"] == tenant]
        limit = request.query_params.get("limit", "")
        sizes = [size for size in (int(limit) if limit.isdigit() else 0, self.variant.last_key) if size]
        last_key = request.query_params.get("last_key")
        return json_response(listed(found, "application_id", last_key, min(sizes, default=0)))

    async def _tenant_subjects(self, request: Request) -> Response:
        tenant = self._own_tenant(request)
        wanted = request.query_params.get("ids")
        found = [shown for shown in self.subjects() if shown["tenant_id"] == tenant]
        if wanted is not None:
            uids = set(wanted.split(","))
            return json_response({"data": [shown for shown in found if shown["subject_uid"] in uids]})
        if self.variant.listed_subjects == "ten":
            found = found[:FEW_SUBJECTS]
        last_key = request.query_params.get("last_key")
        return json_response(listed(found, "subject_uid", last_key, self.variant.last_key))

    async def _application(self, request: Request) -> Response:
        return json_response(self._own_application(request, "0402002"))

    async def _subject(self, request: Request) -> Response:
        return json_response(self._own_subject(request))

    # What was seen

    async def _detections(self, request: Request) -> Response:
        application_id = self._own_application(request, "0402073")["application_id"]
        has_model = self.says_model(application_id)

        def view(query: Query) -> View:
            def look(record: int) -> JsonDict | None:
                if has_model and query.only_user and not self.may_name_people(application_id, record):
                    return None
                shown = self.record(application_id, record, abridged=query.abridged)
                return filtered(shown, query, has_model=has_model)

            return look

        return self._paged(
            request,
            Listing(
                owner=application_id,
                ledger=self.ledger(application_id),
                limits=DETECTIONS,
                view=view,
                has_model=has_model,
                holds_records=True,
            ),
        )

    async def _subject_media(self, request: Request) -> Response:
        uid = self._own_subject(request)["subject_uid"]
        if request.query_params.get("sort", "time") != "time":
            raise entry(400, "Invalid Input: The simulator sorts by time only.", "0502099")
        makers = [
            one["application_id"] for one in self.applications() if uid in one.get("output_subjects", [])
        ]
        application_id = makers[0] if makers else None

        def view(query: Query) -> View:
            def look(record: int) -> JsonDict | None:
                shown = self.record(application_id or "", record, abridged=query.abridged)
                return self._associated(shown, uid, query)

            return look

        ledger = self.ledger(application_id) if application_id else Ledger()
        return self._paged(request, Listing(owner=uid, ledger=ledger, limits=SUBJECT_MEDIA, view=view))

    async def _medium(self, request: Request) -> Response:
        return json_response(self._own_medium(request))

    async def _file(self, request: Request) -> Response:
        """Return a small picture, whatever its size is called; of a film a few bytes."""
        name = request.path_params["name"]
        medium = self.medium(name.partition("_")[0])
        if medium is None:
            raise HTTPException(404, "There is no such file")
        if medium["video"] and "_" not in name:
            return Response(
                b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00" + name.encode(), media_type="video/mp4"
            )
        return Response(picture(name), media_type="binary/octet-stream")

    async def _medium_detections(self, request: Request) -> Response:
        media_id = self._own_medium(request)["media_id"]
        with self.lock:
            said = [one for _, record in self.records_of(media_id) for one in record["detections"]]
        said.sort(key=lambda one: float(one["created_at"]))
        return json_response({"detections": said, "media_list": [], "other_media": []})

    async def _medium_subjects(self, request: Request) -> Response:
        media_id = self._own_medium(request)["media_id"]
        query = parse(request.query_params, SUBJECT_MEDIA, self.now(), only_model_by_default=False)
        with self.lock:
            records = [record for _, record in self.records_of(media_id)]
        found = []
        for record in records:
            for uid in dict.fromkeys(one["subject_uid"] for one in record["detections"]):
                shown = self._associated(record, uid, query)
                found += [shown] if shown else []
        return json_response({"data": found})

    def _associated(self, record: JsonDict, uid: str, query: Query) -> JsonDict | None:
        shown = association(record, uid, query)
        if shown is not None:
            shown["subject"]["updated_at"] = self.variant.said(shown["subject"]["updated_at"])
        return shown

    def _paged(self, request: Request, listing: Listing) -> Response:
        with self.lock:
            return json_response(self._pages.answer(request, listing, self.variant, self.now()))

    # What the asker may see

    def _own_tenant(self, request: Request) -> str:
        tenant = self._login.tenant(request)
        if request.path_params["tenant_id"] not in {"current", tenant}:
            raise entry(404, "Invalid Input: Tenant not found.", "0100011")
        return tenant

    def _own_application(self, request: Request, code: str) -> JsonDict:
        found = self.application(request.path_params["application_id"])
        if self._login.tenant(request) != (found or {}).get("tenant_id"):
            foreign = found or request.path_params["application_id"] == FOREIGN_APPLICATION
            raise entry(404, "Invalid Input: Application not found.", "0402005" if foreign else code)
        return found or {}

    def _own_subject(self, request: Request) -> JsonDict:
        found = self.subject(request.path_params["subject_uid"])
        if self._login.tenant(request) != (found or {}).get("tenant_id"):
            raise entry(404, "Invalid Input: Subject not found.", "0502003")
        return found or {}

    def _own_medium(self, request: Request) -> JsonDict:
        tenant = self._login.tenant(request)
        found = self.medium(request.path_params["media_id"])
        if found is None or found.get("tenant_id", tenant) != tenant:
            raise entry(404, "Invalid Input: Media not found.", "0202005")
        return found


async def _refuse(request: Request, refused: Exception) -> Response:
    """Errors as Cogniac words them; a path that nothing answers is one too."""
    del request
    status = refused.status_code if isinstance(refused, HTTPException) else 500
    detail = refused.detail if isinstance(refused, HTTPException) else "Internal Error"
    return json_response({"message": detail}, status)
