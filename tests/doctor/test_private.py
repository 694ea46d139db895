"""Secrets planted wherever people have them never come out, as text, HTML or JSON."""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import openallen as oa
from openallen.checkup.private import Private, origin

# Words as people choose them, and tokens as services make them; none is part of our own words.
WORD = st.from_regex(r"zq[a-z]{6,12}", fullmatch=True)
TOKEN = st.from_regex(r"zq[A-Z][0-9][A-Za-z0-9]{8,30}", fullmatch=True)
SECRET = st.one_of(WORD, TOKEN)
NOBODY = "http://127.0.0.1:9"

PROXIES = (
    "http://me:{0}@127.0.0.1:9", "me:{0}@127.0.0.1:9", "http://{0}@127.0.0.1:9/", "{0}",
    "http://127.0.0.1:9/?token={0}", "socks5://me:{0}@127.0.0.1:9", "{0}://127.0.0.1:9",
    "http://me:p/{0}@127.0.0.1:9", "http://me:%41{0}@[::1]:9", "http:// {0}", "http://me@{0}:x@h.i:9",
)  # fmt: skip
ADDRESSES = (
    NOBODY + "/{0}", NOBODY + "/?X-Amz-Signature={0}&X-Amz-Credential={0}", NOBODY + "#{0}",
    "http://me:{0}@127.0.0.1:9/data", "http://127.0.0.1:9/a/{0}/b?sig={0}", "{0}", "https://[{0}", "s3://{0}",
)  # fmt: skip
FILES = (
    'docdb_url = "http://127.0.0.1:9/{0}"', 'attempts = "{0}"', 'offline = "{0}"', "store = {0}",
    '[projects.lab]\nbucket = "{0}"\ntoken = "{0}"', "{0}", '{0} = "x"', "\"a{0}\" = 1\n\\x00",
    'validator = "/opt/token={0}/python"', "a = [[[[[{0}",
)  # fmt: skip


@st.composite
def surroundings(draw):
    """An environment, a settings file, a name of the home folder; and the secrets in them."""
    secrets = draw(st.lists(SECRET, min_size=8, max_size=8, unique=True))
    user, host, *rest = secrets
    a, b, c, d, e, f = rest
    environ = {
        "USER": user, "LOGNAME": user, "HOSTNAME": f"{host}.lab.example",
        "GITHUB_TOKEN": a, "AWS_SECRET_ACCESS_KEY": b, "MY_PW": c,
        draw(st.sampled_from(["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])): draw(st.sampled_from(PROXIES)).format(d),
        "NO_PROXY": f"{host}.lab.example,{e}",
        "OPENALLEN_SOURCE": draw(st.sampled_from(ADDRESSES)).format(e),
        "OPENALLEN_S3_ENDPOINT": draw(st.sampled_from(ADDRESSES)).format(f),
        "SSL_CERT_FILE": draw(st.sampled_from(["~", "/etc/ssl"])) + f"/{a}/{user}/{b}.pem",
        "OPENALLEN_STORE": "HOME/" + draw(st.sampled_from(["token={0}", "secret-{1}", "of-{2}"])).format(d, c, user),
    }  # fmt: skip
    if draw(st.booleans()):
        environ[draw(st.sampled_from(["OPENALLEN_ATTEMPTS", "OPENALLEN_OFFLINE"]))] = d
    return environ, draw(st.sampled_from(FILES)).format(f), secrets


@given(surroundings())
# A failure is told by the secret that came out: making it smaller would take minutes.
@settings(max_examples=20, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_no_secret_comes_out(tmp_path_factory, around):
    environ, told, secrets = around
    user, host = secrets[:2]
    home = tmp_path_factory.mktemp("homes") / user
    (home / "config" / "openallen").mkdir(parents=True)
    (home / "config" / "openallen" / "config.toml").write_text(told)
    environ = {
        name: value.replace("~", str(home)).replace("HOME", str(home))
        for name, value in environ.items()
    } | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    store = Path(environ["OPENALLEN_STORE"])
    store.mkdir(parents=True)
    lease = {"host": host, "where": host, "pid": 77, "token": secrets[2]}
    (store / f"{user}.lease").write_text(json.dumps(lease))
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environ))
        stack.enter_context(patch.object(socket, "gethostname", lambda: host))
        found = oa.doctor()
    page = "\n".join([str(found), found._repr_html_(), json.dumps(found.to_dict())])
    assert "this check failed" not in page
    for secret in secrets:
        lines = [line for line in page.splitlines() if secret.lower() in line.lower()]
        assert not lines, (secret, lines[:3])
    assert str(home) not in page


@given(SECRET, st.sampled_from(PROXIES + ADDRESSES))
@settings(max_examples=50)
def test_a_text_of_a_library_that_quotes_an_address_is_cleaned(secret, form):
    told = form.format(secret)
    private = Private({"HTTPS_PROXY": told} if "://" in told or "@" in told else {"A_TOKEN": told})
    for text in (f"Unsupported proxy syntax in '{told}'", f"cannot connect to {told}: refused"):
        if "s3://" not in told and f"{secret}://" not in told and f"[{secret}" not in told:
            assert secret not in private.text(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://proxy.lab.example:3128", "http://proxy.lab.example:3128"),
        ("HTTP://me:pass@proxy:3128/", "http://proxy:3128"),
        ("me:p@ss@proxy.lab:3128", "proxy.lab:3128"),
        ("https://[::1]:99/key?sig=1", "https://[::1]:99"),
        ("http://me:pa/ss@host:1", ""),
        ("http://a b", ""),
        ("word", ""),
        ("", ""),
    ],
)
def test_of_an_address_the_server_is_kept(text, kept):
    assert origin(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic {0}", "authorization: bearer {0}", "Authorization: {0}",
        "Set-Cookie: sid={0}; path=/", "/data/Cookie: sid={0}", "x said {0}, {0}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("secret", ["zqwordsofpeople", "zqQ1wWmFyOmJheg=="])
def test_headers_and_parts_of_cookies_are_cleaned(text, secret):
    private = Private({"HTTP_COOKIE": f"a=b; sid={secret}"} if "said" in text else {})
    assert secret.rstrip("=") not in private.text(text.format(secret))


def test_what_is_no_secret_stays():
    private = Private({"HOME": "/home/ada", "USER": "ada", "TERM": "xterm", "EDITOR": "vim"})
    for text in (
        "openallen 0.1.0, Python 3.11.7 (CPython), Linux-6.8.0-41-generic-x86_64-with-glibc2.39",
        "atlas: matplotlib 3.11.2, aind-data-schema 2.0.1",
        "/usr/lib/python3.12/site-packages/openallen",
        "the host name does not resolve; is there a network?",
        "openallen doctor: 2 problems, 1 note",
    ):
        assert private.text(text) == text
    assert private.path("/home/ada/allen data/x") == "~/allen data/x"
    assert private.path("/home/adam/x") == "/home/adam/x"
    assert private.path("/data/ada/x") == "/data/$USER/x"
    # A shell leaves a tilde in quotes as it is.
    assert private.path("pip install -e '/home/ada/a b[all]'") == "pip install -e ~/'a b[all]'"
