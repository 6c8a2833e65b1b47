import re
import sys

import pytest

from setup_steps.console import SetupError, run_main, run_quietly, step


def test_output_of_a_good_step_is_hidden(capfd):
    run_quietly([sys.executable, "-c", "print('noise')"], failure="no")
    assert capfd.readouterr().out == ""


def test_a_failed_step_shows_the_end_of_its_output():
    script = "import sys; [print(n) for n in range(1000)]; sys.exit('the cause')"
    with pytest.raises(SetupError) as caught:
        run_quietly([sys.executable, "-c", script], failure="It did not work.")
    message = str(caught.value)
    assert message.startswith("It did not work.\n")
    assert "the cause" in message
    assert "ended with 1" in message
    assert "\n999\n" in message
    assert "\n500\n" not in message


def test_a_missing_command_is_a_failed_step():
    with pytest.raises(SetupError, match="could not be started"):
        run_quietly(["/nonexistent/command"], failure="no")


def test_a_step_tells_its_title_and_time(capsys):
    with step("Doing it"):
        pass
    said = capsys.readouterr().err
    assert re.fullmatch(r"==> Doing it\n    done in \d+\.\d s\n", said)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(SetupError("no engine"), 3, "error: no engine"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_scripts_end_with_a_message_and_a_code(capsys, error, code, said):
    def body() -> int:
        raise error

    assert run_main(body) == code
    assert said in capsys.readouterr().err
