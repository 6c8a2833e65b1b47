"""JUnit reports of several tools, broken ones, and hostile ones."""

import time

import pytest

from ci_controller.running.test_reports import MAX_REPORT_BYTES, BadReportError, JUnitReport, Tally

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="2" failures="1" skipped="1" tests="6" time="0.179">
<testcase classname="" name="tests.test_broken" file="tests/test_broken.py" time="0.000">
<error message="collection failure">lib/pathlib.py:640: in import_path
    importlib.import_module(name)
E     File "tests/test_broken.py", line 1
E   SyntaxError: invalid syntax</error></testcase>
<testcase classname="tests.test_a.TestX.TestY" name="test_p[a::b]" file="tests/test_a.py"
 line="3" time="0.25" />
<testcase classname="tests.test_a" name="test_f" file="tests/test_a.py" line="5" time="1.5">
<failure message="AssertionError: why&#10;assert 1 == 2">def test_f(): ...</failure></testcase>
<testcase classname="tests.test_a" name="test_td" file="tests/test_a.py" time="0.0">
<system-out>noise</system-out><error message="failed on teardown">...</error></testcase>
<testcase classname="tests.test_a" name="test_skip" file="tests/test_a.py" time="0.0">
<skipped type="pytest.skip" message="x">tests/test_a.py:20: x</skipped></testcase>
<testcase classname="tests.test_a" name="test_ok" time="0.5"/>
</testsuite></testsuites>"""

MAVEN = b"""<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="com.example.BankTest"
 time="1,234.567" tests="3" errors="1" skipped="0" failures="1">
<properties><property name="java.version" value="17"/></properties>
<testcase name="overdraft" classname="com.example.BankTest" time="1,234.5">
<failure message="expected: &lt;1&gt;" type="AssertionFailedError"><![CDATA[stack]]></failure>
</testcase>
<testcase name="boom" classname="com.example.BankTest" time="0.001">
<error type="java.lang.NullPointerException"><![CDATA[java.lang.NullPointerException
	at com.example.BankTest.boom(BankTest.java:12)]]></error></testcase>
<testcase name="flaky" classname="com.example.BankTest" time="0.01"><flakyFailure message="once"/>
</testcase></testsuite>"""

GO = b"""<?xml version="1.0" encoding="UTF-8"?><testsuites tests="2" failures="1" errors="0">
<testsuite tests="2" failures="1" time="0.3" name="example.com/pkg">
<testsuite name="nested" tests="1"><testcase classname="pkg" name="TestIn" time="0.1"/></testsuite>
<testcase classname="pkg" name="TestAdd" time="0.200"><failure message="Failed" type="">
    add_test.go:12: got 1, want 2
</failure></testcase></testsuite></testsuites>"""


def read(content, piece=1 << 16):
    report = JUnitReport()
    for at in range(0, len(content), piece):
        report.feed(content[at : at + piece])
    return report.close()


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_pytest(piece):
    seen = read(PYTEST, piece).summary()
    assert (seen.total, seen.passed, seen.failed, seen.errors, seen.skipped) == (6, 2, 1, 2, 1)
    assert seen.seconds == 2.25
    assert [(case.name, case.message) for case in seen.failures] == [
        (
            "tests/test_broken.py",
            'File "tests/test_broken.py", line 1\nSyntaxError: invalid syntax',
        ),
        ("tests/test_a.py::test_f", "AssertionError: why\nassert 1 == 2"),
        ("tests/test_a.py::test_td", "failed on teardown"),
    ]
    assert [(case.name, case.seconds) for case in seen.slowest] == [
        ("tests/test_a.py::test_f", 1.5),
        ("tests.test_a::test_ok", 0.5),
        ("tests/test_a.py::TestX::TestY::test_p[a::b]", 0.25),
    ]


def test_maven():
    seen = read(MAVEN).summary()
    assert (seen.total, seen.passed, seen.failed, seen.errors) == (3, 1, 1, 1)
    overdraft, boom = seen.failures
    assert (overdraft.name, overdraft.message) == (
        "com.example.BankTest::overdraft",
        "expected: <1>",
    )
    assert boom.message.startswith("java.lang.NullPointerException\n")
    assert seen.slowest[0].seconds == 1234.5


def test_go_with_nested_suites():
    seen = read(GO).summary()
    assert (seen.total, seen.passed, seen.failed) == (2, 1, 1)
    assert seen.failures[0].message == "add_test.go:12: got 1, want 2"


def test_several_reports_are_added_up():
    tally = Tally()
    for content in (PYTEST, MAVEN, GO):
        tally.add(read(content))
    seen = tally.summary()
    assert (seen.total, seen.passed, seen.failed, seen.errors, seen.skipped) == (11, 4, 3, 3, 1)
    assert [case.name for case in seen.failures][3] == "com.example.BankTest::overdraft"
    assert [case.seconds for case in seen.slowest][:3] == [1234.5, 1.5, 0.5]


def test_no_tests_is_a_report_too():
    assert read(b"<testsuites/>").summary().total == 0


def test_long_ones_are_cut():
    case = b'<testcase name="%d" time="%d"><failure message="%s"/></testcase>'
    many = b"".join(case % (n, n, b"m" * 5000) for n in range(250))
    seen = read(b"<testsuite>" + many + b"</testsuite>").summary()
    assert seen.failed == 250
    assert [case.name for case in seen.failures] == [str(n) for n in range(100)]
    assert {len(case.message) for case in seen.failures} == {2000}
    assert [case.seconds for case in seen.slowest] == list(range(249, 239, -1))
    long_name = read(b'<testsuite><testcase name="' + b"n" * 9999 + b'" time="1"/></testsuite>')
    assert len(long_name.summary().slowest[0].name) == 500


def test_of_equally_slow_tests_the_first_ones_are_told():
    tally = Tally()
    for report in range(2):
        cases = b"".join(b'<testcase name="%d-%d" time="1"/>' % (report, n) for n in range(12))
        tally.add(read(b"<testsuite>" + cases + b"</testsuite>"))
    assert [case.name for case in tally.summary().slowest] == [f"0-{n}" for n in range(10)]


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e300", "1:30"])
def test_times_that_are_none(text):
    report = f'<testsuite><testcase name="t" time="{text}"/></testsuite>'.encode()
    assert read(report).summary().seconds == 0


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">%s]>
<testsuite><testcase name="&e9;"/></testsuite>""" % b"".join(
    b'<!ENTITY e%d "%s">' % (n, b"&%s;" % (b"e%d" % (n - 1) if n else b"a") * 10) for n in range(10)
)
FILE = b"""<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>
<testsuite><testcase name="&f;"/></testsuite>"""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<html><body/></html>",
        b"<testsuite>",
        PYTEST[:-20],
        PYTEST + PYTEST,
        b"<testsuite><testcase name='a'></testsuite>",
        b"<testsuite><testcase name='\xff'/></testsuite>",
        b"<testsuite><testcase name='&#0;'/></testsuite>",
        b"<?xml version='1.0' encoding='no-such'?><testsuite/>",
        b"<?xml version='1.0' encoding='shift_jis'?><testsuite/>",
        LAUGHS,
        FILE,
        b"<!DOCTYPE testsuite><testsuite/>",
        b"<testsuite>" + b"<a>" * 200_000,
        b"<testsuite>" + b" " * MAX_REPORT_BYTES + b"</testsuite>",
    ],
    ids=range(16),
)
def test_broken_and_hostile_ones(content):
    began = time.monotonic()
    with pytest.raises(BadReportError):
        read(content)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("start", [b"<testcase name='", b"<!--", b"<", b"<?x "])
def test_what_the_parser_would_have_to_hold_whole(start):
    report = JUnitReport()

    def feed():
        report.feed(b"<testsuite>" + start)
        for _ in range(100):
            report.feed(b"x" * 100_000)

    with pytest.raises(BadReportError, match="too long"):
        feed()


def test_every_prefix_is_no_report():
    for end in range(len(GO)):
        with pytest.raises(BadReportError):
            read(GO[:end])
