"""The paths of a server: the methods of each, and the nearest path to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute


class KnownPaths:
    """The paths of some routers.

    Args:
        routers: routers as the application includes them, without a prefix.
    """

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        self._routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes, in order; `HEAD` where there is `GET`."""
        fitting = [route for route in self._routes if route.path_regex.match(path)]
        own = [route for route in fitting if route.path == path] or fitting  # `input_tokens` is not a response's id
        found = {method for route in own for method in route.methods or ()}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    def remedy(self, path: str) -> str:
        """A sentence that names the right path for an unknown path."""
        found = self._nearest(path)
        return "GET /openapi.json lists the paths that are" if found is None else f"did you mean {found}?"

    def _nearest(self, path: str) -> str | None:
        known = sorted({route.path_format for route in self._routes if route.include_in_schema})
        if f"/v1{path}" in known:  # a base URL without its /v1
            return f"/v1{path}"
        inside = [one for one in known if len(one) > 1 and path.endswith(one)]  # a known path with a prefix before it
        for cutoff in (0.95, 0.7):  # a slip first
            close = difflib.get_close_matches(path[:200], known, n=1, cutoff=cutoff)
            if close:
                return close[0]
            if inside:
                return max(inside, key=len)
        return None
