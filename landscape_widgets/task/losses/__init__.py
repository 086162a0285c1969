"""Losses: torch's own and those inferred, as sums over examples, and the user's own as they are."""

from landscape_widgets.task.losses.binary import BinaryCrossEntropy
from landscape_widgets.task.losses.calling import call_model, call_watched, main_output
from landscape_widgets.task.losses.cross_entropy import IGNORED, CrossEntropy
from landscape_widgets.task.losses.inference import infer_loss
from landscape_widgets.task.losses.mean import MeanLoss
from landscape_widgets.task.losses.own import BatchLoss, ModelLoss, OwnLoss, scalar
from landscape_widgets.task.losses.squared_error import SquaredError

Loss = MeanLoss | BatchLoss | ModelLoss

__all__ = [
    "IGNORED",
    "BatchLoss",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Loss",
    "MeanLoss",
    "ModelLoss",
    "OwnLoss",
    "SquaredError",
    "call_model",
    "call_watched",
    "infer_loss",
    "main_output",
    "scalar",
]
