"""The server engine: samples on other machines, behind an OpenAI-compatible endpoint.

The endpoint must take and return token ids, as `vllm serve` does.
"""

from __future__ import annotations

from functools import cached_property

from effwb import models
from effwb._internal.checked import AboveZero, NotNegative, Positive, check_value
from effwb._internal.server_key import without_key
from effwb.errors import ConfigError, EngineError, one_of
from effwb.samplers.endpoint import Endpoint, RetryableError
from effwb.samplers.request import RequestQueue, RequestSampler, Response, Ticket

# A server fills in what a request leaves out from the model's own generation config.
NEUTRAL_PARAMS = {
    "n": 1,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class ServerSampler(RequestSampler):
    """Samples at an endpoint, with one request and one seed per completion.

    The tokenizer and config are read on this machine; the weights are the server's. The server is contacted
    at the first use, so a finished run is read back without it. A request that fails (no connection, status
    429 or 5xx, no JSON) is sent again.

    The identity of a run holds neither the URL nor what the server says about itself, so a run may continue
    at another endpoint. Its version and context are recorded beside the run. No server can be asked whether
    it has the same weights and computes in `dtype`: start it with `--dtype`. A seed fixes the tokens as far
    as the server honours it. vLLM does in float32; in bfloat16 batches of another shape round differently.

    An API key is read from the environment variable EFFWB_SERVER_KEY and from nowhere else.

    Args:
        model: The model as this machine knows it; see `effwb.models.locate`.
        url: Such as "http://localhost:8000/v1". None: the environment variable EFFWB_SERVER_URL.
        served_model: The model's name at the server, if that is another.
        dtype: The dtype that the server computes in, one of `effwb.models.DTYPES`.
        concurrency: The most requests under way at once.
        timeout: Seconds until a request without an answer has failed.
        patience: Seconds during which a failed request is sent again; long enough to restart the server.
        trust_remote_code: Whether code that comes with the model's tokenizer and config may run here.

    Raises:
        ConfigError: For an unknown model or dtype, a bad URL, or a number out of range.
    """

    engine = "server"

    def __init__(
        self,
        model: str,
        *,
        url: str | None = None,
        served_model: str | None = None,
        dtype: str = "float32",
        concurrency: int = 128,
        timeout: float = 3600.0,
        patience: float = 300.0,
        trust_remote_code: bool = False,
    ):
        check_value("concurrency", concurrency, Positive)
        check_value("timeout", timeout, AboveZero)
        check_value("patience", patience, NotNegative)
        self.source = models.locate(model, trust_remote_code)
        self.tokenizer = models.load_tokenizer(self.source)
        self.dtype, self.served_model = models.check_dtype(dtype), served_model
        self.endpoint = Endpoint(url, concurrency, timeout, patience)

    def close(self) -> None:
        """Forget what the server said about itself; the next use asks again."""
        vars(self).pop("card", None)

    @cached_property
    def card(self) -> dict:
        """The server's entry for the model: `id` and, from vLLM, `max_model_len`; fetched once."""
        answer = self.endpoint.get("models")
        try:
            cards = {without_key(card["id"]): card for card in answer["data"]}
        except (KeyError, TypeError):
            raise EngineError(
                f"{self.endpoint.url}/models does not list models the way OpenAI's API does"
            ) from None
        if self.served_model is not None:
            one_of("served_model", self.served_model, cards)
            return cards[self.served_model]
        names = {self.source.name, self.source.path}
        matches = [card for name, card in cards.items() if names & {name, card.get("root")}]
        if not matches:  # taking another model would give wrong numbers without an error
            raise ConfigError(
                f"the server serves {', '.join(map(repr, cards)) or 'nothing'}, but nothing called "
                f"{self.source.name!r}; if one of them is this model, pass its name as served_model, or "
                f"start vLLM with --served-model-name {self.source.name}"
            )
        return matches[0]

    @property
    def context(self) -> int | None:
        """The most tokens that prompt and completion may have together.

        It is the model's own limit, or a smaller one if the server was started with `--max-model-len`.
        """
        limits = (super().context, self._served_context())
        return min((limit for limit in limits if limit is not None), default=None)

    def _served_context(self) -> int | None:
        """The context that the server names; None if it names none."""
        context = self.card.get("max_model_len")
        return context if isinstance(context, int) else None

    def _versions(self) -> str:
        return "OpenAI-compatible server"

    def batching(self) -> dict:
        """What the server says about itself, without its address. Recorded with a run, never compared."""
        card = {"served_model": without_key(self.card["id"]), "max_model_len": self._served_context()}
        try:
            version = without_key(self.endpoint.get("../version")["version"])
        except (EngineError, KeyError, TypeError):  # vLLM has this page, other servers may not
            version = None
        return {"version": version, **card, "concurrency": self.endpoint.concurrency}

    def _serve(self, jobs) -> list:
        queue = RequestQueue(jobs)
        self.endpoint.post_all("completions", queue, self._body_of, self._read)
        return queue.results

    def _body_of(self, ticket: Ticket) -> dict:
        import numpy as np

        prompt, params = ticket.request
        return {
            "model": self.card["id"],
            "prompt": np.asarray(prompt).tolist(),
            **params,
            **NEUTRAL_PARAMS,
            "return_token_ids": True,
        }

    def _read(self, answer: dict, body: dict) -> Response:
        """The response in a server's answer; `EngineError` if it is not what `body` asked for."""
        try:
            (choice,) = answer["choices"]
            ids, reason = choice.get("token_ids"), choice["finish_reason"]
            usage = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        except (KeyError, TypeError, ValueError, AttributeError):
            text = without_key(answer)[:200]
            raise EngineError(f"no completion in the server's answer: {text}") from None
        if reason not in ("stop", "length"):  # vLLM says "abort" when it is shut down
            raise RetryableError(f"a completion ended with {reason!r}")
        if ids is None:
            raise EngineError(
                f"the server at {self.endpoint.url} returns text without token ids; it must support the "
                "parameter return_token_ids, as vLLM does"
            )
        stopped = reason == "stop" and bool(ids) and ids[-1] in body["stop_token_ids"]
        if not stopped and len(ids) != body["max_tokens"]:
            raise EngineError(
                f"the server ended a completion after {len(ids)} of {body['max_tokens']} tokens with "
                f"{reason!r} and without a stop token, so it has limits of its own (with vLLM, start it with "
                "--generation-config vllm)"
            )
        return list(ids), reason, usage.get("cached_tokens") or 0
