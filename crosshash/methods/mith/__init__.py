"""MITH: Multi-Granularity Interactive Transformer Hashing.

Liu et al., ACM MM 2023, https://doi.org/10.1145/3581783.3612411

After what the authors' released training code computes, written anew. The paper's text was not at
hand: the numbers of its equations were not checked, and none is quoted.
"""

from __future__ import annotations

from crosshash.methods.mith.network import MITHNet as MITHNet
from crosshash.methods.mith.training import MITH as MITH
