"""The key of a server in texts that others wrote: answers, errors, names."""

import base64
import json
import os
import re
from urllib.parse import quote, quote_plus

KEY = "EFFWB_SERVER_KEY"  # environment variable
HIDDEN = "***"
SHORTEST = 4  # characters; a shorter key is no secret, and replacing it would garble every text
HEADER = re.compile(
    r"((?:proxy-)?authorization)(\W{1,6})(?:(?:bearer|basic)\s+)?[^\s'\",;}\]]+", re.IGNORECASE
)
BEARER = re.compile(r"\b(bearer)(\s+|%20|\+)[^\s'\",;}\]]+", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=//)[^\s/@'\"]+@")  # user:password@ in a URL


def without_key(text: object) -> str:
    """Return a text without the server's key, Authorization headers and passwords in URLs.

    The key is found as it is, quoted for a URL or JSON, and in base 64, in upper or lower case.

    Args:
        text: Anything; `str` makes a text of it.

    >>> without_key("you sent {'Authorization': 'Bearer sk-1'} to http://me:pass@host/v1")
    "you sent {'Authorization': '***'} to http://***@host/v1"
    """
    shown, key = str(text), os.environ.get(KEY, "").strip()
    if len(key) >= SHORTEST:
        spellings = {
            key,
            quote(key),
            quote(key, safe=""),
            quote_plus(key),
            json.dumps(key)[1:-1],
            repr(key)[1:-1],
        }
        for secret in (key, f":{key}", f"Bearer {key}"):
            spellings.add(base64.b64encode(secret.encode()).decode())
            spellings.add(base64.urlsafe_b64encode(secret.encode()).decode())
        for spelling in sorted(spellings, key=len, reverse=True):
            shown = re.sub(re.escape(spelling), HIDDEN, shown, flags=re.IGNORECASE)
    shown = HEADER.sub(rf"\1\2{HIDDEN}", shown)
    shown = BEARER.sub(rf"\1\2{HIDDEN}", shown)
    return CREDENTIALS.sub(f"{HIDDEN}@", shown)
