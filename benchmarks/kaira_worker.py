"""Runs in a Python that has pykaira: sends a batch through its DeepJSCC for each line that it reads.

python kaira_worker.py FILTERS BATCH SNR_DB THREADS
"""

import sys
import warnings
from importlib.metadata import version

import torch

warnings.simplefilter("ignore")
from kaira.channels import AWGNChannel  # noqa: E402
from kaira.constraints import AveragePowerConstraint  # noqa: E402
from kaira.models import DeepJSCCModel  # noqa: E402
from kaira.models.image.bourtsoulatze2019_deepjscc import (  # noqa: E402
    Bourtsoulatze2019DeepJSCCDecoder,
    Bourtsoulatze2019DeepJSCCEncoder,
)


def main() -> None:
    filters, batch, threads = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
    torch.set_num_threads(threads)
    model = DeepJSCCModel(
        Bourtsoulatze2019DeepJSCCEncoder(filters),
        AveragePowerConstraint(1.0),
        AWGNChannel(snr_db=float(sys.argv[3])),
        Bourtsoulatze2019DeepJSCCDecoder(filters),
    ).eval()
    pictures = torch.rand(batch, 3, 32, 32)
    print(f"pykaira {version('pykaira')}, torch {torch.__version__}", flush=True)
    with torch.no_grad():
        for _ in sys.stdin:
            out = model(pictures)
            assert out.shape == pictures.shape
            print("done", flush=True)


main()
