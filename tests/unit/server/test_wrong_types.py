"""Every field that a submission or a table of jobs has, with a value of every wrong type.

The fields are found in the models' schemas, so that a new one cannot be forgotten.
"""

import json

import pytest

from ci_common.errors import InvalidConfigError, InvalidSecretError, InvalidUploadError
from ci_server.apis.native.submitted import (
    SubmittedGit,
    SubmittedSpec,
    read_submitted_request,
    read_submitted_secrets,
)
from ci_server.submission.job_limits import DefaultLimits
from ci_server.submission.project_config import (
    JobTable,
)
from ci_server.submission.request import SubmissionRequest, resolve_spec

DEFAULTS = DefaultLimits(
    timeout_seconds=100, cpu_percent=None, memory_mb=None, pids=64, log_mb=10, grace_seconds=7
)

JSON, TOML = 0, 1

# name: type, JSON, TOML; `None` where the language has no such value
VALUES = {
    "true": ("boolean", "true", "true"),
    "false": ("boolean", "false", "false"),
    "five": ("integer", "5", "5"),
    "five as a float": ("number", "5.0", "5.0"),
    "five as a float with exponent": ("number", "5e0", "5e0"),
    "a fraction": ("number", "5.5", "5.5"),
    "five as a text": ("string", '"5"', '"5"'),
    "a text": ("string", '"text"', '"text"'),
    "an empty text": ("string", '""', '""'),
    "null": ("null", "null", None),
    "a text null": ("string", '"null"', '"null"'),
    "not a number": ("invalid", "NaN", "nan"),
    "infinity": ("invalid", "Infinity", "inf"),
    "negative infinity": ("invalid", "-Infinity", "-inf"),
    "overflow": ("invalid", "1e400", "1e400"),
    "negative overflow": ("invalid", "-1e400", "-1e400"),
    "a huge integer": ("invalid", "9" * 40, "9" * 40),
    "an integer beyond floats": ("invalid", "9" * 399, "9" * 399),
    "an integer beyond conversion": ("invalid", "9" * 5000, "9" * 5000),
    "a huge hexadecimal": ("invalid", None, "0x" + "f" * 5000),
    "negative": ("invalid", "-5", "-5"),
    "half a surrogate pair": ("invalid", '"\\ud800"', '"\\ud800"'),
    "a list": ("array of integer", "[5]", "[5]"),
    "a list of booleans": ("array of boolean", "[true]", "[true]"),
    "a list of texts": ("array of string", '["text"]', '["text"]'),
    "a list of half a pair": ("invalid", '["\\udc00"]', '["\\udc00"]'),
    "a list in a list": ("array of array", '[["text"]]', '[["text"]]'),
    "an object": ("object of integer", '{"a": 5}', "{a = 5}"),
    "an object of texts": ("object of string", '{"a": "text"}', '{a = "text"}'),
    "a repeated name": ("invalid", '{"a": "x", "a": "x"}', '{a = "x", a = "x"}'),
    "a date": ("date", None, "2020-01-01"),
    "a moment": ("date", None, "2020-01-01T00:00:00Z"),
    "a deep list": ("invalid", "[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
    "a very deep list": ("invalid", "[" * 30_000, "[" * 30_000),
    "a very deep object": ("invalid", '{"a":' * 10_000, "{a=" * 10_000),
}

ALSO = {
    # A length of time may be a text with a unit, and a command of a table a text for the shell.
    ("SubmittedSpec", "timeout"): {"string"},
    ("JobTable", "timeout"): {"string"},
    ("JobTable", "grace"): {"string"},
    ("JobTable", "command"): {"string"},
}
NULL_IS_NOTHING = {
    ("SubmittedSpec", "job"),
    ("SubmittedSpec", "command"),
    ("SubmittedGit", "branch"),
    ("SubmittedGit", "describe"),
    ("SubmittedGit", "remote"),
}
FALSE_IS_NOTHING = {"install"}


def types_of(model, schema, field):
    """The types that a field may have, in the words of VALUES."""
    found, definitions = set(), schema.get("$defs", {})
    waiting = [schema["properties"][field]]
    while waiting:
        part = waiting.pop()
        waiting += part.get("anyOf", [])
        if "$ref" in part:
            waiting.append(definitions[part["$ref"].rpartition("/")[2]])
        match part.get("type"):
            case "array":
                found.add(f"array of {part['items']['type']}")
            case "object" if part["additionalProperties"] is False:
                found.add("object of fields")
            case "object":
                found.add(f"object of {part['additionalProperties']['type']}")
            case "number":
                found |= {"number", "integer"}
            case "null" if (model.__name__, field) not in NULL_IS_NOTHING:
                pass
            case str(kind):
                found.add(kind)
    assert found, f"{field} may be nothing"
    return found | ALSO.get((model.__name__, field), set())


def wrong(model, language):
    """Fields, and values of a language, by their names, that the fields may not have."""
    schema = model.model_json_schema()
    for field in schema["properties"]:
        right = types_of(model, schema, field)
        for name, (kind, *texts) in VALUES.items():
            if name == "false" and field in FALSE_IS_NOTHING:
                continue
            if kind not in right and texts[language] is not None:
                yield field, name


def test_the_types_are_found_in_the_models():
    spec = SubmittedSpec.model_json_schema()
    found = {field: types_of(SubmittedSpec, spec, field) for field in spec["properties"]}
    assert found == {
        "job": {"string", "null"},
        "command": {"array of string", "null"},
        "priority": {"integer"},
        "retries": {"integer"},
        "timeout": {"number", "integer", "string"},
        "install": {"array of string"},
        "git": {"object of fields"},
        "tty": {"boolean"},
        "color": {"boolean"},
        "image": {"string"},
        "env": {"object of string"},
        "artifacts": {"array of string"},
        "cpu": {"integer"},
        "memory": {"integer"},
        "labels": {"object of string"},
        "private": {"boolean"},
        "notify": {"array of string"},
    }


def refused_part(content):
    with pytest.raises(InvalidUploadError) as caught:
        read_submitted_request(content.encode())
    message = caught.value.message
    message.encode()
    assert message.startswith("the part 'spec' is invalid: ")
    assert len(message) < 700
    return message


@pytest.mark.parametrize(("field", "value"), list(wrong(SubmittedSpec, JSON)))
def test_a_submission_with_a_wrong_type_is_refused_and_told_where(field, value):
    _, text, _ = VALUES[value]
    message = refused_part(f'{{"{field}": {text}}}')
    if "very deep" not in value:
        assert field in message
    refused_part(f'{{"job": "test", "{field}": {text}}}')


@pytest.mark.parametrize(("field", "value"), list(wrong(SubmittedGit, JSON)))
def test_facts_of_git_with_a_wrong_type_are_refused_and_told_where(field, value):
    _, text, _ = VALUES[value]
    others = "" if field == "commit" else f'"commit": "{"0" * 40}", '
    message = refused_part(f'{{"git": {{{others}"{field}": {text}}}}}')
    if "very deep" not in value:
        assert field in message


@pytest.mark.parametrize("field", SubmittedSpec.model_fields)
@pytest.mark.parametrize(("first", "second"), [("5", "5"), ("5", "null"), ('"a"', '["b"]')])
def test_a_repeated_field_is_refused(field, first, second):
    message = refused_part(f'{{"{field}": {first}, "{field}": {second}}}')
    assert f"{field}: duplicate key" in message


@pytest.mark.parametrize(
    "content",
    [
        '{"command":["true"],"command":["false"]}',
        '{"command":["true"],"comm\\u0061nd":["false"]}',
        '{"priority": true}',
        '{"priority": 5.0}',
    ],
)
def test_the_cases_that_were_accepted(content):
    refused_part(content)


@pytest.mark.parametrize(("field", "value"), list(wrong(JobTable, TOML)))
def test_a_table_with_a_wrong_type_is_refused_and_told_where(field, value):
    _, _, text = VALUES[value]
    for file, table in (("ci.toml", "jobs.test"), ("pyproject.toml", "tool.ci.jobs.test")):
        content = f"[{table}]\n{field} = {text}\n".encode()
        with pytest.raises(InvalidConfigError) as caught:
            resolve_spec({file: content}, SubmissionRequest(), DEFAULTS)
        message = caught.value.message
        message.encode()
        assert message.startswith(file)
        assert f"{table}.{field}" in message or "is not valid TOML" in message
        assert len(message) < 700


def test_a_repeated_key_of_a_table_is_refused():
    with pytest.raises(InvalidConfigError, match="not valid TOML"):
        resolve_spec({"ci.toml": b"[jobs.test]\nlog=1\nlog=2"}, SubmissionRequest(), DEFAULTS)


SECRET = {"value": "c2VjcmV0IHZhbHVl", "environment": True}
SECRET_TYPES = {"value": "string", "environment": "boolean"}


def wrong_secrets():
    for field, right in SECRET_TYPES.items():
        for name, (kind, text, _) in VALUES.items():
            if kind != right and text is not None:
                yield field, name


@pytest.mark.parametrize(("field", "value"), list(wrong_secrets()))
def test_a_secret_with_a_wrong_type_is_refused_and_told_where(field, value):
    _, text, _ = VALUES[value]
    others = {name: other for name, other in SECRET.items() if name != field}
    content = f'{{"KEY": {{"{field}": {text}, {json.dumps(others)[1:]}}}'
    with pytest.raises(InvalidSecretError, match="part 'secrets'"):
        read_submitted_secrets(content.encode())


@pytest.mark.parametrize(
    "content",
    [
        '{"KEY": {"value": "c2VjcmV0IHZhbHVl"}, "KEY": {"value": "b3RoZXIgdmFsdWU="}}',
        '{"KEY": {"value": "c2VjcmV0IHZhbHVl", "value": "b3RoZXIgdmFsdWU="}}',
    ],
)
def test_a_repeated_secret_is_refused_and_not_repeated(content):
    with pytest.raises(InvalidSecretError, match="duplicate key") as caught:
        read_submitted_secrets(content.encode())
    assert "c2Vj" not in caught.value.message
