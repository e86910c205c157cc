"""Python client of the property endpoint: pandas in and out, patient with a busy service.

from aimat_ray.serving import Client

with Client("http://127.0.0.1:8000") as client:
    table = client.predict(["Zr65Cu17.5Ni10Al7.5", "Fe48Cr15Mo14Er2C15B6"])
    found = client.design("Zr65Cu15Al10Ni10", raise_pct={"yield_strength_mpa": 5}, keep_pct={"dmax_mm": 2})
    found.designs, found.path(0)
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from aimat_ray.errors import BadInputError, ServiceError
from aimat_ray.serving.client_tables import DesignResult, flat, read_alloys

if TYPE_CHECKING:
    import pandas as pd

    from aimat_ray.serving.client_tables import Alloys

URL_VARIABLE, KEY_VARIABLE = "AIMAT_URL", "AIMAT_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
CHUNK = 500  # alloys in one request
PAGE = 1_000  # candidates in one request
_RETRIED = frozenset({429, 502, 503})
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_VERSION_ATTEMPTS = 3


class Client:
    """Asks a service that `aimat serve` started. Safe to share between threads.

    Args:
        url: Address of the service; AIMAT_URL, else http://127.0.0.1:8000, by default.
        api_key: Key, where the service asks for one; AIMAT_API_KEY by default.
        timeout_s: How long to wait for one answer; a design takes some seconds.
        patience_s: How long a request is repeated while the service is busy (429, 503) or can't be reached.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, timeout_s: float = 60.0, patience_s: float = 30.0
    ) -> None:
        url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise BadInputError(f"service {url!r}: the address or the key can't be used ({error})") from error
        self._patience_s = patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({str(self._http.base_url)!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ------------------------------------------------------------------ questions

    def predict(self, alloys: Alloys, nearest: int = 1) -> pd.DataFrame:
        """Predict alloys.

        Args:
            alloys: A formula, amounts per element, or many of either: a list, a Series, or a DataFrame with a column
                `formula` (all other columns are kept) or with one column per element.
            nearest: Measured alloys to name per alloy; the first fills `nearest_formula`, all are in `nearest`.

        Returns:
            One row per alloy, in order, with the index of a Series or DataFrame that came in: `composition`, `p_bmg`
            (the problem's class probability), per property `tg_k`, `tg_k_lower`, `tg_k_upper` ..., `in_domain`,
            `domain_reason`, `nearest_formula`, `nearest_distance_at_pct`, `surrogate_version`. All rows are of one
            version.

        Raises:
            BadInputError: An alloy can't be read; the message names its position.
            ServiceError: The service can't be reached, or stayed busy.
        """
        import pandas as pd

        items, index, kept = read_alloys(alloys)
        chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
        answers = self._predict_chunks(chunks, nearest)
        rows = [flat(alloy, answer["surrogate_version"]) for answer in answers for alloy in answer["predictions"]]
        table = pd.DataFrame(rows, index=index)
        return table if kept is None else pd.concat([kept.drop(columns=table.columns, errors="ignore"), table], axis=1)

    def design(
        self,
        start: str | Mapping[str, float],
        *,
        raise_pct: Mapping[str, float] | None = None,
        lower_pct: Mapping[str, float] | None = None,
        keep_pct: Mapping[str, float] | None = None,
        at_least: Mapping[str, float] | None = None,
        at_most: Mapping[str, float] | None = None,
        max_change_at_pct: float = 8.0,
        method: str = "auto",
        n_designs: int = 5,
        budget: int = 4_000,
        seed: int = 0,
    ) -> DesignResult:
        """Look for better alloys near one.

        Args:
            start: The alloy to improve: a formula, or amounts per element.
            raise_pct: Property -> by how many per cent of the start's value it shall grow at least.
            lower_pct: Property -> by how many per cent it shall fall at least.
            keep_pct: Property -> by how many per cent it may become worse at most.
            at_least: Property -> smallest acceptable value, in its unit.
            at_most: Property -> largest acceptable value, in its unit.
            max_change_at_pct: Largest share of atoms exchanged, at%.
            method: auto, evolution, greedy, local or policy.
            n_designs: Longest list of designs.
            budget: Predictions that a search may spend.
            seed: The same seed gives the same answer.

        Raises:
            BadInputError: The alloy or a wish can't be used.
            ServiceError: The service can't be reached, or stayed busy.
        """
        wishes: dict[str, dict[str, Any]] = {}
        groups = {
            "raise_pct": raise_pct, "lower_pct": lower_pct, "keep_pct": keep_pct, "at_least": at_least,
            "at_most": at_most,
        }  # fmt: skip
        for name, group in groups.items():
            for key, amount in (group or {}).items():
                wishes.setdefault(key, {"quantity": key})[name] = float(amount)
        body = {
            "start": start if isinstance(start, str) else dict(start),
            "wishes": list(wishes.values()),
            "max_change_at_pct": max_change_at_pct,
            "method": method,
            "n_designs": n_designs,
            "budget": budget,
            "seed": seed,
        }
        return DesignResult(self._json("POST", "/v1/design", json=body))

    def candidates(
        self,
        *,
        base: str | None = None,
        run: str | None = None,
        confirmed: bool | None = None,
        in_domain: bool | None = None,
        new: bool | None = None,
        at_least: Mapping[str, float] | None = None,
        at_most: Mapping[str, float] | None = None,
        sort: str = "rank",
        limit: int | None = None,
    ) -> pd.DataFrame:
        """New alloys of finished runs.

        Args:
            base: Base element.
            run: Identity of a run.
            confirmed: Only those that an independent surrogate confirms (or, False, does not).
            in_domain: Only those inside the surrogate's domain, or outside.
            new: Only those that are no copies of measured alloys, or only copies.
            at_least: Property (or the class probability) -> smallest value.
            at_most: Property -> largest value.
            sort: Column to sort by; "-" in front for the largest first.
            limit: Most rows; None for all.

        Returns:
            One row per candidate, with the columns of a run's candidates.csv except measured values.
        """
        import pandas as pd

        filters = {"base": base, "run": run, "confirmed": confirmed, "in_domain": in_domain, "new": new}
        query: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
        query |= {f"min_{key}": value for key, value in (at_least or {}).items()}
        query |= {f"max_{key}": value for key, value in (at_most or {}).items()}
        pages: list[pd.DataFrame] = []
        wanted = limit if limit is not None else None
        while wanted is None or wanted > 0:
            size = PAGE if wanted is None else min(PAGE, wanted)
            offset = sum(map(len, pages))
            reply = self._send("GET", "/v1/candidates", params=query | {
                "sort": sort, "limit": size, "offset": offset, "format": "csv",
            })  # fmt: skip
            pages.append(pd.read_csv(io.StringIO(reply.text)))
            if len(pages[-1]) < size:
                break
            wanted = None if wanted is None else wanted - size
        filled = [page for page in pages if len(page)] or pages[:1]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()

    def runs(self) -> pd.DataFrame:
        """Finished runs that the service shows, newest first."""
        import pandas as pd

        return pd.DataFrame(self._json("GET", "/v1/runs")["runs"])

    def problem(self) -> dict[str, Any]:
        """Elements, properties with units and directions, bases and cautions."""
        return self._json("GET", "/v1/problem")

    def versions(self) -> dict[str, Any]:
        """The current surrogate version and the changes before it."""
        return self._json("GET", "/v1/versions")

    def base(self, base: str) -> dict[str, Any]:
        """Window, example alloy, default goal and distributions of measured alloys of a base element."""
        return self._json("GET", f"/v1/bases/{base}")

    # ------------------------------------------------------------------ requests

    def _predict_chunks(self, chunks: list[list[Any]], nearest: int) -> list[dict[str, Any]]:
        """Answers of one version for all chunks: those of an older one are asked for again."""
        answers: list[dict[str, Any] | None] = [None] * len(chunks)
        for _ in range(_VERSION_ATTEMPTS):
            last = ""
            for i, chunk in enumerate(chunks):
                answer = answers[i]
                if answer is None or answer["surrogate_version"] != last != "":
                    answers[i] = answer = self._predict_chunk(chunk, nearest, i * CHUNK)
                last = answer["surrogate_version"]
            complete = [answer for answer in answers if answer is not None]
            if len({answer["surrogate_version"] for answer in complete}) <= 1:
                return complete
            answers = [a if a is not None and a["surrogate_version"] == last else None for a in answers]
        raise ServiceError("the surrogate changed again and again while a long table was predicted; ask again")

    def _predict_chunk(self, chunk: list[Any], nearest: int, first: int) -> dict[str, Any]:
        try:
            return self._json("POST", "/v1/predict", json={"alloys": chunk, "nearest": nearest})
        except BadInputError as error:
            if first == 0:
                raise
            raise BadInputError(f"of the alloys from position {first} on: {error.message}") from error

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        reply = self._send(method, path, **request)
        try:
            document: dict[str, Any] = reply.json()
        except ValueError as error:
            raise ServiceError(f"{reply.url} did not answer with JSON; is it the address of aimat serve?") from error
        return document

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; repeat it while the service is busy or away, for `patience_s` at most."""
        end = time.monotonic() + self._patience_s
        for attempt in range(1_000_000):
            asked_s, reason = 0.0, ""
            try:
                reply = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
                    raise ServiceError(f"{self._http.base_url} did not answer {path} in time") from error
                reason = f"can't reach {self._http.base_url} ({type(error).__name__}: {error})"
            else:
                if reply.is_success:
                    return reply
                if reply.status_code not in _RETRIED:
                    raise _failure(reply)
                asked_s, reason = _retry_after_s(reply), _failure(reply).message
            wait_s = max(asked_s, min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0))
            if time.monotonic() + wait_s > end:
                raise ServiceError(f"{reason}; gave up after {attempt + 1} attempts")
            time.sleep(wait_s)
        raise AssertionError("unreachable: the clock ends the loop")


def _failure(reply: httpx.Response) -> BadInputError | ServiceError:
    """The service's message as an error of this package."""
    try:
        message = str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"{reply.url} answered {reply.status_code}; is it the address of aimat serve?"
    if reply.status_code in (401, 403):
        return BadInputError(f"{message} (the key comes from api_key=... or {KEY_VARIABLE})")
    if 400 <= reply.status_code < 500 and reply.status_code not in _RETRIED:
        return BadInputError(message)
    return ServiceError(message)


def _retry_after_s(reply: httpx.Response) -> float:
    """Seconds that the service asks to wait: a number, or the time of a date; 0 where it does not say."""
    text = reply.headers.get("retry-after", "")
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0
