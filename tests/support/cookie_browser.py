"""A browser as far as cookies go, without pages: what a page of ours would send."""

import httpx

OF_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}


class CookieBrowser:
    """Keeps the cookies of one server."""

    def __init__(self, server, **headers):
        headers = {**OF_OUR_PAGE, "User-Agent": "Browser/1.0", **headers}
        self.http = httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    @property
    def cookies(self):
        """By name."""
        return {cookie.name: cookie.value for cookie in self.http.cookies.jar}

    def sign_in(self, key):
        answer = self.http.post("/session", json={"api_key": key})
        assert answer.status_code == 200, answer.text
        return answer

    def code(self, path="/jobs", method="GET", **options):
        """200, or the code of the error."""
        answer = self.http.request(method, path, **options)
        return answer.status_code if answer.status_code < 400 else answer.json()["error"]["code"]

    def user(self):
        """Who is signed in, as the server says."""
        return self.http.get("/session").json()["user"]
