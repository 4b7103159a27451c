"""`fantail token` and `fantail apikey`, judged by a verifier that is not ours."""

import hashlib
import json
import re
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.broker import run

SECRET = "0123456789abcdef0123456789abcdef"
DONE, FAILED, USAGE = 0, 1, 2


def fantail(*args, **kwargs):
    """Runs `fantail` to its end."""
    return run(*args, name="fantail", **kwargs)


def token(*args, **kwargs):
    """Runs `fantail token` and returns what it printed."""
    done = fantail("token", *args, **kwargs)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", done.stdout)
    return done.stdout.strip()


def claims_of(text, key=SECRET, alg="HS256", **kwargs):
    """The claims, verified."""
    return jwt.decode(text, key, algorithms=[alg], **kwargs)


def test_a_token_says_what_was_asked_for():
    before = int(time.time())
    text = token("--sub", "alice", "--allow-sub", "chat/#", "--allow-sub", "to/%u", "--allow-pub",
                 "from/%u", "--admin", "--iss", "me", "--aud", "you", "--kid", "k 1",
                 "--secret", SECRET)
    claims = claims_of(text, issuer="me", audience="you")
    issued = claims.pop("iat")
    assert before <= issued <= time.time()
    assert claims == {
        "sub": "alice", "iss": "me", "aud": "you", "exp": issued + 3600,
        "fantail": {"sub": ["chat/#", "to/%u"], "pub": ["from/%u"], "admin": True}}
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "typ": "JWT", "kid": "k 1"}


def test_a_token_says_no_more_than_that():
    claims = claims_of(token("--secret", SECRET))
    assert set(claims) == {"iat", "exp"}


def test_several_audiences():
    text = token("--secret", SECRET, "--aud", "a", "--aud", "b")
    assert claims_of(text, audience="b")["aud"] == ["a", "b"]


@pytest.mark.parametrize("ttl, seconds", [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800),
                                          ("45", 45)])
def test_how_long_it_holds(ttl, seconds):
    claims = claims_of(token("--secret", SECRET, "--ttl", ttl))
    assert claims["exp"] - claims["iat"] == seconds


def test_for_ever():
    assert "exp" not in claims_of(token("--secret", SECRET, "--ttl", "never"))


def test_where_the_secret_comes_from(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    assert claims_of(token("--secret-file", str(path)))
    assert claims_of(token(env={"FANTAIL_AUTH_SECRET": SECRET}))
    text = token("--secret", SECRET, env={"FANTAIL_AUTH_SECRET": "another one of some length"})
    assert claims_of(text)


KEYS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def jwk_of(alg, key):
    """The private key as a JWK."""
    if alg == "EdDSA":
        return jwt.algorithms.OKPAlgorithm.to_jwk(key)
    if alg.startswith("RS"):
        return jwt.algorithms.RSAAlgorithm.to_jwk(key)
    size = {"ES256": 32, "ES384": 48, "ES512": 66}[alg]
    numbers = key.private_numbers()
    point = numbers.public_numbers

    def text(number):
        return jwt.utils.base64url_encode(number.to_bytes(size, "big")).decode()
    return json.dumps({"kty": "EC", "crv": f"P-{key.curve.key_size}", "x": text(point.x),
                       "y": text(point.y), "d": text(numbers.private_value)})


@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_private_keys(tmp_path, alg, form):
    key = KEYS[alg]()
    path = tmp_path / "key"
    path.write_text(jwk_of(alg, key) if form == "jwk" else key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    text = token("--key", str(path), "--sub", "alice")
    assert claims_of(text, key.public_key(), alg)["sub"] == "alice"
    if alg == "RS256":
        text = token("--key", str(path), "--alg", "PS256")
        assert claims_of(text, key.public_key(), "PS256")


@pytest.mark.parametrize("args, words", [
    ((), "what to sign with"),
    (("--secret", "short"), "16 at least"),
    (("--secret", SECRET, "--secret-file", "x"), "exclude each other"),
    (("--secret", SECRET, "--ttl", "5x"), "--ttl"),
    (("--secret", SECRET, "--ttl", "0"), "--ttl"),
    (("--secret", SECRET, "--ttl", "-1h"), "--ttl"),
    (("--secret", SECRET, "--sub", ""), "--sub"),
    (("--secret", SECRET, "--allow-sub", "a/#/b"), "filter"),
    (("--secret", SECRET, "--alg", "ES256"), "--alg"),
    (("--secret", SECRET, "alice"), "--sub"),
    (("--key", "/dev/null"), "private key"),
])
def test_what_is_wrong_is_said(args, words):
    done = fantail("token", *args)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr.startswith("fantail token: ") and words in done.stderr
    assert SECRET not in done.stderr


def test_a_file_that_is_not_there():
    done = fantail("token", "--key", "/nonexistent")
    assert done.returncode == FAILED and "No such file" in done.stderr


# -- API keys

def test_an_api_key_and_its_line():
    done = fantail("apikey", "billing", "--admin", "--pub", "a/#", "--sub", "b/+", "--sub", "c")
    assert done.returncode == DONE
    key = done.stdout.strip()
    assert re.fullmatch(r"fk_[\w-]{43}", key)
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert done.stderr == f"billing sha256:{digest} admin pub=a/# sub=b/+ sub=c\n"


def test_every_api_key_is_another():
    keys = {fantail("apikey", "x").stdout for _ in range(5)}
    assert len(keys) == 5


@pytest.mark.parametrize("args", [(), ("a b",), ("",), ("a", "b"), ("a", "--pub", "a/#/b"),
                                  ("a", "--pub", "two words"), ("x" * 65,)])
def test_no_api_key(args):
    done = fantail("apikey", *args)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr.startswith("fantail apikey: ")
