"""Live faces and attacks, people and materials in one set: what each batch holds, and what missing labels teach."""

from dataclasses import replace

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, OperatingPoint, UmbelError
from umbel.data import MultiTaskData, SideBySide, TensorSource
from umbel.data import liveness_sources as module
from umbel.data.liveness_sources import LIVENESS_SETS, PRETEXTS, liveness_sources, with_pretexts
from umbel.methods import physical_proxies

SHAPE = (3, 16, 16)
KINDS = torch.tensor([0, 1, 0, 2, 0, 1])


def made(name, task, targets, kinds=6):
    generator = torch.Generator().manual_seed(len(name))
    part = TensorSource(Batch(torch.randint(0, 256, (kinds, *SHAPE), generator=generator, dtype=torch.uint8), targets))
    return MultiTaskData(name, name, task, part, part, part, SHAPE, f"Note of {name}.")


def faces():
    own = (tasks.liveness(), tasks.proxy_map("depth"))
    targets = {
        "liveness": KINDS,
        "depth": torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0)),
        "identity": torch.arange(6),
        "camera": torch.tensor([0, 0, 1, 1, -1, 1]),
        "video": torch.arange(6) + 100,
    }
    return made("faces", own, targets)


@pytest.fixture
def pretexts(monkeypatch):
    """Small stand-ins for the two collections; `asked` notes how they are called."""
    people = made(
        "lfw64",
        (tasks.classification("identity", "abc"), tasks.classification("expression", "xy")),
        {"identity": torch.tensor([0, 1, 2, 0]), "expression": torch.tensor([0, 1, 0, 1])},
        4,
    )
    patches = made("minc", (tasks.classification("material class", "pqr"),), {"material class": torch.arange(3)}, 3)
    asked = {}
    monkeypatch.setattr(module, "lfw64", lambda *a, **o: asked.update(lfw64=(a, o)) or people)
    monkeypatch.setattr(module, "minc", lambda *a, **o: asked.update(minc=(a, o)) or patches)
    monkeypatch.setattr(module, "find", lambda name: None)
    return asked


def test_every_batch_has_its_part_of_each_set_and_each_sample_its_own_labels(pretexts):
    data = with_pretexts(faces(), ("lfw64", "minc"), (2, 1, 1))
    assert [task.name for task in data.tasks] == ["liveness", "depth", "identity", "material class"]
    assert data.name == "liveness-sources" and isinstance(data.train, SideBySide)
    for batch in data.train.train_batches(8, seed=0, epoch=0):
        assert batch.domain.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
        own, people, patches = (batch[batch.domain == number].targets for number in range(3))
        assert set(own) >= {"liveness", "depth", "camera", "person", "video", "identity", "material class"}
        assert (own["liveness"] == KINDS[own["person"]]).all() and (own["video"] == own["person"] + 100).all()
        for name in ("identity", "material class"):
            assert (own[name] == -1).all()
        for name in ("liveness", "camera", "person", "video"):
            assert (people[name] == -1).all() and (patches[name] == -1).all()
        assert people["depth"].isnan().all() and (people["identity"] >= 0).all()
        assert (patches["identity"] == -1).all() and (patches["material class"] >= 0).all()
    for split in (data.validation, data.test):
        assert split.samples.targets["liveness"].tolist() == [*KINDS.tolist(), *[-1] * 7]


def test_without_names_people_come_and_materials_where_they_are(pretexts, monkeypatch):
    data = with_pretexts(faces(), size=2)
    assert [task.name for task in data.tasks] == ["liveness", "depth", "identity"]
    assert data.train.parts == (2, 1) and pretexts == {"lfw64": ((2, 16, True), {"identity": True})}
    monkeypatch.setattr(module, "find", lambda name: name)
    data = with_pretexts(faces(), evaluation_size=5, augment=False)
    assert data.train.parts == (2, 1, 1)
    assert pretexts["minc"] == ((None, 16), {"evaluation_size": 5, "augment": False})
    order = with_pretexts(faces(), ("minc", "lfw64"), (3, 2, 1))
    assert [task.name for task in order.tasks][2:] == ["material class", "identity"]
    assert [len(source) for source in order.train.sources] == [6, 3, 4]


def learner_of(data):
    return physical_proxies(
        SHAPE,
        data.tasks,
        "conv",
        main="liveness",
        proxies=("depth",),
        attributes=("person", "camera"),
        attention="sigmoid",
        widths=(8,),
        downsample=2,
        branch=4,
        norm="group",
    )


def test_missing_labels_give_exactly_the_gradient_of_the_labelled_part(pretexts):
    data = with_pretexts(faces(), ("lfw64", "minc"))
    whole = next(data.train.train_batches(16, seed=0, epoch=0))
    learner, point = learner_of(data), OperatingPoint()
    names = {0: ("liveness", "depth", "mining"), 1: ("identity",), 2: ("material class",)}
    for number, own in names.items():
        alone = whole[whole.domain == number]
        gradients = []
        for batch in (whole, alone):
            losses = learner.losses(batch, point)
            learner.zero_grad()
            sum(losses[name].mean() for name in own).backward()
            gradients.append([p.grad.clone() if p.grad is not None else torch.zeros(()) for p in learner.parameters()])
        assert any(float(g.abs().max()) > 0 for g in gradients[0])
        for one, other in zip(*gradients, strict=True):
            assert torch.allclose(one, other, atol=1e-6, rtol=1e-4)
        for name in set().union(*names.values()) - set(own):  # and these samples teach the others nothing
            learner.zero_grad()
            value = learner.losses(alone, point)[name].mean()
            value.backward()
            assert float(value.detach()) == 0
            assert not any(p.grad is not None and bool(p.grad.any()) for p in learner.parameters())


def test_rendered_faces_with_people_and_what_cannot_be(pretexts):
    data = liveness_sources(
        size=4, resolution=16, evaluation_size=2, domains=("A",), names=("liveness",), camera_changes=0, parts=(1, 1)
    )
    assert [task.name for task in data.tasks] == ["liveness", "identity"]
    assert [len(part) for part in (data.train, data.validation)] == [4 + 4, 2 + 4]
    assert data.train.sources[0].samples.targets["camera"].tolist() == [0] * 4
    for options, message in (
        ({"liveness": "lfw64"}, "unknown set of liveness 'lfw64'"),
        ({"sources": "celeba"}, "unknown source 'celeba'"),
        ({"leave": "siw"}, "'rendered-faces' has no option 'leave'"),
        ({"liveness": "siw", "domains": "A"}, "'siw' has no option 'domains'"),
    ):
        with pytest.raises(UmbelError, match=message):
            liveness_sources(**options)
    with pytest.raises(UmbelError, match="not held in memory"):
        with_pretexts(replace(faces(), train=object()))
    assert LIVENESS_SETS[0] == "rendered-faces" and PRETEXTS == ("lfw64", "minc")
