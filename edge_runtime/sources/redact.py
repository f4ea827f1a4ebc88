"""Takes user names, passwords and tokens out of URIs and of whole lines before anybody sees them."""

from __future__ import annotations

import re

HIDDEN = "***"

# Everything between a scheme and the last @ of the word. Passwords may hold any character, written plainly
# or percent-encoded, so a host behind another @ is rather hidden than a password shown.
_USER_INFO = re.compile(r"(\w[\w+.-]*:/{1,3})[^\s\"']*@")
# name:password@host without a scheme, and not what is hidden already
_BARE_USER_INFO = re.compile(r"(?<!\w)[^\s/\"':]+:(?!/{1,3}\*{3}@)[^\s\"'@]*@")
_SETTING = re.compile(
    r"((?:\b|_|-)(?:pass(?:word|wd)?|pwd|pw|token|api-?_?key|key|secret|auth\w*|user(?:name|-id)?|usr|login|sig\w*"
    r"|user-pw|proxy-pw)=)(\"[^\"]*\"|'[^']*'|[^\s&;!#]+)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`rtsp://admin:pw@host/live?token=x` becomes `rtsp://***@host/live?token=***`."""
    text = _USER_INFO.sub(rf"\g<1>{HIDDEN}@", text)
    text = _BARE_USER_INFO.sub(f"{HIDDEN}@", text)
    return _SETTING.sub(rf"\g<1>{HIDDEN}", text)
