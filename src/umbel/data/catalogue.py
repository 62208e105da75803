"""The data sets that Umbel knows: what they teach, where their files are looked for, and which function loads them.

Importing this file loads no torch: loaders are named by strings and imported when a set is loaded.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from umbel.arguments import check_options, one_of
from umbel.data.find import find
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.data.source import MultiTaskData


@dataclass(frozen=True)
class DataSet:
    """One entry of the catalogue.

    Attributes:
        name: As on the command line.
        title: One line.
        tasks: What there is to learn, in a few words.
        loader: "module:function"; the function's arguments are the set's options.
        layout: Paths below a data folder that must all be there; none for a set that comes with the installed
            packages or is generated. `*` stands for any characters, and of paths separated by `|` one will do.
        fixed: Options of the loader that this entry decides, and that the user cannot give.
    """

    name: str
    title: str
    tasks: str
    loader: str
    layout: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def embedded(self) -> bool:
        """Whether the set needs no files."""
        return not self.layout

    @property
    def of_boxes(self) -> bool:
        """Whether it is pictures with boxes, which detectors learn from."""
        return self.loader.startswith("umbel.data.boxes.")

    def found(self) -> Path | None:
        """Where the first of its files is; None when one of them is missing (or none is needed)."""
        paths = [find(*entry.split("|")) for entry in self.layout]
        return paths[0] if paths and None not in paths else None

    @property
    def available(self) -> bool:
        """Whether it can be loaded now, without a download."""
        return self.embedded or self.found() is not None

    def load(self, **options: Any) -> "MultiTaskData":
        """The set with its tasks and splits.

        Raises:
            UmbelError: Its files are missing, or it has no such option.
        """
        module, function = self.loader.split(":")
        loader = getattr(import_module(module), function)
        accepted = [name for name in inspect.signature(loader).parameters if name not in self.fixed]
        if strange := [name for name in options if name not in accepted]:
            raise UmbelError(
                f"data set {self.name!r} has no option {strange[0]!r}; its options: {', '.join(accepted) or 'none'}"
            )
        check_options(loader, options, f"data set {self.name!r}")
        return loader(**self.fixed, **options)


def _table(name: str, title: str) -> DataSet:
    loader, path = "umbel.data.tables:table_set", f"tables/{name}.csv"
    return DataSet(name, title, "regression of several columns", loader, (path,), _of(name=name))


def _of(**fixed: Any) -> Mapping[str, Any]:
    return MappingProxyType(fixed)


def _streets(name: str, title: str, layout: str) -> DataSet:
    return DataSet(name, title, "boxes", "umbel.data.boxes.sets:streets", (layout,), _of(name=name))


_PICTURES = (
    DataSet("digits", "scikit-learn's 1,797 digits, 8x8", "digit, parity, loops", "umbel.data.digits:digits"),
    DataSet(
        "overlay-digits",
        "Two of scikit-learn's digits, one over the other",
        "left and right digit, which is brighter, which is higher, how far apart",
        "umbel.data.digits:overlay_digits",
    ),
    DataSet(
        "digits-pairs",
        "Two of scikit-learn's digits, side by side",
        "left and right digit, independent",
        "umbel.data.digits:digits_pairs",
    ),
    DataSet(
        "mnist",
        "MNIST digits",
        "digit, parity, large",
        "umbel.data.mnist:mnist",
        ("MNIST/raw/train-images-idx3-ubyte*",),
    ),
    DataSet(
        "fashion-mnist",
        "Fashion-MNIST: pieces of clothing",
        "class, group",
        "umbel.data.mnist:fashion_mnist",
        ("FashionMNIST/raw/train-images-idx3-ubyte*",),
    ),
    DataSet(
        "overlay-mnist",
        "Two MNIST digits, one over the other",
        "left and right digit, which is brighter, which is higher, how far apart",
        "umbel.data.mnist:overlay_mnist",
        ("MNIST/raw/train-images-idx3-ubyte*",),
    ),
    DataSet(
        "digit-pairs",
        "Two MNIST digits, side by side",
        "left and right digit, independent",
        "umbel.data.mnist:digit_pairs",
        ("MNIST/raw/train-images-idx3-ubyte*",),
    ),
    DataSet(
        "garment-pairs",
        "Two pieces of clothing, side by side",
        "left and right garment, independent",
        "umbel.data.mnist:garment_pairs",
        ("FashionMNIST/raw/train-images-idx3-ubyte*",),
    ),
    DataSet(
        "cifar10",
        "CIFAR-10",
        "class, animal or vehicle",
        "umbel.data.cifar:cifar10",
        ("cifar-10-batches-py",),
    ),
    DataSet("cifar100", "CIFAR-100", "100 fine, 20 coarse classes", "umbel.data.cifar:cifar100", ("cifar-100-python",)),
    DataSet(
        "cifar100-mtl",
        "CIFAR-100 as 20 tasks",
        "20 five-way tasks; each picture is labelled for one",
        "umbel.data.cifar:cifar100_mtl",
        ("cifar-100-python",),
    ),
    DataSet(
        "rendered-faces",
        "Rendered faces and presentation attacks, four domains",
        "liveness, depth, reflection, material",
        "umbel.data.rendered_faces:rendered_faces",
    ),
    DataSet("utkface64", "UTKFace, 64x64", "age, gender, ethnicity", "umbel.data.faces:utkface64", ("utkface64.npz",)),
    DataSet(
        "lfw64", "Labelled Faces in the Wild, 64x64", "gender, expression", "umbel.data.faces:lfw64", ("lfw64.npz",)
    ),
    DataSet("face68", "68 landmarks of faces, 64x64", "landmarks", "umbel.data.faces:face68", ("face68_64.npz",)),
    DataSet(
        "faces",
        "Several sets of faces, each with its own labels",
        "age, ethnicity, gender, landmarks; each from one set",
        "umbel.data.faces:faces",
        ("utkface64.npz", "lfw64.npz", "face68_64.npz"),
    ),
    DataSet(
        "celeba", "CelebA: portraits with attributes", "facial attributes", "umbel.data.layouts:celeba", ("celeba",)
    ),
    DataSet("minc", "MINC-2500: patches of 23 materials", "material class", "umbel.data.minc:minc", ("minc-2500",)),
)

_MAPS = (
    DataSet(
        "camvid", "CamVid: driving scenes", "segmentation, boundaries", "umbel.data.camvid:camvid", ("camvid|CamVid",)
    ),
    DataSet(
        "scenes",
        "Generated scenes, exact",
        "segmentation, depth, normals, boundaries, reconstruction",
        "umbel.data.scenes:scenes",
    ),
    DataSet("nyuv2", "NYUv2: rooms", "segmentation, depth, normals", "umbel.data.layouts:nyuv2", ("nyuv2|NYUv2",)),
    DataSet(
        "cityscapes",
        "Cityscapes: streets",
        "segmentation, depth",
        "umbel.data.layouts:cityscapes",
        ("cityscapes2|cityscapes",),
    ),
    DataSet(
        "pascal-context",
        "PASCAL-Context",
        "segmentation, boundaries, saliency",
        "umbel.data.layouts:pascal_context",
        ("PASCAL_MT|pascal_context",),
    ),
)

_BCCD = "detection/bccd"
_BOXES = (
    DataSet(
        "blood-cells",
        "Blood cells of one laboratory",
        "boxes",
        "umbel.data.boxes.sets:blood_cells",
        (_BCCD,),
        _of(laboratory="a"),
    ),
    DataSet(
        "blood-cells-b",
        "Blood cells of another laboratory",
        "boxes",
        "umbel.data.boxes.sets:blood_cells",
        ("detection/blood_b",),
        _of(laboratory="b"),
    ),
    DataSet(
        "blood-cells-fog",
        "Blood cells in fog, blur or other light of known strength",
        "boxes",
        "umbel.data.boxes.sets:blood_cells_fog",
        (_BCCD,),
    ),
    _streets(
        "cityscapes-boxes",
        "Cityscapes: streets, boxes around outlined things",
        "cityscapes/leftImg8bit|Cityscapes/leftImg8bit",
    ),
    DataSet(
        "foggy-cityscapes",
        "Foggy Cityscapes: computed fog",
        "boxes",
        "umbel.data.boxes.sets:foggy_cityscapes",
        ("cityscapes/leftImg8bit_foggy|Cityscapes/leftImg8bit_foggy|foggy_cityscapes/leftImg8bit_foggy",),
    ),
    _streets("sim10k", "Sim10k: cars of a computer game", "sim10k/VOC2012|sim10k|Sim10k/VOC2012|Sim10k"),
    _streets("kitti", "KITTI: streets", "kitti/training/label_2|KITTI/training/label_2"),
    _streets("bdd100k", "BDD100K: streets", "bdd100k/images|BDD100K/images"),
)

_ATTACKS = tuple(
    DataSet(
        name,
        title,
        "live or attacked",
        "umbel.data.antispoofing.sets:antispoofing_set",
        (f"antispoofing/{name}/frames.csv",),
        _of(name=name),
    )
    for name, title in (
        ("oulu-npu", "OULU-NPU: attacks on phones, four protocols"),
        ("casia-fasd", "CASIA-FASD: prints and replays in three qualities"),
        ("replay-attack", "Replay-Attack: prints and replays before a webcam"),
        ("msu-mfsd", "MSU-MFSD: prints and replays before a laptop and a phone"),
        ("siw", "SiW: prints and replays, three protocols"),
    )
)
_OCIM = DataSet(
    "ocim",
    "Three of four sets of attacks, tested on the one left out",
    "live or attacked",
    "umbel.data.antispoofing.sets:ocim",
    tuple(f"antispoofing/{name}/frames.csv" for name in ("oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd")),
)

_SOURCES = DataSet(
    "liveness-sources",
    "Live faces and attacks, people and materials from three collections",
    "those of the set of liveness, identity, material class",
    "umbel.data.liveness_sources:liveness_sources",
    ("lfw64.npz",),
)

_NUMBERS = (
    _table("enb", "Energy demand of buildings"),
    _table("jura", "Heavy metals in the soil of the Jura"),
    _table("wq", "Plants and animals in Slovenian rivers"),
    _table("atp1d", "Air ticket prices of the next day"),
    _table("oes97", "Employment by occupation, 1997"),
    _table("oes10", "Employment by occupation, 2010"),
    _table("scpf", "Public attention to reported street problems"),
    _table("andro", "Water quality in a bay, five days ahead"),
    _table("edm", "Settings of an electrical discharge machine"),
    _table("slump", "Properties of concrete"),
    DataSet(
        "air-quality",
        "Air in Beijing, hourly, at 12 stations",
        "forecasts of pollutants, with real gaps",
        "umbel.data.air:air_quality",
        ("tables/beijing_air_*.csv|tables/PRSA_Data_*.csv",),
    ),
)

SETS: Mapping[str, DataSet] = MappingProxyType(
    {entry.name: entry for entry in (*_PICTURES, *_MAPS, *_BOXES, *_ATTACKS, _OCIM, _SOURCES, *_NUMBERS)}
)
"""Every set by its name."""


def catalogue() -> list[DataSet]:
    """All sets, in the order in which they are listed."""
    return list(SETS.values())


def load_data(name: str, **options: Any) -> "MultiTaskData":
    """A set by its name.

    Args:
        name: As in `SETS`.
        options: The set's own; most picture sets take `size` (number of training samples) and `resolution`.

    Raises:
        UmbelError: No such set, no such option, or its files are missing.
    """
    return SETS[one_of(name, "data set", SETS)].load(**options)
