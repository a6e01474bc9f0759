"""HFAH: Hybrid-attention Feature-reconstructive Adversarial Hashing.

Li & Wang, Journal of Engineering Research, ICCSCT 2022, https://doi.org/10.36909/jer.ICCSCT.19467
"""

from crosshash.methods.hfah.network import HFAHNet as HFAHNet
from crosshash.methods.hfah.training import HFAH as HFAH
