"""The server engine: sampling on other machines, behind any OpenAI-compatible endpoint that takes and returns
token ids, as `vllm serve` does.
"""

from effwb import models
from effwb.errors import ConfigError, EngineError, one_of
from effwb.samplers.endpoint import Endpoint, RetryableError
from effwb.samplers.request import RequestQueue, RequestSampler, request_of

# A server applies the model's own generation config to what a request leaves out.
PLAIN = {
    "n": 1,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class ServerSampler(RequestSampler):
    """Samples at an endpoint, one request and one seed per completion.

    `model` is the model as this machine knows it: its tokenizer and config are read here, its weights are
    the server's. `url` defaults to the environment variable EFFWB_SERVER_URL; a key is taken from
    EFFWB_SERVER_KEY and from nowhere else. `served_model` is its name at the server, where that is another.
    `concurrency` bounds the requests under way, `timeout` the seconds for one answer; what fails (no
    connection, status 429 or 5xx, no JSON) is tried again for `patience` seconds, long enough for a server to
    be started anew.

    Neither the URL nor what the server says of itself identifies a run: it may be continued at another
    endpoint. That it has the same weights and computes in `dtype` cannot be asked of a server; start it with
    `--dtype`. Its context and version are recorded with a run. A seed decides the tokens as far as the server
    keeps to it: vLLM does in float32; batches of another shape round differently in bfloat16. The server is
    asked at the first use, so a finished run is read back without it.
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
    ):
        for name, value in (("concurrency", concurrency), ("timeout", timeout)):
            if value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")
        if patience < 0:
            raise ConfigError(f"patience must not be negative, got {patience}")
        self.source = models.locate(model)
        self.tokenizer = models.load_tokenizer(self.source)
        self.dtype, self.served_model = models.check_dtype(dtype), served_model
        self.endpoint = Endpoint(url, concurrency, timeout, patience)
        self._card = None

    def close(self) -> None:
        """Forget what the server said; the next use asks it again."""
        self._card = None

    @property
    def card(self) -> dict:
        """The server's entry for the model: `id` and, from vLLM, `max_model_len`. Asked at the first use."""
        if self._card is None:
            self._card = self._find(self.endpoint.get("models"))
        return self._card

    def _find(self, answer: dict) -> dict:
        try:
            cards = {card["id"]: card for card in answer["data"]}
        except (KeyError, TypeError) as error:
            raise EngineError(f"{self.endpoint.url}/models does not list models as OpenAI's API") from error
        if self.served_model is not None:
            one_of("served_model", self.served_model, cards)
            return cards[self.served_model]
        names = {self.source.name, self.source.path}
        mine = [card for name, card in cards.items() if names & {name, card.get("root")}]
        if not mine:  # another model would answer as well, and wrongly
            raise ConfigError(
                f"the server serves {', '.join(map(repr, cards)) or 'nothing'} and nothing called "
                f"{self.source.name!r}; if one of them is this model, give it as served_model, or start vLLM "
                f"with --served-model-name {self.source.name}"
            )
        return mine[0]

    @property
    def context(self) -> int | None:
        """Tokens that prompt and completion may have together: the model's, or fewer where the server was
        started with a smaller `--max-model-len`.
        """
        own = super().context
        return min((n for n in (own, self.card.get("max_model_len")) if n is not None), default=None)

    def _versions(self) -> str:
        return "OpenAI-compatible server"

    def batching(self) -> dict:
        """What the server says of itself, without where it is; recorded, never compared."""
        served = {"served_model": self.card["id"], "max_model_len": self.card.get("max_model_len")}
        return {"version": self._version(), **served, "concurrency": self.endpoint.concurrency}

    def _version(self) -> str | None:
        """VLLM's version; None where the server has no such page."""
        try:
            return str(self.endpoint.get("../version")["version"])
        except (EngineError, KeyError, TypeError):
            return None

    def _serve(self, conversations) -> list:
        turns = RequestQueue(conversations)
        self.endpoint.post_all("completions", turns, self._body, self._read)
        return turns.results

    def _body(self, ticket) -> dict:
        import numpy as np

        prompt, params = request_of(ticket)
        more = {**PLAIN, "return_token_ids": True}
        return {"model": self.card["id"], "prompt": np.asarray(prompt).tolist(), **params, **more}

    def _read(self, answer: dict, asked: dict) -> tuple[list[int], str, int]:
        """The completion in an answer; `EngineError` for one that is not what was asked for."""
        try:
            (choice,) = answer["choices"]
            ids, reason = choice.get("token_ids"), choice["finish_reason"]
            told = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EngineError(f"no completion in the server's answer: {str(answer)[:200]}") from error
        if reason not in ("stop", "length"):  # vLLM says "abort" when it is shut down
            raise RetryableError(f"a completion ended with {reason!r}")
        if ids is None:
            raise EngineError(
                f"the server at {self.endpoint.url} returns texts without token ids; it must know the "
                "parameter return_token_ids, as vLLM's does"
            )
        stopped = reason == "stop" and bool(ids) and ids[-1] in asked["stop_token_ids"]
        if not stopped and len(ids) != asked["max_tokens"]:
            raise EngineError(
                f"the server ended a completion after {len(ids)} of {asked['max_tokens']} tokens with "
                f"{reason!r} and without a stop token: limits of its own are in the way (vLLM: start it with "
                "--generation-config vllm)"
            )
        return list(ids), reason, told.get("cached_tokens") or 0
