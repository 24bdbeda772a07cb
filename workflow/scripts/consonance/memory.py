"""What is done when a GPU's memory does not suffice: half as much at once, and that is said."""

import logging

import torch

from consonance.errors import InputError

logger = logging.getLogger(__name__)

Exhausted = torch.cuda.OutOfMemoryError
"""What PyTorch raises then."""


def release(seconds: float) -> None:
    """Frees what a failed pass left in the GPU's cache, and logs the size of further batches.

    Call it outside the handler of `Exhausted`, whose traceback holds on to the failed tensors.

    Args:
        seconds: of audio in a batch from now on.
    """
    torch.cuda.empty_cache()
    logger.warning("The GPU's memory does not suffice; going on with batches of %.1f s.", seconds)


def too_long(seconds: float, *, model: str) -> InputError:
    """Returns the error of a piece of audio that does not fit even alone.

    Args:
        seconds: how long it is.
        model: name of the model.
    """
    return InputError(
        f"{seconds:.1f} s of audio do not fit into the GPU's memory with model '{model}'; make "
        "extraction.window_seconds smaller, or set compute.device to cpu."
    )
