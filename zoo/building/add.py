"""`zoo add`: an ONNX file that zoo did not train → plan → results → release. The stages are those of a build."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.gate import hold_out
from pipeline.engine.plan import make_plan
from pipeline.engine.store import Store
from pipeline.foreign.describing import Asked, describe
from pipeline.foreign.reading import file_parts, read_model
from pipeline.planning.foreign import foreign_steps
from pipeline.progress import Progress
from targets.files import sha256
from zoo.building.build import Build, asked_targets, open_data, remembered
from zoo.building.deployment import Deployment
from zoo.building.name import check_name
from zoo.building.origin import Given
from zoo.building.record import record_step
from zoo.catalogue import Catalogue
from zoo.catalogue.foreign import check_free, foreign_recipe
from zoo.home import Home
from zoo.release.licensing import checked_expression

IDENTITIES_LEFT = 1  # that must remain beside the gate's, for calibration: nothing is trained
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AddRequest:
    """What `zoo add` was asked for.

    Attributes:
        name: of the release.
        file: in ONNX.
        asked: what the file takes and gives, as far as it was said.
        words: options that repeat this, without paths of this machine.
        targets: names of targets; empty: those of the catalogue's default model.
        host: where they run, in place of the catalogue's host.
        overrides: `key.path=value`, applied to the recipe.
    """

    name: str
    file: Path
    dataset: str
    license: str
    asked: Asked
    words: tuple[str, ...]
    source: str = ""
    trained_on: str = ""
    data_license: str = "not stated"
    description: str = ""
    targets: Sequence[str] = ()
    host: str | None = None
    overrides: Sequence[str] = ()


def prepare_foreign(
    catalogue: Catalogue, home: Home, request: AddRequest, data_root: Path, progress: Progress
) -> Build:
    """Determine the steps from a file to its release, and which results exist already.

    Raises:
        ForeignError: see `pipeline.foreign.reading`, `pipeline.foreign.describing`.
        LicenseError: the license is no SPDX expression.
        CatalogueError, DataError, StoreError, UnknownRuntime, MissingLibrary, ManifestError: as for a build.
    """
    check_free(catalogue, request.name)
    catalogue.dataset(request.dataset)
    license_ = checked_expression(request.license)
    targets = [*request.targets] or [*catalogue.models[catalogue.default].targets]
    settings = asked_targets(catalogue, targets, request.host)
    parts = file_parts(request.file)
    model = read_model(request.file)
    size, foreign = describe(model, request.file.name, sha256(request.file), request.asked)
    logger.debug("%s: input %s, %s", request.file, size, foreign)
    recipe = foreign_recipe(
        {
            "description": request.description or f"{request.file.name}, not trained by zoo",
            "license": license_,
            "dataset": request.dataset,
            "targets": list(settings),
            "input": size.model_dump(),
            "foreign": foreign.model_dump(),
            "measure": {"dense": []},
        },
        request.overrides,
    )
    check_name(home, request.name, recipe, settings)
    store = Store(home.store)
    data = hold_out(open_data(catalogue, home, recipe.dataset, data_root, progress), recipe.gate, IDENTITIES_LEFT)
    taken = list(foreign_steps(recipe, data, parts))
    last = remembered(home, request.name)
    deployment = Deployment(request.name, recipe, data, home, store, taken, progress.say)
    settings, steps = deployment.all_steps(settings, catalogue.targets, last)
    given = Given(
        file=request.file.name,
        size_bytes=sum(path.stat().st_size for path in parts.values()),
        source=request.source,
        trained_on=request.trained_on,
        words=request.words,
    )
    runtimes = {target: spec.runtime for target, spec in settings.items()}
    recorded = record_step(
        request.name,
        recipe,
        data,
        request.data_license,
        steps,
        runtimes,
        tuple(request.overrides),
        given=given,
    )
    plan = make_plan([*steps, recorded], store, last)
    return Build(request.name, recipe, data, home, store, settings, plan, foreign=request.file)
