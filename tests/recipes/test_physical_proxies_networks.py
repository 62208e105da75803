"""Networks of the study of physical proxies: alike where they must be, and such that `umbel predict` can open them."""

from types import SimpleNamespace

import torch

from umbel.data import TensorSource
from umbel.engine import open_runtime
from umbel.recipes.build import Described
from umbel.recipes.physical_proxies.measuring import Judge
from umbel.recipes.physical_proxies.networks import Networks
from umbel.recipes.physical_proxies.places import UNSEEN, Places
from umbel.recipes.physical_proxies.settings import (
    ARMS,
    AUXILIARY,
    BINARY,
    CENTRAL,
    OURS,
    REPEATED,
    TEXTURE,
    PhysicalProxiesSettings,
)
from umbel.recipes.physical_proxies.study import jobs
from umbel.study import Job, Trained

SETTINGS = PhysicalProxiesSettings(size=24, evaluation_size=24, resolution=16, ablation_places="C")


def networks() -> Networks:
    return Networks(SETTINGS, Places(SETTINGS))


def test_a_described_network_is_built_again_from_what_is_kept():
    made = networks().make(Job.at(OURS, 1, held_out="B"))
    again = Described.read(dict(made.describe), "here").learner()
    one, two = made.learner.state_dict(), again.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_described_data_is_the_data_that_was_learnt_from():
    made = networks().make(Job.at(OURS, 0, held_out="D"))
    again = Described.read(dict(made.describe), "here").data()
    assert torch.equal(made.data.train.samples.inputs, again.train.samples.inputs)
    assert again.train.samples.domain.unique().tolist() == [0, 1, 2]


def test_all_arms_but_central_differences_start_from_one_encoder():
    starts = {}
    for arm in ARMS:
        if arm not in (TEXTURE, CENTRAL):
            model = networks().make(Job.at(arm, 0, held_out="A")).learner.model
            encoder = getattr(model.encoder, "encoder", model.encoder)
            starts[arm] = torch.cat([weight.flatten() for weight in encoder.parameters()])
    assert all(torch.equal(start, starts[BINARY]) for start in starts.values())


def test_the_place_held_out_is_in_no_training_and_people_differ():
    places = Places(SETTINGS)
    data, tests = places.seen("C", 0), dict(places.tests("C", 0))
    assert 2 not in data.train.samples.domain.tolist() + data.validation.samples.domain.tolist()
    unseen = tests[UNSEEN]
    assert isinstance(unseen, TensorSource)
    assert unseen.samples.domain.unique().tolist() == [2]
    people = [set(split.samples.targets["identity"].tolist()) for split in (data.train, data.validation, unseen)]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    changed = places.seen("C", 0, changed=True)
    assert torch.equal(changed.train.samples.inputs, data.train.samples.inputs)
    assert changed.train.augment.draws > data.train.augment.draws


def test_ablations_have_their_places_alone_and_come_last():
    order = list(jobs(SETTINGS))
    first = next(number for number, job in enumerate(order) if job.arm not in REPEATED)
    assert all(job.arm in REPEATED for job in order[:first])
    assert {(job.place["held_out"], job.repeat) for job in order[first:]} == {("C", 0)}
    assert {job.place["held_out"] for job in order if job.arm == AUXILIARY} == {"A", "B", "C", "D"}


def test_what_has_no_training_loop_is_judged_by_its_own_places():
    """The bench knows the data of the first place alone, in whose validation another place's pictures are."""
    made, job = networks(), Job.at(TEXTURE, 0, held_out="C")
    first = made.places.seen("A", 0)
    judge = Judge(Trained(job, made.make(job)(), None, first, open_runtime()), made.data(job), made.places)
    seen = []
    judge._predicted = lambda source: seen.append(source) or Judge._predicted(judge, source)
    _ = judge.threshold
    assert [sorted(set(source.samples.domain.tolist())) for source in seen] == [[0, 1, 3]]
    made.bench = SimpleNamespace(study=None)
    numbers = {one.point["pictures"]: one.test for one in made.measure(judge.trained)}
    assert numbers == {one.point["pictures"]: one.test for one in judge.measurements()}
