"""A step of adapting a detector against a supervised step of it, and that against torchvision's own Faster R-CNN.

The detector is first taught a little to find coloured discs, so that a teacher has boxes to give. Timed are the forward
pass, the losses and the backward pass, and where there is a teacher its move, without the optimizer, which is the same.
Then the pieces of an adaptation's step are timed by themselves, as shares of it.
"""

import copy
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from benchmarks.measure import Note, Row, compare, say, taking_turns
from umbel.core import Batch, Learner, OperatingPoint, SingleProcess
from umbel.data.views import strong_view
from umbel.descent import WeightedSum
from umbel.methods import Alignment, SelfTraining, SourceFreeLearner
from umbel.nn.detection import DetectionLearner, RegionDetector, build_detector
from umbel.tasks import boxes

TARGET = 2.3
"""Of a supervised step of the same detector."""
SECONDS, FEWEST, MOST, WARM_UP = 90.0, 9, 40, 2
HIGH, WIDE, BATCH, OBJECTS, REGION = 120, 160, 4, 14, 5
TAUGHT_STEPS, RATE = 100, 2e-3
LABELS = ("red", "blue")
UNIT = "ms CPU"
ALIGNING, SIMULATING = (0, 1, 0, 1), (2, 2, 2, 2)
"""`Batch.domain` of a step of either stage."""
SUPERVISED, ALIGNMENT, SIMULATION = "a supervised step", "alignment", "simulation"


def discs(samples: int, seed: int) -> Batch:
    """Noisy pictures of coloured discs with their boxes."""
    random = torch.Generator().manual_seed(seed)
    x, y = torch.meshgrid(torch.arange(WIDE), torch.arange(HIGH), indexing="xy")
    pictures = 0.6 + 0.1 * torch.randn(samples, 3, HIGH, WIDE, generator=random)
    target = torch.zeros(samples, OBJECTS, 5)
    for picture, rows in zip(pictures, target, strict=True):
        for row in rows:
            kind = int(torch.randint(2, (), generator=random))
            radius = (9 + 6 * kind) * (0.8 + 0.4 * torch.rand((), generator=random))
            middle = torch.rand(2, generator=random) * torch.tensor([WIDE, HIGH])
            inside = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
            picture[:, inside] = torch.tensor([[0.8, 0.3, 0.3], [0.3, 0.2, 0.7]])[kind].unsqueeze(1)
            corners = torch.cat([middle - radius, middle + radius])
            row[:4] = corners.clamp(torch.zeros(4), torch.tensor([WIDE, HIGH, WIDE, HIGH]).float())
            row[4] = kind
    size = torch.tensor([3, HIGH, WIDE]).expand(samples, -1)
    return Batch({"picture": pictures.clamp(0, 1), "picture/size": size}, {"boxes": target})


def taught() -> RegionDetector:
    """A small detector that finds some of the discs."""
    detector = build_detector("small-fasterrcnn", LABELS, WIDE, seed=0)
    learner = DetectionLearner(detector, [boxes("boxes", LABELS)]).train()
    optimizer = torch.optim.AdamW(detector.parameters(), RATE)
    for step in range(TAUGHT_STEPS):
        optimizer.zero_grad()
        sum(learner.losses(discs(BATCH, step), OperatingPoint()).values()).backward()
        optimizer.step()
    return detector.eval()


def supervised(detector: RegionDetector) -> DetectionLearner:
    """What learns from labels, through the same strong views."""
    return DetectionLearner(copy.deepcopy(detector), [boxes("boxes", LABELS)], strong_view)


def adapting(detector: RegionDetector) -> SourceFreeLearner:
    """What learns from a teacher, with both discriminators."""
    alignment = Alignment("encoder.blocks.1", "encoder")
    return SourceFreeLearner(copy.deepcopy(detector), [boxes("boxes", LABELS)], SelfTraining(), alignment)


def step_of(learner: Learner, batch: Batch, domain: tuple[int, ...] = ()) -> Callable[[], None]:
    """A step of a learner without the optimizer."""
    descent, runtime, point = WeightedSum(), SingleProcess(), OperatingPoint()
    batch = Batch(batch.inputs, batch.targets, torch.tensor(domain)) if domain else batch
    learner.train()
    descent.prepare(learner)

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        descent(learner, batch, point, runtime)
        learner.after_step()

    return step


def torchvisions(detector: RegionDetector, batch: Batch) -> Callable[[], None]:
    """The same step by torchvision's forward, on the same parts but for its own pooling of regions."""
    parts = copy.deepcopy(detector)
    heads: RoIHeads = parts.roi_heads
    heads.box_roi_pool = MultiScaleRoIAlign(["0"], REGION, 2)
    transform = GeneralizedRCNNTransform(HIGH, WIDE, [0.0] * 3, [1.0] * 3, size_divisible=parts.encoder.stride)
    model = GeneralizedRCNN(parts.encoder, parts.rpn, heads, transform).train()
    sizes = [(HIGH, WIDE)] * len(batch)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        pictures = list(strong_view(batch.inputs["picture"], sizes))
        told = [{"boxes": rows[:, :4], "labels": rows[:, 4].long() + 1} for rows in batch.targets["boxes"]]
        sum(model(pictures, told).values()).backward()

    return step


def pieces(learner: SourceFreeLearner, batch: Batch) -> dict[str, Callable[[], object]]:
    """What a step of alignment consists of, each part by itself."""
    sizes, domain = [(HIGH, WIDE)] * len(batch), torch.tensor(ALIGNING)
    labels = learner.labels_for(batch.inputs)

    def backward(losses: dict[str, Tensor]) -> None:
        learner.zero_grad(set_to_none=True)
        sum(losses.values()).backward()

    def student() -> None:
        seen = learner.model.features(batch.inputs)
        backward(learner.model.detection_losses(seen, labels.target, labels.ignored))

    discriminators = learner.discriminators
    assert discriminators is not None
    return {
        "the teacher's boxes": lambda: learner.labels_for(batch.inputs),
        "strong views": lambda: strong_view(batch.inputs["picture"], sizes),
        "the student's boxes, there and back": student,
        "discriminators and their encoder, there and back": lambda: backward(
            discriminators(learner.model, batch.inputs, domain)
        ),
        "the teacher's move": learner.after_step,
    }


def measure() -> list[Row | Note]:
    """All steps in turns, then the pieces beside a whole step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return list(_rows())
    finally:
        torch.set_num_threads(threads)


def _rows() -> Iterator[Row | Note]:
    say("teaching a small detector to find discs")
    detector, batch = taught(), discs(BATCH, TAUGHT_STEPS)
    learner = adapting(detector)
    count = float(learner.labels_for(batch.inputs).counts().float().mean())
    what = f"small-fasterrcnn, 3×{HIGH}×{WIDE}, batch {BATCH}, {OBJECTS} objects, the teacher gives {count:.1f} boxes"
    times = _timed(
        {
            SUPERVISED: step_of(supervised(detector), batch),
            ALIGNMENT: step_of(learner, batch, ALIGNING),
            SIMULATION: step_of(adapting(detector), batch, SIMULATING),
            "torchvision's": torchvisions(detector, batch),
        }
    )
    for stage in (ALIGNMENT, SIMULATION):
        yield compare(f"{stage}: {what}", times[stage], times[SUPERVISED], SUPERVISED, TARGET, 1e3, UNIT)
    name = "torchvision's forward, the same parts"
    yield compare(f"{SUPERVISED}: {what}", times[SUPERVISED], times["torchvision's"], name, None, 1e3, UNIT)
    parts = _timed({"whole": step_of(learner, batch, ALIGNING), **pieces(learner, batch)})
    for part in list(parts)[1:]:
        yield compare(f"alignment: {part}", parts[part], parts["whole"], "the whole step", None, 1e3, UNIT)


def _timed(sides: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    return taking_turns(sides, SECONDS, FEWEST, MOST, WARM_UP, time.process_time)
