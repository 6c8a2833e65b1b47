"""JUnit reports of several tools, broken ones, and hostile ones."""

import time
from xml.sax.saxutils import escape, quoteattr

import pytest

from ci_controller.running.report_xml import MAX_REPORT_BYTES, BadReportError, NotAReportError
from ci_controller.running.test_reports import JUnitReport, Tally

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
        "expected: <1>\n\nstack",
    )
    assert boom.message.startswith("java.lang.NullPointerException\n")
    assert seen.slowest[0].seconds == 1234.5


def test_go_with_nested_suites():
    seen = read(GO).summary()
    assert (seen.total, seen.passed, seen.failed) == (2, 1, 1)
    assert seen.failures[0].message == "add_test.go:12: got 1, want 2"


STACK = "\n\tat app.BankTest.overdraft(BankTest.java:12)"
TRACEBACK = 'Traceback (most recent call last):\n  File "test_a.py", line 3\nAssertionError: 1 != 2'
REASONS = {  # by tool: its suite, its message, the text below, and what is told
    "surefire": ("app.BankTest", "expected: <1>", f"org.Error: expected: <1>{STACK}", None),
    "mocha": ("Mocha Tests", "a\nb", f"AssertionError: a\nb{STACK}", None),
    "jest": ("jest tests", "", f"Error: expect(received){STACK}", None),
    "unittest": ("test_a.Test", "1 != 2", TRACEBACK, f"1 != 2\n\n{TRACEBACK}"),
    "catch2": ("tests", "x == 1", "FAILED:\n  with: 2 == 1", "x == 1\n\nFAILED:\n  with: 2 == 1"),
    "googletest": ("BankTest", "a.cc:5\nno", "a.cc:5\nno", None),
    "long": ("suite", "m" * 1990, "n" * 100, "m" * 1990 + "\n\n" + "n" * 8),
    "pytest": ("pytest", "assert 0", "> assert 0\n\na.py:4: AssertionError", "assert 0"),
    "pytest, --tb=native": ("pytest", "assert 1 == 2", TRACEBACK, "assert 1 == 2"),
    "pytest, a named suite": ("mine", "assert 0", "> assert 0\nE   assert 0", "assert 0"),
}  # fmt: skip


@pytest.mark.parametrize("tool", REASONS)
def test_the_text_is_told_where_it_says_more_than_the_message(tool):
    suite, message, text, told = REASONS[tool]
    attribute = quoteattr(message, {"\n": "&#10;"})
    report = (
        f'<testsuites><testsuite name="{suite}"><testcase name="t"><failure message={attribute}>'
        f"{escape(text)}</failure></testcase></testsuite></testsuites>"
    )
    (case,) = read(report.encode()).summary().failures
    assert case.message == (text if told is None else told)


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
        b"<?xml version='1.0' encoding='no-such'?><testsuite/>",
        b"<?xml version='1.0' encoding='shift_jis'?><testsuite/>",
        LAUGHS,
        FILE,
        b"<!DOCTYPE testsuite><testsuite/>",
        b"<testsuite>" + b"<a>" * 200_000,
        b"<testsuite>" + b" " * MAX_REPORT_BYTES + b"</testsuite>",
    ],
    ids=range(14),
)
def test_broken_and_hostile_ones(content):
    began = time.process_time()
    with pytest.raises(BadReportError):
        read(content)
    assert time.process_time() - began < 5


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


@pytest.mark.parametrize("piece", [1, 3, 1 << 16])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<failure message='\x1b[31mred\x1b[0m'/>", "red"),
        (b"<failure message='#x1B[31mred#x1B[39;49;00m#x1B[0m: #x1B[x'/>", "red: #x1B[x"),
        (
            b"<failure message=''>#x1B[94mdef#x1B[0m\n#x1B[1m#x1B[31mE   boom#x1B[0m\n</failure>",
            "boom",
        ),
        (b"<failure message='m'>\x00</failure>", "m\n\n\ufffd"),
        (b"<failure message='a&#27;b&#x1B;c&#x1b;d'/>", "a\ufffdb\ufffdc\ufffdd"),
        (b"<failure message='&#xD800;&#1114112;&#99999999999;'/>", "\ufffd" * 3),
        (b"<failure message='&#65;&#x42;&lt;&amp;&#10;x'/>", "AB<&\nx"),
        (b"<failure message='caf\xe9'/>", "caf\ufffd"),
        (b"<failure message='\xef\xbf\xbe'/>", "\ufffd"),
        (b"<failure message='Failed'><![CDATA[\x07bell]]></failure>", "\ufffdbell"),
    ],
    ids=range(10),
)
def test_what_xml_does_not_allow_is_replaced(content, message, piece):
    whole = b"<testsuite><testcase name='c'>" + content + b"</testcase></testsuite>"
    (case,) = read(whole, piece).summary().failures
    assert case.message == message


@pytest.mark.parametrize("piece", [1, 1 << 16])
@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8"),
        ("utf-16", None),
        ("utf-16", "UTF-16"),
        ("iso-8859-1", "ISO-8859-1"),
        ("cp1252", "windows-1252"),
        ("gbk", "gbk"),
    ],
)
def test_encodings(encoding, declared, piece):
    name = "中" if encoding == "gbk" else "é"
    start = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = f'{start}<testsuite><testcase name="{name}"><error/></testcase></testsuite>'
    (case,) = read(text.encode(encoding), piece).summary().failures
    assert case.name == name


@pytest.mark.parametrize("before", [b"\n", b"  \r\n", b"INFO: starting\n", b"\xef\xbb\xbf\n"])
def test_what_is_before_the_document_is_passed_over(before):
    document = b"<?xml version='1.0'?><testsuite><testcase name='a'/></testsuite>"
    assert read(before + document).summary().passed == 1


def test_prefixes_of_a_namespace():
    seen = read(
        b"<j:testsuites xmlns:j='urn:j'><j:testsuite name='s'><j:testcase name='a'/>"
        b"<j:testcase name='b'><j:failure message='m'/></j:testcase>"
        b"</j:testsuite></j:testsuites>"
    ).summary()
    assert (seen.passed, seen.failed, seen.failures[0].message) == (1, 1, "m")


@pytest.mark.parametrize(
    ("attributes", "content", "outcome"),
    [
        ({"status": "run"}, "", "passed"),
        ({"status": "notrun"}, "", "skipped"),
        ({"status": "disabled"}, "", "skipped"),
        ({"status": "run", "result": "suppressed"}, "", "skipped"),
        ({"status": "fail"}, "", "failure"),
        ({"status": "FAILED"}, "<failure message='why'/>", "failure"),
        ({"status": "failed"}, "<error message='why'/>", "error"),
        ({"status": "error"}, "<failure message='why'/>", "failure"),
        ({"status": "passed"}, "<skipped/>", "skipped"),
        ({"status": "whatever"}, "", "passed"),
    ],
)
def test_outcomes_by_status(attributes, content, outcome):
    said = "".join(f' {name}="{value}"' for name, value in attributes.items())
    report = f"<testsuite><testcase name='c'{said}>{content}</testcase></testsuite>"
    tally = read(report.encode())
    counts = {name: getattr(tally, name) for name in ("passed", "failure", "error", "skipped")}
    assert counts == {name: int(name == outcome) for name in counts}
    messages = {"failure": [""], "error": [""]}.get(outcome, [])
    assert [case.message for case in tally.failures] == (["why"] if "why" in content else messages)


def test_errors_of_a_suite_count():
    """As where its set-up failed and no test of it ran."""
    seen = read(
        b"<testsuites><testsuite name='pkg.Setup' errors='1'><error message='no database'/>"
        b"<system-err>x</system-err></testsuite><testsuite name='ok'><testcase name='a'/>"
        b"</testsuite><testsuite name='silent' tests='0' errors='2' failures='0'/></testsuites>"
    ).summary()
    assert (seen.passed, seen.failed, seen.errors) == (1, 0, 2)
    assert [(case.name, case.message) for case in seen.failures] == [
        ("pkg.Setup", "no database"),
        ("silent", "the suite reports 2 errors or failures without a test"),
    ]


def test_numbers_of_suites_are_not_counted_twice():
    seen = read(
        b"<testsuites errors='1' failures='1'><testsuite errors='1' failures='1'><testsuite "
        b"errors='0' failures='1'><testcase name='a'><failure/></testcase></testsuite>"
        b"<testcase name='b'><error/></testcase></testsuite></testsuites>"
    ).summary()
    assert (seen.failed, seen.errors) == (1, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0,123", 0.123),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1.5", 1.5),
        ("12", 12.0),
        ("1e-3", 0.001),
    ],
)
def test_commas_in_times(text, seconds):
    report = f"<testsuite><testcase name='t' time='{text}'/></testsuite>".encode()
    assert read(report).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xml",
        b"<html/>",
        b"<coverage><x></coverage>",
        b"<!DOCTYPE html><html/>",
        b"\xff\xfe",
        b"<?xml version='1.0' encoding='no-such'?><project/>",
    ],
    ids=range(7),
)
def test_files_that_are_no_reports(content):
    with pytest.raises(NotAReportError):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"<testsuite>",
        b"<testsuites><testcase></a>",
        b"<!DOCTYPE testsuites><testsuites/>",
        b"<testsuite>" + b" " * MAX_REPORT_BYTES + b"</testsuite>",
    ],
    ids=range(4),
)
def test_reports_that_cannot_be_read(content):
    with pytest.raises(BadReportError) as caught:
        read(content)
    assert not isinstance(caught.value, NotAReportError)


@pytest.mark.parametrize("start", [b"", b"<testsuite>", b"<?xml version='1.0'?><testsuite>"])
@pytest.mark.parametrize(
    "piece", [b"<?xml ", b"<?xml encoding", b"<", b"&#", b"encoding=", b"<!--"]
)
def test_no_content_takes_long(start, piece):
    content = start + piece * (300_000 // len(piece))
    began = time.process_time()
    with pytest.raises(BadReportError):
        read(content, 1 << 18)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("quoted", ["no-such", "iso-8859-1"])
def test_a_declaration_that_the_report_quotes_is_not_its_own(quoted):
    message = f"&lt;?xml version='1.0' encoding='{quoted}'?&gt;"
    cdata = f"<![CDATA[<?xml version='1.0' encoding='{quoted}'?>]]>"
    for content in (f'<failure message="{message} é"/>', f"<failure>é {cdata}</failure>"):
        report = f"<testsuite><testcase name='é'>{content}</testcase></testsuite>"
        (case,) = read(report.encode()).summary().failures
        assert case.name == "é"
        assert "é" in case.message


PLACES = {
    "E   assert 1\n\ntests/test_a.py:12: AssertionError": ("tests/test_a.py", 12),
    "a.py:3: in f\n    g()\nb c.py:7: in g\nE  x\nb c.py:7: ValueError": ("b c.py", 7),
    'Traceback\n  File "pkg/a.py", line 9, in f\n  File "/usr/lib/x.py", line 1, in g': (
        "pkg/a.py", 9,
    ),
    "\x1b[1m\x1b[31ma/b_test.go\x1b[0m:31: wrong": ("a/b_test.go", 31),
    "at 12:30:45, http://host:80/, 10.0.0.1:80: no place": ("t/x.py", 5),
    "": ("t/x.py", 5),
}  # fmt: skip


@pytest.mark.parametrize("text", PLACES)
def test_where_a_test_failed(text):
    report = (
        '<testsuite><testcase name="t" file="t/x.py" line="4"><failure message="m">'
        f"<![CDATA[{text}]]></failure></testcase><testcase name='u' file='u.js' line='8'>"
        "<failure/></testcase><testcase name='v'><error/></testcase></testsuite>"
    )
    found = [(one.file, one.line) for one in read(report.encode()).failures]
    assert found == [PLACES[text], ("u.js", 8), ("", None)]
