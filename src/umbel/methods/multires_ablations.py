"""What hierarchical transmission is compared with: layers trained one after the other, a single code cut short."""

from torch import Tensor, nn

from umbel.channels import Truncate
from umbel.core import Batch, OperatingPoint, UmbelError, at_point
from umbel.transmission import SnrRange, StagedLearner, StagedModel


class GreedyStage(StagedLearner):
    """Trains one stage of a staged model while all that came before it stays as it is.

    Stage 1 teaches the encoder, the first code and what decodes it; stage s the s-th code, its decoder and heads.
    Frozen parts are in evaluation mode. Train stages in order, each from a fresh learner on the same model.

    Source of the scheme: Kurka and Gündüz, "DeepJSCC-f: deep joint source-channel coding of images with feedback",
    IEEE JSAIT 2020, whose layers are trained one after the other.

    Args:
        model: A model with one receiver, whose codes are not shared between stages.
        snr_db: Lowest and highest SNR in training.
        stage: Which, from 1.

    Raises:
        UmbelError: No such stage, or a stage without goals.
    """

    def __init__(self, model: StagedModel, snr_db: SnrRange, stage: int) -> None:
        super().__init__(model, snr_db)
        tasks = [goal.as_task() for goal in model.goals if goal.stage == stage]
        if not tasks or len(model.receivers) > 1 or len(model.codes) < stage:
            raise UmbelError(
                f"greedy training of stage {stage}: the model has {len(model.codes)} code(s), {len(model.receivers)} "
                f"receiver(s) and {len(tasks)} goal(s) there; it needs a code and a goal for it, and one receiver"
            )
        self.tasks, self.stage = tuple(tasks), stage
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for part in self._learning():
            part.requires_grad_(True)

    def _learning(self) -> list[nn.Module]:
        """The parts that this stage teaches."""
        receiver, model = self.model.receivers[0], self.model
        goals = [goal for goal in receiver.goals if goal.stage == self.stage]
        heads = [receiver.heads[goal.name] for goal in goals]
        first = [model.encoder] if self.stage == 1 else []
        return [*first, model.codes[self.stage - 1], receiver.decoders[str(self.stage)], *heads]

    def train(self, mode: bool = True) -> "GreedyStage":
        """Training mode for the parts that learn; the others stay in evaluation mode."""
        super().train(False)
        for part in self._learning():
            part.train(mode)
        self.training = mode
        return self

    def predict(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """The predictions after this stage alone."""
        sent = point.with_values(stages=self.stage)
        receiver = self.model.receivers[0]
        received = self.model.hear(self.model.transmit(batch.inputs, sent), receiver, sent)
        features = at_point(receiver.decoders[str(self.stage)], receiver.readable(received), sent)
        return {task.name: at_point(receiver.heads[task.name], features, sent) for task in self.tasks}


def joint_again(model: StagedModel, snr_db: SnrRange) -> StagedLearner:
    """A learner of all stages of a model that was trained greedily, for its evaluation."""
    model.requires_grad_(True)
    return StagedLearner(model, snr_db)


def truncated(learner: StagedLearner) -> StagedLearner:
    """The same network over a channel that can be cut short: the point's ``uses`` arrive, the rest is zero.

    Nothing is retrained: it shows what becomes of an ordinary code when only its beginning arrives.
    """
    for receiver in learner.model.receivers:
        if not isinstance(receiver.channel, Truncate):
            receiver.channel = Truncate(receiver.channel)
    return learner
