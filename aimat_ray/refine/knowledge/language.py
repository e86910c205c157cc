"""Knowledge scores by a language model, asked in the background so that training never waits.

A composition is looked up by its rounded fractions; what is not known yet is queued and scores NaN for now. A thread
asks for whole batches, with the most similar measured alloys of each composition as context.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from aimat_ray.config import KnowledgeSettings
from aimat_ray.data.alloy_table import AlloyTable
from aimat_ray.data.composition import composition_key, format_formula
from aimat_ray.descriptors import Descriptors
from aimat_ray.problem import DesignProblem
from aimat_ray.refine.knowledge.rules import NAMES, FloatArray
from aimat_ray.refine.llm import LlmClient, LlmError, load_prompt
from aimat_ray.surrogate.domain import Neighbours

log = logging.getLogger(__name__)
IDENTITY_DECIMALS = 0  # compositions are one when they agree to 1 at%
MOST_WAITING = 256
_IDLE_S = 0.2


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    scores: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=64)]


class LanguageScorer:
    """Scores compositions by asking a model, later.

    Args:
        client: Asks within the run's caps.
        table: Measured alloys, for context.
        problem: The design problem.
        settings: Size of batches and number of neighbours.
    """

    def __init__(
        self, client: LlmClient, table: AlloyTable, problem: DesignProblem, settings: KnowledgeSettings
    ) -> None:
        self._client, self._table, self._problem, self._settings = client, table, problem, settings
        self._neighbours = Neighbours(np.array(table.at_frac))
        self._descriptors = Descriptors(problem.elements, NAMES)
        self._prompt = load_prompt("knowledge")
        self._known: dict[bytes, float] = {}
        self._waiting: OrderedDict[bytes, FloatArray] = OrderedDict()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.stopped_by = ""  # why nothing is asked any more
        self._thread = threading.Thread(target=self._work, name="knowledge", daemon=True)
        self._thread.start()

    @property
    def n_known(self) -> int:
        """Compositions scored so far."""
        return len(self._known)

    def __call__(self, at_frac: FloatArray, quantities: FloatArray | None = None) -> FloatArray:
        """Scores in [-1, 1], [B]; NaN where none is known yet. Returns at once."""
        keys = composition_key(at_frac, IDENTITY_DECIMALS)
        with self._lock:
            scores = np.array([self._known.get(key, np.nan) for key in keys])
            for i in np.flatnonzero(np.isnan(scores)):
                self._waiting[keys[i]] = at_frac[i]
                self._waiting.move_to_end(keys[i])
            while len(self._waiting) > MOST_WAITING:  # what was asked for long ago matters least
                self._waiting.popitem(last=False)
        return scores

    def close(self) -> None:
        """Ask nothing more; a call under way is left to itself."""
        self._ended.set()
        self._thread.join(timeout=2 * _IDLE_S)

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is queued; for tests and for scoring a table. Whether that was reached in time."""
        waited = threading.Event()
        for _ in range(round(timeout_s / 0.02)):
            if self.stopped_by or (not self._waiting and not self._asking):
                return True
            waited.wait(0.02)
        return False

    _asking = False

    def _work(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                newest = [self._waiting.popitem() for _ in range(min(self._settings.batch, len(self._waiting)))]
                self._asking = bool(newest)
            if not newest:
                self._ended.wait(_IDLE_S)
                continue
            try:
                scores = self._ask([at_frac for _, at_frac in newest])
            except LlmError as error:
                self.stopped_by = error.message
                self._asking = False
                log.warning("knowledge scores stop: %s", error.message)
                return
            with self._lock:
                self._known |= {key: score for (key, _), score in zip(newest, scores, strict=True)}
                self._asking = False

    def _ask(self, compositions: list[FloatArray]) -> list[float]:
        """Clipped scores of a batch; 0 for whatever the reply leaves out."""
        at_frac = np.asarray(np.round(np.array(compositions), 2 + IDENTITY_DECIMALS), np.float64)
        at_frac /= at_frac.sum(axis=1, keepdims=True)
        answer = self._client.ask(self._prompt, self._document(at_frac), _Reply)
        said = [float(np.clip(score, -1.0, 1.0)) for score in answer.value.scores[: len(at_frac)]]
        return said + [0.0] * (len(at_frac) - len(said))

    def _document(self, at_frac: FloatArray) -> str:
        """The question; formulas and numbers of this program only, no text of a table."""
        index, distance = self._neighbours(at_frac, self._settings.neighbours)
        descriptors = self._descriptors.transform(at_frac)
        alloys = []
        for i, row in enumerate(at_frac):
            alloys.append(
                {
                    "composition_at_pct": format_formula(row, self._problem.elements),
                    "descriptors": {name: round(float(v), 3) for name, v in zip(NAMES, descriptors[i], strict=True)},
                    "similar_measured": [
                        self._measured(int(j), float(d)) for j, d in zip(index[i], distance[i], strict=True)
                    ],
                }
            )
        return json.dumps({"alloys": alloys}, sort_keys=True)

    def _measured(self, j: int, distance: float) -> dict[str, object]:
        values = self._table.values[j]
        known = {
            key: round(float(value), 3)
            for key, value in zip(self._problem.property_keys, values, strict=True)
            if np.isfinite(value)
        }
        return {
            "composition_at_pct": format_formula(self._table.at_frac[j], self._problem.elements),
            "distance_at_pct": round(distance, 1),
            "forms_bulk_glass": bool(self._table.feasible[j] == 1.0) if np.isfinite(self._table.feasible[j]) else None,
            **known,
        }
