"""Tokens and keys, made by PyJWT and cryptography, or by hand where they must be wrong."""

import base64
import hashlib
import hmac
import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

HOUR = 3600


def now():
    return int(time.time())


def claims(sub="ann", ttl=HOUR, may_sub=(), may_pub=(), admin=None, **more):
    """Builds a set of claims; None leaves one out."""
    fantail = {"sub": list(may_sub), "pub": list(may_pub), "admin": admin}
    found = {"sub": sub, "exp": None if ttl is None else now() + ttl,
             "fantail": {k: v for k, v in fantail.items() if v not in (None, [])}, **more}
    return {k: v for k, v in found.items() if v is not None}


def hs256(secret, headers=None, **values):
    """Signs a token with a secret; `exp` in an hour unless said otherwise."""
    values.setdefault("exp", now() + HOUR)
    return jwt.encode({k: v for k, v in values.items() if v is not None}, secret, "HS256",
                      headers=headers)


def part(value):
    """Encodes a part of a token as RFC 7515 has it: base64url without padding."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header, payload, secret, digest=hashlib.sha256):
    """Signs any header and any payload with HMAC."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


class Key:
    """A key pair for one algorithm, with an optional `kid`."""

    def __init__(self, algorithm, kid=None, bits=2048):
        self.algorithm, self.kid = algorithm, kid
        if algorithm in ("RS256", "PS256"):
            self.private = rsa.generate_private_key(65537, bits)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    def sign(self, values, headers=None, algorithm=None):
        """Makes a token with these claims."""
        headers = {**({"kid": self.kid} if self.kid else {}), **(headers or {})}
        return jwt.encode(values, self.private, algorithm or self.algorithm, headers=headers)

    def pem(self):
        """The public key, as PEM."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def jwk(self):
        """The public key, as a JWK."""
        public = self.private.public_key()
        if self.algorithm == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            found = {"kty": "OKP", "crv": "Ed25519", "x": part(raw)}
        elif self.algorithm == "ES256":
            numbers = public.public_numbers()
            found = {"kty": "EC", "crv": "P-256", "x": part(numbers.x.to_bytes(32, "big")),
                     "y": part(numbers.y.to_bytes(32, "big"))}
        else:
            found = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public))
            found.pop("key_ops", None)
        found["alg"], found["use"] = self.algorithm, "sig"
        if self.kid:
            found["kid"] = self.kid
        return found


def jwks(*keys):
    """A JWKS file's text."""
    return json.dumps({"keys": [each.jwk() for each in keys]})


def secret_jwk(secret, kid):
    """A JWK of a shared secret."""
    return {"kty": "oct", "k": part(secret.encode()), "alg": "HS256", "kid": kid}
