"""A signing key in a KMS that speaks like AWS's, in this process."""

import os
from collections.abc import Iterator

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from moto import mock_aws
from moto.kms.utils import ECDSAPrivateKey

from outbound import aws_kms
from x402.chain import signers


@pytest.fixture
def kms_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A secp256k1 key in a KMS that speaks like AWS's.

    moto signs the hash of a message even where it is told that the message is a digest; AWS does not.
    """

    def sign_as_aws_does(key: ECDSAPrivateKey, message: bytes, _algorithm: str) -> bytes:
        signature: bytes = key.private_key.sign(message, ec.ECDSA(Prehashed(SHA256())))
        return signature

    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign_as_aws_does)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setitem(os.environ, name, value)
    with mock_aws():
        created = boto3.client("kms").create_key(KeySpec="ECC_SECG_P256K1", KeyUsage="SIGN_VERIFY")
        aws_kms._client.cache_clear()
        yield str(created["KeyMetadata"]["Arn"])
    aws_kms._client.cache_clear()
    signers.signer_of.cache_clear()
