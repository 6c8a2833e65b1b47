"""`ci server` with a real server that has users, and limits, and no engine."""

import json

from support.administration import create_key, create_user


def test_what_it_says_to_whom(own_server, user_of):
    server = own_server(
        image="jobs:1",
        max_concurrent_jobs=3,
        max_memory_mb=2048,
        environment={"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
    )
    create_user(server)
    key = create_key(server)
    server.start()
    server.until(
        lambda: server.http.get("/ready").text,
        lambda told: "container engine" in told,
        "a missing engine in /ready",
    )
    line = user_of(server.url)
    told = line.run("server", CI_API_KEY=key)
    assert told.code == 3, told.err
    assert "not ready: the container engine does not respond" in told.text
    assert "ann@example.com (tenant local, role submitter)" in told.text
    facts = json.loads(line.run("server", "--json", CI_API_KEY=key).text)
    assert (facts["image"], facts["executor"], facts["role"]) == ("jobs:1", "docker", "submitter")
    assert facts["limits"]["concurrent_jobs"] == 3
    assert facts["limits"]["memory_mb"] == {"default": 2048, "max": 2048}
    assert facts["version"] == facts["client_version"]
    assert facts["unknown_fields"] == []
    assert str(server.directory) not in json.dumps(facts)
    unknown = line.run("server")
    assert unknown.code == 2
    assert "requires authentication" in unknown.err
    assert "jobs:1" not in unknown.text
