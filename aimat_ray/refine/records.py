"""What the refinement loop passes around and logs; every record is plain JSON, compositions in at%."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TriggerKind = Literal["variance", "correlation"]


class Record(BaseModel):
    """Strict, frozen base of the records."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Seen(Record):
    """What a trigger saw when it fired.

    Attributes:
        compositions: Formulas (at%) of compositions in the window.
        values: Predicted value of the property at each of them.
        spreads: Spread of the ensemble there, same unit.
        ratios: Squared spread relative to that in the domain, per property.
        r: Correlation of critic values with rewards to go; None where it could not be computed.
        curve: Pairs (reward to go, critic value) of recent steps.
    """

    compositions: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    ratios: dict[str, float] = {}
    r: float | None = None
    curve: tuple[tuple[float, float], ...] = ()


class Trigger(Record):
    """A reason to refine.

    Attributes:
        kind: Which trigger fired.
        property_key: The property to refine.
        env_steps: When.
        value: What was measured: variance ratio, or correlation.
        threshold: What it was held against.
        version: Surrogate version that it was measured on.
        seen: The evidence.
    """

    kind: TriggerKind
    property_key: str
    env_steps: int
    value: float
    threshold: float
    version: str
    seen: Seen = Seen()


class Cost(Record):
    """What an adviser's answer cost."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    cached: bool = False

    def plus(self, other: Cost) -> Cost:
        """The sum; cached only where both are."""
        return Cost(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd,
            cached=self.cached and other.cached,
        )


class Proposal(Record):
    """Descriptors to retrain with.

    Attributes:
        descriptors: One to three names of the closed list.
        reason: Why, in the adviser's words.
        adviser: Who chose them, with model or method.
        cost: What the answer cost.
    """

    descriptors: Annotated[tuple[str, ...], Field(min_length=1, max_length=3)]
    reason: str
    adviser: str
    cost: Cost = Cost()


class Change(Record):
    """Root mean squared error of one property on unseen systems, before and after."""

    before: float
    after: float


class Comparison(Record):
    """How a retrained surrogate compares with the one in use, on the same folds of unseen chemical systems.

    Attributes:
        version: Version of the retrained surrogate, in the store.
        property_key: The refined property.
        n: Measured rows scored.
        n_systems: Chemical systems among them.
        rmse: Its error.
        gain: Relative fall of the mean squared error.
        p_value: One-sided probability of such a fall by chance (bootstrap over chemical systems).
        variance: Variance between models that have seen different chemical systems, where the trigger fired.
        coverage: Share of measured values inside their 90 % interval, each fold calibrated on the others.
        others: Error of every other property.
    """

    version: str
    property_key: str
    n: int
    n_systems: int
    rmse: Change
    gain: float
    p_value: float
    variance: Change
    coverage: float
    others: dict[str, Change] = {}


class Verdict(Record):
    """Whether a retrained surrogate is taken, with every condition that was checked."""

    accepted: bool
    checks: dict[str, bool]
    reasons: tuple[str, ...]
