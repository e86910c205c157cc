"""A language model behind any OpenAI-compatible endpoint, kept on a short lead.

Whatever it says is checked by a pydantic model; calls, tokens and money are capped for the whole run, across
processes and restarts; every answer is recorded, so that a run can be repeated without the network. Address and key
come from OPENAI_BASE_URL and OPENAI_API_KEY; the key is never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aimat_ray.config import LlmSettings
from aimat_ray.errors import ServiceError
from aimat_ray.refine.records import Cost, Record

KEY_VARIABLE, URL_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_CHARACTERS_PER_TOKEN = 3  # of an estimate before a call; the bill counts what the endpoint reports
_LOCK_TIMEOUT_S = 60.0
_MAX_BACKOFF_S = 60.0
_USAGE = "usage.json"

Reply = TypeVar("Reply", bound=BaseModel)
Sleep = Callable[[float], None]


class LlmError(ServiceError):
    """The model can't be asked, did not answer, or did not answer usefully."""


class BudgetError(LlmError):
    """A cap on calls, tokens or money is reached."""


class Usage(Record):
    """What a run has spent so far."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


class Prompt(BaseModel):
    """A versioned prompt.

    Attributes:
        name: File name without ending.
        version: Part of the identity of every answer.
        text: The system message.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    text: str


def load_prompt(name: str) -> Prompt:
    """Read a packaged prompt; its first line says `version: N`."""
    text = (resources.files("aimat_ray.refine") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    return Prompt(name=name, version=int(first.removeprefix("version:")), text=rest.strip())


class Answer(BaseModel, Generic[Reply]):
    """A checked reply and what it cost."""

    value: Reply
    cost: Cost


class LlmClient:
    """Asks questions and gets checked answers.

    Args:
        settings: Model, limits and caps.
        folder: Where answers and the bill are kept, for all processes of the run.
        sleep: Waits between retries.
    """

    def __init__(self, settings: LlmSettings, folder: Path, sleep: Sleep = time.sleep) -> None:
        self.settings = settings
        self.folder = folder
        self._sleep = sleep
        self._client: Any = None

    def ask(self, prompt: Prompt, question: str, reply: type[Reply]) -> Answer[Reply]:
        """Ask, and check the reply.

        Args:
            prompt: What the model is and how it must answer.
            question: The question, JSON.
            reply: Shape of the reply.

        Raises:
            BudgetError: A cap is reached.
            LlmError: No usable reply: not configured, not reachable, or nothing but nonsense after all retries.
        """
        messages = [{"role": "system", "content": prompt.text}, {"role": "user", "content": question}]
        place = self.folder / f"{self._identity(prompt, messages)}.json"
        if self.settings.cache != "off" and place.is_file():
            stored = json.loads(place.read_text(encoding="utf-8"))
            return Answer(value=_checked(stored["reply"], reply), cost=Cost(cached=True))
        if self.settings.cache == "replay":
            raise LlmError(f"no recorded answer for this question ({prompt.name}, {place.stem[:12]}) in {self.folder}")
        return self._retried(messages, place, reply)

    def usage(self) -> Usage:
        """What was spent so far."""
        try:
            return Usage.model_validate_json((self.folder / _USAGE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Usage()

    def _identity(self, prompt: Prompt, messages: list[dict[str, str]]) -> str:
        asked = [self.settings.model, self.settings.temperature, prompt.name, prompt.version, messages]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _retried(self, messages: list[dict[str, str]], place: Path, reply: type[Reply]) -> Answer[Reply]:
        cost, reason = Cost(), ""
        for attempt in range(self.settings.retries + 1):
            if attempt:
                self._sleep(min(self.settings.backoff_s * 2.0 ** (attempt - 1), _MAX_BACKOFF_S))
            try:
                text, paid = self._call(messages)
                cost = cost.plus(paid)
                value = _checked(text, reply)
            except BudgetError:
                raise
            except _Retry as error:
                reason = str(error)
                continue
            if self.settings.cache != "off":
                _write(place, json.dumps({"reply": text, "messages": messages, "model": self.settings.model}, indent=1))
            return Answer(value=value, cost=cost)
        raise LlmError(f"no usable answer from {self.settings.model} after {self.settings.retries + 1} calls: {reason}")

    def _call(self, messages: list[dict[str, str]]) -> tuple[str, Cost]:
        """One call: text and price."""
        import openai

        s = self.settings
        expected = sum(len(m["content"]) for m in messages) // _CHARACTERS_PER_TOKEN
        self._book(expected)
        try:
            completion = self._connected().chat.completions.create(
                model=s.model,
                messages=messages,
                temperature=s.temperature,
                max_tokens=s.max_reply_tokens,
                response_format={"type": "json_object"},
            )
            text = completion.choices[0].message.content or ""
            bill = completion.usage
            paid = self._price(_count(bill, "prompt_tokens", expected), _count(bill, "completion_tokens", len(text)))
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            self._settle(expected, Cost(calls=1))
            raise LlmError(f"the endpoint refused the request ({error.status_code}); check key and model") from None
        except openai.APIStatusError as error:
            self._settle(expected, Cost(calls=1))
            raise _Retry(f"status {error.status_code}") from None
        except (
            openai.APIError
        ) as error:  # time-outs and connections; their texts hold nothing secret, but no use either
            self._settle(expected, Cost(calls=1))
            raise _Retry(type(error).__name__) from None
        except (AttributeError, IndexError, TypeError, ValueError):
            self._settle(expected, Cost(calls=1))
            raise _Retry("a reply that is not a chat completion") from None
        self._settle(expected, paid)
        return text, paid

    def _price(self, n_input: int, n_output: int) -> Cost:
        s = self.settings
        usd = (n_input * s.usd_per_million_input + n_output * s.usd_per_million_output) / 1e6
        return Cost(calls=1, input_tokens=n_input, output_tokens=n_output, usd=usd)

    def _connected(self) -> Any:
        if self._client is None:
            import openai

            if not os.environ.get(KEY_VARIABLE):
                raise LlmError(f"no key: set {KEY_VARIABLE} (and {URL_VARIABLE} for another endpoint than OpenAI's)")
            # Retries are counted against the caps, so they are ours.
            self._client = openai.OpenAI(max_retries=0, timeout=self.settings.timeout_s)
        return self._client

    def _book(self, expected_tokens: int) -> None:
        """Reserve the most that a call can cost, so that several processes together stay within the caps."""
        s = self.settings
        most = self._price(expected_tokens, s.max_reply_tokens)
        with self._bill() as usage:
            tokens = usage.input_tokens + usage.output_tokens + most.input_tokens + most.output_tokens
            spent = {
                "calls": (usage.calls + 1, s.max_calls),
                "tokens": (tokens, s.max_tokens),
                "usd": (usage.usd + most.usd, s.max_usd),
            }
            for what, (would, most_allowed) in spent.items():
                if would > most_allowed:
                    raise BudgetError(f"the cap of {most_allowed:g} {what} for this run is reached; see llm.max_{what}")
            self._save(_plus(usage, most))

    def _settle(self, expected_tokens: int, paid: Cost) -> None:
        """Put the price in place of the reservation."""
        most = self._price(expected_tokens, self.settings.max_reply_tokens)
        with self._bill() as usage:
            self._save(
                Usage(
                    calls=usage.calls,
                    input_tokens=usage.input_tokens + paid.input_tokens - most.input_tokens,
                    output_tokens=usage.output_tokens + paid.output_tokens - most.output_tokens,
                    usd=max(usage.usd + paid.usd - most.usd, 0.0),
                )
            )

    @contextmanager
    def _bill(self) -> Iterator[Usage]:
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".usage.lock", timeout=_LOCK_TIMEOUT_S):
            yield self.usage()

    def _save(self, usage: Usage) -> None:
        _write(self.folder / _USAGE, usage.model_dump_json())


class _Retry(Exception):
    """Asking again may help."""


def _plus(usage: Usage, cost: Cost) -> Usage:
    return Usage(
        calls=usage.calls + cost.calls,
        input_tokens=usage.input_tokens + cost.input_tokens,
        output_tokens=usage.output_tokens + cost.output_tokens,
        usd=usage.usd + cost.usd,
    )


def _count(bill: Any, name: str, otherwise: int) -> int:
    value = getattr(bill, name, None)
    return value if isinstance(value, int) and value >= 0 else otherwise


def _checked(text: str, reply: type[Reply]) -> Reply:
    try:
        return reply.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "reply"
        raise _Retry(f"a reply of another shape than asked for ({where}: {first['msg']})") from None


def _write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(place)
