"""Sample or read the pool of rollouts that offline methods choose from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from effwb import models, prompts
from effwb._internal.checked import checked_arguments
from effwb.errors import one_of
from effwb.profiles import Profile
from effwb.rollouts import read_rollouts, sample
from effwb.runs import RunDir
from effwb.samplers import open_sampler
from effwb.training.offline_methods import OFFLINE_METHODS
from effwb.training.pairs import pooled
from effwb.training.pool import check_origin, check_rollouts

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


def pool_samples(effort: str) -> int:
    """Rollouts per problem in a pool: the most that any method takes of that prompt, so that all share it."""
    return max(method.n_samples for method in OFFLINE_METHODS.values() if effort in method.efforts)


def pool_folder(run_root: Path, effort: str, profile: Profile, model: str | None) -> Path:
    """Directory of a pool: pool-<effort>-<cap>x<rollouts>; another model than the profile's is named behind.

    Args:
        run_root: The directory above.
        effort: The effort prompt; "" for the plain prompt.
        profile: The profile with the cap of the pool.
        model: The model that is sampled; None: the profile's.
    """
    name = f"pool-{effort}-" if effort else "pool-"
    name += f"{profile.max_tokens}x{pool_samples(effort)}"
    if model is None or model == profile.model:
        return run_root / name
    path = Path(model)
    return run_root / f"{name}-of-{path.parent.name if path.name == 'model' else path.name}"


@checked_arguments(profile=Profile)
def sample_pool(
    method: str,
    problems: Dataset,
    profile: Profile,
    *,
    run_root: str | Path,
    model: str | None = None,
    max_tokens: int | None = None,
    engine: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Sample the rollouts that an offline method chooses from; methods, seeds and settings share them.

    Args:
        method: A name in `OFFLINE_METHODS`; it says which effort prompts are needed.
        problems: The training problems.
        profile: The profile; temperature and nucleus are those of training.
        run_root: A pool lies in `run_root/pool-...`; a finished one is read back.
        model: The model; None: the profile's.
        max_tokens: Cap in tokens; None: the profile's.
        engine: Sampling engine; None: the profile's.
        progress: Show progress bars.

    Returns:
        A rollout table with the column effort, "" for the plain prompt.

    Raises:
        DataError: No rollout is correct, or there is one of each problem.
        IdentityError: The directory holds the rollouts of another model, template or sampling.
    """
    one_of("offline method", method, OFFLINE_METHODS)
    scale = profile.as_in_training().override(max_tokens=max_tokens)
    efforts = OFFLINE_METHODS[method].efforts
    folders = {effort: pool_folder(Path(run_root), effort, scale, model) for effort in efforts}
    with open_sampler(model or scale.model, engine or scale.engine, **scale.sampler_options) as sampler:
        for effort, folder in folders.items():
            prompting = scale.prompting(effort=effort or None)
            sample(
                problems,
                sampler,
                pool_samples(effort),
                run_dir=folder,
                sampling=scale.sampling(),
                prompting=prompting,
                progress=progress,
            )
    return read_pool(folders, profile, model)


def read_pool(folders: Mapping[str, str | Path], profile: Profile, model: str | None = None) -> pd.DataFrame:
    """Read a pool that was sampled before, if it is one of the model and the template that are trained.

    Args:
        folders: {effort prompt: run directory of its rollouts}; "" is the plain prompt.
        profile: The profile of the training.
        model: The starting model; None: the profile's.

    Returns:
        A rollout table with the column effort, "" for the plain prompt.

    Raises:
        DataError: The pool is from another model, template or prompt, or has nothing to choose.
    """
    source = models.locate(model or profile.model, profile.trust_remote_code)
    check_origin(
        {effort: RunDir(folder).stored_identity("rollouts") for effort, folder in folders.items()},
        weights=models.fingerprint(source),
        tokenizer=models.tokenizer_fingerprint(models.load_tokenizer(source)),
        template=prompts.template(profile.template),
    )
    pool = pooled({effort: read_rollouts(folder) for effort, folder in folders.items()})
    check_rollouts(pool)
    return pool
