"""Every error effwb raises on purpose: one base class, and each subclass is also the standard type it stands
for.
"""


class EffwbError(Exception):
    """Base of all deliberate errors; catch this to catch them all."""


class ConfigError(EffwbError, ValueError):
    """A parameter, name or combination that is not legal. The message names the value and the legal set."""


class BusyError(ConfigError):
    """A run directory that another process is writing."""


class DataError(EffwbError, ValueError):
    """Input data that cannot be used: an empty set, an unparsable gold, a corrupt shard, mismatched grids."""


class IdentityError(EffwbError, ValueError):
    """A run directory that belongs to another run. The message names the keys that differ."""


class EngineError(EffwbError, RuntimeError):
    """A sampling engine that is missing, of the wrong version, or unable to serve the request."""


class TrainingError(EffwbError, RuntimeError):
    """A training run that cannot go on: a loss or gradient that is not finite (the message names the step,
    the problems and the saved state), or processes that failed (it has the end of what they said).
    """


def one_of(name: str, value, legal) -> None:
    """Raise `ConfigError` unless `value` is in `legal`; the message lists `legal` and the nearest match."""
    import difflib

    legal = [str(x) for x in legal]
    if str(value) in legal:
        return
    near = difflib.get_close_matches(str(value), legal, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"unknown {name} {value!r}; legal: {', '.join(legal)}.{hint}")
