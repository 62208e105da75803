"""The learner that adapts a detector without the source's data: who learns what from which pictures."""

import copy
import inspect
from dataclasses import asdict

import pytest
import torch
from adaptation_cases import LABELS, PLACES, THRESHOLD, learner, pictures, small, without_chance
from detection_cases import rectangles
from torch import Tensor, nn
from torch.nn import functional as F
from two_processes import Processes, run_in_two_processes

from umbel import UmbelError, tasks
from umbel.core import Batch, OperatingPoint, SingleProcess
from umbel.descent import WeightedSum
from umbel.methods import (
    Alarm,
    Alignment,
    Discriminators,
    SelfTraining,
    Signals,
    SourceFreeLearner,
    TargetPictures,
    Watch,
    maps_at,
    per_class,
    source_free_detection,
)
from umbel.methods.source_free_alignment import GLOBAL, LOCAL
from umbel.methods.source_free_target import DISSIMILAR, SIMILAR, SIMULATED
from umbel.nn.detection import pseudo_labels
from umbel.recipes.adapting import adapt
from umbel.recipes.adapting import learner as building

POINT = OperatingPoint()
BOTH = [SIMILAR, DISSIMILAR, SIMILAR, DISSIMILAR]


def lost(one: SourceFreeLearner, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(one.losses(batch, POINT).items())


# -- who is taught what ---------------------------------------------------------------------------------------


def test_boxes_are_learnt_from_similar_pictures_alone():
    one, batch = learner().train(), pictures(BOTH)
    others = pictures(BOTH, seed=9)
    changed = {name: value.clone() for name, value in batch.inputs.items()}
    changed["picture"][1::2] = others.inputs["picture"][1::2]
    before, after = lost(one, batch), lost(one, Batch(changed, batch.targets, batch.domain))
    assert list(before) == ["boxes", LOCAL, GLOBAL]
    assert torch.equal(before["boxes"], after["boxes"]) and before["boxes"] > 0
    assert before[LOCAL] != after[LOCAL]
    assert [one.is_auxiliary(name) for name in before] == [False, True, True]


def test_without_a_similar_picture_no_box_is_learnt_and_a_graph_is_there():
    one = learner()
    losses = one.losses(pictures([DISSIMILAR] * 2), POINT)
    assert losses["boxes"].detach() == 0 and losses[GLOBAL].detach() > 0
    losses.stack().sum().backward()


def test_all_pictures_can_teach_boxes_while_features_are_aligned():
    one, batch = learner(teaching=SelfTraining((THRESHOLD,), taught="all")), pictures(BOTH)
    everything = lost(one, Batch(batch.inputs, batch.targets, torch.full((4,), SIMILAR)))
    assert torch.equal(lost(one, batch)["boxes"], everything["boxes"])
    assert int(one.counts(batch)["boxes"]) == 4


def test_mosaics_teach_boxes_and_align_nothing(monkeypatch):
    one, batch = learner(), pictures([SIMULATED] * 3)
    made = []
    whole = source_free_detection.mosaics
    monkeypatch.setattr(source_free_detection, "mosaics", lambda *given: made.append(whole(*given)) or made[-1])
    losses = lost(one, batch)
    assert list(losses) == ["boxes", LOCAL, GLOBAL] and losses["boxes"] > 0
    assert losses[LOCAL].detach() == losses[GLOBAL].detach() == 0
    assert made[0][0].shape == batch.inputs["picture"].shape
    lost(one, pictures(BOTH))
    assert len(made) == 1


def test_labels_are_the_teachers_whatever_the_student_says():
    one, batch = learner(teaching=SelfTraining((THRESHOLD, 0.9), least=0.5, most_per_class=3)), pictures([SIMILAR] * 2)
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.add_(0.3)
    labels = one.labels_for(batch.inputs)
    wanted = pseudo_labels(one.teacher.teacher(batch.inputs)["boxes"], (THRESHOLD, 0.9), 0.5, 3)
    assert torch.equal(labels.target, wanted.target) and torch.equal(labels.ignored, wanted.ignored)
    assert labels.counts().sum() > 0


def test_pictures_without_a_kind_are_all_similar():
    batch = pictures([SIMILAR] * 3)
    one = learner(alignment=None)
    assert torch.equal(lost(one, batch)["boxes"], lost(one, Batch(batch.inputs, batch.targets))["boxes"])
    assert int(one.counts(Batch(batch.inputs, batch.targets))["boxes"]) == 3
    assert int(one.counts(pictures(BOTH))["boxes"]) == 2


# -- who moves -------------------------------------------------------------------------------------------------


def test_the_teacher_moves_by_its_average_alone():
    one = learner(teaching=SelfTraining((THRESHOLD,), decay=0.75, every=2)).train()
    optimizer = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], 0.1)
    wanted = {name: value.detach().clone() for name, value in one.model.named_parameters()}
    for step in range(4):
        optimizer.zero_grad()
        torch.manual_seed(step)
        one.losses(pictures(BOTH, seed=step), POINT).stack().sum().backward()
        assert all(parameter.grad is None for parameter in one.teacher.parameters())
        optimizer.step()
        before = copy.deepcopy(one.teacher.teacher.state_dict())
        one.after_step()
        if step % 2 == 0:
            assert all(torch.equal(before[n], v) for n, v in one.teacher.teacher.state_dict().items())
            continue
        for name, value in one.model.named_parameters():
            wanted[name] = 0.75 * wanted[name] + 0.25 * value.detach()
    for name, value in one.teacher.teacher.named_parameters():
        torch.testing.assert_close(value, wanted[name])
    assert not torch.equal(wanted["encoder.blocks.0.0.weight"], small().state_dict()["encoder.blocks.0.0.weight"])
    assert not one.teacher.teacher.training and one.model.training


def test_the_answer_is_the_teachers_or_the_students():
    batch = pictures(BOTH)
    for answer in ("teacher", "student"):
        one = learner(answer=answer).eval()
        with torch.no_grad():
            one.model.roi_heads.box_predictor.cls_score.bias[1] += 3
        wanted = {"teacher": one.teacher.teacher, "student": one.model}[answer]
        assert one.adapted is wanted
        assert torch.equal(one.predict(batch, POINT)["boxes"], wanted(batch.inputs)["boxes"])
    with pytest.raises(UmbelError, match="answer"):
        learner(answer="both")


def test_discriminators_learn_at_a_rate_of_their_own():
    one = learner(Alignment(**PLACES, rate=5.0))
    (group,) = one.parameter_groups()
    assert group.rate == 5.0
    assert {id(p) for p in group.parameters} == {id(p) for p in one.discriminators.parameters()}
    assert learner().parameter_groups() == [] and learner(None).parameter_groups() == []


# -- alignment --------------------------------------------------------------------------------------------------


def plainly_lost(parts: Discriminators, detector: nn.Module, batch: Batch) -> Tensor:
    """What discriminators lose, from the formula and without a reversal."""
    maps = maps_at(detector, batch.inputs, tuple(parts.places.values()))
    fine, coarse = parts.parts
    place, whole = fine(maps[PLACES["local_at"]]), coarse(maps["encoder"])
    similar, other = batch.domain == SIMILAR, batch.domain == DISSIMILAR
    p = whole.softmax(1)
    focal = [-((1 - p[k][:, d]) ** 3 * p[k][:, d].log()).mean() for k, d in ((similar, 0), (other, 1))]
    squares = [(place[k].sigmoid() - d).square().mean((1, 2, 3)).mean() for k, d in ((similar, 0), (other, 1))]
    return 0.1 * 0.5 * sum(focal + squares)


def test_each_kind_has_half_the_weight_and_the_encoder_ascends_what_discriminators_descend():
    one = without_chance(learner())
    assert isinstance(one.discriminators, Discriminators)
    for domain in (BOTH, [SIMILAR, SIMILAR, SIMILAR, DISSIMILAR]):
        batch = pictures(domain)
        ours = sum(one.discriminators(one.model, batch.inputs, batch.domain).values())
        plain = plainly_lost(one.discriminators, one.model, batch)
        torch.testing.assert_close(ours, plain)
        for module, sign in ((one.discriminators, 1.0), (one.model.encoder, -1.0)):
            weights = [p for p in module.parameters() if p.ndim > 1]
            turned, straight = (torch.autograd.grad(x, weights, retain_graph=True) for x in (ours, plain))
            for a, b in zip(turned, straight, strict=True):
                torch.testing.assert_close(a, sign * b)
                assert b.any()


def test_a_kind_that_is_not_there_adds_nothing():
    one = without_chance(learner())
    both, alone = pictures([SIMILAR, DISSIMILAR]), pictures([SIMILAR, DISSIMILAR])[:1]
    first = sum(one.discriminators(one.model, alone.inputs, alone.domain).values())
    other = sum(one.discriminators(one.model, both[1:].inputs, both.domain[1:]).values())
    torch.testing.assert_close(first + other, sum(one.discriminators(one.model, both.inputs, both.domain).values()))


def test_discriminators_can_be_left_out_and_start_from_their_seed():
    assert Discriminators(small(), Alignment("", "encoder")).names == (GLOBAL,)
    assert Discriminators(small(), Alignment("encoder.blocks.0", "")).names == (LOCAL,)
    one, other, third = (Discriminators(small(), Alignment(**PLACES), seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(one[n], other[n]) for n in one)
    assert not all(torch.equal(one[n], third[n]) for n in one)
    with pytest.raises(UmbelError, match=r"encoder\.blokcs\.0"):
        Discriminators(small(), Alignment("encoder.blokcs.0"))


# -- pieces and processes -----------------------------------------------------------------------------------------


def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_free_detection, "strong_view", lambda given, sizes: given)


def gradients(runtime: SingleProcess, batch: Batch) -> dict[str, Tensor]:
    one = without_chance(learner(teaching=SelfTraining((THRESHOLD,), flips="none", taught="similar")))
    descent = WeightedSum()
    descent.prepare(one)
    descent(one, batch, POINT, runtime)
    return {name: p.grad for name, p in one.named_parameters() if p.grad is not None}


def assert_same(ours: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert ours.keys() == wanted.keys() and any("discriminators" in name for name in ours)
    for name, value in wanted.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_pieces_add_up_to_the_whole_batch(monkeypatch):
    unchanged(monkeypatch)
    assert_same(gradients(SingleProcess(2), pictures(BOTH)), gradients(SingleProcess(), pictures(BOTH)))


def in_a_process() -> dict[str, Tensor]:
    runtime = Processes()
    with pytest.MonkeyPatch.context() as patch:
        unchanged(patch)
        return gradients(runtime, pictures(BOTH)[2 * runtime.rank : 2 * runtime.rank + 2])


def test_two_processes_compute_what_one_does(monkeypatch, tmp_path):
    unchanged(monkeypatch)
    wanted = gradients(SingleProcess(), pictures(BOTH))
    for ours in run_in_two_processes(in_a_process, tmp_path):
        assert_same(ours, wanted)


def test_a_share_without_pictures_is_nothing():
    losses = learner().losses(pictures(BOTH)[:0], POINT)
    assert losses.stack().detach().tolist() == [0, 0, 0]
    losses.stack().sum().backward()


# -- without labels -------------------------------------------------------------------------------------------------


def watching(**settings) -> SourceFreeLearner:
    return learner(watch=Watch([pictures(BOTH).inputs], (THRESHOLD,) * 2), **settings)


def test_what_was_seen_is_remembered_saved_and_not_forgotten_for_an_older_state():
    one = watching()
    first = one.look()
    assert isinstance(first, Signals) and one.history == [asdict(first)] and first.drift == 0
    with torch.no_grad():
        one.teacher.teacher.encoder.blocks[0][0].weight.add_(0.1)
    state = copy.deepcopy(one.state_dict())
    assert one.look().drift > 0
    one.alarmed = "boxes have grown"
    later = copy.deepcopy(one.state_dict())
    other = watching()
    other.load_state_dict(later)
    assert other.history == one.history and other.is_done()
    other.load_state_dict(state)  # of the best step, which is earlier
    assert other.history == one.history and other.alarmed == "boxes have grown"


def test_the_alarm_stays_and_no_later_step_is_the_best(monkeypatch):
    one = watching(alarm=Alarm())
    one.look()
    score = one.scores()["stability"]
    assert score(None, SingleProcess()) == one.history[-1]["stability"] and not one.is_done()
    fewer = Signals(boxes=0.0, certainty=0.0, entropy=0.0, stability=0.9)
    start = Signals(**one.history[0])
    for seen in (fewer, start):
        monkeypatch.setattr(one.watch, "look", lambda _, seen=seen: seen)
        assert score(None, SingleProcess()) == -float("inf")
        assert one.is_done() and "0.00 boxes a picture are left" in one.alarmed


def test_without_a_watch_there_is_no_such_score():
    assert "stability" not in learner().scores() and not learner().is_done()
    with pytest.raises(UmbelError, match="no `watch`"):
        learner().look()


def test_thresholds_are_for_all_classes_or_one_for_each():
    assert per_class((0.4,), LABELS) == (0.4, 0.4) and per_class((0.4, 0.6), LABELS) == (0.4, 0.6)
    with pytest.raises(UmbelError, match="3 thresholds for 2 classes"):
        per_class((0.1, 0.2, 0.3), LABELS)
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(UmbelError, match="no score of a box"):
            per_class((wrong,), LABELS)
    with pytest.raises(UmbelError, match="0 thresholds"):
        SourceFreeLearner(small(), [tasks.boxes("boxes", LABELS)], SelfTraining(thresholds=()))


# -- the source -----------------------------------------------------------------------------------------------------


def test_nothing_that_adapts_takes_the_sources_data():
    taken = {
        building.adaptation: {"detector", "task", "samples", "settings", "thresholds", "steps", "seed", "similar"},
        adapt.adapt: {"settings", "runtime", "out", "resume", "reporter"},
        SourceFreeLearner: {"detector", "tasks", "teaching", "alignment", "watch", "alarm", "seed"},
        TargetPictures: {"samples", "similar", "steps", "simulate_from", "targets"},
        Watch: {"pictures", "thresholds", "seed"},
    }
    for function, known in taken.items():
        assert set(inspect.signature(function).parameters) - {"answer"} == known, function


def test_labels_of_the_target_reach_no_batch():
    labelled = rectangles(4)
    source = TargetPictures(labelled, torch.tensor([True, False] * 2), 3, 0.5, "boxes")
    for batch in [*source.train_batches(2, 0, 0), *source.batches(2)]:
        assert batch.targets["boxes"].isnan().all()


def test_focal_loss_is_the_alignments():
    one = without_chance(learner(Alignment("", "encoder", weight=1.0, gamma=0.0)))
    batch = pictures([SIMILAR])
    logits = one.discriminators.parts[0](maps_at(one.model, batch.inputs, ["encoder"])["encoder"])
    wanted = 0.5 * F.cross_entropy(logits, torch.tensor([0]))
    torch.testing.assert_close(one.discriminators(one.model, batch.inputs, batch.domain)[GLOBAL], wanted)
