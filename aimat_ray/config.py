"""Everything a run can be told. The only place with defaults; each run writes its resolved copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aimat_ray.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Percent = Annotated[float, Field(gt=0.0, lt=100.0)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Strict, frozen base of every settings model: an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class RewardSettings(Settings):
    """How a step is rewarded (env/reward-design.md)."""

    kind: Literal["progress", "paper"] = "progress"
    robust: bool = False  # judge goals on the interval's pessimistic side, and only inside the domain
    caution: Annotated[float, Field(gt=0, le=1)] = 0.3  # how far out on that side: 1 is the end of the interval
    progress_weight: Positive = 5.0
    step_cost: Annotated[float, Field(ge=0)] = 0.01
    goal_bonus: Annotated[float, Field(ge=0)] = 2.0
    infeasible_cost: Annotated[float, Field(ge=0)] = 2.0
    feasibility_barrier: Share = 0.8  # a penalty grows below this probability
    barrier_weight: Annotated[float, Field(ge=0)] = 0.5


class EnvSettings(Settings):
    """The design environment."""

    mode: Literal["simplex", "paper"] = "simplex"
    observation: Literal["full", "fractions"] = "full"
    max_step_at_pct: Positive = 5.0  # largest change of one element in one step
    max_steps: Count = 128  # step limit of an evaluation episode
    train_max_steps: Count = 40  # step limit of a training episode
    train_aim: Annotated[float, Field(ge=1.0, le=2.0)] = 1.0  # training goals are harder than evaluated ones by this
    reward: RewardSettings = RewardSettings()


class AgentSettings(Settings):
    """TD3; the fields carry the names of the literature, deviations are explained in rl/td3-design.md."""

    gamma: Annotated[float, Field(gt=0, le=1)] = 0.9
    tau: Share = 0.01
    actor_lr: Positive = 1e-3
    critic_lr: Positive = 1e-3
    critic_weight_decay: Annotated[float, Field(ge=0)] = 0.0
    batch_size: Count = 192
    policy_delay: Count = 2
    target_noise: Annotated[float, Field(ge=0)] = 0.2
    target_noise_clip: Annotated[float, Field(ge=0)] = 0.5
    exploration_noise: Annotated[float, Field(ge=0)] = 0.2
    random_steps: Annotated[int, Field(ge=0)] = 2_000
    learning_starts: Annotated[int, Field(ge=0)] = 2_000
    layer_norm: bool = True
    hidden_sizes: tuple[Count, ...] = (128, 128)
    network: Literal["flat", "elements"] = "flat"  # of the actor; "elements" looks at one element at a time
    turns: Count = 1  # actors that take turns in the trained policy: the last one, and earlier ones
    sees_base: bool = True  # False: networks know the base by the composition alone, also one they were not trained on
    grad_clip: Positive | None = None
    twin_q: bool = True
    critic: Literal["effect", "raw", "none"] = "effect"
    updates_per_step: Positive = 0.0625
    minibatches_per_update: Count = 16
    buffer_capacity: Count = 200_000
    offline_mode: Literal["none", "reward_replacement", "fixed", "annealed"] = "reward_replacement"
    offline_share: Share = 0.05
    offline_share_end: Share = 0.05
    labels: Literal["none", "archive", "lookahead", "both", "plan"] = (
        "archive"  # where behaviour cloning gets its moves from
    )
    label_ranking: Literal["nearest", "robust"] = "robust"
    label_ways: Literal["straight", "clear"] = "straight"  # "clear": to alloys with a feasible way to them
    bc_weight: Annotated[float, Field(ge=0)] = 1.0
    guidance: Literal["none", "gradient", "residual"] = "none"  # what the actor takes from the distilled surrogate
    n_envs_per_runner: Count = 128
    rollout_fragment_length: Count = 4


class PoolSettings(Settings):
    """The trusted experience pool (experience/pool-design.md)."""

    mode: Literal["all", "measured_only", "off"] = "all"


class ArchiveSettings(Settings):
    """The search that fills the archive of goal alloys (search/archive-design.md)."""

    budget_per_base: Count = 12_000  # surrogate predictions


class DistilSettings(Settings):
    """How a surrogate is distilled into a small net (search/distil-design.md)."""

    answers: Count = 300_000  # surrogate predictions along the walks of searches
    led_answers: Annotated[int, Field(ge=0)] = 100_000  # along walks that the net itself leads
    held_out_answers: Count = 20_000
    width: Count = 256
    epochs: Count = 10
    batch_size: Count = 1024
    lr: Positive = 2e-3


class SearchSettings(Settings):
    """A search used as the method of a run instead of an agent (search/design.py)."""

    budget_per_base: Count = 20_000  # surrogate predictions


class GoalSettings(Settings):
    """Which goal an episode gets, in training and in evaluation (env/goals.py).

    `fixed`: the goal of its base. `random`: drawn anew, some quantities at a percentile of the base's measured rows.
    `relative`: improve one quantity of the start, keep another, exchange few atoms. `mixed`: one of the three kinds.
    """

    kind: Literal["fixed", "random", "relative", "mixed"] = "fixed"
    percentiles: tuple[Percent, Percent] = (60.0, 90.0)
    max_quantities: Count = 3
    gain: tuple[Positive, Positive] = (0.05, 0.15)  # of the improved quantity, relative to the start
    keep_tolerance: Share = 0.02  # accepted loss of the kept quantity, relative to the start
    max_change_at_pct: Positive = 8.0  # atoms exchanged, at most

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("percentiles", "gain"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected the smaller value first, got {low:g} and {high:g}")
        return self


class EvaluationSettings(Settings):
    """Strict evaluation: deterministic policy, fresh starts, no restarts."""

    episodes: Count = 100
    seeds: Count = 3
    lookahead: Count = 16
    starts: Literal["test", "tuning"] = "test"  # choose settings on tuning starts, report on test starts
    ceiling_episodes: Count = 32
    curve_episodes: Annotated[int, Field(ge=0)] = 32  # starts of the searches that only the price curves need
    settle_steps: Annotated[int, Field(ge=0)] = 16  # steps beyond the first goal composition, to a safer one


class VarianceTriggerSettings(Settings):
    """When the surrogate counts as unsure where the agent walks (refine/refine-design.md for the numbers)."""

    threshold: Annotated[float, Field(gt=1.0)] = 3.0  # mean squared spread, relative to that in the domain
    window: Count = 2_048  # latest visited compositions
    cooldown: Annotated[int, Field(ge=0)] = 4_000  # env steps before the same property may fire again


class CorrelationTriggerSettings(Settings):
    """When surrogate and critic count as at odds."""

    threshold: Annotated[float, Field(gt=-1.0, lt=1.0)] = 0.2  # Pearson r of critic values with rewards to go
    window: Count = 1_024  # latest steps of ended episodes
    warm_up: Annotated[int, Field(ge=0)] = 8_000  # env steps before which a critic knows too little to be held against
    cooldown: Annotated[int, Field(ge=0)] = 4_000


class VerdictSettings(Settings):
    """When a refined surrogate is accepted; every condition must hold."""

    min_gain: Share = 0.05  # relative fall of the squared error on unseen chemical systems
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95  # with which that error falls at all, over all attempts
    other_tolerance: Share = 0.02  # relative growth of the root mean squared error of any other property
    coverage: tuple[Share, Share] = (0.85, 0.97)  # of the 90 % intervals on unseen systems


class LlmSettings(Settings):
    """A model behind an OpenAI-compatible endpoint; address and key come from OPENAI_BASE_URL and OPENAI_API_KEY."""

    model: str = "gpt-4o-mini"
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    max_reply_tokens: Count = 500
    timeout_s: Positive = 30.0
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    backoff_s: Annotated[float, Field(ge=0.0)] = 1.0  # doubles with every retry
    max_calls: Annotated[int, Field(ge=0)] = 200  # of a whole run; failed calls count too
    max_tokens: Annotated[int, Field(ge=0)] = 200_000
    max_usd: Annotated[float, Field(ge=0.0)] = 1.0
    usd_per_million_input: Annotated[float, Field(ge=0.0)] = 0.15
    usd_per_million_output: Annotated[float, Field(ge=0.0)] = 0.60
    cache: Literal["record", "replay", "off"] = "record"  # replay: answer from the cache alone, never call
    cache_dir: str | None = None  # default: llm-cache in the run's folder

    def folder(self, run_dir: Path) -> Path:
        """Where a run keeps what the model said, and its bill."""
        return Path(self.cache_dir).expanduser() if self.cache_dir else run_dir.resolve() / "llm-cache"


class RefineSettings(Settings):
    """AMR: the surrogate is watched, and corrected, while agents train."""

    adviser: Literal["off", "none", "statistical", "llm"] = "off"  # none: watch and log, never retrain
    wait: bool = False  # training waits for each verdict: slower, but the same seed gives the same run
    max_attempts: Annotated[int, Field(ge=1, le=3)] = 3
    max_descriptors: Annotated[int, Field(ge=1, le=3)] = 3  # of one proposal
    variance: VarianceTriggerSettings = VarianceTriggerSettings()
    correlation: CorrelationTriggerSettings = CorrelationTriggerSettings()
    verdict: VerdictSettings = VerdictSettings()


class KnowledgeSettings(Settings):
    """KBR: expert knowledge in the reward, late in training."""

    scorer: Literal["off", "rules", "llm"] = "off"
    last_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.2  # of the training steps
    weight: Annotated[float, Field(ge=0.0, le=0.2)] = 0.1  # reward per unit of score; small, and capped here
    neighbours: Count = 5  # most similar measured alloys that an LLM is shown
    batch: Count = 8  # compositions of one LLM call


class DesignSettings(Settings):
    """One design run."""

    problem: str = "bmg"
    method: Literal["td3", "archive", "greedy", "evolution", "local"] = "td3"  # a trained agent, or a search
    base: str = "Zr"
    data: str = "auto"
    goal: str | None = None  # a named goal of the problem; None takes its default
    percentile: Percent | None = None
    goals: GoalSettings = GoalSettings()
    hold_out: tuple[str, ...] = ()  # bases that training never sees; ask with aimat evaluate RUN --base
    bundle: Literal["default", "paper"] = "default"
    transport: Literal["local", "serve"] = "local"
    steps: Count = 20_000
    seed: int = 0
    runners: Annotated[int, Field(ge=0)] = 0
    env: EnvSettings = EnvSettings()
    agent: AgentSettings = AgentSettings()
    pool: PoolSettings = PoolSettings()
    archive: ArchiveSettings = ArchiveSettings()
    distil: DistilSettings = DistilSettings()
    search: SearchSettings = SearchSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    refine: RefineSettings = RefineSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    llm: LlmSettings = LlmSettings()


def load_settings(path: Path | None, overrides: dict[str, Any]) -> DesignSettings:
    """Read a YAML file of settings (or none) and apply overrides on top.

    Args:
        path: YAML file with keys of `DesignSettings`, or None for the defaults.
        overrides: Values by dotted key, for example `{"agent.gamma": 0.95}`.

    Raises:
        ConfigError: The file can't be read, a key is unknown, or a value does not fit.
    """
    tree = {} if path is None else read_mapping(path, "settings file")
    for dotted, value in overrides.items():
        assign(tree, dotted, value)
    try:
        return DesignSettings.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def read_mapping(path: Path, kind: str) -> dict[str, Any]:
    """A YAML file of keys; an empty one has none.

    Args:
        path: The file.
        kind: What the file is, for the message.

    Raises:
        ConfigError: It can't be read, or holds something else.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{kind} {path}: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{kind} {path}: expected a mapping of keys, got {type(tree).__name__}")
    return tree


def assign(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value into a tree of settings by its dotted key, such as `agent.gamma`.

    Raises:
        ConfigError: A part of the key is a value already, not a group.
    """
    *parents, leaf = dotted.split(".")
    for key in parents:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"setting {dotted!r}: {key!r} is a value, not a group of settings")
    tree[leaf] = value


def explain(error: ValidationError) -> str:
    """What does not fit, setting by setting."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown setting {key!r}; see `aimat design --help` for the known ones")
        else:
            lines.append(f"setting {key!r} = {item['input']!r}: {item['msg'].lower()}")
    return "; ".join(lines)
