"""Stand-in for the `expecttest` package: PyTorch's test utilities import it, the OpInfo database does not use it."""

import unittest


class TestCase(unittest.TestCase):
    """What `torch.testing._internal.common_utils` derives its own TestCase from."""


ACCEPT = False
