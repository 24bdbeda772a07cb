import logging

import pytest

from consonance import memory
from consonance.errors import InputError


def test_the_new_size_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        memory.release(12.34)
    assert caplog.messages == [
        "The GPU's memory does not suffice; going on with batches of 12.3 s."
    ]


def test_what_does_not_fit_alone_is_an_error_that_says_what_to_do():
    with pytest.raises(InputError, match=r"30.0 s of audio do not fit .* model 'm'; make"):
        raise memory.too_long(30, model="m")
