"""Laws of augmentations as exact values, and `certify`, which finds the law of anybody's transform. Knows nothing of JAX."""

from augscope.laws.certificate import Certificate, Check
from augscope.laws.certifier import certify
from augscope.laws.claims import Claims, read_claims
from augscope.laws.named import BlendLaw, BoxLaw, MaskLaw, PartnerLaw, PatchLaw, ShareLaw

__all__ = [
    "BlendLaw",
    "BoxLaw",
    "Certificate",
    "Check",
    "Claims",
    "MaskLaw",
    "PartnerLaw",
    "PatchLaw",
    "ShareLaw",
    "certify",
    "read_claims",
]
