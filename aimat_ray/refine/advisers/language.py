"""The adviser that asks a language model: it sees numbers and names, and can only name what is on the list."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from aimat_ray.descriptors import DESCRIPTOR_CATALOGUE
from aimat_ray.refine.advisers.base import AdviceError, Question
from aimat_ray.refine.llm import BudgetError, LlmClient, LlmError, load_prompt
from aimat_ray.refine.records import Proposal

_SHOWN = 12  # compositions of the trigger's window


class _Reply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    descriptors: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=20)]
    reason: Annotated[str, Field(max_length=4000)] = ""


class LanguageAdviser:
    """Asks a model.

    Args:
        client: Asks within the run's caps.
    """

    def __init__(self, client: LlmClient) -> None:
        self._client = client
        self._prompt = load_prompt("descriptors")

    def propose(self, question: Question) -> Proposal:
        """See `Adviser`.

        Raises:
            AdviceError: No usable answer; final where asking again is of no use.
        """
        try:
            answer = self._client.ask(self._prompt, _document(question), _Reply)
        except BudgetError as error:
            raise AdviceError(error.message) from None
        except LlmError as error:
            raise AdviceError(error.message) from None
        names = question.check(tuple(answer.value.descriptors))
        adviser = f"llm {self._client.settings.model}, prompt {self._prompt.name} v{self._prompt.version}"
        reason = " ".join(answer.value.reason.split())[:500]
        return Proposal(descriptors=names, reason=reason, adviser=adviser, cost=answer.cost)


def _document(question: Question) -> str:
    """The question; made of numbers, names and formulas that this program wrote, never of free text of a table."""
    trigger, seen = question.trigger, question.trigger.seen
    unsure = sorted(zip(seen.spreads, seen.compositions, seen.values, strict=True), reverse=True)[:_SHOWN]
    document = {
        "property": question.label,
        "noticed": {
            "by": trigger.kind,
            "value": round(trigger.value, 3),
            "limit": trigger.threshold,
            "variance_relative_to_domain": {key: round(ratio, 2) for key, ratio in seen.ratios.items()},
        },
        "unsure_at": [
            {"composition_at_pct": formula, "predicted": value, "spread": spread} for spread, formula, value in unsure
        ],
        "reads_now": list(question.in_use),
        "candidates": {name: _meaning(name) for name in question.candidates},
        "tried": [list(names) for names in question.tried],
        "most": question.most,
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True)


def _meaning(name: str) -> str:
    spec = DESCRIPTOR_CATALOGUE[name]
    return f"{spec.description} [{spec.unit}]"
