"""Pictures with boxes: folders of the user's own, sets that are known by name, and unlabelled pictures."""

from umbel.data.boxes.annotated import AnnotatedPicture, AnnotatedSet
from umbel.data.boxes.augment import FlipBoxes, mirrored_boxes
from umbel.data.boxes.folder import boxes_folder, read_boxes
from umbel.data.boxes.pictures import UnlabelledPictures, pictures_folder

__all__ = [
    "AnnotatedPicture",
    "AnnotatedSet",
    "FlipBoxes",
    "UnlabelledPictures",
    "boxes_folder",
    "mirrored_boxes",
    "pictures_folder",
    "read_boxes",
]
