"""Rendered faces: living, printed, replayed and masked, in four domains, with exact depth, reflection and material."""

from umbel.data.rendered_faces.backgrounds import BACKGROUNDS
from umbel.data.rendered_faces.data_set import ATTRIBUTES, rendered_faces, rendered_split
from umbel.data.rendered_faces.domains import DEVELOPMENT, DOMAINS, STUDIED
from umbel.data.rendered_faces.materials import MATERIALS

__all__ = [
    "ATTRIBUTES",
    "BACKGROUNDS",
    "DEVELOPMENT",
    "DOMAINS",
    "MATERIALS",
    "STUDIED",
    "rendered_faces",
    "rendered_split",
]
