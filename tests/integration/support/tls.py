"""A certificate authority of the tests' own, made by openssl, and contexts that trust it."""

import ssl
import subprocess

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Authority:
    """Makes certificates for 127.0.0.1 and ::1 in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.cert, self.key = folder / "ca.pem", folder / "ca.key"
        _openssl("req", "-x509", *EC, "-days", "1", "-subj", "/CN=Fantail tests",
                 "-keyout", self.key, "-out", self.cert)

    def issue(self, name, rsa=False):
        """Makes a certificate and returns the paths of it and of its key."""
        cert, key, asked = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        kind = ["-newkey", "rsa:2048", "-nodes"] if rsa else EC
        _openssl("req", "-new", *kind, "-subj", f"/CN={name}", "-keyout", key, "-out", asked)
        names = self.folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n")
        _openssl("x509", "-req", "-in", asked, "-CA", self.cert, "-CAkey", self.key, "-days", "1",
                 "-CAcreateserial", "-extfile", names, "-out", cert)
        return cert, key

    def context(self, lowest=None, highest=None, alpn=("http/1.1",), ciphers=None):
        """A client's context that trusts nobody else."""
        context = ssl.create_default_context(cafile=self.cert)
        if ciphers:
            context.set_ciphers(ciphers)
        if lowest:
            context.minimum_version = lowest
        if highest:
            context.maximum_version = highest
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def common_name(sock):
    """Returns the name in the certificate that the peer has shown."""
    return dict(pair[0] for pair in sock.getpeercert()["subject"])["commonName"]
