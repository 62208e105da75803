"""Small made-up trees of labelled pictures, in the layouts that users have."""

import json

import numpy as np
from PIL import Image

SIZE = (64, 48)  # width, height
TRUE = {  # picture -> its boxes
    "a": [("cell", (10, 10, 30, 20)), ("dot", (0, 0, 8, 8))],
    "b": [("cell", (4, 4, 60, 44))],
    "c": [],
    "d": [("dot", (20, 10, 24, 16)), ("dot", (40, 30, 64, 48))],
    "e": [("cell", (30, 12, 50, 40))],
    "f": [("dot", (1, 2, 11, 12)), ("cell", (20, 20, 40, 40))],
}


def draw(path, boxes, size=SIZE, **save):
    """A black picture with a grey rectangle where a box is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for name, (x1, y1, x2, y2) in boxes:
        pixels[int(y1) : int(y2), int(x1) : int(x2)] = 200 if name == "cell" else 90
    Image.fromarray(pixels).save(path, **save)
    return path


def xml(boxes, size=SIZE, filename="x.png", extra=""):
    """A VOC label file."""
    objects = "".join(
        f"<object><name>{name}</name>{extra}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, (x1, y1, x2, y2) in boxes
    )
    told = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{told}{objects}</annotation>"


def voc_tree(root, pictures=TRUE, lists=None, places=("JPEGImages", "Annotations"), size=SIZE):
    """A folder in VOC layout; `lists` is split -> names."""
    for name, boxes in pictures.items():
        draw(root / places[0] / f"{name}.png", boxes, size)
        (root / places[1]).mkdir(parents=True, exist_ok=True)
        (root / places[1] / f"{name}.xml").write_text(xml(boxes, size, f"{name}.png"))
    for split, names in (lists or {}).items():
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


THIRDS = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}
NUMBERS = {"dot": 3, "cell": 7}  # categories that are not contiguous, and not in the order of the alphabet


def coco_json(pictures, size=SIZE, numbers=NUMBERS):
    """The content of a COCO file."""
    images = [
        {"id": 10 + k, "file_name": f"{name}.png", "width": size[0], "height": size[1]}
        for k, name in enumerate(pictures)
    ]
    annotations = [
        {
            "id": 100 * k + place,
            "image_id": 10 + k,
            "category_id": numbers[name],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for k, boxes in enumerate(pictures.values())
        for place, (name, (x1, y1, x2, y2)) in enumerate(boxes)
    ]
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_tree(root, splits=None, folder="annotations", pictures_at="images"):
    """A folder in COCO layout; `splits` is file stem -> names."""
    for stem, names in (splits or {"all": list(TRUE)}).items():
        chosen = {name: TRUE[name] for name in names}
        for name, boxes in chosen.items():
            draw(root / pictures_at / f"{name}.png", boxes)
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{stem}.json").write_text(json.dumps(coco_json(chosen)))
    return root
