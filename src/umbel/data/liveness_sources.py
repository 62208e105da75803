"""`liveness-sources`: live faces and attacks, people and materials in every batch, each with the labels that it has."""

from collections.abc import Sequence
from dataclasses import replace

from umbel.core import unknown
from umbel.data.catalogue import load_data
from umbel.data.faces import lfw64
from umbel.data.find import find
from umbel.data.minc import minc
from umbel.data.several import several
from umbel.data.source import MultiTaskData, Source, TensorSource

LIVENESS_SETS = ("rendered-faces", "oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd", "siw", "ocim")
"""Sets of live faces and attacks, by name."""
PRETEXTS = ("lfw64", "minc")
"""Sets that teach something else beside them: who a face is, and what a patch is made of."""
PERSON = "person"
"""What the attribute "identity" of a set of attacks is called here, where "identity" is a task on other people."""


def liveness_sources(
    liveness: str = "rendered-faces",
    sources: Sequence[str] | str = (),
    parts: Sequence[float] | None = None,
    size: int | None = None,
    resolution: int = 64,
    evaluation_size: int | None = None,
    names: Sequence[str] | str = (),
    domains: Sequence[str] | str = "",
    attacks: Sequence[str] | str = "",
    leave: str = "",
    augment: bool = True,
    camera_changes: float = 1.0,
) -> MultiTaskData:
    """A set of live faces and attacks with tasks from other collections beside it; see `with_pretexts`.

    Args:
        liveness: "rendered-faces", or a set that `umbel prepare` made: one of `LIVENESS_SETS`.
        sources: As for `with_pretexts`.
        parts: Likewise.
        size: Training samples of each set; None: as many as each has (of rendered faces 2,000).
        resolution: Height and width of all pictures.
        evaluation_size: Samples of rendered faces and of `minc` for validation, and again for test.
        names: Tasks of the set of liveness; none: those that it has by itself.
        domains: Of rendered faces.
        attacks: Of rendered faces.
        leave: Of `ocim`.
        augment: Mirror training pictures, each set in its own way.
        camera_changes: Of the set of liveness.

    Raises:
        UmbelError: An unknown set, one that is not here, or an option that the set of liveness does not have.
    """
    if liveness not in LIVENESS_SETS:
        raise unknown("set of liveness", liveness, LIVENESS_SETS)
    own = {"size": size, "names": names, "domains": domains, "attacks": attacks, "leave": leave}
    if liveness == "rendered-faces":
        own["evaluation_size"] = evaluation_size
    given = {name: value for name, value in own.items() if value is not None and value not in ("", ())}
    pretexts = _pretexts(sources, size, resolution, evaluation_size, augment)
    data = load_data(liveness, resolution=resolution, augment=augment, camera_changes=camera_changes, **given)
    return _joined(data, pretexts, parts)


def with_pretexts(
    data: MultiTaskData,
    sources: Sequence[str] | str = (),
    parts: Sequence[float] | None = None,
    size: int | None = None,
    evaluation_size: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """Live faces and attacks, with people and materials from other collections in every training batch.

    Of `lfw64` comes the task "identity": who of 62 people a face is. Of `minc` comes "material class": of which of 23
    materials a patch is. Nobody knows whether those faces are live, nor who the faces of the set of liveness are: such
    labels are missing and teach nothing. The set's attribute "identity" is called "person" here, for it is not that
    task; other attributes keep their names and are missing (-1) in the other sets. `Batch.domain` is the number of the
    set, and no longer that of a place or camera.

    Args:
        data: Square colour pictures held in memory, with liveness and attributes.
        sources: Of `PRETEXTS`; none: "lfw64", and "minc" where it is.
        parts: How every training batch is divided among `data` and the sources in their order; None: 2 of the set of
            liveness for 1 of each other.
        size: At most so many training samples of each source.
        evaluation_size: Samples of `minc` for validation, and again for test; None: all.
        augment: Mirror training pictures of the sources.

    Raises:
        UmbelError: An unknown source, one that is not here, or sets that do not fit together.
    """
    return _joined(data, _pretexts(sources, size, data.input_shape[-1], evaluation_size, augment), parts)


def _pretexts(
    sources: Sequence[str] | str, size: int | None, resolution: int, evaluation_size: int | None, augment: bool
) -> list[MultiTaskData]:
    chosen = (sources,) if isinstance(sources, str) else tuple(sources)
    if not any(chosen):
        chosen = PRETEXTS if find("minc-2500") else PRETEXTS[:1]
    for name in chosen:
        if name not in PRETEXTS:
            raise unknown("source", name, PRETEXTS)
    return [
        lfw64(size, resolution, augment, identity=True).only(["identity"])
        if name == "lfw64"
        else minc(size, resolution, evaluation_size=evaluation_size, augment=augment)
        for name in dict.fromkeys(chosen)
    ]


def _joined(data: MultiTaskData, pretexts: Sequence[MultiTaskData], parts: Sequence[float] | None) -> MultiTaskData:
    splits = {name: _renamed(getattr(data, name)) for name in ("train", "validation", "test")}
    title = f"{data.title}; {' and '.join(other.name for other in pretexts)} beside"
    return several(
        [replace(data, **splits), *pretexts], "liveness-sources", title, parts or (2.0, *(1.0 for _ in pretexts))
    )


def _renamed(source: Source) -> Source:
    if not isinstance(source, TensorSource):
        return source  # which `several` refuses
    samples = source.samples
    targets = {PERSON if name == "identity" else name: target for name, target in samples.targets.items()}
    return TensorSource(replace(samples, targets=targets), source.augment)
