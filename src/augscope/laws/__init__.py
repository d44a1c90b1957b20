"""Laws of augmentations as exact values, and `certify`, which finds the law of anybody's transform. Knows nothing of JAX."""

from augscope.laws.boxes import BoxLaw, ErasingLaw, MinMaxLaw
from augscope.laws.certificate import Certificate, Check
from augscope.laws.certifier import certify
from augscope.laws.claims import Claims, read_claims
from augscope.laws.named import BlendLaw, MaskLaw, PartnerLaw, PatchLaw, ShareLaw

__all__ = [
    "BlendLaw",
    "BoxLaw",
    "Certificate",
    "Check",
    "Claims",
    "ErasingLaw",
    "MaskLaw",
    "MinMaxLaw",
    "PartnerLaw",
    "PatchLaw",
    "ShareLaw",
    "certify",
    "read_claims",
]
