"""AMGFH: Attention-based Multi-scale Graph Fusion Hashing.

Li & Wu, Symmetry 2025, 17(6), 861, https://doi.org/10.3390/sym17060861
"""

from crosshash.methods.amgfh.network import AMGFHNet as AMGFHNet
from crosshash.methods.amgfh.training import AMGFH as AMGFH
