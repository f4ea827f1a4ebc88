"""Answers a server's 401 with a user name and password: Basic (RFC 7617) or Digest (RFC 7616).

challenge, method, path, user, password ──authorization──▶ value of the Authorization header
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import b64encode
from functools import partial

_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def authorization(challenge: str, method: str, path: str, user: str, password: str) -> str:
    """Digest where it is offered, else Basic. `path`: as in the request line; whole URL for RTSP."""
    _, offered, digest = challenge.partition("Digest ")
    if not offered:
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    asked = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(digest)}
    realm, nonce, algorithm = (asked.get(name, "") for name in ("realm", "nonce", "algorithm"))
    hashed = partial(_hashed, "sha256" if algorithm.upper().startswith("SHA-256") else "md5")
    secret, request = hashed(user, realm, password), hashed(method, path)
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": path}
    unquoted = ""
    if "auth" in asked.get("qop", ""):
        once = secrets.token_hex(8)
        fields.update(cnonce=once, response=hashed(secret, nonce, "00000001", once, "auth", request))
        unquoted = ", qop=auth, nc=00000001"
    else:
        fields["response"] = hashed(secret, nonce, request)
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    if algorithm:
        unquoted += f", algorithm={algorithm}"
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items()) + unquoted


def _hashed(algorithm: str, *parts: str) -> str:
    return hashlib.new(algorithm, ":".join(parts).encode(), usedforsecurity=False).hexdigest()
