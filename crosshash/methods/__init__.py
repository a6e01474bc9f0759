"""The methods, one file or folder each: network, loss, algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crosshash._lazy import attach

if TYPE_CHECKING:
    from crosshash.methods.amgfh import AMGFH as AMGFH
    from crosshash.methods.amgfh import AMGFHNet as AMGFHNet
    from crosshash.methods.build import METHODS as METHODS
    from crosshash.methods.build import build_model as build_model
    from crosshash.methods.build import create as create
    from crosshash.methods.build import list_methods as list_methods
    from crosshash.methods.cca_itq import CCAITQ as CCAITQ
    from crosshash.methods.cph import CPH as CPH
    from crosshash.methods.cph import CPHNet as CPHNet
    from crosshash.methods.dchmt import DCHMT as DCHMT
    from crosshash.methods.dcmh import DCMH as DCMH
    from crosshash.methods.djsrh import DJSRH as DJSRH
    from crosshash.methods.dmsfh import DMSFH as DMSFH
    from crosshash.methods.dmsfh import DMSFHNet as DMSFHNet
    from crosshash.methods.dnph import DNPH as DNPH
    from crosshash.methods.dsph import DSPH as DSPH
    from crosshash.methods.hfah import HFAH as HFAH
    from crosshash.methods.hfah import HFAHNet as HFAHNet
    from crosshash.methods.itq import ITQ as ITQ
    from crosshash.methods.lpdh import LPDH as LPDH
    from crosshash.methods.mdffh import MDFFH as MDFFH
    from crosshash.methods.mdffh import MDFFHNet as MDFFHNet
    from crosshash.methods.mith import MITH as MITH
    from crosshash.methods.mith import MITHNet as MITHNet
    from crosshash.methods.sign import AffineNet as AffineNet
    from crosshash.methods.sign import Sign as Sign
    from crosshash.methods.ucch import UCCH as UCCH
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "crosshash.methods.amgfh": ["AMGFH", "AMGFHNet"],
            "crosshash.methods.build": ["METHODS", "build_model", "create", "list_methods"],
            "crosshash.methods.cca_itq": ["CCAITQ"],
            "crosshash.methods.cph": ["CPH", "CPHNet"],
            "crosshash.methods.dmsfh": ["DMSFH", "DMSFHNet"],
            "crosshash.methods.hfah": ["HFAH", "HFAHNet"],
            "crosshash.methods.itq": ["ITQ"],
            "crosshash.methods.lpdh": ["LPDH"],
            "crosshash.methods.mdffh": ["MDFFH", "MDFFHNet"],
            "crosshash.methods.mith": ["MITH", "MITHNet"],
            "crosshash.methods.dchmt": ["DCHMT"],
            "crosshash.methods.dcmh": ["DCMH"],
            "crosshash.methods.djsrh": ["DJSRH"],
            "crosshash.methods.dnph": ["DNPH"],
            "crosshash.methods.dsph": ["DSPH"],
            "crosshash.methods.ucch": ["UCCH"],
            "crosshash.methods.sign": ["AffineNet", "Sign"],
        },
    )
