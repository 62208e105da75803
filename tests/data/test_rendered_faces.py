"""Rendered faces against geometry and optics, and the set made of them against what it promises."""

import math

import numpy as np
import pytest
import torch

from umbel import load_data
from umbel.core import UmbelError
from umbel.core.checks import check_inputs, check_labels
from umbel.data.draws import Draw
from umbel.data.raycast import converted
from umbel.data.rendered_faces import ATTRIBUTES, BACKGROUNDS, DOMAINS, MATERIALS, keep, rendered_faces, rendered_split
from umbel.data.rendered_faces.camera import blurred, compressed
from umbel.data.rendered_faces.heads import Poses, features, heads, normals_of, view_coordinates
from umbel.data.rendered_faces.light import Lights, diffuse, specular
from umbel.data.rendered_faces.people import PEOPLE, people
from umbel.data.rendered_faces.photographs import EACH, evened, skin_photographs
from umbel.data.rendered_faces.samples import CHUNK, KINDS, Cell, chunk
from umbel.data.source import seeded

SMALL = 24
MASK = KINDS.index("mask")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        keep.kept_chunk.cache_clear()
        yield
        keep.kept_chunk.cache_clear()


@pytest.fixture(scope="module")
def every():
    """96 samples of all kinds and domains."""
    return rendered_split(96, SMALL, 0, "train", attacks=KINDS[1:])


def held(count, yaw=0.0, pitch=0.0, relief=1.0):
    number = torch.full((count,), 1.0)
    return Poses(
        yaw=number * yaw,
        pitch=number * pitch,
        roll=number * 0,
        place=torch.zeros(count, 2),
        scale=number * 0.9,
        gaze=torch.zeros(count, 2),
        smile=number * 0,
        relief=number * relief,
    )


def bare(count):
    """People without hair on their heads, so that the skull is what is seen."""
    who = converted(people(0, "train"), lambda part: part[:count])
    who.bald[:] = True
    return who


def test_height_is_that_of_the_turned_ellipsoid_and_features_are_laid_upon_it():
    who, pose = bare(4), held(4, yaw=0.5, pitch=-0.3, relief=0.0)
    seen = heads(who, pose, 48)
    x, y = (part.double() for part in view_coordinates(pose, 48))
    narrow = 1 - who.taper[:, None, None] * ((y - 0.05) / 0.78).clamp(0, 1).square()
    point = torch.stack([x / narrow, y, seen.height.double()], -1)
    pitched = torch.tensor([[1, 0, 0], [0, math.cos(-0.3), math.sin(-0.3)], [0, -math.sin(-0.3), math.cos(-0.3)]])
    turned = torch.tensor([[math.cos(0.5), 0, -math.sin(0.5)], [0, 1, 0], [math.sin(0.5), 0, math.cos(0.5)]])
    own = point @ (turned @ pitched).T.double()
    on_skull = ((own / who.axes[:, None, None].double()).square().sum(-1) - 1)[seen.on_head]
    assert on_skull.abs().max() < 1e-4
    front = heads(who, held(4), 48)
    skull = heads(who, held(4, relief=0.0), 48)
    laid = front.front * features(front.x, front.y, who, torch.zeros(4, 1, 1))
    assert torch.equal(front.on_head, skull.on_head)
    torch.testing.assert_close(front.height[front.on_head], (skull.height + laid)[front.on_head])
    tip = front.height.flatten(1).argmax(1) // 48
    assert ((tip > 24) & (tip < 34)).all(), "the tip of the nose, a little below the middle, is nearest"


def test_a_yaw_turns_the_nose_to_its_side_and_a_pitch_upwards():
    who = bare(4)
    for pose, axis, sign in ((held(4, yaw=0.5), 0, 1), (held(4, yaw=-0.5), 0, -1)):
        seen = heads(who, pose, 48)
        laid = features(seen.x, seen.y, who, torch.zeros(4, 1, 1)) * seen.on_head * seen.front
        assert (sign * ((laid.flatten(1).argmax(1) % 48).float() - 23.5) > 4).all(), axis
    rows = []
    for pitch in (0.3, -0.3):
        seen = heads(who, held(4, pitch=pitch), 48)
        laid = features(seen.x, seen.y, who, torch.zeros(4, 1, 1)) * seen.on_head * seen.front
        rows.append(laid.flatten(1).argmax(1) // 48)
    assert (rows[0] < rows[1]).all()


def test_normals_are_those_of_a_sphere():
    middle = (torch.arange(64) + 0.5) / 32 - 1
    x, y = middle.expand(64, 64), middle[:, None].expand(64, 64)
    inside = x.square() + y.square() < 0.5
    height = (1 - x.square() - y.square()).clamp(min=0).sqrt()
    normals = normals_of(height[None], torch.tensor([1 / 32]))[0]
    assert (normals - torch.stack([x, y, height]))[:, inside].abs().max() < 2e-3


def test_nothing_is_mirrored_away_from_the_light_nor_without_one():
    towards = torch.nn.functional.normalize(torch.tensor([[0.6, -0.2, 0.5]]), dim=1)
    lights = Lights(towards[:, None], torch.ones(1, 1, 3), torch.zeros(1, 3), torch.zeros(1))
    normals = torch.nn.functional.normalize(torch.randn(1, 3, 40, 40, generator=seeded(4)), dim=1)
    gloss, shininess = torch.full((1, 40, 40), 0.3), torch.full((1, 40, 40), 20.0)
    shine = specular(normals, lights, gloss, shininess)
    half = torch.nn.functional.normalize(towards + torch.tensor([0.0, 0.0, 1.0]), dim=1)
    facing = [(normals * vector[:, :, None, None]).sum(1) for vector in (towards, half)]
    dark = (facing[0] <= 0) | (facing[1] <= 0)
    assert not shine.movedim(1, -1)[dark].any()
    assert shine.movedim(1, -1)[~dark].min() > 0
    at_half = specular(half[:, :, None, None], lights, gloss[:, :1, :1], shininess[:, :1, :1])
    torch.testing.assert_close(at_half, torch.full_like(at_half, 0.3 * 28 / 25))
    off = Lights(towards[:, None], torch.zeros(1, 1, 3), torch.zeros(1, 3), torch.zeros(1))
    assert not specular(normals, off, gloss, shininess).any()
    torch.testing.assert_close(diffuse(normals, lights)[:, 0], facing[0].clamp(min=0))


def test_maps_say_what_a_picture_is_made_of(every):
    kind, depth, material = every.target("liveness"), every.target("depth")[:, 0], every.target("material")
    flat = (kind == 1) | (kind == 2)
    assert not depth[flat].any()
    assert not depth[material == 0].any()
    assert (depth[~flat].flatten(1).amax(1) > 0.6).all()
    assert depth.max() < 1.1
    shown = {k: set(material[kind == k].unique().tolist()) for k in range(4)}
    named = {KINDS[k]: {MATERIALS[m] for m in classes} for k, classes in shown.items()}
    assert named["live"] == {"background", "skin", "hair", "eye", "lip"}
    assert named["print"] == {"background", "paper"}
    assert named["replay"] == {"background", "screen"}
    assert "plastic" in named["mask"]
    assert not named["mask"] & {"paper", "screen"}
    reflection = every.target("reflection")[:, 0]
    assert not reflection[material == 0].any()
    assert 0 <= reflection.min() < reflection.max() <= 1


def test_attributes_and_shares(every):
    kind, camera = every.target("liveness"), every.target("camera")
    assert torch.bincount(kind).tolist() == [48, 16, 16, 16]
    assert torch.bincount(camera).tolist() == [24] * 4
    assert torch.equal(every.domain, camera)
    assert len(every.target("video").unique()) == 96
    assert set(ATTRIBUTES) < set(every.targets)
    for name, count in (("pose", 9), ("light", 3), ("background", len(BACKGROUNDS)), ("glasses", 2), ("beard", 2)):
        values = every.target(name)
        assert values.min() >= 0, name
        assert values.max() < count, name
        assert len(values.unique()) > 1, name
    for letter, place in DOMAINS.items():
        walls = every.target("background")[camera == list(DOMAINS).index(letter)]
        assert set(walls.tolist()) <= set(place.walls)
    both = set(every.target("identity")[kind == 0].tolist()) & set(every.target("identity")[kind > 0].tolist())
    assert len(both) > 10, "attacks show people who are live elsewhere"


def test_no_person_is_in_two_splits():
    seen = [set(rendered_split(64, 16, 0, split).target("identity").tolist()) for split in PEOPLE]
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]
    assert max(seen[2]) < sum(PEOPLE.values())
    faces = [people(0, split).complexion.sum((1, 2, 3)) for split in PEOPLE]
    assert not torch.isin(faces[0], torch.cat(faces[1:])).any()


def test_a_sample_is_the_same_whatever_else_is_asked_for(every):
    by_video = {int(video): row for row, video in enumerate(every.target("video"))}
    fewer = rendered_split(8, SMALL, 0, "train", domains=("C",), attacks=("mask",))
    rows = torch.tensor([by_video[int(video)] for video in fewer.target("video")])
    assert torch.equal(fewer.inputs, every.inputs[rows])
    for name in fewer.targets:
        assert torch.equal(fewer.target(name), every.target(name)[rows]), name
    first = rendered_split(30, SMALL, 0, "train", attacks=KINDS[1:])
    assert torch.equal(first.inputs, every.inputs[:30])
    anew = chunk(Cell(0, "train", "C", "mask", SMALL, "drawn"), 0)
    assert torch.equal(anew["picture"][:4], fewer.inputs[fewer.target("liveness") == MASK])
    other = rendered_split(8, SMALL, 1, "train", domains=("C",), attacks=("mask",))
    assert not torch.equal(other.target("identity"), fewer.target("identity"))


def test_what_was_rendered_is_kept_and_made_anew_where_it_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cell, rendered = Cell(5, "test", "A", "live", 16, "drawn"), []

    def counted(*arguments):
        rendered.append(arguments)
        return chunk(*arguments)

    def again():
        keep.kept_chunk.cache_clear()
        return keep.kept_chunk(cell, 0)

    monkeypatch.setattr(keep, "chunk", counted)
    first = again()
    file = keep.kept_file(cell, 0)
    assert file.is_file()
    assert file.is_relative_to(tmp_path)
    for made in (keep.kept_chunk(cell, 0), again()):
        assert all(torch.equal(first[name], made[name]) for name in first)
    assert len(rendered) == 1
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(again()["picture"], first["picture"])
    assert len(rendered) == 2
    file.write_bytes(whole.replace(whole[2000:2040], bytes(40)))  # one wrong stretch: a sum over the content tells
    assert torch.equal(again()["picture"], first["picture"])
    assert len(rendered) == 3
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    assert torch.equal(again()["picture"], first["picture"]), "a cache that cannot be written stops nothing"
    assert keep.kept_file(cell, 1) != keep.kept_file(cell, 0)


def test_lenses_and_codecs():
    picture = torch.rand(2, 3, 21, 18, generator=seeded(1))
    torch.testing.assert_close(blurred(picture, torch.full((2, 2), 1e-3)), picture)
    torch.testing.assert_close(blurred(torch.full_like(picture, 0.3), torch.full((2, 2), 2.0)), 0 * picture + 0.3)
    stripes = picture[:, :, :1].expand_as(picture)
    across, down = blurred(stripes, torch.tensor([[3.0, 0.01], [0.01, 3.0]]))
    assert across.var(-1).mean() < stripes.var(-1).mean() / 4
    torch.testing.assert_close(down, stripes[1])
    coded = compressed(picture, torch.tensor([0.0, 50.0]))
    assert torch.equal(coded[0], picture[0])
    assert coded[1].abs().max() < 1e-5, "all coefficients are rounded away"
    fine = compressed(picture, torch.tensor([1e-4, 1e-4]))
    torch.testing.assert_close(fine, picture, atol=4e-3, rtol=0)


def test_mean_colours_do_not_give_attacks_away():
    """A sheet that is simply darker, bluer or less colourful than faces would make every study of it worthless."""
    split = {name: rendered_split(240, SMALL, 0, name, names=("liveness",)) for name in ("train", "test")}
    colours = {name: part.inputs.double().div(255).mean((2, 3)) for name, part in split.items()}
    live = {name: (part.target("liveness") == 0).double() for name, part in split.items()}
    design = {name: torch.cat([part, torch.ones(len(part), 1)], 1) for name, part in colours.items()}
    weights = torch.linalg.lstsq(design["train"], live["train"][:, None]).solution
    scores = (design["test"] @ weights)[:, 0]
    wins = (scores[live["test"] == 1][:, None] > scores[live["test"] == 0]).double().mean()
    assert wins < 0.75


def test_the_set_can_be_loaded_and_mirrored():
    options = {"size": 16, "evaluation_size": 8, "resolution": 16, "domains": "A/C", "attacks": "mask"}
    data = load_data("rendered-faces", **options, camera_changes=0.0)
    assert [task.name for task in data.tasks] == ["liveness", "depth", "reflection", "material"]
    assert data.task("liveness").labels == KINDS
    assert data.input_shape == (3, 16, 16)
    for split in (data.train, data.validation, data.test):
        check_labels(data.tasks, split.samples, data.name)
        check_inputs(split.samples, data.name)
    assert set(data.train.samples.domain.tolist()) == {0, 2}
    batch = next(data.train.batches(16))
    mirrored = data.train.augment(batch, torch.zeros(16, 1))
    assert torch.equal(mirrored.target("depth"), batch.target("depth").flip(-1))
    assert torch.equal(mirrored.target("light"), 2 - batch.target("light"))
    pose, turned = batch.target("pose"), mirrored.target("pose")
    assert torch.equal(turned // 3, pose // 3), "up stays up"
    assert torch.equal(turned % 3, 2 - pose % 3), "left becomes right"
    assert (
        rendered_faces(4, 16, evaluation_size=1, names="depth", augment=False, camera_changes=0).train.augment is None
    )
    changed = load_data("rendered-faces", **options).train.augment(batch, torch.rand(16, 10))
    assert not torch.equal(changed.inputs, batch.inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domains": "A/Q"}, "unknown domain 'Q'"),
        ({"attacks": ("print", "paper")}, "unknown attack 'paper'"),
        ({"attacks": ()}, "no attack"),
        ({"textures": "photo"}, "textures"),
        ({"names": "liveness/normals"}, "unknown task 'normals'"),
        ({"resolution": 8}, "resolution at least 16"),
        ({"size": 0}, "sizes must be at least 1"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(UmbelError, match=message) as caught:
        rendered_faces(**options)
    assert "\n" not in str(caught.value)


def faces_of_lfw(folder, people_of):
    """A file like LFW's: so many people in training and in test, three grey pictures each."""
    split = np.repeat(["train", "test"], [3 * count for count in people_of])
    person = np.array([f"{kind} {row // 3}" for row, kind in enumerate(split)])
    images = np.random.default_rng(0).integers(60, 200, (len(split), 64, 64, 3), dtype=np.uint8)
    np.savez(folder / "lfw64.npz", images=images, person=person, split=split, gender=person, expression=person)


def test_skin_from_photographs(monkeypatch, tmp_path):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    skin_photographs.cache_clear()
    faces_of_lfw(tmp_path, (200, 30))
    parts = {split: skin_photographs(0, split) for split in PEOPLE}
    assert {split: tuple(part.shape) for split, part in parts.items()} == {
        split: (count, EACH, 3, 64, 64) for split, count in PEOPLE.items()
    }
    seen = {split: {float(value) for value in part.sum((2, 3, 4)).flatten()} for split, part in parts.items()}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    cell = Cell(0, "train", "A", "live", SMALL, "lfw")
    drawn, photographed = chunk(Cell(0, "train", "A", "live", SMALL, "drawn"), 0), chunk(cell, 0)
    assert torch.equal(drawn["depth"], photographed["depth"])
    assert not torch.equal(drawn["picture"], photographed["picture"])
    faces_of_lfw(tmp_path, (20, 2))
    skin_photographs.cache_clear()
    with pytest.raises(UmbelError, match="people with 3 pictures in train; textures=lfw needs 60"):
        rendered_faces(4, 16, evaluation_size=1, textures="lfw")
    skin_photographs.cache_clear()


def test_evened_photographs_have_no_slow_shade_and_no_colour_of_the_light():
    ramp = torch.linspace(60, 220, 64).expand(1, 3, 64, 64) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    even = evened(ramp.to(torch.uint8))[0, :, 16:-16, 16:-16]
    assert ramp.max() / ramp.min() > 3
    assert even.max() / even.min() < 1.7
    assert (even.mean((1, 2)) - 1).abs().max() < 0.1


def test_draws_are_spread_as_they_say():
    draw = Draw(4000, seeded(2))
    uniform, normal = draw.between(2, 4), draw.normal(2)
    assert 2 <= uniform.min() < 2.05
    assert 3.95 < uniform.max() < 4
    assert abs(float(normal.std()) - 1) < 0.05
    assert normal.shape == (4000, 2)
    assert abs(float(draw.chance(0.3).float().mean()) - 0.3) < 0.03
    assert torch.bincount(draw.one_of(3)).min() > 1200
    assert CHUNK > 1
