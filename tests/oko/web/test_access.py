"""Who is let in: DNS rebinding, other sites, the token, and what every answer carries."""

from __future__ import annotations

import logging

import pytest

from oko.web import access
from oko.web.access import Policy, client_proof, server_proof
from oko.web.serving import Serving
from tests.oko.web.conftest import HOST, TOKEN, Site, client_of, policy

ORIGIN = f"http://{HOST}"
PAGE = {"sec-fetch-site": "same-origin", "origin": ORIGIN}


@pytest.mark.parametrize("host", [HOST, "localhost:1", "LOCALHOST", "127.0.0.1"])
def test_the_hosts_own_names_are_served(site: Site, host: str) -> None:
    assert site.client.get("/api/health", headers={"host": host}).status_code == 200


STRANGE_HOSTS = [
    "evil.example",
    "evil.example:8017",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "192.0.2.1",
]


@pytest.mark.parametrize("host", [*STRANGE_HOSTS, "", "a b", "[::1"])
def test_a_name_that_was_made_to_point_here_is_refused(site: Site, host: str) -> None:
    answer = site.client.get("/api/search", headers={"host": host})
    assert answer.status_code == 403
    assert "results" not in answer.text
    assert site.client.get("/", headers={"host": host}).status_code == 403


def test_an_open_server_takes_addresses_and_known_names_only() -> None:
    rules = policy(any_address=True, names=frozenset({"photos.local"}))
    hosts = {"192.0.2.1:8017": True, "[2001:db8::1]:8017": True, "photos.local": True, "evil.example": False}
    assert {h: rules.refusal("GET", "/api/search", {"host": h}) is None for h in hosts} == hosts


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},  # another program on this machine is another origin
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_other_sites_are_refused(site: Site, headers: dict[str, str], method: str) -> None:
    assert site.client.request(method, "/api/photos/1/favourite", headers=headers).status_code == 403


def test_nothing_is_changed_from_another_site(site: Site) -> None:
    key = site.id_of("red.jpg")
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = site.client.put(f"/api/photos/{key}/favourite", json={"favourite": True}, headers=headers)
        assert answer.status_code == 403
    assert site.client.get(f"/api/photos/{key}").json()["favourite"] is False
    answer = site.client.put(f"/api/photos/{key}/favourite", json={"favourite": True}, headers=PAGE)
    assert answer.status_code == 200


def test_the_page_and_programs_may_ask(site: Site) -> None:
    assert site.client.get("/api/health", headers=PAGE).status_code == 200
    assert site.client.get("/api/health", headers={"sec-fetch-site": "none"}).status_code == 200
    assert site.client.get("/api/health").status_code == 200


def test_a_link_elsewhere_may_lead_to_the_page_alone(site: Site) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert site.client.get("/", headers=link).status_code == 200
    assert site.client.get("/static/app.js", headers=link).status_code == 403
    assert site.client.get("/", headers={**link, "sec-fetch-mode": "cors"}).status_code == 403


# The token


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/search", "/api/openapi.json", "/nothing"])
def test_without_the_token_nothing_is_told(desk: Serving, path: str) -> None:
    with client_of(desk, policy(needs_token=True)) as client:
        answer = client.get(path)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]["message"]
        for wrong in ("Bearer nonsense", "Bearer ", f"Basic {TOKEN}", "oko-proof x:y", "Bearer \xe9"):
            headers = {"authorization": wrong.encode("latin-1")}
            assert client.get(path, headers=headers).status_code == 401  # type: ignore[arg-type]


def test_a_program_sends_the_token_or_proves_that_it_knows_it(desk: Serving) -> None:
    with client_of(desk, policy(needs_token=True)) as client:
        ways = (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"oko-proof abc:{client_proof(TOKEN, 'abc')}")
        for way in ways:
            assert client.get("/api/health", headers={"authorization": way}).status_code == 200


def test_the_link_gives_a_cookie_and_hides_the_token(desk: Serving) -> None:
    with client_of(desk, policy(needs_token=True)) as client:
        answer = client.get("/", params={"token": TOKEN, "q": "red car"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/?q=red+car")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert client.get("/api/health").status_code == 200  # the client has kept the cookie
        client.cookies.clear()
        assert client.get("/?token=wrong").status_code == 401


def test_a_link_in_a_mail_works_too(desk: Serving) -> None:
    """After a redirect from another site a browser sends no strict cookie; a page that leads on is our own site."""
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    with client_of(desk, policy(needs_token=True)) as client:
        answer = client.get("/", params={"token": TOKEN}, headers=link, follow_redirects=False)
        assert answer.status_code == 200
        assert 'content="0;url=/"' in answer.text
        assert TOKEN not in answer.text
        assert "<script" not in answer.text


def test_the_way_on_never_leads_to_another_host(desk: Serving) -> None:
    with client_of(desk, policy(needs_token=True)) as client:
        for path in ("//evil.example/", "/%2Fevil.example/", "/%5Cevil.example"):
            answer = client.get(f"http://{HOST}{path}?token={TOKEN}", follow_redirects=False)
            place = answer.headers["location"]
            assert place.startswith("/")
            assert not place.startswith(("//", "/\\"))


def test_the_server_proves_itself_without_telling_the_token(site: Site) -> None:
    answer = site.client.get("/api/health", headers={"oko-nonce": "n1"})
    assert answer.headers["oko-proof"] == server_proof(TOKEN, "n1")
    assert "oko-proof" not in site.client.get("/api/health").headers
    assert client_proof(TOKEN, "n1") != server_proof(TOKEN, "n1")


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(access.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert Policy(frozenset(), TOKEN, True).is_token(TOKEN)
    assert not Policy(frozenset(), TOKEN, True).has_token({"authorization": "Bearer x"})
    assert len(compared) == 2


# What every answer carries


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/search", "/api/nothing", "/api/photos/1/thumbnail"]
)
def test_every_answer_is_marked(site: Site, path: str) -> None:
    headers = site.client.get(path).headers
    directives = dict(part.partition(" ")[::2] for part in headers["content-security-policy"].split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_json_is_not_kept_and_refusals_are_marked_too(site: Site) -> None:
    for path in ("/api/search", "/api/tags", "/api/photos/999", "/api/openapi.json"):
        assert site.client.get(path).headers["cache-control"] == "no-store"
    refused = site.client.get("/api/search", headers={"host": "evil.example"})
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_neither_tokens_nor_queries_are_logged(desk: Serving, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with client_of(desk, policy(needs_token=True)) as client:
        client.get("/", params={"token": TOKEN})
        client.get("/api/search", params={"q": "a very private wish"})
        client.get("/api/search", params={"q": "tag:"})
    ours = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("oko", "library", "search", "uvicorn"))
    )
    assert "/api/search" in ours
    assert TOKEN not in ours
    assert "wish" not in ours


# Bodies


def test_too_much_is_refused_before_it_is_read(site: Site) -> None:
    huge = b"x" * 3_000_000
    answer = site.client.post(
        "/api/pictures", content=huge, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert "MB" in answer.json()["error"]["message"]
    answer = site.client.put(
        "/api/photos/1/favourite", content=b"[" * 100_000, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_too_much_without_a_length_is_refused_too(site: Site) -> None:
    def parts():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield b"[" * 10_000

    answer = site.client.put(
        "/api/photos/1/favourite", content=parts(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 60_000, b"\xff", b'{"favourite": 1}', b'{"favourite": true, "x": 1}', b"null"]
)
def test_nonsense_in_a_body_is_an_error_not_a_crash(site: Site, body: bytes) -> None:
    answer = site.client.put(
        "/api/photos/1/favourite", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_a_form_of_another_site_cannot_pass_for_json(site: Site) -> None:
    answer = site.client.put(
        "/api/photos/1/favourite", content=b'{"favourite": true}', headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 422
